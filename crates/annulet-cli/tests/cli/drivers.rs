//! The drivers to test on.

use std::sync::OnceLock;

use crate::process::run;

/// Runs `test` on each driver the kernel grants.
pub(crate) fn on_each_driver(test: impl Fn(&str)) {
    for driver in drivers() {
        eprintln!("on {driver}:");
        test(driver);
    }
}

/// True when the kernel grants io_uring.
pub(crate) fn has_uring() -> bool {
    static REFUSAL: OnceLock<Option<String>> = OnceLock::new();
    let refusal = REFUSAL.get_or_init(|| {
        let doctor = run(&["doctor", "--json", "--driver", "uring"]);
        let report: serde_json::Value = serde_json::from_str(&doctor.stdout).expect("JSON");
        (doctor.code != Some(0)).then(|| report["driver"]["summary"].to_string())
    });
    if let Some(reason) = refusal {
        eprintln!("not tested on io_uring: {reason}");
    }
    refusal.is_none()
}

fn drivers() -> Vec<&'static str> {
    let wanted = std::env::var("ANNULET_TEST_DRIVERS").unwrap_or("uring,epoll".into());
    let is_wanted = |driver: &str| wanted.split(',').any(|name| name == driver);
    ["uring", "epoll"]
        .into_iter()
        .filter(|driver| is_wanted(driver) && (*driver != "uring" || has_uring()))
        .collect()
}
