//! One request, of a kind that is drawn.

use std::rc::Rc;
use std::time::Duration;

use annulet::Connection;
use annulet::http::{BodyError, ClientError, ClientResponse, HandlerResult, RequestBuilder};
use annulet::time::{sleep, timeout};
use annulet_sim::Sim;

use super::customer::Customer;
use super::odd;
use super::site::{Deeds, NUMBER, SUM};
use crate::draw::{micros, millis, pattern, percent};

/// What the client knows about a request.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Asked {
    /// It may be sent more than once.
    pub(super) is_harmless: bool,
    /// Its own answer came.
    pub(super) was_answered: bool,
    /// All of it.
    pub(super) is_whole: bool,
    /// The client says that no server can have seen it.
    pub(super) was_not_sent: bool,
}

/// A request, and what is right to answer.
struct Question {
    request: RequestBuilder,
    is_harmless: bool,
    right: Right,
}

/// What is right to answer.
enum Right {
    /// 200, with this.
    Body(Vec<u8>),
    /// 200, and this in front of an end that is none.
    Part(Vec<u8>),
    /// This status, and no body.
    Nothing(u16),
    /// 200, and a length without a body.
    Length(u64),
    /// 101, and an echo.
    Upgrade(Vec<u8>),
    /// No answer at all.
    Failure,
    /// Not even a request.
    Lie,
}

/// How much is asked for, and of whom.
#[derive(Clone, Copy, Debug)]
pub(super) struct Measure {
    /// Bytes of a request's body at most.
    pub(super) body_max: u64,
    /// Bytes of a response's body at most.
    pub(super) length_max: u64,
    /// Nothing fails: everything is asked in order, and answered.
    pub(super) is_calm: bool,
}

/// Asks, reads the answer, and compares it with what is right.
pub(super) async fn ask(
    sim: &Sim,
    customer: &Customer,
    number: u64,
    measure: Measure,
    deeds: &Deeds,
) -> Asked {
    let Question { mut request, is_harmless, right } = question(sim, customer, number, measure);
    if !measure.is_calm && percent(sim, 20) {
        request = request.timeout(millis(sim, 1, 20_000));
    }
    let mut asked = Asked { is_harmless, ..Asked::default() };
    let sending = request.send();
    // Some lose interest.
    let sent = if !measure.is_calm && percent(sim, 10) {
        match timeout(micros(sim, 1, 50_000), sending).await {
            Ok(sent) => sent,
            Err(_) => return asked,
        }
    } else {
        sending.await
    };
    match sent {
        Ok(response) => {
            let reader = Reader { sim, customer, number, measure, deeds };
            (asked.was_answered, asked.is_whole) = reader.read(response, right).await;
        }
        Err(error) => {
            asked.was_not_sent = error.is_retry_safe();
            assert!(!matches!(error, ClientError::Url { .. } | ClientError::Tls { .. }), "{error}");
            // Where nothing fails, only what cannot succeed does.
            let is_due = match right {
                Right::Failure | Right::Part(_) => true,
                Right::Lie => matches!(error, ClientError::RequestBody(_)),
                _ => false,
            };
            assert!(is_due || !measure.is_calm, "request {number}: {error:?}");
            asked.is_whole = measure.is_calm;
        }
    }
    asked
}

fn question(sim: &Sim, customer: &Customer, number: u64, measure: Measure) -> Question {
    let Measure { body_max, length_max, is_calm } = measure;
    let client = &customer.client;
    let length = sim.spread(1, length_max);
    let url = |kind: &str, length: u64| format!("http://server:7000/{kind}/{number}/{length}");
    let all = || Right::Body(pattern(number, length as usize));
    let get =
        |kind: &str| Question { request: client.get(&url(kind, length)), is_harmless: true, right: all() };
    let sent = || {
        let length = if percent(sim, 20) { body_max } else { sim.spread(1, body_max) };
        pattern(number + 1, length.min(2 * length_max) as usize)
    };
    let post = |kind: &str, sent: Vec<u8>| Question {
        request: client.post(&url(kind, length)).body(sent.clone()),
        is_harmless: false,
        right: Right::Body(sent),
    };
    match sim.below(33) {
        0..4 => get("item"),
        4 => get("piecemeal"),
        5 => get("large"),
        6 => {
            let right = if customer.redirects_max == 0 && is_calm { Right::Failure } else { all() };
            Question { right, ..get("moved") }
        }
        7 => {
            let length = sim.spread(1, 3000);
            let right = Right::Body(pattern(number, length as usize));
            Question { request: client.get(&url("slow", length)), right, is_harmless: true }
        }
        8 => get("scribe"),
        9 => Question { right: Right::Part(pattern(number, length as usize)), ..get("short") },
        10 => get("last"),
        11 => {
            let hops = sim.spread(1, 6);
            let is_followed = hops <= customer.redirects_max.into();
            let right = if is_followed { Right::Body(pattern(number, 100)) } else { Right::Failure };
            Question { request: client.get(&url("hops", hops)), right, is_harmless: true }
        }
        12 => Question {
            right: Right::Nothing(204),
            request: client.delete(&url("gone", 0)),
            is_harmless: true,
        },
        13 => {
            let right = Right::Length(length);
            Question { request: client.head(&url("item", length)), right, is_harmless: true }
        }
        14 => {
            let request = client.get(&url("upgrade", 0)).header("upgrade", "echo");
            Question { request, right: Right::Upgrade(pattern(number, length as usize)), is_harmless: true }
        }
        15 => {
            let body = sent();
            let right = Right::Body(body.clone());
            Question { request: client.put(&url("echo", 0)).body(body), is_harmless: true, right }
        }
        16 | 17 => Question { right: all(), ..post("early", sent()) },
        18 => Question { right: all(), ..post("stray", sent()) },
        19 | 20 => post("echo", sent()),
        21 => {
            let question = post("echo", sent());
            Question { request: question.request.expect_continue(), ..question }
        }
        22 => {
            let question = post("early", sent());
            Question { request: question.request.expect_continue(), right: all(), ..question }
        }
        23 => post("sip", sent()),
        24 => {
            let body = sent();
            let request = streamed(sim, client.post(&url("pipe", 0)), &body, body.len());
            let request = if percent(sim, 30) { request.expect_continue() } else { request };
            Question { request, right: Right::Body(body), is_harmless: false }
        }
        25 | 26 => {
            let body = sent();
            let request = streamed(sim, client.post(&url("echo", 0)), &body, body.len());
            Question { request, right: Right::Body(body), is_harmless: false }
        }
        27 => {
            // More or less than was announced.
            let body = sent();
            let request = client.post(&url("echo", 0));
            let request = if body.len() > 1 && percent(sim, 50) {
                // In one piece: what was announced is not to be sent before it is seen to be too much.
                request.stream_sized(body.len() as u64 - 1, async move |mut sender| {
                    Ok(sender.send(body).await?)
                })
            } else {
                request.stream_sized(body.len() as u64 + 1, writing(sim, &body))
            };
            Question { request, right: Right::Lie, is_harmless: false }
        }
        28 => {
            let right = Right::Body(Vec::new());
            Question { request: client.get(&url("echo", 0)), is_harmless: true, right }
        }
        29 | 30 => {
            let body = sent();
            let announced = body.len();
            let request = streamed(sim, client.post(&url("forbidden", 0)), &body, announced);
            Question { request, is_harmless: false, right: Right::Nothing(403) }
        }
        _ if is_calm => get("item"),
        _ => {
            let url = format!("http://odd:7001/item/{number}/{length}");
            let right = pattern(number, length as usize);
            let right = if odd::answers_all_of(number) { Right::Body(right) } else { Right::Part(right) };
            Question { request: client.get(&url), is_harmless: true, right }
        }
    }
}

/// The body goes in pieces, with pauses.
fn streamed(sim: &Sim, request: RequestBuilder, body: &[u8], announced: usize) -> RequestBuilder {
    let write = writing(sim, body);
    if percent(sim, 50) { request.stream_sized(announced as u64, write) } else { request.stream(write) }
}

type Writing = std::pin::Pin<Box<dyn Future<Output = HandlerResult>>>;

fn writing(sim: &Sim, body: &[u8]) -> impl FnOnce(annulet::http::BodySender) -> Writing + use<> {
    let (pieces, sim) = (sim.spread((body.len() as u64 / 100).max(1), 8000) as usize, sim.clone());
    let body: Rc<[u8]> = body.into();
    let is_apart = percent(&sim, 30);
    move |mut sender| {
        let write = async move {
            for piece in body.chunks(pieces) {
                sender.send(piece.to_vec()).await?;
                if percent(&sim, 20) {
                    sleep(micros(&sim, 1, 20_000)).await;
                }
            }
            Ok(())
        };
        if is_apart {
            // By a task of its own.
            let writing = annulet::spawn_local(write);
            return Box::pin(async move { writing.await? });
        }
        Box::pin(write)
    }
}

/// Who reads an answer.
struct Reader<'a> {
    sim: &'a Sim,
    customer: &'a Customer,
    number: u64,
    measure: Measure,
    deeds: &'a Deeds,
}

impl Reader<'_> {
    /// Whether the answer came as it should be, and all of it; an error of the server is none.
    async fn read(&self, mut response: ClientResponse, right: Right) -> (bool, bool) {
        let status = response.status().as_u16();
        if let Right::Upgrade(said) = &right {
            return (false, self.upgrade(status, response, said).await);
        }
        let is_right = match right {
            Right::Failure | Right::Lie => false,
            Right::Nothing(right) => status == right,
            _ => status == 200,
        };
        if !is_right {
            return (false, self.is_excused(status, &right));
        }
        let number = self.number.to_string();
        assert_eq!(response.header_str(NUMBER), Some(&*number), "the answer to another request");
        match &right {
            Right::Body(body) if percent(self.sim, 30) => {
                return (true, self.collect(&mut response, body).await);
            }
            Right::Length(length) => assert_eq!(response.content_length(), Some(*length)),
            _ => {}
        }
        let (body, is_part) = match right {
            Right::Body(body) => (body, false),
            Right::Part(part) => (part, true),
            _ => (Vec::new(), false),
        };
        (true, self.receive(response, &body, is_part).await)
    }

    /// Whether a calm world has this status, too.
    fn is_excused(&self, status: u16, right: &Right) -> bool {
        let Self { number, measure, deeds, .. } = *self;
        match status {
            303 => assert_eq!(self.customer.redirects_max, 0, "a redirect that was not followed"),
            // What did not arrive, or not in time.
            400 | 408 => assert!(!measure.is_calm || matches!(right, Right::Lie), "{status}"),
            500 => assert!(deeds.panicked.count(number) > 0, "request {number}: an error of nobody's"),
            _ => panic!("request {number} is answered {status}"),
        }
        measure.is_calm
    }

    /// All at once, which is not to be more than the client takes.
    async fn collect(&self, response: &mut ClientResponse, right: &[u8]) -> bool {
        let body_max = self.customer.body_max;
        match response.bytes().await {
            Ok(body) => {
                assert!(body.len() <= body_max, "{} bytes are more than {body_max}", body.len());
                assert!(body == right, "wrong bytes, or {} of {}", body.len(), right.len());
                true
            }
            Err(error) => {
                let is_too_large = matches!(error, ClientError::Body(BodyError::TooLarge));
                assert!(!is_too_large || right.len() > body_max, "too large: {} of {body_max}", right.len());
                assert!(is_too_large || !self.measure.is_calm, "{error}");
                is_too_large
            }
        }
    }

    async fn receive(&self, mut response: ClientResponse, right: &[u8], is_part: bool) -> bool {
        let (sim, is_calm) = (self.sim, self.measure.is_calm);
        let is_slow = percent(sim, 20);
        let mut hesitations = if percent(sim, 20) { sim.below(20) } else { 0 };
        let enough = percent(sim, 10).then(|| sim.below(right.len() as u64 + 1) as usize);
        let mut received = 0;
        while enough.is_none_or(|enough| received < enough) {
            let next = if hesitations > 0 {
                hesitations -= 1;
                // Waiting is given up, and begun again.
                match timeout(micros(sim, 1, 1000), response.recv()).await {
                    Ok(next) => next,
                    Err(_) => continue,
                }
            } else {
                response.recv().await
            };
            match next {
                Ok(Some(chunk)) => {
                    assert_eq!(
                        right.get(received..received + chunk.len()),
                        Some(&chunk[..]),
                        "wrong bytes after {received}"
                    );
                    received += chunk.len();
                }
                Ok(None) => {
                    assert!(!is_part && received == right.len(), "an end in the middle of the answer");
                    let trailers = response.body().trailers();
                    let sum = trailers.get(SUM).map(|sum| sum.as_bytes());
                    let number = self.number.to_string();
                    assert!(sum.is_none_or(|sum| sum == number.as_bytes()), "another's trailers");
                    return true;
                }
                Err(error) => {
                    assert!(is_part || !is_calm, "{error}");
                    return is_part;
                }
            }
            if is_slow {
                sleep(micros(sim, 1, 20_000)).await;
            }
        }
        true
    }

    async fn upgrade(&self, status: u16, mut response: ClientResponse, said: &[u8]) -> bool {
        if status != 101 {
            return self.is_excused(status, &Right::Upgrade(Vec::new()));
        }
        let connection = response.upgrade().expect("a connection");
        assert!(response.upgrade().is_none(), "there is one");
        drop(response);
        let echo = echo(connection, said);
        match timeout(Duration::from_secs(1200), echo).await {
            Ok(Ok(())) => true,
            _ => {
                assert!(!self.measure.is_calm, "an upgraded connection fails");
                false
            }
        }
    }
}

/// Says something after a welcome, and hears it again.
pub(super) async fn echo(mut connection: Connection, said: &[u8]) -> Result<(), annulet::Error> {
    let mut welcome = [0; 8];
    connection.read_exact(&mut welcome).await?;
    assert_eq!(&welcome, b"welcome\n");
    connection.write_all(said).await?;
    let mut heard = vec![0; said.len()];
    connection.read_exact(&mut heard).await?;
    assert!(heard == said, "an upgraded connection says something else");
    connection.shutdown().await?;
    assert!(connection.recv().await?.is_none(), "more than was said");
    Ok(())
}
