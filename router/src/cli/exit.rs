//! What a script learns from the exit code.

use std::process::ExitCode;

use super::output::shown;

/// How a command ended, where it did not end well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    Failure = 1,
    Usage = 2,
    InvalidConfiguration = 3,
    /// Unreachable or unauthorised: nothing was changed.
    Unreachable = 4,
    /// Others changed the same state first.
    Conflict = 5,
    /// A gate, an approval or the state machine said no.
    Refused = 6,
    /// Done or waiting, and not every live router has it.
    NotConverged = 7,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

impl Exit {
    /// The code for a problem that the admin API answered.
    pub(crate) fn of_problem(status: u16, code: &str) -> Self {
        match (code, status) {
            ("not_converged", _) => Self::NotConverged,
            (
                "refused" | "held" | "frozen" | "nothing_to_undo" | "nothing_waits" | "nothing_to_ask"
                | "not_replayable",
                _,
            ) => Self::Refused,
            ("stale_revision" | "conflict", _) | (_, 409 | 412) => Self::Conflict,
            (_, 401 | 403 | 429 | 502..=504) => Self::Unreachable,
            (_, 400 | 422) => Self::Usage,
            _ => Self::Failure,
        }
    }
}

/// Why a command failed, and with which code.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) exit: Exit,
    /// None where everything was said already.
    pub(crate) error: Option<anyhow::Error>,
}

impl Failure {
    pub(crate) fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, error: Some(anyhow::anyhow!(message.into())) }
    }

    pub(crate) const fn told(exit: Exit) -> Self {
        Self { exit, error: None }
    }

    pub(crate) fn report(self) -> ExitCode {
        if let Some(error) = self.error {
            // Causes are part of the sentence; a backtrace helps no operator. Lines stay lines.
            let text = format!("error: {error:#}");
            for line in text.lines() {
                eprintln!("{}", shown(line));
            }
        }
        self.exit.into()
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self { exit: Exit::Failure, error: Some(error) }
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::from(anyhow::Error::from(error))
    }
}
