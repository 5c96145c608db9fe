//! Routes, parameters, forms and JSON, with state that the handlers of a reactor share.
//!
//! ```sh
//! cargo run --release -p annulet-examples --example http_router
//! curl http://127.0.0.1:7000/notes -d 'text=buy+milk'
//! curl http://127.0.0.1:7000/notes/1
//! curl http://127.0.0.1:7000/notes
//! ```

use std::sync::{Arc, Mutex, PoisonError};

use annulet::Server;
use annulet::http::{HandlerError, Request, Response, Router, StatusCode, router};

/// Shared by all reactors, so it needs a lock; what one reactor keeps for itself needs none, see `per_reactor_state`.
#[derive(Clone, Default)]
struct Notes(Arc<Mutex<Vec<String>>>);

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let address = std::env::args().nth(1).unwrap_or("127.0.0.1:7000".into());
    let notes = Notes::default();
    annulet::run(async move {
        // Called once on each reactor.
        let service = router(move |_reactor| {
            let (all, one, add) = (notes.clone(), notes.clone(), notes.clone());
            Router::new()
                .get("/", async |_| "notes\n")
                .get("/notes", async move |_| all.list())
                .get("/notes/{number}", async move |request: Request| one.get(&request))
                .post("/notes", async move |mut request: Request| add.add(&mut request).await)
        });
        let server = Server::builder().serve(&address, service).start().await?;
        println!("notes on http://{}/", server.addresses()[0]);
        println!("{}", annulet::until_stopped(server).await);
        Ok(())
    })?
}

impl Notes {
    /// All notes, as JSON.
    fn list(&self) -> Result<Response, HandlerError> {
        Response::json(&*self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// A note, or 404, which is what `None` becomes.
    fn get(&self, request: &Request) -> Option<String> {
        let number: usize = request.param("number")?.parse().ok()?;
        let notes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        notes.get(number.checked_sub(1)?).map(|note| format!("{note}\n"))
    }

    /// A note from a form, as a browser or `curl -d` sends it.
    async fn add(&self, request: &mut Request) -> Result<Response, HandlerError> {
        let form = request.form().await?;
        let Some((_, text)) = form.into_iter().find(|(name, _)| name == "text") else {
            return Ok(Response::text("a note has a text\n").status(StatusCode::BAD_REQUEST));
        };
        let mut notes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        notes.push(text);
        Ok(Response::text(format!("note {}\n", notes.len())).status(StatusCode::CREATED))
    }
}
