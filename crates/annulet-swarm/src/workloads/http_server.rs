//! The HTTP server of `annulet serve http`, and clients of which some are hostile.

mod answers;
mod questions;

use std::time::Duration;

use annulet::time::{sleep, timeout};
use annulet::{Connector, spawn_local};
use annulet_cli::apps;
use annulet_sim::Sim;

use crate::draw::{micros, percent};
use crate::join;
use crate::keeper::Keeper;
use crate::shape::{Program, Shape, limits};
use answers::Answers;
use questions::{Answer, Question, questions};

/// Longer than any answer is waited for.
const PATIENCE: Duration = Duration::from_secs(1200);

/// Each request on a connection is answered once, in order, with what belongs to it.
pub(crate) async fn world(sim: Sim) {
    let shape = Shape::draw(&sim);
    let settings = shape.http(&sim);
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
                    client(&sim, asked, shape).await;
                }
            })
        })
        .collect();
    join::all(clients).await;
    if shape.is_welcoming() {
        keeper.make_peace(&sim, &host);
        insist(&sim, shape).await;
    }
}

/// When nothing fails any more, requests are answered.
async fn insist(sim: &Sim, shape: Shape) {
    for _ in 0..180 {
        let asked = vec![questions::hello()];
        if client(sim, asked, shape).await {
            return;
        }
        sleep(Duration::from_secs(5)).await;
    }
    panic!("nothing fails any more, and the server serves nobody");
}

/// One connection. Returns whether everything was answered.
async fn client(sim: &Sim, asked: Vec<Question>, shape: Shape) -> bool {
    let connector = Connector::new().limits(limits(sim));
    let Ok(connection) = connector.connect("server:7000").await else { return false };
    let (mut receive, mut send) = connection.split();
    let bytes: Vec<u8> = asked.iter().flat_map(|question| question.bytes.clone()).collect();
    let (piece_max, pause_percent) = (sim.spread(1, 16 * 1024), sim.below(30));
    let vanishes_after = percent(sim, 10).then(|| sim.spread(1, 20_000) as usize);
    let is_slow = percent(sim, 15);
    let writer = sim.clone();
    let sending = spawn_local(async move {
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            let (piece, after) = rest.split_at(rest.len().min(writer.spread(1, piece_max) as usize));
            rest = after;
            send.write_all(piece).await?;
            if percent(&writer, pause_percent) {
                sleep(micros(&writer, 1, 20_000)).await;
            }
        }
        send.shutdown().await
    });
    let mut received = Vec::new();
    let is_orderly = loop {
        if vanishes_after.is_some_and(|after| received.len() >= after) {
            sending.abort();
            return false;
        }
        if is_slow {
            sleep(micros(sim, 10, 50_000)).await;
        }
        match timeout(PATIENCE, receive.recv()).await {
            Ok(Ok(Some(chunk))) => received.extend_from_slice(&chunk),
            Ok(Ok(None)) => break true,
            Ok(Err(_)) | Err(_) => break false,
        }
    };
    drop(receive);
    if !is_orderly {
        sending.abort();
    }
    let is_sent = sending.await.is_ok_and(|sent| sent.is_ok());
    let answers = Answers::check(&received, &asked);
    if !is_orderly {
        return false;
    }
    assert!(
        answers.is_whole || !shape.ends_are_the_programs(),
        "the server ended in order in the middle of answer {} of {}",
        answers.count + 1,
        asked.len()
    );
    // Half a request at the end may be worth no answer.
    let is_cut = matches!(asked.last(), Some(Question { answer: Answer::Refusal, .. }));
    let is_all = answers.count + usize::from(is_cut) >= asked.len() || answers.says_close;
    assert!(
        is_all || !is_sent || !shape.is_faithful(),
        "the server ended in order after {} of {} answers",
        answers.count,
        asked.len()
    );
    answers.count == asked.len()
}
