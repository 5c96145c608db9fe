//! A connection for a request: an idle one, or one that is made.

use std::time::Duration;

use annulet_driver::{Address, Instant};
use annulet_net::Connection;
use annulet_runtime::resolve;
use annulet_runtime::time::{Elapsed, sleep, timeout_at};

use super::error::{ClientError, Phase};
use super::local::Local;
use super::pool::Place;
use super::{Client, Course};

/// Between an attempt to connect that failed and the next one, chosen anew each time: so that clients that lost their server
/// at the same moment do not all come back at the same moment.
const BACK_OFF_MS: std::ops::RangeInclusive<u64> = 200..=600;

/// A connection a request may use.
pub(super) struct Taken {
    pub(super) place: Place,
    pub(super) connection: Connection,
    /// It has been used before.
    pub(super) is_reused: bool,
}

impl Client {
    /// A connection to `host`, within one deadline for everything. Failed attempts cost of the request's retries.
    pub(super) async fn take_connection(&self, host: &str, course: &Course) -> Result<Taken, ClientError> {
        let local = &self.pool.local;
        let deadline = local.reactor.now() + self.pool.settings.acquire_timeout;
        course.enter(Phase::Waiting);
        let lease = self.pool.lease(host, course.wants_new(), deadline).await?;
        let place = lease.place;
        if let Some(connection) = lease.connection {
            // It was when it was granted; who waited for it runs later.
            if connection.is_quiet() {
                local.counters.client_connections_reused.increment();
                return Ok(Taken { place, connection, is_reused: true });
            }
            local.counters.client_connections_evicted.increment();
        }
        loop {
            let error = match self.connect(host, deadline, course).await {
                Ok(connection) => {
                    local.counters.client_connections_opened.increment();
                    return Ok(Taken { place, connection, is_reused: false });
                }
                Err(error) => error,
            };
            local.counters.client_connects_failed.increment();
            let pause = back_off(local);
            if error.is_timeout() || local.reactor.now() + pause >= deadline || !course.may_retry() {
                return Err(error);
            }
            local.counters.client_retries.increment();
            tracing::debug!(host, %error, "connecting failed, and is tried again");
            sleep(pause).await;
        }
    }

    async fn connect(
        &self,
        host: &str,
        deadline: Instant,
        course: &Course,
    ) -> Result<Connection, ClientError> {
        let settings = &self.pool.settings;
        let addresses = match &settings.socket {
            Some(socket) => vec![socket.clone()],
            None => addresses(host, deadline, course).await?,
        };
        course.enter(Phase::Connecting);
        let count = addresses.len() as u32;
        let mut last = std::io::ErrorKind::NotFound.into();
        for (address, addresses_left) in addresses.into_iter().zip((1..=count).rev()) {
            // One that does not answer leaves time for those behind it.
            let share = (deadline - self.pool.local.reactor.now()) / addresses_left;
            match settings.connector.clone().timeout(share).connect_address(address).await {
                Ok(connection) => return Ok(connection),
                Err(error) => last = error,
            }
            if self.pool.local.reactor.now() >= deadline {
                return Err(ClientError::TimedOut(Phase::Connecting));
            }
        }
        Err(ClientError::Connect { host: host.to_owned(), source: last })
    }
}

async fn addresses(host: &str, deadline: Instant, course: &Course) -> Result<Vec<Address>, ClientError> {
    course.enter(Phase::Resolving);
    match timeout_at(deadline, resolve(host)).await {
        Ok(Ok(addresses)) => Ok(addresses.into_iter().map(Address::Tcp).collect()),
        Ok(Err(source)) => Err(ClientError::Resolve { host: host.to_owned(), source }),
        Err(Elapsed) => Err(ClientError::TimedOut(Phase::Resolving)),
    }
}

fn back_off(local: &Local) -> Duration {
    let mut bytes = [0; 8];
    local.reactor.driver(|driver| driver.entropy(&mut bytes));
    let (first, last) = (*BACK_OFF_MS.start(), *BACK_OFF_MS.end());
    Duration::from_millis(first + u64::from_le_bytes(bytes) % (last - first + 1))
}
