//! Values as people write them: times, sizes, counts.

use std::num::NonZeroU32;
use std::str::FromStr;
use std::time::Duration;

use annulet::{ListenAddress, Park};

/// A time limit; `None` is off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limit(pub(crate) Option<Duration>);

impl FromStr for Limit {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "0" {
            return Ok(Self(None));
        }
        let limit = parse_time(text)
            .ok_or("expected a time such as 10s, 250ms or 2m (us, ms, s, m, h), or 0 for off")?;
        Ok(Self((!limit.is_zero()).then_some(limit)))
    }
}

/// A number and its unit.
fn parse_time(text: &str) -> Option<Duration> {
    let (number, unit) = split_unit(text)?;
    match unit {
        "us" | "µs" => Some(Duration::from_micros(number)),
        "ms" => Some(Duration::from_millis(number)),
        "s" => Some(Duration::from_secs(number)),
        "m" | "min" => number.checked_mul(60).map(Duration::from_secs),
        "h" => number.checked_mul(3600).map(Duration::from_secs),
        _ => None,
    }
}

/// `12ab` as 12 and `ab`.
fn split_unit(text: &str) -> Option<(u64, &str)> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    Some((number.parse().ok()?, unit.trim_start()))
}

/// A number of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bytes(pub(crate) usize);

impl FromStr for Bytes {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let shift = |unit: &str| match unit {
            "" | "B" => Some(0),
            "K" | "k" | "KiB" | "kib" => Some(10),
            "M" | "m" | "MiB" | "mib" => Some(20),
            "G" | "g" | "GiB" | "gib" => Some(30),
            _ => None,
        };
        let bytes = split_unit(text).and_then(|(number, unit)| number.checked_mul(1 << shift(unit)?));
        let bytes = bytes.and_then(|bytes| usize::try_from(bytes).ok());
        bytes.map(Self).ok_or("expected a number of bytes such as 65536, 64KiB or 1MiB")
    }
}

/// How many reactors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reactors {
    /// One per processor this process may use.
    Cores,
    Count(NonZeroU32),
}

/// More threads than any machine has processors are a slip of the finger.
const REACTORS_MAX: u32 = 4096;

impl FromStr for Reactors {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "cores" {
            return Ok(Self::Cores);
        }
        let count = text.parse().ok().filter(|count: &NonZeroU32| count.get() <= REACTORS_MAX);
        count.map(Self::Count).ok_or("expected a number from 1 to 4096, or 'cores'")
    }
}

/// [`Park`], from its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ParkPolicy(pub(crate) Park);

impl FromStr for ParkPolicy {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let park = match text.split_once(':') {
            None if text == "adaptive" => Some(Park::Adaptive),
            None if text == "block" => Some(Park::Block),
            Some(("spin", time)) => parse_time(time).filter(|time| !time.is_zero()).map(Park::Spin),
            _ => None,
        };
        park.map(Self).ok_or("expected adaptive, block or spin:TIME, such as spin:50us")
    }
}

/// Checks an address and keeps its text: an address may not be copied, an argument must.
pub(crate) fn listen_address(text: &str) -> Result<String, String> {
    match text.parse::<ListenAddress>() {
        Ok(_) => Ok(text.to_owned()),
        Err(_) => {
            Err("expected 127.0.0.1:7000, [::1]:7000, :7000 (all addresses), unix:/path or unix:@name"
                .to_owned())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn limit(text: &str) -> Option<Duration> {
        text.parse::<Limit>().expect(text).0
    }

    #[test]
    fn a_time_is_a_number_and_a_unit() {
        assert_eq!(limit("250ms"), Some(Duration::from_millis(250)));
        assert_eq!(limit("50us"), Some(Duration::from_micros(50)));
        assert_eq!(limit("1s"), Some(Duration::from_secs(1)));
        assert_eq!(limit("2m"), Some(Duration::from_secs(120)));
        assert_eq!(limit("1 h"), Some(Duration::from_secs(3600)));
    }

    #[test]
    fn zero_turns_a_clock_off() {
        assert_eq!(limit("0"), None);
        assert_eq!(limit("0s"), None);
    }

    #[test]
    fn a_time_without_a_unit_is_refused_with_an_example() {
        for text in
            ["", "10", "s", "-1s", "1.5s", "10 parsecs", "99999999999999999999s", "18446744073709551615h"]
        {
            assert!(text.parse::<Limit>().expect_err(text).contains("10s"), "{text}");
        }
    }

    #[test]
    fn sizes_are_powers_of_two() {
        for (text, bytes) in
            [("65536", 65536), ("64KiB", 65536), ("64k", 65536), ("1MiB", 1 << 20), ("2G", 2 << 30), ("0", 0)]
        {
            assert_eq!(text.parse::<Bytes>(), Ok(Bytes(bytes)), "{text}");
        }
        for text in ["", "KiB", "64KB", "-1", "1.5M", "99999999999G"] {
            assert!(text.parse::<Bytes>().expect_err(text).contains("64KiB"), "{text}");
        }
    }

    #[test]
    fn reactors_are_counted_or_as_many_as_cores() {
        assert_eq!("cores".parse(), Ok(Reactors::Cores));
        assert_eq!("2".parse(), Ok(Reactors::Count(NonZeroU32::new(2).expect("two"))));
        for text in ["0", "-1", "all", "4097", ""] {
            assert!(text.parse::<Reactors>().is_err(), "{text}");
        }
    }

    #[test]
    fn park_policies_have_names() {
        assert_eq!("adaptive".parse(), Ok(ParkPolicy(Park::Adaptive)));
        assert_eq!("block".parse(), Ok(ParkPolicy(Park::Block)));
        assert_eq!("spin:50us".parse(), Ok(ParkPolicy(Park::Spin(Duration::from_micros(50)))));
        for text in ["spin", "spin:", "spin:0us", "spin:50", "block:1s", "sleep"] {
            assert!(text.parse::<ParkPolicy>().is_err(), "{text}");
        }
    }
}
