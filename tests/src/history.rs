//! What happened to a fleet: what callers were served, what operators asked and were told, what the store held.
//!
//! # Why plain data
//!
//! A fault is gone when its effect is noticed. So a run only takes notes, and [`crate::checker`] judges them when it is
//! over: the same notes give the same verdict, and tables of notes can be written by hand.
//!
//! Moments are microseconds since the run began, of one clock, because the whole fleet runs on one machine.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

/// Microseconds since the run began.
pub type Moment = u64;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Side {
    Legacy,
    New,
}

impl Side {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Legacy => "legacy",
            Self::New => "new",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    LegacyOnly,
    Parallel,
    Gradual,
    NewOnly,
    EmergencyRollback,
}

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

/// A word that is none of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unknown(pub String);

impl FromStr for Mode {
    type Err = Unknown;

    fn from_str(text: &str) -> Result<Self, Unknown> {
        Self::ALL.into_iter().find(|mode| mode.name() == text).ok_or_else(|| Unknown(text.into()))
    }
}

impl FromStr for Side {
    type Err = Unknown;

    fn from_str(text: &str) -> Result<Self, Unknown> {
        [Self::Legacy, Self::New].into_iter().find(|side| side.name() == text).ok_or_else(|| Unknown(text.into()))
    }
}

/// Mode and share of the migration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    pub mode: Mode,
    /// In hundredths of a percent.
    pub share: u16,
}

/// Explicit placements by key.
pub type Pins = BTreeMap<String, Side>;

/// Everything that decides who serves a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    pub position: Position,
    pub pins: Pins,
}

impl State {
    /// What a fresh migration is.
    pub const fn initial() -> Self {
        Self { position: Position { mode: Mode::LegacyOnly, share: 0 }, pins: Pins::new() }
    }

    /// Who serves this key, by the words of the documentation.
    pub fn side_of(&self, key: &str) -> Side {
        let Position { mode, share } = self.position;
        if mode == Mode::EmergencyRollback {
            return Side::Legacy;
        }
        if let Some(side) = self.pins.get(key) {
            return *side;
        }
        let is_new = match mode {
            Mode::LegacyOnly | Mode::Parallel | Mode::EmergencyRollback => false,
            Mode::NewOnly => true,
            Mode::Gradual => crate::golden::bucket(crate::setup::MIGRATION, key) < share,
        };
        if is_new { Side::New } else { Side::Legacy }
    }
}

/// One request of a caller.
#[derive(Clone, Debug)]
pub struct Request {
    pub router: usize,
    pub key: String,
    pub began: Moment,
    pub ended: Moment,
    /// What came back, or why that is a failure.
    pub outcome: Result<Served, String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Served {
    pub side: Side,
    /// That the router decided by.
    pub revision: u64,
    /// Whether the router gave an emergency rollback as the reason.
    pub rolled_back: bool,
}

/// What an operator asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ask {
    Mode(Mode),
    Rollout(u16),
    Pin(String, Side),
    Unpin(String),
    RollBack,
    Acknowledge(Mode),
    Undo,
}

impl fmt::Display for Ask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mode(mode) => write!(f, "mode {}", mode.name()),
            Self::Rollout(share) => write!(f, "rollout {}", f64::from(*share) / 100.0),
            Self::Pin(key, side) => write!(f, "pin {key} {}", side.name()),
            Self::Unpin(key) => write!(f, "unpin {key}"),
            Self::RollBack => f.write_str("rollback"),
            Self::Acknowledge(to) => write!(f, "acknowledge to {}", to.name()),
            Self::Undo => f.write_str("undo"),
        }
    }
}

/// One change as an operator met it.
#[derive(Clone, Debug)]
pub struct Change {
    /// Of this change alone, so that it is found in the audit.
    pub reason: String,
    pub router: usize,
    pub ask: Ask,
    pub began: Moment,
    pub ended: Moment,
    pub answer: Told,
}

/// What an operator was told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    /// 200: written as this revision.
    Made(u64),
    /// 200: nothing to write, it was so at this revision.
    Already(u64),
    /// 202: a rollback that holds on this router, and in the store later.
    HereOnly,
    /// That nothing was written, and why.
    Refused(String),
    /// Neither the one nor the other.
    Unknown(String),
}

/// One entry of the audit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub revision: u64,
    pub reason: String,
    pub after: Position,
    pub pin: Option<(String, Option<Side>)>,
    /// What was pinned by it, where it wrote a lost state back.
    pub restored: Option<Pins>,
}

/// What the store held, from its first entry or the one that wrote a lost state back.
#[derive(Clone, Debug, Default)]
pub struct Line {
    /// Oldest first.
    pub entries: Vec<Entry>,
}

impl Line {
    /// The state after each entry.
    pub fn states(&self) -> Vec<(u64, State)> {
        let mut pins = Pins::new();
        let state = |entry: &Entry| {
            if let Some(restored) = &entry.restored {
                pins.clone_from(restored);
            }
            match &entry.pin {
                Some((key, Some(side))) => drop(pins.insert(key.clone(), *side)),
                Some((key, None)) => drop(pins.remove(key)),
                None => {}
            }
            (entry.revision, State { position: entry.after, pins: pins.clone() })
        };
        self.entries.iter().map(state).collect()
    }
}

/// Everything that is known of one run.
#[derive(Clone, Debug, Default)]
pub struct History {
    pub routers: usize,
    pub keys: Vec<String>,
    pub requests: Vec<Request>,
    pub changes: Vec<Change>,
    /// What the store holds at the end.
    pub line: Line,
    /// What it held before it lost it, oldest first.
    pub lost: Vec<Line>,
    /// Revisions that some router told to be lost.
    pub reported: Vec<u64>,
    /// One request for each key on each router, made when the fleet had settled.
    pub settled: Vec<Request>,
}
