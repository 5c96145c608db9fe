//! Attributes for tests. Use them as `#[annulet::test]` and `#[annulet::sim_test]`.
//!
//! There is no parser of Rust in here: an attribute's arguments and a function's head are simple enough to be read token
//! by token, and what the body and the types say is the compiler's to judge.
#![forbid(unsafe_code)]
#![deny(missing_docs)]

mod arguments;
mod function;
mod problem;

use proc_macro::TokenStream;

use crate::arguments::{Arguments, Value};
use crate::function::Function;
use crate::problem::Problem;

/// Runs an `async fn` without arguments as a test, on a runtime of its own with default settings.
///
/// ```
/// #[annulet::test]
/// async fn time_passes() -> std::io::Result<()> {
///     annulet::time::sleep(std::time::Duration::from_millis(1)).await;
///     Ok(())
/// }
///
/// #[annulet::test(driver = "epoll", reactors = 2)]
/// async fn on_epoll() {}
/// ```
///
/// | argument | means |
/// |---|---|
/// | `driver = "auto"`, `"uring"`, `"epoll"` | the driver; by default `ANNULET_DRIVER`, else `auto`. The test fails where it cannot be had |
/// | `reactors = 2` | so many reactors; by default one per processor. The test runs on the first |
///
/// Other attributes, as `#[ignore]` and `#[should_panic]`, mean what they mean on any test.
///
/// # What is refused
///
/// A function that is not async:
///
/// ```compile_fail
/// #[annulet::test]
/// fn time_passes() {}
/// ```
///
/// One that takes something:
///
/// ```compile_fail
/// #[annulet::test]
/// async fn time_passes(how_much: u64) {}
/// ```
///
/// One that is generic:
///
/// ```compile_fail
/// #[annulet::test]
/// async fn time_passes<T>() {}
/// ```
///
/// What is no function:
///
/// ```compile_fail
/// #[annulet::test]
/// struct Time;
/// ```
///
/// Arguments that there are not, or of the wrong kind, or given twice:
///
/// ```compile_fail
/// #[annulet::test(threads = 2)]
/// async fn time_passes() {}
/// ```
///
/// ```compile_fail
/// #[annulet::test(driver = "kqueue")]
/// async fn time_passes() {}
/// ```
///
/// ```compile_fail
/// #[annulet::test(reactors = 0)]
/// async fn time_passes() {}
/// ```
///
/// ```compile_fail
/// #[annulet::test(reactors = 1, reactors = 2)]
/// async fn time_passes() {}
/// ```
#[proc_macro_attribute]
pub fn test(arguments: TokenStream, item: TokenStream) -> TokenStream {
    problem::or_error(real_test(arguments, item))
}

fn real_test(arguments: TokenStream, item: TokenStream) -> Result<TokenStream, Problem> {
    let function = Function::read(item)?;
    if !function.takes_nothing() {
        return Err(Problem::at(
            function.arguments_span(),
            "a test takes no arguments; one in a simulation is an #[annulet::sim_test]",
        ));
    }
    let mut settings = String::new();
    for (name, value) in Arguments::read(arguments)?.known(&["driver", "reactors"])? {
        settings += &match name.as_str() {
            "driver" => format!(".driver(::annulet::DriverChoice::{})", driver(&value)?),
            _ => format!(".reactors({})", value.number(1, u64::from(u32::MAX))?),
        };
    }
    let run = format!(
        "::annulet::Runtime::builder(){settings}.build().expect(\"a runtime for the test\")\
         .block_on({}()).expect(\"the runtime of the test\")",
        function.name()
    );
    Ok(function.into_test(&run, true))
}

fn driver(value: &Value) -> Result<&'static str, Problem> {
    match value.text()?.as_str() {
        "auto" => Ok("Auto"),
        "uring" => Ok("Uring"),
        "epoll" => Ok("Epoll"),
        _ => Err(value.problem("a driver is \"auto\", \"uring\" or \"epoll\"")),
    }
}

/// Runs an `async fn` as a test in simulated worlds, one for each seed: with the feature `sim`.
///
/// The function is the program of the host `client`; it gets the simulation, with which it starts other hosts.
///
/// ```
/// use annulet::sim::Sim;
///
/// #[annulet::sim_test(seeds = 1000)]
/// async fn whatever_fails(sim: Sim) {
///     let server = sim.host("server").start(async || {});
///     server.ended().await;
/// }
///
/// #[annulet::sim_test(seed = 4711)]
/// async fn a_seed_that_found_something(sim: Sim) -> std::io::Result<()> {
///     Ok(())
/// }
/// ```
///
/// | argument | means |
/// |---|---|
/// | `seeds = 1000` | so many seeds, from 0 on; by default 100 |
/// | `seed = 4711` | this seed alone, whatever the environment says |
/// | `faults = swarm` | each seed draws the kinds of faults and how likely they are: the default |
/// | `faults = none` | nothing fails |
///
/// `ANNULET_SEED=17` in the environment runs that seed alone, `ANNULET_SEEDS=100000` runs so many. For other settings use
/// `annulet::sim::Check` in an ordinary test. An `Err` that the function returns is a failure, as a panic is.
///
/// # What is refused
///
/// A function that does not take the simulation:
///
/// ```compile_fail
/// #[annulet::sim_test]
/// async fn whatever_fails() {}
/// ```
///
/// One that is not async:
///
/// ```compile_fail
/// #[annulet::sim_test]
/// fn whatever_fails(sim: annulet::sim::Sim) {}
/// ```
///
/// Arguments that there are not, or of the wrong kind, or that contradict each other:
///
/// ```compile_fail
/// #[annulet::sim_test(seeds = "many")]
/// async fn whatever_fails(sim: annulet::sim::Sim) {}
/// ```
///
/// ```compile_fail
/// #[annulet::sim_test(seeds = 10, seed = 7)]
/// async fn whatever_fails(sim: annulet::sim::Sim) {}
/// ```
///
/// ```compile_fail
/// #[annulet::sim_test(faults = all)]
/// async fn whatever_fails(sim: annulet::sim::Sim) {}
/// ```
#[proc_macro_attribute]
pub fn sim_test(arguments: TokenStream, item: TokenStream) -> TokenStream {
    problem::or_error(simulated_test(arguments, item))
}

fn simulated_test(arguments: TokenStream, item: TokenStream) -> Result<TokenStream, Problem> {
    let function = Function::read(item)?;
    if function.takes_nothing() {
        return Err(Problem::at(
            function.arguments_span(),
            "a test in a simulation takes it: `async fn name(sim: annulet::sim::Sim)`",
        ));
    }
    let arguments = Arguments::read(arguments)?;
    arguments.exclusive("seed", "seeds")?;
    let mut settings = String::new();
    for (name, value) in arguments.known(&["seeds", "seed", "faults"])? {
        settings += &match name.as_str() {
            "seeds" => format!(".seeds({})", value.number(1, u64::MAX)?),
            "seed" => format!(".seed({})", value.number(0, u64::MAX - 1)?),
            _ => faults(&value)?.to_owned(),
        };
    }
    let name = function.name();
    let program = if function.returns_something() {
        format!(
            "async |sim: ::annulet::sim::Sim| if let ::core::result::Result::Err(error) = {name}(sim).await {{ \
             ::core::panic!(\"{{error:?}}\") }}"
        )
    } else {
        name.clone()
    };
    let run = format!(
        "::annulet::sim::Check::default().named(::core::module_path!(), {name:?}){settings}.run({program});"
    );
    Ok(function.into_test(&run, false))
}

fn faults(value: &Value) -> Result<&'static str, Problem> {
    match value.word()?.as_str() {
        "swarm" => Ok(""),
        "none" => Ok(".faults(|_| ::annulet::sim::Faults::none())"),
        _ => Err(value.problem("faults are `swarm` or `none`")),
    }
}
