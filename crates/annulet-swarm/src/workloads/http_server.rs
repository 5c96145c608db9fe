//! The HTTP server of `annulet serve http`, and clients of which some are hostile.

mod answers;
mod questions;
mod visitor;

use std::time::Duration;

use annulet::http::Settings;
use annulet::time::{sleep, timeout};
use annulet::{connect, spawn_local};
use annulet_cli::apps;
use annulet_sim::Sim;

use crate::draw::{micros, percent};
use crate::join;
use crate::keeper::Keeper;
use crate::shape::{Program, Shape};
use questions::{Question, easy, hello, questions};
use visitor::{Manners, Trust, visit};

/// More than a server that nothing disturbs is late with what a clock of its own is to do.
const LATE_MAX: Duration = Duration::from_secs(30);

/// Each request on a connection is answered once, in order, with what belongs to it.
pub(crate) async fn world(sim: Sim) {
    let shape = Shape::draw(&sim);
    let settings = shape.http(&sim);
    let trust = Trust { shape, requests_max: settings.requests_max };
    let program = Program::new(shape);
    let host = shape.host(&sim, "server").start(async move || {
        let server = shape.server().serve_with(shape.listen("0.0.0.0:7000"), apps::http(settings));
        program.serve(server).await;
    });
    let keeper = Keeper::new(&sim, &host, shape);
    let clients: Vec<_> = (0..sim.spread(4, 16))
        .map(|_| {
            let sim = sim.clone();
            let rounds = sim.spread(1, 2);
            spawn_local(async move {
                for _ in 0..rounds {
                    sleep(micros(&sim, 1, 1_000_000)).await;
                    let asked = questions(&sim, settings.body_max);
                    let manners = Manners::draw(&sim, &asked);
                    visit(&sim, asked, &trust, manners).await;
                }
            })
        })
        .collect();
    join::all(clients).await;
    if shape.is_welcoming() {
        keeper.make_peace(&sim, &host);
        insist(&sim, &trust, &[hello()], Manners::plain()).await;
        let asked = easy(&sim, settings.body_max);
        insist(&sim, &trust, &asked, Manners::draw(&sim, &asked).lasting()).await;
        // Where there are clocks, they are to hold; where there are none, nobody is to be sent away.
        if settings.keep_alive.is_some() || percent(&sim, 20) {
            insist(&sim, &trust, &asked, Manners::patient(&sim)).await;
            outlast(settings).await;
        }
    }
}

/// When nothing fails any more, requests are answered, whatever they are and however they come.
async fn insist(sim: &Sim, trust: &Trust, asked: &[Question], manners: Manners) {
    for _ in 0..180 {
        if visit(sim, asked.to_vec(), trust, manners).await {
            return;
        }
        sleep(Duration::from_secs(5)).await;
    }
    panic!("nothing fails any more, and the server serves nobody");
}

/// Who says nothing is sent away when the time has come.
async fn outlast(settings: Settings) {
    let hello = hello().bytes;
    let half = [(settings.head_timeout, &hello[..hello.len() / 2]), (settings.keep_alive, &hello[..])];
    for (limit, said) in half {
        let Some(limit) = limit else { continue };
        let Ok(mut connection) = connect("server:7000").await else { continue };
        if connection.write_all(said).await.is_err() {
            continue;
        }
        let ended = async { while let Ok(Some(_)) = connection.recv().await {} };
        assert!(
            timeout(limit + LATE_MAX, ended).await.is_ok(),
            "after {} bytes of a request the server waits longer than {limit:?}",
            said.len()
        );
    }
}
