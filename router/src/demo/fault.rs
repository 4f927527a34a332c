//! The switch that makes the new sample system misbehave, and the little listener that turns it.
//!
//! # Why a port of its own
//!
//! A system that drops every connection could not be told to stop on the port it drops them on.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use serde::{Deserialize, Serialize};

/// How the new sample system misbehaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    None,
    /// Answers 500.
    Fail,
    /// Answers 800 ms late.
    Slow,
    /// Drops every connection without an answer.
    Refuse,
}

impl Fault {
    pub const ALL: [Self; 4] = [Self::None, Self::Fail, Self::Slow, Self::Refuse];

    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Fail => "fail",
            Self::Slow => "slow",
            Self::Refuse => "refuse",
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Fault {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = Self::ALL.into_iter().find(|fault| fault.name() == text);
        found.ok_or_else(|| "the mode is one of none, fail, slow and refuse".into())
    }
}

/// One fault, read by every connection of a system and set from anywhere.
#[derive(Clone, Debug, Default)]
pub struct Switch(Arc<AtomicU8>);

impl Switch {
    pub fn set(&self, fault: Fault) {
        let at = Fault::ALL.into_iter().position(|known| known == fault).unwrap_or_default();
        self.0.store(u8::try_from(at).unwrap_or_default(), Ordering::Relaxed);
    }

    pub fn get(&self) -> Fault {
        Fault::ALL.get(usize::from(self.0.load(Ordering::Relaxed))).copied().unwrap_or(Fault::None)
    }
}

/// The body of `POST /fault`.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ask {
    pub mode: Fault,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_switch_holds_what_was_set() {
        let switch = Switch::default();
        assert_eq!(switch.get(), Fault::None);
        for fault in Fault::ALL {
            switch.set(fault);
            assert_eq!(switch.clone().get(), fault);
            assert_eq!(fault.name().parse(), Ok(fault));
            assert_eq!(serde_json::to_value(Ask { mode: fault }).unwrap()["mode"], fault.name());
        }
        assert!("broken".parse::<Fault>().is_err());
    }
}
