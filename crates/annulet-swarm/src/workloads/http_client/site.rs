//! What is served: every request has a number, which is noted when it is done.

use annulet::http::{
    Body, BodyError, HandlerError, HeaderMap, HeaderName, HeaderValue, Request, Response, Router, Service,
    StatusCode, router,
};
use annulet::spawn_local;
use annulet::time::{sleep, timeout};
use annulet::{Connection, HandlerResult};
use annulet_cli::apps;
use annulet_sim::maybe_panic;
use std::time::Duration;

use crate::draw::pattern;
use crate::ledger::Ledger;

/// The field in which a response says to what request it belongs.
pub(super) const NUMBER: &str = "x-number";
/// The trailer in which it says so again.
pub(super) const SUM: &str = "x-sum";

/// What servers did.
#[derive(Clone, Debug, Default)]
pub(super) struct Deeds {
    /// Requests begun.
    pub(super) done: Ledger,
    /// Those whose handlers panicked.
    pub(super) panicked: Ledger,
}

/// A request that is being done.
struct Deed {
    number: u64,
    length: u64,
    panicked: Ledger,
}

impl Drop for Deed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.panicked.note(self.number);
        }
    }
}

pub(super) fn service(deeds: Deeds) -> Service {
    router(move |_| whole(bodies(streams(redirects(Router::new(), &deeds), &deeds), &deeds), &deeds))
}

/// Where to ask instead.
fn redirects(paths: Router, deeds: &Deeds) -> Router {
    let [moved, hops] = [(); 2].map(|()| deeds.clone());
    paths
        .get("/moved/{number}/{length}", async move |request: Request| {
            let deed = begin(&request, &moved)?;
            answer(&deed, Response::see_other(&request.path().replacen("moved", "item", 1)))
        })
        .get("/hops/{number}/{length}", async move |request: Request| {
            let deed = begin(&request, &hops)?;
            let next = match deed.length {
                0 | 1 => format!("/item/{}/100", deed.number),
                more => format!("/hops/{}/{}", deed.number, more - 1),
            };
            answer(&deed, Response::see_other(&next))
        })
}

/// Responses that are at hand.
fn whole(paths: Router, deeds: &Deeds) -> Router {
    let [item, last, slow, gone, forbidden] = [(); 5].map(|()| deeds.clone());
    paths
        .get("/item/{number}/{length}", async move |request: Request| {
            let deed = begin(&request, &item)?;
            answer(&deed, Response::bytes(pattern(deed.number, deed.length as usize)))
        })
        .get("/last/{number}/{length}", async move |request: Request| {
            let deed = begin(&request, &last)?;
            answer(&deed, Response::bytes(pattern(deed.number, deed.length as usize)).close())
        })
        .get("/slow/{number}/{length}", async move |request: Request| {
            let deed = begin(&request, &slow)?;
            sleep(Duration::from_millis(deed.length)).await;
            maybe_panic();
            answer(&deed, Response::bytes(pattern(deed.number, deed.length as usize)))
        })
        .delete("/gone/{number}/{length}", async move |request: Request| {
            let deed = begin(&request, &gone)?;
            answer(&deed, Response::new(StatusCode::NO_CONTENT))
        })
        .post("/forbidden/{number}/{length}", async move |request: Request| {
            let deed = begin(&request, &forbidden)?;
            answer(&deed, Response::new(StatusCode::FORBIDDEN))
        })
        .get("/upgrade/{number}/{length}", async |_: Request| {
            Response::upgrade("echo", async |mut connection: Connection| -> HandlerResult {
                connection.send("welcome\n").await?;
                apps::echo(connection).await
            })
        })
}

/// Responses that come in pieces.
fn streams(paths: Router, deeds: &Deeds) -> Router {
    let [piecemeal, large, short, scribe, dribble] = [(); 5].map(|()| deeds.clone());
    paths
        .get("/piecemeal/{number}/{length}", async move |request: Request| {
            let deed = begin(&request, &piecemeal)?;
            answer(
                &begin_again(&deed),
                Response::stream(async move |mut body| {
                    for piece in pattern(deed.number, deed.length as usize).chunks(700) {
                        maybe_panic();
                        body.write(piece).await?;
                        if deed.number.is_multiple_of(3) {
                            body.flush().await?;
                            sleep(Duration::from_millis(1)).await;
                        }
                    }
                    body.set_trailers(sum(deed.number));
                    Ok(())
                }),
            )
        })
        .get("/large/{number}/{length}", async move |request: Request| {
            let deed = begin(&request, &large)?;
            answer(
                &begin_again(&deed),
                Response::stream(async move |mut body| {
                    for piece in pattern(deed.number, deed.length as usize).chunks(7000) {
                        body.send(piece.to_vec()).await?;
                    }
                    Ok(())
                }),
            )
        })
        .get("/short/{number}/{length}", async move |request: Request| {
            let deed = begin(&request, &short)?;
            answer(
                &begin_again(&deed),
                Response::stream_sized(deed.length + 1, async move |mut body| {
                    Ok(body.send(pattern(deed.number, deed.length as usize)).await?)
                }),
            )
        })
        .get("/scribe/{number}/{length}", async move |request: Request| {
            let deed = begin(&request, &scribe)?;
            answer(
                &begin_again(&deed),
                Response::stream(async move |mut body| {
                    body.write(pattern(deed.number, deed.length as usize)).await?;
                    // One that does not know when to stop.
                    spawn_local(async move {
                        for _ in 0..20 {
                            sleep(Duration::from_millis(1)).await;
                            if body.write("more").await.is_err() {
                                break;
                            }
                        }
                    });
                    Ok(())
                }),
            )
        })
        .get("/dribble/{number}/{length}", async move |request: Request| {
            let deed = begin(&request, &dribble)?;
            answer(
                &begin_again(&deed),
                Response::stream(async move |mut body| {
                    body.write("a beginning").await?;
                    body.flush().await?;
                    sleep(Duration::from_millis(deed.length)).await;
                    Ok(())
                }),
            )
        })
}

/// Bodies of requests, read in whatever way.
fn bodies(paths: Router, deeds: &Deeds) -> Router {
    let [echo, early, sip, pipe, stray] = [(); 5].map(|()| deeds.clone());
    paths
        .post("/early/{number}/{length}", async move |request: Request| {
            let deed = begin(&request, &early)?;
            answer(&deed, Response::bytes(pattern(deed.number, deed.length as usize)))
        })
        .any("/echo/{number}/{length}", async move |mut request: Request| {
            let deed = begin(&request, &echo)?;
            let body = request.bytes().await?;
            maybe_panic();
            answer(&deed, Response::bytes(body))
        })
        .post("/sip/{number}/{length}", async move |mut request: Request| {
            let deed = begin(&request, &sip)?;
            let mut taken = Vec::new();
            for _ in 0..30 {
                // Waiting is given up, and begun again.
                if let Ok(next) = timeout(Duration::from_micros(300), request.body().recv()).await {
                    let Some(chunk) = next? else { break };
                    taken.extend_from_slice(&chunk);
                }
                sleep(Duration::from_millis(1)).await;
            }
            taken.extend_from_slice(&request.bytes().await?);
            answer(&deed, Response::bytes(taken))
        })
        .post("/pipe/{number}/{length}", async move |request: Request| {
            let deed = begin(&request, &pipe)?;
            let mut from = request.into_body();
            answer(
                &begin_again(&deed),
                Response::stream(async move |mut to| {
                    while let Some(chunk) = from.recv().await? {
                        maybe_panic();
                        to.send(chunk).await?;
                    }
                    Ok(())
                }),
            )
        })
        .post("/stray/{number}/{length}", async move |request: Request| {
            let deed = begin(&request, &stray)?;
            let (number, length) = (deed.number, deed.length);
            spawn_local(read_stray(number, request.into_body()));
            answer(&deed, Response::bytes(pattern(number, length as usize)))
        })
}

/// Reads a body whose request may have been answered: what it gets is the request's, or nothing.
async fn read_stray(number: u64, mut body: Body) {
    let mut at = 0;
    loop {
        match body.recv().await {
            Ok(Some(chunk)) => {
                let right = pattern(number + 1, at + chunk.len());
                assert_eq!(&right[at..], &chunk[..], "a body that belongs to another request than {number}");
                at += chunk.len();
            }
            Ok(None) | Err(BodyError::Answered) => return,
            Err(_) => return sleep(Duration::from_millis(5)).await,
        }
        sleep(Duration::from_millis(1)).await;
    }
}

/// A request is being done.
fn begin(request: &Request, deeds: &Deeds) -> Result<Deed, HandlerError> {
    let parameter = |name| Ok::<u64, HandlerError>(request.param(name).unwrap_or_default().parse()?);
    let (number, length) = (parameter("number")?, parameter("length")?);
    let deed = Deed { number, length, panicked: deeds.panicked.clone() };
    deeds.done.note(number);
    maybe_panic();
    Ok(deed)
}

/// The same deed, seen by its response's body.
fn begin_again(deed: &Deed) -> Deed {
    Deed { number: deed.number, length: deed.length, panicked: deed.panicked.clone() }
}

fn answer(deed: &Deed, response: Response) -> Result<Response, HandlerError> {
    let name = HeaderName::from_static(NUMBER);
    Ok(response.header(name, HeaderValue::from(deed.number)))
}

fn sum(number: u64) -> HeaderMap {
    HeaderMap::from_iter([(HeaderName::from_static(SUM), HeaderValue::from(number))])
}
