//! A text that must not be seen: it has no `Display`, and its `Debug` shows nothing.
//! Keys for signing have a type of their own in `auth`.

use std::fmt;

/// A password, or a URL that may carry one.
#[derive(Clone)]
pub(crate) struct Secret(String);

impl Secret {
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Secret(text.into())
    }

    /// The text itself. Each caller is a place to look at when secrets are reviewed.
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Secret(…)")
    }
}
