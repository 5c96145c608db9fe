//! The attributes for tests, as their users write them.
#![cfg(feature = "sim")]

use std::process::Command;
use std::time::Duration;

use annulet::sim::{Fault, Host, Sim};
use annulet::time::sleep;
use annulet::{Connection, DriverKind, Reactor, Server, connect, serving};

#[annulet::test]
async fn a_test_runs_on_a_runtime() {
    sleep(Duration::from_millis(1)).await;
}

#[annulet::test(driver = "epoll", reactors = 3)]
async fn a_test_has_the_settings_it_wants() {
    let handle = Reactor::current().handle().expect("a runtime");
    assert_eq!((handle.reactors(), handle.selection().kind()), (3, DriverKind::Epoll));
}

#[annulet::test(reactors = 1)]
pub(crate) async fn a_test_may_return_a_result() -> Result<(), Box<dyn std::error::Error>> {
    let sum = annulet::spawn_blocking(|| 1 + 1).await?;
    assert_eq!(sum, 2);
    Ok(())
}

#[annulet::test]
#[should_panic(expected = "on purpose")]
async fn other_attributes_mean_what_they_mean() {
    panic!("on purpose");
}

fn echo_server(sim: &Sim) -> Host {
    let echo = async |mut connection: Connection| {
        while let Some(chunk) = connection.recv().await? {
            connection.send(chunk).await?;
        }
        Ok(())
    };
    sim.host("server").start(async move || {
        let _ = serving(Server::builder().listen(":7000", echo)).await;
    })
}

#[annulet::sim_test(seeds = 20, faults = none)]
async fn without_faults_everything_succeeds(sim: Sim) -> Result<(), Box<dyn std::error::Error>> {
    let _server = echo_server(&sim);
    sleep(Duration::from_millis(10)).await;
    let mut connection = connect("server:7000").await?;
    connection.write_all(b"here and back").await?;
    let mut back = [0; 13];
    connection.read_exact(&mut back).await?;
    assert_eq!(&back, b"here and back");
    Ok(())
}

#[annulet::sim_test]
async fn with_faults_much_may_fail_but_nothing_hangs(sim: Sim) {
    let _server = echo_server(&sim);
    sleep(Duration::from_millis(10)).await;
    if let Ok(mut connection) = connect("server:7000").await {
        let _ = annulet::time::timeout(Duration::from_secs(60), connection.write_all(b"hello")).await;
    }
}

#[annulet::sim_test(seed = 7)]
async fn one_seed_alone(sim: Sim) {
    assert_eq!(sim.seed(), 7);
}

#[annulet::sim_test(seeds = 1000)]
#[ignore = "a failure to look at: run by the test below"]
async fn fails(sim: Sim) -> Result<(), String> {
    if sim.seed() < 17 { Ok(()) } else { Err(format!("{:?}", Fault::Reset)) }
}

/// What a user sees of a failure, and that the environment chooses seeds.
#[test]
fn the_environment_chooses_seeds_and_a_failure_says_how_to_run_it_again() {
    let run = |variables: &[(&str, &str)]| {
        let mut command = Command::new(std::env::current_exe().expect("this program"));
        command.args(["fails", "--exact", "--ignored", "--nocapture"]);
        command.env_remove("ANNULET_SEED").env_remove("ANNULET_SEEDS").envs(variables.iter().copied());
        let output = command.output().expect("it runs");
        String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
    };
    let all = run(&[("ANNULET_SEEDS", "50")]);
    assert!(all.contains("seed 17 fails: client panicked: \"Reset\""), "{all}");
    assert!(all.contains("ANNULET_SEED=17 cargo test -p annulet fails -- --exact"), "{all}");
    assert!(all.contains("it takes no fault"), "{all}");
    let one = run(&[("ANNULET_SEED", "40")]);
    assert!(one.contains("seed 40 fails"), "{one}");
    let few = run(&[("ANNULET_SEEDS", "17")]);
    assert!(few.contains("test result: ok. 1 passed"), "{few}");
}
