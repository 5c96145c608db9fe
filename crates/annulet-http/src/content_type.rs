//! Types of bodies.

/// The types that handlers' values have by themselves. Any other is a field of the response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ContentType {
    /// Not said here.
    None,
    Text,
    Html,
    Json,
    Binary,
}

impl ContentType {
    pub(crate) const COUNT: usize = 5;
    pub(crate) const ALL: [Self; Self::COUNT] =
        [Self::None, Self::Text, Self::Html, Self::Json, Self::Binary];

    /// Its field, with the line's end.
    pub(crate) fn line(self) -> &'static [u8] {
        match self {
            Self::None => b"",
            Self::Text => b"Content-Type: text/plain; charset=utf-8\r\n",
            Self::Html => b"Content-Type: text/html; charset=utf-8\r\n",
            Self::Json => b"Content-Type: application/json\r\n",
            Self::Binary => b"Content-Type: application/octet-stream\r\n",
        }
    }
}
