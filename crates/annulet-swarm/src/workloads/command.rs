//! PING, ECHO and QUIT.

use annulet::proto::command::{Command, Reply};
use annulet_cli::apps;
use annulet_sim::Sim;

use super::clients::{Crowd, visit};
use super::shaky;
use crate::conversation::Script;
use crate::draw::{pattern, percent};
use crate::shape::{Program, Shape};

/// Each command is answered once, in order.
pub(crate) async fn world(sim: Sim) {
    let shape = Shape::draw(&sim);
    let line_max = sim.spread(8, 1024) as usize;
    let program = Program::new(shape);
    let host = shape.host(&sim, "server").start(async move || {
        let command = async move |connection| shaky(apps::command(connection, line_max)).await;
        program.serve(shape.server().listen_with(shape.listen("0.0.0.0:7000"), command)).await;
    });
    let crowd = Crowd { clients_max: 16, rounds_max: 3, is_served: true };
    let script = move |sim: &Sim, stream| script(sim, stream, line_max);
    visit(&sim, &host, shape, vec!["server:7000".into()], crowd, script).await;
}

fn script(sim: &Sim, stream: u64, line_max: usize) -> Script {
    let mut script = Script::default();
    script.ends.push(0);
    answer(&mut script, Reply::Ready);
    for number in 0..sim.spread(1, 300) {
        let line = match sim.below(100) {
            0 => b"QUIT".to_vec(),
            1 => vec![b'x'; line_max + 1],
            2..10 => b"unknown".to_vec(),
            10..50 => b"PING".to_vec(),
            _ => echo(stream << 16 | number, sim.below(line_max as u64 - 4) as usize),
        };
        script.input.extend_from_slice(&line);
        if line.len() > line_max {
            answer(&mut script, Reply::LineTooLong);
            script.server_ends = true;
            return script;
        }
        script.input.extend_from_slice(if percent(sim, 30) { b"\r\n" } else { b"\n" });
        script.rests.push(script.input.len());
        let command = Command::parse(&line);
        answer(&mut script, command.reply());
        if command == Command::Quit {
            script.server_ends = true;
            return script;
        }
    }
    script
}

fn echo(stream: u64, length: usize) -> Vec<u8> {
    let text = pattern(stream, length).into_iter().map(|byte| b'a' + byte % 26);
    b"ECHO ".iter().copied().chain(text).collect()
}

fn answer(script: &mut Script, reply: Reply<'_>) {
    reply.write_to(&mut script.output);
    script.ends.push(script.output.len());
}
