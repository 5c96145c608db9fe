//! A future that is dropped, wherever it stands, leaves nothing behind, and no answer goes to somebody else's question.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;

use annulet::http::{BodyWriter, Client, Response};

use super::*;

/// Polls a future so many times, then drops it. Its output, if it came that far.
async fn polled<F: Future>(future: F, polls: u32) -> Option<F::Output> {
    let mut future = pin!(future);
    let mut left = polls;
    poll_fn(|cx| {
        if left == 0 {
            return Poll::Ready(None);
        }
        left -= 1;
        match future.as_mut().poll(cx) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending if left == 0 => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

/// Echoes its path, in pieces with pauses between.
async fn slow_echo(mut request: Request) -> Response {
    let path = request.path().to_owned();
    let body = request.text().await.unwrap_or_default();
    annulet::yield_now().await;
    Response::stream(async move |mut writer: BodyWriter| {
        for piece in [path.as_str(), " ", &body] {
            annulet::yield_now().await;
            writer.write(piece).await?;
        }
        Ok(())
    })
}

/// A whole exchange, with everything that can be waited for.
async fn ask(client: &Client, url: &str, number: u32) -> String {
    let request = client.put(&format!("{url}/{number}")).stream(async move |mut body| {
        for piece in ["a", "b", "c"] {
            annulet::yield_now().await;
            body.send(format!("{piece}{number}")).await?;
        }
        Ok(())
    });
    let mut response = request.send().await.expect("a response");
    let mut said = Vec::new();
    while let Some(chunk) = response.recv().await.expect("bytes") {
        said.extend_from_slice(&chunk);
    }
    String::from_utf8(said).expect("text")
}

#[test]
fn requests_are_dropped_at_every_await() {
    each_driver(|builder| {
        // On as many connections as it likes; and behind others, for one.
        for (per_host_max, holders) in [(4, 0), (1, 2)] {
            run(builder.clone(), async move {
                let (server, url) = start(service(slow_echo)).await;
                let client = Client::builder().connections_per_host_max(per_host_max).build();
                let expected = |number| format!("/{number} a{number}b{number}c{number}");
                let mut finished = 0;
                let mut polls = 1;
                while finished < 3 {
                    let others: Vec<_> = (0..holders)
                        .map(|other| {
                            let (client, url) = (client.clone(), url.clone());
                            annulet::spawn_local(async move { ask(&client, &url, 1_000 + other).await })
                        })
                        .collect();
                    match polled(ask(&client, &url, polls), polls).await {
                        Some(said) => {
                            assert_eq!(said, expected(polls));
                            finished += 1;
                        }
                        None => finished = 0,
                    }
                    for (other, task) in (1_000..).zip(others) {
                        assert_eq!(task.await.expect("no panic"), expected(other));
                    }
                    // Whoever comes next finds everything as it should be.
                    assert_eq!(ask(&client, &url, 0).await, expected(0));
                    idle_again().await;
                    polls += 1;
                    assert!(polls < 500, "it never comes to an end");
                }
                assert!(polls > 5, "there was something to wait for");
                drop(client);
                stop(server).await;
            });
        }
    });
}

/// The wait for bytes of a body is dropped and begun again; not a byte is lost.
#[test]
fn a_dropped_wait_for_a_body_loses_nothing() {
    const LENGTH: usize = 500_000;
    each_driver(|builder| {
        run(builder, async {
            let handler = async |_: Request| {
                Response::stream(async |mut writer: BodyWriter| {
                    let mut pattern = Pattern::new(3);
                    for size in (1..).map(|n| n * 37 % 5_000 + 1) {
                        let left = LENGTH - pattern.position() as usize;
                        if left == 0 {
                            return Ok(());
                        }
                        writer.send(pattern.take(size.min(left))).await?;
                        annulet::yield_now().await;
                    }
                    Ok(())
                })
            };
            let (server, url) = start(service(handler)).await;
            let client = Client::new();
            let mut response = client.get(&url).send().await.expect("a response");
            let mut received = Pattern::new(3);
            loop {
                match polled(response.recv(), 1).await {
                    Some(Ok(Some(chunk))) => received.check(&chunk),
                    Some(Ok(None)) => break,
                    Some(Err(error)) => panic!("{error}"),
                    None => annulet::yield_now().await,
                }
            }
            assert_eq!(received.position(), LENGTH as u64);
            idle_again().await;
            drop((client, response));
            stop(server).await;
        });
    });
}
