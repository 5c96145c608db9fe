//! A client that knows what it is to be answered.

use std::time::Duration;

use annulet::net::{ReadHalf, WriteHalf};
use annulet::time::{sleep, timeout};
use annulet::{Connection, Connector, Error, spawn_local};
use annulet_sim::Sim;

use crate::draw::{micros, percent};
use crate::shape::limits;

/// What is said, and what is to be answered to all of it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Script {
    pub(crate) input: Vec<u8>,
    pub(crate) output: Vec<u8>,
    /// Where messages end: a client may be silent there. Empty: there are none.
    pub(crate) rests: Vec<usize>,
    /// Where the answers end: a server that ends in order ends at one of these. Empty: anywhere.
    pub(crate) ends: Vec<usize>,
    /// The server ends by itself after the last answer.
    pub(crate) server_ends: bool,
}

/// What a client may rely on.
#[derive(Clone, Debug)]
pub(crate) struct Trust {
    /// An orderly end means that everything was answered.
    pub(crate) is_faithful: bool,
    /// An orderly end comes after a whole answer.
    pub(crate) ends_whole: bool,
}

/// How long a client waits for news: a peer that the network lost says nothing any more.
const PATIENCE: Duration = Duration::from_secs(1200);
/// Longer than a message may take, where servers have the usual patience.
const REST: Duration = Duration::from_secs(40);
/// More than a server that nothing disturbs is late with what a clock of its own is to do.
const LATE_MAX: Duration = Duration::from_secs(30);

/// After so long without faults nothing is left of them: who stood still goes on, what the network held has arrived, clocks that
/// ran have run out.
const SETTLED: Duration = Duration::from_secs(90);

/// How a client behaves.
#[derive(Clone, Copy, Debug)]
struct Manners {
    piece_max: u64,
    pause_percent: u64,
    pause_max: u64,
    is_slow_reader: bool,
    half_closes: bool,
    /// It ends its side by dropping that half.
    ends_by_drop: bool,
    /// It is gone after so many bytes.
    vanishes_after: Option<usize>,
    aborts: bool,
    /// It says nothing for a while after so many bytes.
    rests_after: Option<usize>,
}

impl Manners {
    fn draw(sim: &Sim, script: &Script) -> Self {
        Self {
            piece_max: sim.spread(1, 16 * 1024),
            pause_percent: sim.below(60),
            pause_max: sim.spread(1, 50_000),
            is_slow_reader: percent(sim, 20),
            half_closes: percent(sim, 70),
            ends_by_drop: percent(sim, 30),
            vanishes_after: percent(sim, 15).then(|| sim.below(script.output.len() as u64 + 1) as usize),
            aborts: percent(sim, 50),
            rests_after: None,
        }
    }

    /// Brief, and nothing unusual.
    const fn plain() -> Self {
        Self {
            piece_max: 16 * 1024,
            pause_percent: 0,
            pause_max: 1,
            is_slow_reader: false,
            half_closes: true,
            ends_by_drop: false,
            vanishes_after: None,
            aborts: false,
            rests_after: None,
        }
    }
}

/// Connects to `target` and goes through the script in a way that is drawn. Returns whether all of it was answered.
pub(crate) async fn converse(sim: &Sim, target: &str, script: Script, trust: &Trust) -> bool {
    let connector = Connector::new().limits(limits(sim)).timeout(micros(sim, 1000, 20_000_000));
    let connection = match connector.connect(target).await {
        Ok(connection) => connection,
        Err(error) => {
            check(error.raw_os_error());
            return false;
        }
    };
    let manners = Manners::draw(sim, &script);
    talk(sim, connection, script, trust, manners).await
}

/// A conversation without any peculiarity, again and again until it succeeds. Then all do, in whatever manner.
///
/// # Panics
/// When one does not.
pub(crate) async fn insist(sim: &Sim, target: &str, script: &Script, trust: &Trust) {
    try_until_served(sim, target, script, trust, Manners::plain()).await;
    sleep(SETTLED).await;
    let manners = Manners { vanishes_after: None, ..Manners::draw(sim, script) };
    let connector = Connector::new().limits(limits(sim));
    let connection = connector.connect(target).await.expect("nothing fails any more");
    let is_served = talk(sim, connection, script.clone(), trust, manners).await;
    assert!(is_served, "nothing fails any more, and {target} did not serve {manners:?}");
}

/// The same, with a rest between two messages.
///
/// # Panics
/// When it never succeeds.
pub(crate) async fn rest_between(sim: &Sim, target: &str, script: &Script, trust: &Trust) {
    if !script.rests.is_empty() {
        let rests_after = Some(script.rests[sim.below(script.rests.len() as u64) as usize]);
        try_until_served(sim, target, script, trust, Manners { rests_after, ..Manners::plain() }).await;
    }
}

async fn try_until_served(sim: &Sim, target: &str, script: &Script, trust: &Trust, manners: Manners) {
    for _ in 0..180 {
        if let Ok(connection) = annulet::connect(target).await
            && talk(sim, connection, script.clone(), trust, manners).await
        {
            return;
        }
        sleep(Duration::from_secs(5)).await;
    }
    panic!("nothing fails any more, and {target} serves nobody");
}

/// Who stops within a message, which may take so long, is sent away.
///
/// # Panics
/// When the server waits for the rest.
pub(crate) async fn outlast(target: &str, script: &Script, limit: Duration) {
    let Some(&end) = script.rests.first() else { return };
    let Ok(mut connection) = annulet::connect(target).await else { return };
    if connection.write_all(&script.input[..end - 1]).await.is_ok() {
        let ended = async { while let Ok(Some(_)) = connection.recv().await {} };
        let is_ended = timeout(limit + LATE_MAX, ended).await.is_ok();
        assert!(is_ended, "{target} waits longer than {limit:?} for the rest of a message");
    }
}

async fn talk(sim: &Sim, connection: Connection, script: Script, trust: &Trust, manners: Manners) -> bool {
    let (mut receive, send) = connection.split();
    let sending = spawn_local(write(sim.clone(), send, script.input, manners));
    let heard = read(sim, &mut receive, &script.output, manners).await;
    let received = match heard {
        Heard::Enough => {
            // Whatever the other task still has to say, nobody listens to the answer.
            sending.abort();
            let sent = sending.await;
            if manners.aborts
                && let Ok((Some(send), _)) = sent
                && let Ok(connection) = receive.reunite(send)
            {
                connection.abort();
            }
            return false;
        }
        Heard::Failed(_) => {
            sending.abort();
            return false;
        }
        Heard::Ended(received) => received,
        Heard::All => {
            drop(receive);
            let _ = sending.await;
            return true;
        }
    };
    drop(receive);
    let sent = sending.await.is_ok_and(|(_, sent)| sent.is_ok());
    assert!(
        !trust.ends_whole || script.ends.is_empty() || script.ends.binary_search(&received).is_ok(),
        "the server ended within an answer, after {received} bytes"
    );
    let is_whole = received == script.output.len();
    assert!(
        is_whole || !trust.is_faithful || !(sent || script.server_ends),
        "the server ended in order after {received} of {} bytes",
        script.output.len()
    );
    is_whole
}

/// An error that no network makes is this side's own: the runtime used a descriptor wrongly, or made an end of its own
/// operations somebody else's.
fn check(number: Option<i32>) {
    const OURS: [i32; 9] = [
        libc::EBADF,
        libc::ENOTSOCK,
        libc::EFAULT,
        libc::EINVAL,
        libc::EINTR,
        libc::EINPROGRESS,
        libc::EALREADY,
        libc::EISCONN,
        libc::ECANCELED,
    ];
    if let Some(number) = number.filter(|number| OURS.contains(number)) {
        panic!("an error of this side's own: {}", std::io::Error::from_raw_os_error(number));
    }
}

/// Says everything, and ends this side if that is the manner.
async fn write(
    sim: Sim,
    mut send: WriteHalf,
    input: Vec<u8>,
    manners: Manners,
) -> (Option<WriteHalf>, Result<(), Error>) {
    let result = async {
        let mut rest = &input[..];
        while !rest.is_empty() {
            let said = input.len() - rest.len();
            let until_rest =
                manners.rests_after.and_then(|after| after.checked_sub(said)).filter(|left| *left > 0);
            let most = rest.len().min(until_rest.unwrap_or(usize::MAX));
            let (piece, after) = rest.split_at(most.min(sim.spread(1, manners.piece_max) as usize));
            rest = after;
            match sim.below(4) {
                0 => send.send(piece.to_vec()).await?,
                1 => {
                    send.reserve(piece.len()).await?;
                    send.stage(piece.to_vec())?;
                }
                2 => {
                    send.write_all(piece).await?;
                    send.flush().await?;
                }
                _ => send.write_all(piece).await?,
            }
            if percent(&sim, manners.pause_percent) {
                sleep(micros(&sim, 1, manners.pause_max)).await;
            }
            if manners.rests_after == Some(input.len() - rest.len()) {
                send.flush().await?;
                sleep(REST).await;
            }
        }
        if manners.half_closes && !manners.ends_by_drop { send.shutdown().await } else { send.flush().await }
    }
    .await;
    let is_kept = !(manners.half_closes && manners.ends_by_drop && result.is_ok());
    (is_kept.then_some(send), result)
}

/// How listening ended.
enum Heard {
    /// The client's own wish.
    Enough,
    Failed(#[expect(dead_code, reason = "told when it is printed")] Option<Error>),
    /// In order, after so many bytes.
    Ended(usize),
    /// The whole output, and no end is waited for.
    All,
}

async fn read(sim: &Sim, receive: &mut ReadHalf, output: &[u8], manners: Manners) -> Heard {
    let mut received = 0;
    let mut buffer = [0; 300];
    loop {
        if manners.vanishes_after.is_some_and(|after| received >= after) {
            return Heard::Enough;
        }
        if !manners.half_closes && received == output.len() {
            return Heard::All;
        }
        if manners.is_slow_reader {
            sleep(micros(sim, 10, 100_000)).await;
        }
        let by_copy = sim.below(4) == 0;
        let next = async {
            if by_copy {
                let count = receive.read(&mut buffer).await?;
                return Ok::<_, Error>((count, None));
            }
            let chunk = receive.recv().await?;
            Ok((chunk.as_ref().map_or(0, |chunk| chunk.len()), chunk))
        };
        let (count, chunk) = match timeout(PATIENCE, next).await {
            Ok(Ok(next)) => next,
            Ok(Err(error)) => {
                check(std::io::Error::from(error).raw_os_error());
                return Heard::Failed(Some(error));
            }
            Err(_) => return Heard::Failed(None),
        };
        if count == 0 {
            return Heard::Ended(received);
        }
        let bytes = chunk.as_deref().unwrap_or_else(|| &buffer[..count]);
        assert!(
            output.get(received..received + count) == Some(bytes),
            "{count} wrong bytes after {received} of {}: {:?}",
            output.len(),
            String::from_utf8_lossy(&bytes[..count.min(60)])
        );
        received += count;
    }
}
