//! Echo: what arrives goes back.

use annulet::{Connection, HandlerResult};

/// Sends every byte that arrives, without a copy, until the peer ends.
pub async fn echo(mut connection: Connection) -> HandlerResult {
    while let Some(chunk) = connection.recv().await? {
        connection.send(chunk).await?;
    }
    Ok(())
}
