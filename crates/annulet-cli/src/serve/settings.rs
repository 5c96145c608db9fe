//! What the arguments say, in the library's terms.

use std::time::Duration;

use annulet::http::{HeadLimits, Service, Settings};
use annulet::net::{Handler, ServerBuilder};
use annulet::{
    Builder, Clocks, Connection, DriverOptions, HandlerResult, Limits, ListenOptions, PoolOptions, Runtime,
    Server,
};
use annulet_cli::apps;

use crate::cli::{
    App, ClockArguments, Limit, LimitArguments, ListenArguments, Reactors, RuntimeArguments, ServeArguments,
};

pub(crate) fn runtime(arguments: &ServeArguments) -> Builder {
    let RuntimeArguments { reactors, pin, driver, park, .. } = arguments.runtime;
    let builder = Runtime::builder()
        .pin(pin)
        .driver(driver)
        .park(park.0)
        .driver_options(driver_options(&arguments.runtime));
    match reactors {
        Reactors::Cores => builder,
        Reactors::Count(count) => builder.reactors(count.get()),
    }
}

fn driver_options(arguments: &RuntimeArguments) -> DriverOptions {
    let defaults = PoolOptions::default();
    // One of the two moves the other, so that `--buffers 10000` and `--buffers-max 8` mean what they say.
    let buffers = arguments.buffers.unwrap_or(defaults.buffers);
    let buffers_max = arguments.buffers_max.unwrap_or(defaults.buffers_max.max(buffers));
    DriverOptions::default()
        .buffers(buffers.min(buffers_max))
        .buffers_max(buffers_max)
        .buffer_size(u32::try_from(arguments.buffer_size.0).unwrap_or(u32::MAX))
}

/// A server of the app asked for, at every address asked for.
pub(crate) fn server(arguments: &ServeArguments) -> anyhow::Result<ServerBuilder> {
    let builder = limited(Server::builder(), arguments);
    let line_max = |default| arguments.limits.max_line.map_or(default, |bytes| bytes.0);
    match arguments.app {
        App::Echo => match arguments.texts.banner.as_deref().map(apps::line) {
            // Not one handler for both: what it keeps for a banner would be part of every idle connection.
            None => listen(builder, arguments, apps::echo),
            Some(banner) => listen(builder, arguments, async move |mut connection| {
                connection.stage(banner.clone())?;
                apps::echo(connection).await
            }),
        },
        App::Lines => {
            let (greeting, max) = (apps::line(&arguments.texts.greeting), line_max(apps::UPPER_LINE_MAX));
            listen(builder, arguments, async move |connection| {
                apps::lines(connection, greeting.clone(), max).await
            })
        }
        App::Command => {
            let max = line_max(apps::COMMAND_LINE_MAX);
            listen(builder, arguments, async move |connection| apps::command(connection, max).await)
        }
        App::Http => serve(builder, arguments, &apps::http(http(arguments))),
    }
}

fn limited(builder: ServerBuilder, arguments: &ServeArguments) -> ServerBuilder {
    let LimitArguments { max_connections, max_unsent, max_unread, .. } = arguments.limits;
    let builder = builder
        .limits(Limits::default().unsent_max(max_unsent.0).unread_max(max_unread.0))
        .clocks(clocks(&arguments.clocks))
        // A deadline that never comes is none.
        .drain_timeout(arguments.clocks.drain_timeout.0.unwrap_or(Duration::MAX));
    match max_connections {
        Some(connections) => builder.connections_max(connections as usize),
        None => builder,
    }
}

/// To a user, a connection that sends nothing while input is awaited is idle: before its first byte, between messages
/// and within one.
fn clocks(arguments: &ClockArguments) -> Clocks {
    let clocks = Clocks::default()
        .setup(arguments.setup_timeout.0)
        .request(arguments.request_timeout.0)
        .write(arguments.write_timeout.0)
        .linger(arguments.linger_timeout.0);
    match arguments.idle_timeout {
        None => clocks,
        Some(Limit(None)) => clocks.idle(None).inactivity(None),
        Some(Limit(Some(limit))) => {
            let setup = clocks.setup.map_or(limit, |setup| setup.min(limit));
            clocks.setup(Some(setup)).idle(Some(limit)).inactivity(Some(limit))
        }
    }
}

fn listen<H>(builder: ServerBuilder, arguments: &ServeArguments, handler: H) -> anyhow::Result<ServerBuilder>
where
    H: Handler + AsyncFn(Connection) -> HandlerResult + Clone + Send,
{
    arguments.listen.addresses.iter().try_fold(builder, |builder, address| {
        Ok(builder.listen_with(listen_options(arguments, address)?, handler.clone()))
    })
}

fn serve(
    builder: ServerBuilder,
    arguments: &ServeArguments,
    service: &Service,
) -> anyhow::Result<ServerBuilder> {
    arguments.listen.addresses.iter().try_fold(builder, |builder, address| {
        Ok(builder.serve_with(listen_options(arguments, address)?, service.clone()))
    })
}

fn listen_options(arguments: &ServeArguments, address: &str) -> anyhow::Result<ListenOptions> {
    let ListenArguments { backlog, share_port, .. } = arguments.listen;
    Ok(ListenOptions::parse(address)?.backlog(backlog).share_port(share_port))
}

fn http(arguments: &ServeArguments) -> Settings {
    let ServeArguments { limits, clocks, log, .. } = arguments;
    let head = HeadLimits { bytes: limits.max_head.0, ..HeadLimits::default() };
    Settings::default()
        .head(head)
        .body_max(limits.max_body.0 as u64)
        .requests_max(limits.max_requests)
        .head_timeout(clocks.request_timeout.0)
        .keep_alive(clocks.keep_alive.0)
        .access_log(log.access_log)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{Cli, Command};
    use clap::Parser;

    fn arguments(line: &str) -> Box<ServeArguments> {
        match Cli::parse_from(line.split(' ')).command {
            Command::Serve(arguments) => arguments,
            Command::Doctor(_) => unreachable!("not asked for"),
        }
    }

    #[test]
    fn without_arguments_the_library_decides() {
        let arguments = arguments("annulet serve echo");
        assert_eq!(clocks(&arguments.clocks), Clocks::default());
        assert_eq!(driver_options(&arguments.runtime), DriverOptions::default());
        assert_eq!(arguments.clocks.drain_timeout.0, Some(annulet::net::DRAIN_TIMEOUT));
        let Limits { unsent_max, unread_max, .. } = Limits::default();
        assert_eq!((arguments.limits.max_unsent.0, arguments.limits.max_unread.0), (unsent_max, unread_max));
    }

    #[test]
    fn the_idle_timeout_is_one_for_every_wait_for_input() {
        let clocks = |line| {
            let Clocks { setup, idle, inactivity, .. } = clocks(&arguments(line).clocks);
            [setup, idle, inactivity].map(|limit| limit.map_or(0, |limit| limit.as_secs()))
        };
        assert_eq!(clocks("annulet serve lines --idle-timeout 1s"), [1, 1, 1]);
        assert_eq!(clocks("annulet serve lines --idle-timeout 20s"), [10, 20, 20]);
        assert_eq!(clocks("annulet serve lines --idle-timeout 20s --setup-timeout 0"), [20, 20, 20]);
        assert_eq!(clocks("annulet serve lines --idle-timeout 0"), [10, 0, 0]);
    }

    #[test]
    fn one_size_of_the_pool_moves_the_other() {
        let sizes = |line| {
            let pool = driver_options(&arguments(line).runtime).pool;
            (pool.buffers, pool.buffers_max)
        };
        assert_eq!(sizes("annulet serve echo --buffers 8"), (8, 4096));
        assert_eq!(sizes("annulet serve echo --buffers 10000"), (10000, 10000));
        assert_eq!(sizes("annulet serve echo --buffers-max 8"), (8, 8));
    }
}
