//! What is served: every request has a number, which is noted when it is done.

use annulet::http::{HandlerError, HeaderName, HeaderValue, Request, Response, Router, Service, router};
use annulet::time::sleep;
use annulet_sim::maybe_panic;
use std::time::Duration;

use crate::draw::pattern;
use crate::ledger::Ledger;

/// The field in which a response says to what request it belongs.
pub(super) const NUMBER: &str = "x-number";

pub(super) fn service(done: Ledger) -> Service {
    router(move |_| {
        let [item, piecemeal, echo, early, slow] = [(); 5].map(|()| done.clone());
        Router::new()
            .get("/item/{number}/{length}", async move |request: Request| {
                let (number, length) = begin(&request, &item)?;
                answer(number, Response::bytes(pattern(number, length as usize)))
            })
            .get("/piecemeal/{number}/{length}", async move |request: Request| {
                let (number, length) = begin(&request, &piecemeal)?;
                answer(
                    number,
                    Response::stream(async move |mut body| {
                        for piece in pattern(number, length as usize).chunks(700) {
                            maybe_panic();
                            body.write(piece).await?;
                            if number % 3 == 0 {
                                body.flush().await?;
                                sleep(Duration::from_millis(1)).await;
                            }
                        }
                        Ok(())
                    }),
                )
            })
            .get("/moved/{number}/{length}", async |request: Request| {
                let path = request.path().replacen("moved", "item", 1);
                Response::see_other(&path)
            })
            .get("/slow/{number}/{length}", async move |request: Request| {
                let (number, length) = begin(&request, &slow)?;
                sleep(Duration::from_millis(length)).await;
                answer(number, Response::bytes(pattern(number, length as usize)))
            })
            .post("/early/{number}/{length}", async move |request: Request| {
                let (number, length) = begin(&request, &early)?;
                answer(number, Response::bytes(pattern(number, length as usize)))
            })
            .any("/echo/{number}/{length}", async move |mut request: Request| {
                let (number, _) = begin(&request, &echo)?;
                let body = request.bytes().await?;
                maybe_panic();
                answer(number, Response::bytes(body))
            })
    })
}

/// A request is being done.
fn begin(request: &Request, done: &Ledger) -> Result<(u64, u64), HandlerError> {
    let parameter = |name| Ok::<u64, HandlerError>(request.param(name).unwrap_or_default().parse()?);
    let (number, length) = (parameter("number")?, parameter("length")?);
    done.note(number);
    maybe_panic();
    Ok((number, length))
}

fn answer(number: u64, response: Response) -> Result<Response, HandlerError> {
    let name = HeaderName::from_static(NUMBER);
    Ok(response.header(name, HeaderValue::from(number)))
}
