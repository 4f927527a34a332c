//! The freeze of an environment: nothing moves toward new until it is thawed or its time is over.
//!
//! # Why the newest word is the state
//!
//! Who froze, why and until when is both what holds and what people read afterwards. Kept once, as a list of which
//! the newest word holds, the two cannot disagree. A word that does not read holds as a freeze: whoever wrote it meant
//! something, and a move that waits for a person harms nobody.
//!
//! Nothing here reads a clock; the time passed in is the store's, which the routers of a fleet share.
//!
//! Not here: what a freeze refuses (`control`), and freezes that come by a calendar.

use std::fmt;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::state::{GUESS, Revision};

/// Words that are kept; older ones are forgotten.
pub const FREEZES_MAX: usize = 100;

/// The shortest and the longest freeze that has an end at all.
pub const FREEZE_MIN: Duration = Duration::from_secs(60);
pub const FREEZE_MAX: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// The largest word that is read, in bytes; ours have less than half of it.
pub(crate) const FREEZE_BYTES_MAX: usize = 8 * 1024;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FreezeKind {
    Freeze,
    Thaw,
}

impl FreezeKind {
    pub const ALL: [Self; 2] = [Self::Freeze, Self::Thaw];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Freeze => "freeze",
            Self::Thaw => "thaw",
        }
    }
}

/// One word on the freeze of an environment, as the audit keeps it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FreezeEntry {
    /// Of the environment, by this word; zero where nobody knows.
    pub revision: Revision,
    pub kind: FreezeKind,
    /// The token's name.
    pub actor: String,
    pub reason: String,
    pub time: Timestamp,
    /// The first instant at which it no longer holds; none holds until somebody thaws.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
}

impl FreezeEntry {
    /// Whether nothing may move toward new at `now`.
    pub fn holds_at(&self, now: Timestamp) -> bool {
        self.kind == FreezeKind::Freeze && self.until.is_none_or(|until| now < until)
    }

    /// Reads the stored form, or says in a word that holds what is wrong with it.
    pub(crate) fn read(stored: &[u8]) -> Self {
        if stored.len() > FREEZE_BYTES_MAX {
            let (bytes, max) = (stored.len(), FREEZE_BYTES_MAX);
            return Self::unreadable(&format!("it has {bytes} bytes, {max} are read at most"));
        }
        serde_json::from_slice(stored).unwrap_or_else(|error| Self::unreadable(&error.to_string()))
    }

    /// The word that holds where the stored one does not read.
    pub(crate) fn unreadable(problem: &str) -> Self {
        Self {
            revision: Revision::ZERO,
            kind: FreezeKind::Freeze,
            actor: GUESS.into(),
            reason: format!("the stored freeze does not read ({problem}); `crossfade thaw` writes it anew"),
            time: Timestamp::UNIX_EPOCH,
            until: None,
        }
    }

    /// Whether nobody said it, because what is stored does not read.
    pub(crate) fn is_a_guess(&self) -> bool {
        self.revision == Revision::ZERO
    }
}

/// Who, when, until when and why, as a sentence goes on after "is frozen".
impl fmt::Display for FreezeEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { actor, reason, time, until, .. } = self;
        write!(f, "by \"{}\" since {time:.0} ", actor.escape_debug())?;
        match until {
            Some(until) => write!(f, "until {until:.0}")?,
            None => f.write_str("until somebody thaws it")?,
        }
        write!(f, " (\"{}\")", reason.escape_debug())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn word(kind: FreezeKind, until: Option<i64>) -> FreezeEntry {
        let (actor, reason) = ("ann".into(), "release \"day\"".into());
        FreezeEntry { revision: Revision(7), kind, actor, reason, time: at(100), until: until.map(at) }
    }

    #[test]
    fn a_freeze_holds_until_its_end_and_a_thaw_never() {
        for (kind, until, now, expected) in [
            (FreezeKind::Freeze, None, 1_000_000, true),
            (FreezeKind::Freeze, Some(200), 199, true),
            (FreezeKind::Freeze, Some(200), 200, false),
            (FreezeKind::Thaw, None, 100, false),
        ] {
            assert_eq!(word(kind, until).holds_at(at(now)), expected, "{kind:?} until {until:?} at {now}");
        }
    }

    #[test]
    fn the_stored_form_is_pinned_and_what_does_not_read_holds() {
        let text = r#"{"revision":7,"kind":"freeze","actor":"ann","reason":"release \"day\"","time":"1970-01-01T00:01:40Z","until":"1970-01-01T00:03:20Z"}"#;
        let freeze = word(FreezeKind::Freeze, Some(200));
        assert_eq!(serde_json::to_string(&freeze).unwrap(), text);
        assert_eq!(FreezeEntry::read(text.as_bytes()), freeze);
        let large = "x".repeat(FREEZE_BYTES_MAX + 1);
        for damaged in ["", "{", "[]", "{\"kind\":\"thaw\"}", &text.replace("ann\"", "ann\",\"more\":1"), &large] {
            let read = FreezeEntry::read(damaged.as_bytes());
            assert!(read.holds_at(at(0)) && read.is_a_guess() && read.reason.contains("does not read"), "{read:?}");
        }
    }

    #[test]
    fn it_is_told_on_one_line() {
        let told = |until| word(FreezeKind::Freeze, until).to_string();
        assert_eq!(
            told(Some(200)),
            r#"by "ann" since 1970-01-01T00:01:40Z until 1970-01-01T00:03:20Z ("release \"day\"")"#
        );
        assert_eq!(told(None), r#"by "ann" since 1970-01-01T00:01:40Z until somebody thaws it ("release \"day\"")"#);
    }
}
