//! Handlers that do one thing in different ways.

use std::time::Duration;

use annulet::time::{sleep, timeout};
use annulet::{Connection, HandlerResult, yield_now};
use annulet_cli::apps;
use annulet_sim::Sim;

use crate::draw::{micros, one_of, percent};

/// How an echo comes about.
#[derive(Clone, Copy, Debug)]
pub(super) enum Manner {
    /// As the sample does it.
    Plain,
    /// It looks at the bytes where they are, and takes some of them.
    ByParts(usize),
    /// It copies them, so many at a time.
    ByCopy(usize),
    /// It gives up what it waits for after so long, and begins again; or, when it is to write, fails.
    Restless { pause: Duration, gives_up: bool },
    /// It asks what is there, and does something else when nothing is.
    Casual(Duration),
    /// It keeps all it received to the end, in the buffers it came in.
    Keeping,
}

impl Manner {
    pub(super) fn draw(sim: &Sim) -> Self {
        let count = sim.spread(1, 3000) as usize;
        let pause = micros(sim, 1, 20_000);
        let manners = [
            Self::ByParts(count),
            Self::ByCopy(count),
            Self::Restless { pause, gives_up: percent(sim, 20) },
            Self::Casual(pause),
            Self::Keeping,
        ];
        if sim.below(2) == 0 { Self::Plain } else { one_of(sim, &manners) }
    }

    /// Whoever waits is served.
    pub(super) fn is_patient(self) -> bool {
        !matches!(self, Self::Restless { gives_up: true, .. })
    }

    pub(super) async fn echo(self, connection: Connection) -> HandlerResult {
        match self {
            Self::Plain => apps::echo(connection).await,
            Self::ByParts(count) => by_parts(connection, count).await,
            Self::ByCopy(count) => by_copy(connection, count).await,
            Self::Restless { pause, gives_up } => restlessly(connection, pause, gives_up).await,
            Self::Casual(pause) => casually(connection, pause).await,
            Self::Keeping => keeping(connection).await,
        }
    }
}

async fn by_parts(mut connection: Connection, part: usize) -> HandlerResult {
    loop {
        let bytes = connection.fill_buf().await?;
        let count = bytes.len().min(part);
        if count == 0 {
            return Ok(());
        }
        let copy = bytes[..count].to_vec();
        connection.consume(count);
        if count % 2 == 0 {
            // The rest comes as a whole.
            if let Some(rest) = connection.try_recv() {
                connection.unread(rest);
            }
        }
        connection.send(copy).await?;
    }
}

async fn by_copy(mut connection: Connection, part: usize) -> HandlerResult {
    let mut buffer = vec![0; part];
    loop {
        match connection.read(&mut buffer).await? {
            0 => return Ok(()),
            count => connection.write_all(&buffer[..count]).await?,
        }
    }
}

async fn restlessly(mut connection: Connection, pause: Duration, gives_up: bool) -> HandlerResult {
    // Where nobody says anything it does not go on for ever.
    let mut pauses_left = 100;
    loop {
        let received = if pauses_left > 0 {
            let Ok(received) = timeout(pause, connection.recv()).await else {
                pauses_left -= 1;
                yield_now().await;
                continue;
            };
            received
        } else {
            connection.recv().await
        };
        let Some(chunk) = received? else { return Ok(()) };
        let mut rest = &chunk[..];
        while !rest.is_empty() {
            let written = timeout(pause, connection.write(rest)).await;
            match written {
                Ok(count) => rest = &rest[count?..],
                // The rest is never said: what was must not be taken for all there was.
                Err(_) if gives_up && rest.len() < chunk.len() => {
                    return Err(std::io::Error::other("it takes too long").into());
                }
                Err(_) => sleep(pause).await,
            }
        }
    }
}

async fn casually(mut connection: Connection, pause: Duration) -> HandlerResult {
    loop {
        while let Some(chunk) = connection.try_recv() {
            connection.reserve(chunk.len()).await?;
            connection.stage(chunk)?;
        }
        sleep(pause).await;
        match connection.recv().await? {
            Some(chunk) => connection.unread(chunk),
            None => return Ok(()),
        }
    }
}

async fn keeping(mut connection: Connection) -> HandlerResult {
    let mut kept = Vec::new();
    while let Some(chunk) = connection.recv().await? {
        connection.send(chunk.to_vec()).await?;
        kept.push(chunk);
    }
    Ok(())
}
