//! Tests in a process of their own: the test starts its own executable again, told to run just this test.

use std::process::Command;

use annulet::{Builder, Runtime};

use super::drivers;

/// Names the test that a child is to run for real.
const CHILD: &str = "ANNULET_TEST_CHILD";
const DRIVER: &str = "ANNULET_TEST_DRIVER";

/// Runs `body` in a process of its own. To be called with a closure, directly in the test function.
pub(crate) fn isolated<F: FnOnce()>(body: F) {
    isolated_under("", body);
}

/// The same under limits: `limits` is shell code that runs before, such as `ulimit -n 64`.
pub(crate) fn isolated_under<F: FnOnce()>(limits: &str, body: F) {
    let test = test_of(&body);
    if std::env::var(CHILD).is_ok_and(|name| name == test) {
        return body();
    }
    run_child(&test, limits, None);
}

/// [`each_driver`](super::each_driver) with a process of its own for each.
pub(crate) fn each_driver_alone<F: Fn(Builder)>(scenario: F) {
    let test = test_of(&scenario);
    let drivers = drivers();
    if std::env::var(CHILD).is_ok_and(|name| name == test) {
        return scenario(Runtime::builder().driver(drivers[0]).reactors(1));
    }
    for driver in drivers {
        run_child(&test, "", Some(&format!("{driver:?}").to_lowercase()));
    }
}

/// The test a closure was written in, from its type's name: `suite::limits::some_test::{{closure}}`.
fn test_of<F>(_: &F) -> String {
    let name = std::any::type_name::<F>();
    let (_, name) = name.split_once("::").expect("a crate's name first");
    name.trim_end_matches("::{{closure}}").to_owned()
}

fn run_child(test: &str, limits: &str, driver: Option<&str>) {
    let executable = std::env::current_exe().expect("this executable");
    let mut command = Command::new("sh");
    command.arg("-c").arg(format!("{limits}\nexec \"$0\" \"$@\"")).arg(executable);
    command.args(["--exact", test, "--include-ignored", "--nocapture", "--test-threads=1"]);
    command.env(CHILD, test).env("RUST_BACKTRACE", "0");
    if let Some(driver) = driver {
        command.env(DRIVER, driver);
    }
    let output = command.output().expect("a child process");
    let (said, complained) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    print!("{said}");
    eprint!("{complained}");
    assert!(output.status.success(), "{test} failed in its own process: {}", output.status);
    assert!(said.contains("1 passed"), "the child ran something else than {test}");
}
