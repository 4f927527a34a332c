//! Everything that is wrong with a file, told at once and where it stands.

use std::fmt;

/// What an operator has to mend before a file can be used.
#[derive(Clone, Debug)]
pub struct ConfigErrors {
    text: String,
}

impl ConfigErrors {
    pub(crate) fn of_file(name: &str, message: &str) -> Self {
        Self { text: format!("error: {name}: {message}") }
    }
}

/// Without colour, for logs.
impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for ConfigErrors {}
