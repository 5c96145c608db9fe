//! One request, of a kind that is drawn.

use annulet::http::{Client, ClientError, ClientResponse, HandlerResult, RequestBuilder};
use annulet::time::{sleep, timeout};
use annulet_sim::Sim;

use super::site::NUMBER;
use crate::draw::{micros, millis, pattern, percent};

/// What the client knows about a request.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Asked {
    /// It may be sent more than once.
    pub(super) is_harmless: bool,
    /// Its own answer came.
    pub(super) was_answered: bool,
    /// The client says that no server can have seen it.
    pub(super) was_not_sent: bool,
}

/// A request, and the body that its answer has.
struct Question {
    request: RequestBuilder,
    is_harmless: bool,
    body: Vec<u8>,
}

/// Asks, reads the answer, and compares it with what is right.
pub(super) async fn ask(sim: &Sim, client: &Client, number: u64, body_max: u64) -> Asked {
    let Question { mut request, is_harmless, body } = question(sim, client, number, body_max);
    if percent(sim, 20) {
        request = request.timeout(millis(sim, 1, 20_000));
    }
    let mut asked = Asked { is_harmless, ..Asked::default() };
    let sending = request.send();
    // Some lose interest.
    let sent = if percent(sim, 10) {
        match timeout(micros(sim, 1, 50_000), sending).await {
            Ok(sent) => sent,
            Err(_) => return asked,
        }
    } else {
        sending.await
    };
    match sent {
        Ok(response) => asked.was_answered = read(sim, response, number, &body).await,
        Err(error) => asked.was_not_sent = error.is_retry_safe(),
    }
    asked
}

fn question(sim: &Sim, client: &Client, number: u64, body_max: u64) -> Question {
    let length = sim.spread(1, 50_000);
    let url = |kind: &str, length: u64| format!("http://server:7000/{kind}/{number}/{length}");
    let get = |kind: &str, length: u64| Question {
        request: client.get(&url(kind, length)),
        is_harmless: true,
        body: pattern(number, length as usize),
    };
    match sim.below(10) {
        0..3 => get("item", length),
        3 => get("piecemeal", length),
        4 => get("moved", length),
        5 => get("slow", sim.spread(1, 3000)),
        6 => {
            let sent = pattern(number + 1, sim.spread(1, body_max) as usize);
            let request = client.post(&url("early", length)).body(sent);
            Question { request, is_harmless: false, body: pattern(number, length as usize) }
        }
        7 => {
            let body = pattern(number, sim.spread(1, body_max) as usize);
            Question { request: client.put(&url("echo", 0)).body(body.clone()), is_harmless: true, body }
        }
        8 => {
            let body = pattern(number, sim.spread(1, body_max) as usize);
            let request = client.post(&url("echo", 0)).body(body.clone());
            let request = if percent(sim, 30) { request.expect_continue() } else { request };
            Question { request, is_harmless: false, body }
        }
        _ => {
            let body = pattern(number, sim.spread(1, body_max) as usize);
            let request = client.post(&url("echo", 0));
            Question { request: streamed(sim, request, body.clone()), is_harmless: false, body }
        }
    }
}

/// The body goes in pieces, with pauses.
fn streamed(sim: &Sim, request: RequestBuilder, body: Vec<u8>) -> RequestBuilder {
    let length = body.len() as u64;
    let (pieces, writer) = (sim.spread(1, 5000) as usize, sim.clone());
    let write = async move |mut sender: annulet::http::BodySender| -> HandlerResult {
        for piece in body.chunks(pieces) {
            sender.send(piece.to_vec()).await?;
            if percent(&writer, 20) {
                sleep(micros(&writer, 1, 20_000)).await;
            }
        }
        Ok(())
    };
    if percent(sim, 50) { request.stream_sized(length, write) } else { request.stream(write) }
}

/// Whether the answer came as it should be; an error of the server is none.
async fn read(sim: &Sim, mut response: ClientResponse, number: u64, right: &[u8]) -> bool {
    let status = response.status().as_u16();
    if status != 200 {
        assert!(status == 303 || status >= 400, "{status}");
        return false;
    }
    assert_eq!(response.header_str(NUMBER), Some(&*number.to_string()), "the answer to another request");
    let is_slow = percent(sim, 20);
    let enough = if percent(sim, 10) { sim.below(right.len() as u64) as usize } else { usize::MAX };
    let mut received = 0;
    while received < enough {
        match response.recv().await {
            Ok(Some(chunk)) => {
                assert_eq!(
                    right.get(received..received + chunk.len()),
                    Some(&chunk[..]),
                    "wrong bytes after {received}"
                );
                received += chunk.len();
            }
            Ok(None) => {
                assert_eq!(received, right.len(), "an end in the middle of the answer");
                break;
            }
            Err(error) => {
                assert!(!matches!(error, ClientError::Url { .. }));
                return true;
            }
        }
        if is_slow {
            sleep(micros(sim, 1, 20_000)).await;
        }
    }
    true
}
