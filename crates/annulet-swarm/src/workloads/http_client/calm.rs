//! What holds when nothing fails any more.

use std::rc::Rc;
use std::time::Duration;

use annulet::http::Client;
use annulet::time::{sleep, timeout};
use annulet::{connect, spawn_local};
use annulet_sim::Sim;

use super::Book;
use super::ask::Measure;
use super::customer::{Customer, audit};
use crate::draw::{millis, one_of, pattern, percent};
use crate::join;
use crate::shape::Shape;

/// Who stood still when the faults ended goes on, and more than a client is late with what a clock is to do.
const LATE_MAX: Duration = Duration::from_secs(30);

/// Requests succeed, and deadlines hold.
pub(super) async fn reign(sim: &Sim, shape: Shape, book: &Rc<Book>, measure: Measure) {
    sleep(LATE_MAX).await;
    if shape.is_faithful() {
        let customer = if percent(sim, 50) { Customer::plain() } else { Customer::narrow(sim) };
        let askers: Vec<_> = (0..sim.spread(1, 4))
            .map(|_| {
                let (sim, book, customer) = (sim.clone(), Rc::clone(book), customer.clone());
                let measure = Measure { length_max: 12_000, is_calm: true, ..measure };
                spawn_local(async move {
                    for _ in 0..sim.spread(2, 10) {
                        let asked = book.ask(&sim, &customer, measure).await;
                        audit(std::slice::from_ref(&customer));
                        assert!(asked.is_whole, "nothing fails any more, and a request does: {asked:?}");
                    }
                })
            })
            .collect();
        join::all(askers).await;
    }
    if percent(sim, 30) {
        upgrade(sim).await;
        ask_as_of_old(sim).await;
        keep_deadlines(sim, book).await;
        grow_old(sim, book).await;
    }
}

/// What is said right behind a request that upgrades belongs to the new protocol, which may be silent for long.
async fn upgrade(sim: &Sim) {
    let said = pattern(7, sim.spread(1, 2000) as usize);
    let head = b"GET /upgrade/0/0 HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n";
    let all = [&head[..], &said].concat();
    let (now, later) = all.split_at(one_of(sim, &[head.len() - 1, head.len(), head.len() + 1, all.len()]));
    for _ in 0..20 {
        if timeout(Duration::from_secs(300), exchange(now, later, &said))
            .await
            .is_ok_and(|result| result.is_ok())
        {
            return;
        }
    }
    panic!("nothing fails any more, and no connection is upgraded");
}

async fn exchange(now: &[u8], later: &[u8], said: &[u8]) -> std::io::Result<()> {
    let mut connection = connect("server:7000").await?;
    connection.write_all(now).await?;
    connection.flush().await?;
    connection.write_all(later).await?;
    let mut heard = Vec::new();
    while !heard.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        connection.read_exact(&mut byte).await?;
        heard.push(byte[0]);
    }
    let heard = String::from_utf8_lossy(&heard).into_owned();
    assert!(heard.starts_with("HTTP/1.1 101 "), "{heard}");
    let mut greeted = vec![0; b"welcome\n".len() + said.len()];
    connection.read_exact(&mut greeted).await?;
    assert!(greeted.ends_with(said), "an upgraded connection says something else");
    sleep(Duration::from_secs(200)).await;
    connection.write_all(b"more").await?;
    let mut more = [0; 4];
    connection.read_exact(&mut more).await?;
    assert_eq!(&more, b"more");
    Ok(())
}

/// To an old client chunks are bytes of the body.
async fn ask_as_of_old(sim: &Sim) {
    let right = pattern(0, sim.spread(1, 5000) as usize);
    let request = format!("GET /piecemeal/0/{} HTTP/1.0\r\n\r\n", right.len());
    let exchange = async || {
        let mut connection = connect("server:7000").await?;
        connection.write_all(request.as_bytes()).await?;
        let mut heard = Vec::new();
        while let Some(chunk) = connection.recv().await? {
            heard.extend_from_slice(&chunk);
        }
        Ok::<_, std::io::Error>(heard)
    };
    for _ in 0..20 {
        if let Ok(Ok(heard)) = timeout(Duration::from_secs(300), exchange()).await {
            let head = heard.windows(4).position(|window| window == b"\r\n\r\n").expect("a head");
            assert!(heard[head + 4..] == right, "{:?}", String::from_utf8_lossy(&heard[..head]));
            return;
        }
    }
    panic!("nothing fails any more, and old clients are not answered");
}

/// Connections that nobody uses are closed.
async fn grow_old(sim: &Sim, book: &Book) {
    let limit = millis(sim, 1, 60_000);
    let client = Client::builder().idle_timeout(limit).build();
    let url = format!("http://server:7000/item/{}/10", book.next());
    if let Ok(mut response) = client.get(&url).send().await {
        let _ = response.bytes().await;
    }
    sleep(limit + LATE_MAX).await;
    audit(&[]);
}

/// A request ends when its time has come, whatever the server does.
async fn keep_deadlines(sim: &Sim, book: &Book) {
    let limit = millis(sim, 100, 20_000);
    let number = book.next();
    let url = |kind: &str| format!("http://server:7000/{kind}/{number}/600000");
    let endless = Client::builder().head_timeout(None).body_inactivity(None).build();
    let (request, of) = match sim.below(4) {
        0 => (endless.get(&url("slow")).timeout(limit), "a response"),
        1 => (endless.get(&url("dribble")).timeout(limit), "a response's body"),
        2 => (Client::builder().head_timeout(Some(limit)).build().get(&url("slow")), "the client's response"),
        _ => {
            let client = Client::builder().body_inactivity(Some(limit)).build();
            (client.get(&url("dribble")), "the rest of a body")
        }
    };
    let asked = async { request.send().await?.bytes().await };
    let outcome = timeout(limit + LATE_MAX, asked).await;
    assert!(outcome.is_ok(), "{of} is waited for longer than {limit:?}");
}
