//! What failed, in the words of its causes.

use std::error::Error;

/// What went wrong below, without the words of the library around it.
pub fn causes(error: &(dyn Error + 'static)) -> String {
    let mut text = String::new();
    let mut next = error.source().or(Some(error));
    while let Some(cause) = next {
        let own = cause.to_string();
        if !text.contains(&own) {
            text = if text.is_empty() { own } else { format!("{text}: {own}") };
        }
        next = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use std::fmt;

    use super::*;

    #[derive(Debug)]
    struct Layer(&'static str, Option<Box<Layer>>);

    impl fmt::Display for Layer {
        fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
            out.write_str(self.0)
        }
    }

    impl Error for Layer {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            self.1.as_deref().map(|own| own as _)
        }
    }

    #[track_caller]
    fn check(layers: &[&'static str], expected: &str) {
        let made = layers.iter().rev().fold(None, |below, text| Some(Box::new(Layer(text, below))));
        assert_eq!(causes(&*made.unwrap()), expected);
    }

    #[test]
    fn the_library_around_says_nothing_and_nothing_is_said_twice() {
        check(&["client error", "tcp connect error", "refused"], "tcp connect error: refused");
        check(&["client error", "tls: expired", "expired"], "tls: expired");
        check(&["alone"], "alone");
    }
}
