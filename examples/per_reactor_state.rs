//! State of each reactor's own: it needs neither locks nor atomics, because connections stay on their reactor.
//!
//! ```sh
//! cargo run --release -p annulet-examples --example per_reactor_state
//! for i in 1 2 3 4 5; do nc -N 127.0.0.1 7000 </dev/null; done
//! ```

use std::cell::Cell;
use std::rc::Rc;

use annulet::{Connection, HandlerResult, ListenOptions, ReactorId, Server};

/// What the connections of one reactor share: a cache or a pool of database connections, in a real program.
struct State {
    reactor: ReactorId,
    visitors: Cell<u64>,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let address = std::env::args().nth(1).unwrap_or("127.0.0.1:7000".into());
    annulet::run(async {
        let options = ListenOptions::parse(&address)?;
        let server = Server::builder()
            // The outer closure runs once on each reactor, and returns the handler for that reactor.
            .listen_each(options, |reactor| {
                let state = Rc::new(State { reactor: reactor.id(), visitors: Cell::new(0) });
                async move |connection: Connection| greet(connection, &state).await
            })
            .start()
            .await?;
        println!("visitors are counted on {}", server.addresses()[0]);
        println!("{}", annulet::until_stopped(server).await);
        Ok(())
    })?
}

async fn greet(mut connection: Connection, state: &State) -> HandlerResult {
    let number = state.visitors.get() + 1;
    state.visitors.set(number);
    connection.send(format!("You are visitor {number} of reactor {}.\n", state.reactor)).await?;
    Ok(())
}
