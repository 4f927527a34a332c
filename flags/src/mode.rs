//! The five modes of a migration and the only legal ways between them.
//!
//! # Why a state machine
//!
//! A mode decides who serves production traffic, so each transition is named once and the compiler
//! checks that every pair was thought about. The way out, [`Command::RollBack`], is legal from
//! everywhere and latches: only a person who acknowledges it leaves `emergency_rollback`, and only
//! toward legacy.
//!
//! Not here: who may ask (`dashboards::auth`) and whether now is a good time (gates, approvals).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// How a migration serves its requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Legacy serves everything.
    LegacyOnly,
    /// One side serves, the other sees a copy of what is safe to repeat.
    Parallel,
    /// Keys below the configured share go to new.
    Gradual,
    /// New serves everything.
    NewOnly,
    /// Legacy serves everything until an admin acknowledges.
    EmergencyRollback,
}

/// What an operator, a plan or a guard asks of a migration's mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// Serve in this mode from now on.
    Serve(Mode),
    /// Everything to legacy, latched.
    RollBack,
    /// Leave `emergency_rollback`, having understood why it was entered.
    Acknowledge(Mode),
}

/// Why a [`Command`] does not apply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Refused {
    #[error(
        "the migration is in emergency_rollback, which latches: acknowledge it first (crossfade acknowledge MIGRATION --to legacy_only|parallel --reason TEXT)"
    )]
    NeedsAcknowledgement,
    #[error("there is nothing to acknowledge: the mode is {0}, not emergency_rollback")]
    NothingToAcknowledge(Mode),
    #[error("emergency_rollback is left to legacy_only or parallel, not to {0}")]
    AcknowledgedToward(Mode),
    #[error(
        "emergency_rollback is entered by a rollback, not by a mode change (crossfade rollback MIGRATION --reason TEXT)"
    )]
    RollbackIsNotServed,
}

/// Computes the next mode. Pure: the caller stores, audits and swaps the result.
///
/// The match names every pair, so a new mode does not compile until someone has decided what each
/// command means in it.
pub fn step(from: Mode, command: Command) -> Result<Mode, Refused> {
    use Command::{Acknowledge, RollBack, Serve};
    use Mode::{EmergencyRollback, Gradual, LegacyOnly, NewOnly, Parallel};
    match (from, command) {
        (_, RollBack) => Ok(EmergencyRollback),
        (EmergencyRollback, Acknowledge(to @ (LegacyOnly | Parallel))) => Ok(to),
        (EmergencyRollback, Acknowledge(to @ (Gradual | NewOnly | EmergencyRollback))) => {
            Err(Refused::AcknowledgedToward(to))
        }
        (LegacyOnly | Parallel | Gradual | NewOnly, Acknowledge(_)) => Err(Refused::NothingToAcknowledge(from)),
        (_, Serve(EmergencyRollback)) => Err(Refused::RollbackIsNotServed),
        (EmergencyRollback, Serve(LegacyOnly | Parallel | Gradual | NewOnly)) => Err(Refused::NeedsAcknowledgement),
        (LegacyOnly | Parallel | Gradual | NewOnly, Serve(to @ (LegacyOnly | Parallel | Gradual | NewOnly))) => Ok(to),
    }
}

/// A word that names no [`Mode`].
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error(
    "\"{}\" is not a mode: use legacy_only, parallel, gradual, new_only or emergency_rollback",
    .0.escape_debug()
)]
pub struct UnknownMode(String);

impl Mode {
    pub const ALL: [Self; 5] =
        [Self::LegacyOnly, Self::Parallel, Self::Gradual, Self::NewOnly, Self::EmergencyRollback];

    pub const fn name(self) -> &'static str {
        match self {
            Self::LegacyOnly => "legacy_only",
            Self::Parallel => "parallel",
            Self::Gradual => "gradual",
            Self::NewOnly => "new_only",
            Self::EmergencyRollback => "emergency_rollback",
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Mode {
    type Err = UnknownMode;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|mode| mode.name() == text)
            .ok_or_else(|| UnknownMode(text.chars().take(80).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::Command::{Acknowledge, RollBack, Serve};
    use super::Mode::{EmergencyRollback, Gradual, LegacyOnly, NewOnly, Parallel};
    use super::*;

    /// The only line of these tests that knows the signature of `step`.
    #[track_caller]
    fn check(from: Mode, command: Command, expected: Option<Mode>) {
        assert_eq!(step(from, command).ok(), expected, "{command:?} in {from:?}");
    }

    #[test]
    fn a_rollback_latches() {
        for from in Mode::ALL {
            check(from, RollBack, Some(EmergencyRollback));
        }
        for to in [LegacyOnly, Parallel, Gradual, NewOnly] {
            check(EmergencyRollback, Serve(to), None);
        }
        check(EmergencyRollback, Acknowledge(Gradual), None);
        check(EmergencyRollback, Acknowledge(NewOnly), None);
        check(EmergencyRollback, Acknowledge(LegacyOnly), Some(LegacyOnly));
        check(EmergencyRollback, Acknowledge(Parallel), Some(Parallel));
    }

    #[test]
    fn only_a_rollback_needs_acknowledging() {
        for from in [LegacyOnly, Parallel, Gradual, NewOnly] {
            check(from, Acknowledge(LegacyOnly), None);
            for to in [LegacyOnly, Parallel, Gradual, NewOnly] {
                check(from, Serve(to), Some(to));
            }
        }
    }

    #[test]
    fn a_rollback_is_asked_for_by_its_name() {
        for from in Mode::ALL {
            check(from, Serve(EmergencyRollback), None);
        }
    }

    #[test]
    fn names_round_trip_and_match_the_stored_form() {
        for mode in Mode::ALL {
            assert_eq!(mode.name().parse(), Ok(mode));
            assert_eq!(serde_json::to_value(mode).unwrap(), mode.name());
        }
        assert!("GRADUAL".parse::<Mode>().is_err());
    }
}
