//! A server whose handler's result is kept.

use std::sync::{Arc, Mutex};

use annulet::{Connection, Error, Server};

use crate::support::until;

/// The error the last handler ended with.
#[derive(Clone, Default)]
pub(crate) struct Outcome(Arc<Mutex<Option<Result<(), Error>>>>);

impl Outcome {
    fn note(&self, result: &Result<(), Error>) {
        *self.0.lock().expect("outcome") = Some(*result);
    }

    pub(crate) async fn get(&self) -> Result<(), Error> {
        until("a handler that ends", || self.0.lock().expect("outcome").is_some()).await;
        self.0.lock().expect("outcome").take().expect("just seen")
    }
}

/// A started server, and how its handler ends.
pub(crate) async fn watched<H>(builder: annulet::net::ServerBuilder, handler: H) -> (Server, Outcome)
where
    H: AsyncFn(Connection) -> Result<(), Error> + Clone + Send + 'static,
{
    let outcome = Outcome::default();
    let noted = outcome.clone();
    let handler = move |connection: Connection| {
        let (noted, handler) = (noted.clone(), handler.clone());
        async move {
            let result = handler(connection).await;
            noted.note(&result);
            Ok(result?)
        }
    };
    let server = builder.listen("127.0.0.1:0", handler).start().await.expect("a server");
    (server, outcome)
}
