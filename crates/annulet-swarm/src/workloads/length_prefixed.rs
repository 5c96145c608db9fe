//! Messages behind their lengths, sent back to front.

use annulet::proto::length_prefixed::{ByteOrder, LengthPrefixed, PrefixWidth};
use annulet::{Connection, HandlerResult};
use annulet_sim::Sim;

use super::clients::{Crowd, visit};
use super::shaky;
use crate::conversation::Script;
use crate::draw::{one_of, pattern, percent};
use crate::shape::{Program, Shape};

/// Each message comes back reversed, until one is longer than may be.
pub(crate) async fn world(sim: Sim) {
    let shape = Shape::draw(&sim);
    let payload_max = sim.spread(1, 20_000) as usize;
    let width = one_of(&sim, &[PrefixWidth::U16, PrefixWidth::U32, PrefixWidth::U64]);
    let codec = LengthPrefixed::new().width(width).byte_order(ByteOrder::Little).payload_max(payload_max);
    let program = Program::new(shape);
    let host = shape.host(&sim, "server").start(async move || {
        let codec = codec.clone();
        let reverse = async move |connection| shaky(reverse(connection, codec.clone())).await;
        program.serve(shape.server().listen_with(shape.listen("0.0.0.0:7000"), reverse)).await;
    });
    let crowd = Crowd { clients_max: 16, rounds_max: 3, is_served: true };
    let script = move |sim: &Sim, stream| script(sim, stream, width, payload_max);
    visit(&sim, &host, shape, vec!["server:7000".into()], crowd, script).await;
}

async fn reverse(connection: Connection, codec: LengthPrefixed) -> HandlerResult {
    let mut messages = connection.framed(codec);
    while let Some(message) = messages.recv().await? {
        let reversed: Vec<u8> = message.iter().rev().copied().collect();
        messages.send(reversed).await?;
    }
    Ok(())
}

fn script(sim: &Sim, stream: u64, width: PrefixWidth, payload_max: usize) -> Script {
    let mut script = Script::default();
    script.ends.push(0);
    let prefix = |length: usize| (length as u64).to_le_bytes()[..width.bytes()].to_vec();
    for number in 0..sim.spread(1, 100) {
        if percent(sim, 1) {
            script.input.extend(prefix(payload_max + 1));
            script.server_ends = true;
            break;
        }
        let payload = pattern(stream << 16 | number, sim.below(payload_max.min(3000) as u64 + 1) as usize);
        script.input.extend(prefix(payload.len()));
        script.output.extend(prefix(payload.len()));
        script.input.extend(&payload);
        script.rests.push(script.input.len());
        script.output.extend(payload.iter().rev());
        script.ends.push(script.output.len());
    }
    script
}
