//! Echo: what arrives goes back.

use annulet::{Connection, HandlerResult};
use bytes::Bytes;

/// Sends the banner, if there is one, then every byte that arrives, without a copy, until the peer ends.
pub(crate) async fn echo(mut connection: Connection, banner: Option<Bytes>) -> HandlerResult {
    if let Some(banner) = banner {
        connection.send(banner).await?;
    }
    while let Some(chunk) = connection.recv().await? {
        connection.send(chunk).await?;
    }
    Ok(())
}
