//! What a hand-written server speaks.

use std::str::FromStr;

use crate::http::Http;

/// `--protocol echo`, the default, or `--protocol http`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// What arrives goes back.
    Echo,
    /// Every request's head is answered with the same response.
    Http,
}

impl Protocol {
    /// What a loop needs to answer requests; `None` for echo.
    pub fn http(self) -> Option<Box<Http>> {
        (self == Self::Http).then(Box::default)
    }
}

impl FromStr for Protocol {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "echo" => Ok(Self::Echo),
            "http" => Ok(Self::Http),
            _ => Err("expected echo or http"),
        }
    }
}
