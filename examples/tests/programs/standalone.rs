//! The examples that end by themselves.

use crate::program::{Program, echo_once, on_each_driver};

#[test]
fn client_sends_what_is_typed_and_prints_what_comes_back() {
    on_each_driver(|driver| {
        let (target, serving) = echo_once();
        let mut client = Program::start("client", driver, &[&target.to_string()]);
        assert_eq!(client.line(), format!("connected to {target}"));
        for line in ["hello", "and goodbye"] {
            client.say(&format!("{line}\n"));
            assert_eq!(client.line(), line);
        }
        client.end_input();
        assert!(client.wait().is_empty());
        serving.join().expect("the server saw an orderly end");
    });
}

#[test]
fn http_client_asks_its_own_server() {
    on_each_driver(|driver| {
        let said = Program::start("http_client", driver, &[]).wait();
        assert_eq!(said[..2], ["200 OK hello", "200 OK hello"]);
        assert!(said[2].starts_with("404 Not Found"), "{said:?}");
        assert_eq!(said[3..5], ["received 588890 bytes", "the server has got 8890 bytes"]);
        assert_eq!(said[5], "cannot connect to 127.0.0.1:1; nothing was sent: true");
        assert!(said[6].starts_with("drained ") && said[6].ends_with(", cut 0"), "{said:?}");
    });
}

#[test]
fn length_prefixed_asks_its_own_server() {
    on_each_driver(|driver| {
        let said = Program::start("length_prefixed", driver, &[]).wait();
        assert_eq!(said[..3], ["\"telunna\"", "\"gnir llams a\"", "\"\""]);
        assert!(said[3].starts_with("drained ") && said[3].ends_with(", cut 0"), "{said:?}");
    });
}

#[test]
fn unix_socket_asks_its_own_server() {
    on_each_driver(|driver| {
        let said = Program::start("unix_socket", driver, &[]).wait();
        assert_eq!(said[0], "over a file");
        assert!(said[1].starts_with("drained ") && said[1].ends_with(", cut 0"), "{said:?}");
    });
}

#[test]
fn simulation_finds_the_bug_and_tells_what_it_takes() {
    // Which driver would be taken makes no difference: the kernel is simulated.
    let said = Program::start("simulation", "epoll", &[]).wait();
    assert!(said[0].starts_with("seed ") && said[0].contains("what is in the purse"), "{said:#?}");
    let has = |part: &str| said.iter().any(|line| line.contains(part));
    for part in [
        "it takes 1 fault: ",
        "FAULT ",
        " accepts: now bank descriptor ",
        "ANNULET_SEED=",
        "Sim::builder().seed(",
    ] {
        assert!(has(part), "no '{part}' in {said:#?}");
    }
    let last = said.last().expect("just read");
    assert!(last.starts_with("the careful purse: 300 seeds") && last.ends_with("no failure"), "{last}");
}
