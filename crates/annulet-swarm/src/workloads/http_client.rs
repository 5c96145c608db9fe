//! The HTTP client, with its pool, retries and limits, against servers that count what they do.

mod ask;
mod site;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use annulet::http::Client;
use annulet::time::sleep;
use annulet::{serving, spawn_local};
use annulet_sim::Sim;

use crate::draw::{micros, millis, percent};
use crate::join;
use crate::keeper::Keeper;
use crate::ledger::Ledger;
use crate::shape::Shape;
use ask::{Asked, ask};

/// Requests sent again at most.
const RETRIES_MAX: u64 = 3;

/// Each request has one outcome, the server did it at most once unless it is harmless, and what comes back belongs to it.
pub(crate) async fn world(sim: Sim) {
    let shape = Shape::draw(&sim);
    let settings = shape.http(&sim);
    let done = Ledger::default();
    let ledger = done.clone();
    let host = shape.host(&sim, "server").start(async move || {
        let server = shape
            .server()
            .serve_with(shape.listen("0.0.0.0:7000"), site::service(ledger.clone()).settings(settings));
        let _ = serving(server).await;
    });
    let keeper = Keeper::new(&sim, &host, shape);
    let book = Rc::new(Book::default());
    let clients: Vec<_> = (0..sim.spread(1, 4)).map(|_| client(&sim)).collect();
    let askers: Vec<_> = (0..sim.spread(4, 48))
        .map(|asker| {
            let (sim, book) = (sim.clone(), Rc::clone(&book));
            let client = clients[asker as usize % clients.len()].clone();
            let rounds = sim.spread(1, 24);
            spawn_local(async move {
                for _ in 0..rounds {
                    sleep(micros(&sim, 1, 300_000)).await;
                    let number = book.next();
                    let asked = ask(&sim, &client, number, settings.body_max).await;
                    book.note(number, asked);
                }
            })
        })
        .collect();
    join::all(askers).await;
    if shape.is_welcoming() {
        keeper.make_peace(&sim, &host);
        // One with time enough for every way.
        insist(&Client::new(), &book).await;
    }
    // What is still under way arrives.
    drop(clients);
    sleep(Duration::from_secs(30)).await;
    book.compare(&done);
}

fn client(sim: &Sim) -> Client {
    let client = Client::builder()
        .retries_max(sim.below(RETRIES_MAX + 1) as u32)
        .redirects_max(sim.below(4) as u32)
        .acquire_timeout(millis(sim, 100, 20_000))
        .head_timeout(Some(millis(sim, 100, 60_000)));
    if percent(sim, 30) {
        return client.build();
    }
    client
        .connections_per_host_max(sim.spread(1, 16) as usize)
        .connections_max(sim.spread(1, 16) as usize)
        .idle_per_host_max(sim.below(4) as usize)
        .idle_timeout(millis(sim, 1, 60_000))
        .waiting_max(sim.below(30) as usize)
        .body_inactivity(Some(millis(sim, 100, 60_000)))
        .write_timeout(Some(millis(sim, 100, 60_000)))
        .body_max(sim.spread(1000, 200_000) as usize)
        .build()
}

/// When nothing fails any more, a request is answered.
async fn insist(client: &Client, book: &Book) {
    for _ in 0..180 {
        let number = book.next();
        let url = format!("http://server:7000/item/{number}/100");
        let asked = match client.get(&url).send().await {
            Ok(mut response) => response.bytes().await.is_ok_and(|body| body.len() == 100),
            Err(_) => false,
        };
        if asked {
            return;
        }
        sleep(Duration::from_secs(5)).await;
    }
    panic!("nothing fails any more, and no request is answered");
}

/// What became of all requests, as their clients see it.
#[derive(Default)]
struct Book {
    last: Cell<u64>,
    asked: RefCell<Vec<(u64, Asked)>>,
}

impl Book {
    /// A number for a new request.
    fn next(&self) -> u64 {
        self.last.set(self.last.get() + 1);
        self.last.get()
    }

    fn note(&self, number: u64, asked: Asked) {
        self.asked.borrow_mut().push((number, asked));
    }

    /// Compares what clients were told with what was done.
    fn compare(&self, done: &Ledger) {
        for &(number, asked) in &*self.asked.borrow() {
            let count = done.count(number);
            let at_most = if asked.is_harmless { 1 + RETRIES_MAX } else { 1 };
            assert!(count <= at_most, "request {number} was done {count} times: {asked:?}");
            assert!(count > 0 || !asked.was_answered, "request {number} was answered and not done");
            assert!(
                count == 0 || !asked.was_not_sent,
                "request {number} was done, but is said not to have been sent"
            );
        }
    }
}
