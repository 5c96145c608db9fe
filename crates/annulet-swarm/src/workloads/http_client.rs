//! The HTTP client, with its pool, retries and limits, against servers that count what they do.

mod ask;
mod calm;
mod customer;
mod odd;
mod site;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use annulet::time::sleep;
use annulet::{Server, serving, spawn_local};
use annulet_sim::Sim;

use crate::draw::micros;
use crate::join;
use crate::keeper::Keeper;
use crate::shape::Shape;
use ask::{Asked, Measure, ask};
use customer::{Customer, audit};
use site::Deeds;

/// Requests sent again at most.
const RETRIES_MAX: u64 = 3;

/// Redirects followed at most.
const REDIRECTS_MAX: u64 = 3;

/// Each request has one outcome, the server did it at most once unless it is harmless, and what comes back belongs to it.
pub(crate) async fn world(sim: Sim) {
    let shape = Shape::draw(&sim);
    let settings = shape.http(&sim);
    let deeds = Deeds::default();
    let [site, odd] = [deeds.clone(), deeds.clone()];
    let host = shape.host(&sim, "server").start(async move || {
        let server = shape
            .server()
            .serve_with(shape.listen("0.0.0.0:7000"), site::service(site.clone()).settings(settings));
        let _ = serving(server).await;
    });
    let _odd = sim.host("odd").start(async move || {
        let odd = odd.clone();
        let odd = async move |connection| odd::odd(connection, odd.clone()).await;
        while serving(Server::builder().listen("0.0.0.0:7001", odd.clone())).await.is_err() {
            sleep(Duration::from_secs(1)).await;
        }
    });
    let keeper = Keeper::new(&sim, &host, shape);
    let book = Rc::new(Book::new(deeds));
    let measure = Measure { body_max: settings.body_max, length_max: 50_000, is_calm: false };
    let customers: Rc<[Customer]> = (0..sim.spread(1, 4)).map(|_| Customer::draw(&sim)).collect();
    let askers: Vec<_> = (0..sim.spread(4, 48))
        .map(|asker| {
            let (sim, book, customers) = (sim.clone(), Rc::clone(&book), Rc::clone(&customers));
            let rounds = sim.spread(1, 24);
            spawn_local(async move {
                for _ in 0..rounds {
                    sleep(micros(&sim, 1, 300_000)).await;
                    book.ask(&sim, &customers[asker as usize % customers.len()], measure).await;
                    audit(&customers);
                }
            })
        })
        .collect();
    join::all(askers).await;
    if shape.is_welcoming() {
        keeper.make_peace(&sim, &host);
        // One with time enough for every way, and those who have seen it all.
        insist(&Customer::plain(), &book).await;
        for customer in customers.iter().filter(|customer| customer.is_patient) {
            insist(customer, &book).await;
        }
    }
    drop(customers);
    if shape.is_welcoming() {
        calm::reign(&sim, shape, &book, measure).await;
    }
    // What is still under way arrives.
    sleep(Duration::from_secs(30)).await;
    audit(&[]);
    book.compare();
}

/// When nothing fails any more, a request is answered.
async fn insist(customer: &Customer, book: &Book) {
    for _ in 0..180 {
        let number = book.next();
        let url = format!("http://server:7000/item/{number}/100");
        let asked = match customer.client.get(&url).send().await {
            Ok(mut response) => response.bytes().await.is_ok_and(|body| body.len() == 100),
            Err(_) => false,
        };
        if asked {
            return;
        }
        sleep(Duration::from_secs(5)).await;
    }
    panic!("nothing fails any more, and no request is answered: {customer:?}");
}

/// What became of all requests, as their clients see it, and as servers do.
struct Book {
    last: Cell<u64>,
    asked: RefCell<Vec<(u64, Asked)>>,
    deeds: Deeds,
}

impl Book {
    fn new(deeds: Deeds) -> Self {
        Self { last: Cell::default(), asked: RefCell::default(), deeds }
    }

    /// A number for a new request.
    fn next(&self) -> u64 {
        self.last.set(self.last.get() + 1);
        self.last.get()
    }

    /// Asks something, and notes what came of it.
    async fn ask(&self, sim: &Sim, customer: &Customer, measure: Measure) -> Asked {
        let number = self.next();
        let asked = ask(sim, customer, number, measure, &self.deeds).await;
        self.asked.borrow_mut().push((number, asked));
        asked
    }

    /// Compares what clients were told with what was done.
    fn compare(&self) {
        for &(number, asked) in &*self.asked.borrow() {
            let count = self.deeds.done.count(number);
            let at_most = if asked.is_harmless { 1 + RETRIES_MAX + REDIRECTS_MAX } else { 1 };
            assert!(count <= at_most, "request {number} was done {count} times: {asked:?}");
            assert!(count > 0 || !asked.was_answered, "request {number} was answered and not done");
            assert!(
                count == 0 || !asked.was_not_sent,
                "request {number} was done, but is said not to have been sent"
            );
        }
    }
}
