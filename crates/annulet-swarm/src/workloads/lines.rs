//! Lines in upper case.

use annulet_cli::apps;
use annulet_sim::Sim;
use bytes::Bytes;

use super::clients::{Crowd, visit};
use super::shaky;
use crate::conversation::Script;
use crate::draw::{pattern, percent};
use crate::shape::{Program, Shape};

const GREETING: &[u8] = b"READY\n";

/// Each line comes back in upper case, until one is too long.
pub(crate) async fn world(sim: Sim) {
    let shape = Shape::draw(&sim);
    let line_max = sim.spread(1, 4096) as usize;
    let program = Program::new(shape);
    let host = shape.host(&sim, "server").start(async move || {
        let lines = async move |connection| {
            shaky(apps::lines(connection, Bytes::from_static(GREETING), line_max)).await
        };
        program.serve(shape.server().listen_with(shape.listen("0.0.0.0:7000"), lines)).await;
    });
    let crowd = Crowd { clients_max: 16, rounds_max: 3, is_served: true };
    let script = move |sim: &Sim, stream| script(sim, stream, line_max);
    visit(&sim, &host, shape, vec!["server:7000".into()], crowd, script).await;
}

fn script(sim: &Sim, stream: u64, line_max: usize) -> Script {
    let (output, ends) = (GREETING.to_vec(), vec![0, GREETING.len()]);
    let mut script = Script { output, ends, ..Script::default() };
    for number in 0..sim.spread(1, 300) {
        let is_too_long = percent(sim, 1);
        let length =
            if is_too_long { line_max + 1 } else { sim.below(line_max.min(500) as u64 + 1) as usize };
        let line: Vec<u8> = pattern(stream << 16 | number, length)
            .into_iter()
            .map(|byte| if byte == b'\n' { b'x' } else { byte })
            .collect();
        script.input.extend_from_slice(&line);
        if is_too_long {
            script.output.extend_from_slice(b"ERR line too long\n");
            script.ends.push(script.output.len());
            script.server_ends = true;
            return script;
        }
        script.input.push(b'\n');
        script.rests.push(script.input.len());
        script.output.extend(line.iter().map(u8::to_ascii_uppercase));
        script.output.push(b'\n');
        script.ends.push(script.output.len());
    }
    if percent(sim, 20) && line_max > 3 {
        // Without its end it is no line.
        script.input.extend_from_slice(b"abc");
    }
    script
}
