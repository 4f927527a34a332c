//! Two plain keys that tell a migration's mode and percentage to code that was there before.
//!
//! # Why
//!
//! The issue-agents story has a controller of its own that reads `system_mode` and
//! `rollout_percentage` from Redis. While both decide, they must decide alike; so the router writes
//! what it decides by where that controller reads it, in its words: the modes of one side are the
//! label of that side with `_only`.
//!
//! Deliberately not supported: following what others write there. The keys are read once, when the
//! store knows nothing of the migration yet; after that the router is the one that writes.

use thiserror::Error;

use crate::bucket::BasisPoints;
use crate::migration::{Labels, Migration, MigrationId};
use crate::mode::Mode;
use crate::state::Position;

/// Migrations of one file that may have plain keys.
pub const MIRRORED_MAX: usize = 32;

const KEY_BYTES_MAX: usize = 256;

/// More of a value is not read: no mode and no number is this long.
pub const VALUE_BYTES_MAX: usize = 128;

/// The names of the two keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MirrorKeys {
    pub mode: String,
    pub percent: String,
}

/// What the two keys hold; empty where there is no such key, as its reader takes it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PlainKeys {
    pub mode: Vec<u8>,
    pub percent: Vec<u8>,
}

/// Why a key is not taken for a plain key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum InvalidKey {
    #[error("a key of Redis has 1 to {KEY_BYTES_MAX} bytes and no control characters")]
    Malformed,
    #[error("keys that begin with crossfade: are the router's own")]
    Own,
    #[error("braces in a key name its slot in a Cluster: write one pair with something between, or none")]
    Braces,
}

/// What a plain key holds that says nothing about this migration.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum BadValue {
    #[error("the key {key} holds \"{}\", which is none of {}", .held.escape_debug(), .words.join(", "))]
    Mode { key: String, held: String, words: Vec<String> },
    #[error("the key {key} holds \"{}\", which is no whole number of 0 to 100", .held.escape_debug())]
    Percent { key: String, held: String },
}

/// A migration that has plain keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mirrored {
    pub migration: MigrationId,
    pub keys: MirrorKeys,
    labels: Labels,
}

pub fn check_key(key: &str) -> Result<(), InvalidKey> {
    if key.is_empty() || key.len() > KEY_BYTES_MAX || key.chars().any(char::is_control) {
        return Err(InvalidKey::Malformed);
    }
    if key.starts_with("crossfade:") {
        return Err(InvalidKey::Own);
    }
    if key.contains(['{', '}']) && slot_tag(key).is_none() {
        return Err(InvalidKey::Braces);
    }
    Ok(())
}

/// The part of a key that alone decides about its slot in a Cluster; none: the whole key does.
pub fn slot_tag(key: &str) -> Option<&str> {
    let (_, rest) = key.split_once('{')?;
    let (tag, _) = rest.split_once('}')?;
    (!tag.is_empty()).then_some(tag)
}

/// `TypeScript` as `typescript_only`, `Old monolith (v1)` as `old_monolith_v1_only`.
pub fn only(label: &str) -> String {
    let lower = label.to_lowercase();
    let words = lower.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    words.chain(["only"]).collect::<Vec<_>>().join("_")
}

/// A share as the story's `int()` reads it; hundredths are cut off, so that nobody is sent to new
/// who is not there.
pub fn percent_word(share: BasisPoints) -> String {
    (share.get() / 100).to_string()
}

impl Mirrored {
    pub fn of(migration: &Migration) -> Option<Self> {
        let (id, labels) = (migration.id.clone(), migration.labels.clone());
        migration.mirror_keys.clone().map(|keys| Self { migration: id, keys, labels })
    }

    pub fn mode_word(&self, mode: Mode) -> String {
        match mode {
            Mode::LegacyOnly => only(&self.labels.legacy),
            Mode::NewOnly => only(&self.labels.new),
            Mode::Parallel | Mode::Gradual | Mode::EmergencyRollback => mode.name().into(),
        }
    }

    /// The two keys with what they should hold.
    pub fn values(&self, position: Position) -> [(&str, String); 2] {
        [
            (self.keys.mode.as_str(), self.mode_word(position.mode)),
            (self.keys.percent.as_str(), percent_word(position.share)),
        ]
    }

    /// The position that the keys tell, as the story's controller reads them: without a mode it is
    /// legacy's, without a percentage 0. None where there is neither.
    pub fn read(&self, held: &PlainKeys) -> Result<Option<Position>, BadValue> {
        if held.mode.is_empty() && held.percent.is_empty() {
            return Ok(None);
        }
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let mode = if held.mode.is_empty() {
            Some(Mode::LegacyOnly)
        } else {
            Mode::ALL.into_iter().find(|mode| self.mode_word(*mode).as_bytes() == held.mode)
        };
        let mode = mode.ok_or_else(|| BadValue::Mode {
            key: self.keys.mode.clone(),
            held: text(&held.mode),
            words: Mode::ALL.map(|mode| self.mode_word(mode)).to_vec(),
        })?;
        let share = if held.percent.is_empty() { Some(BasisPoints::ZERO) } else { whole_percent(&text(&held.percent)) };
        let share =
            share.ok_or_else(|| BadValue::Percent { key: self.keys.percent.clone(), held: text(&held.percent) })?;
        Ok(Some(Position { mode, share }))
    }
}

fn whole_percent(text: &str) -> Option<BasisPoints> {
    let percent: u16 = text.trim().parse().ok()?;
    BasisPoints::new(percent.checked_mul(100)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mirrored(legacy: &str, new: &str) -> Mirrored {
        let mut migration = Migration::new(MigrationId::new("m").unwrap(), "a", "b");
        migration.labels = Labels { legacy: legacy.into(), new: new.into() };
        migration.mirror_keys = Some(MirrorKeys { mode: "system_mode".into(), percent: "rollout_percentage".into() });
        Mirrored::of(&migration).unwrap()
    }

    #[track_caller]
    fn check(mode: &str, percent: &str, expected: Option<(Mode, u16)>) {
        let held = PlainKeys { mode: mode.into(), percent: percent.into() };
        let read = mirrored("TypeScript", "Python").read(&held);
        let position = expected.map(|(mode, share)| Position { mode, share: BasisPoints::new(share).unwrap() });
        assert_eq!(read, Ok(position), "{mode:?} {percent:?}");
    }

    #[track_caller]
    fn refused(mode: &str, percent: &str, words: &str) {
        let held = PlainKeys { mode: mode.into(), percent: percent.into() };
        let error = mirrored("TypeScript", "Python").read(&held).unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    }

    #[test]
    fn keys_read_as_the_story_reads_them() {
        check("", "", None);
        check("typescript_only", "", Some((Mode::LegacyOnly, 0)));
        check("python_only", "0", Some((Mode::NewOnly, 0)));
        check("parallel", "100", Some((Mode::Parallel, 10_000)));
        check("gradual", " 25\n", Some((Mode::Gradual, 2_500)));
        check("emergency_rollback", "007", Some((Mode::EmergencyRollback, 700)));
        check("", "50", Some((Mode::LegacyOnly, 5_000)));
    }

    #[test]
    fn what_says_nothing_is_refused_with_what_would() {
        for mode in ["legacy_only", "new_only", "Python_only", "rust_only", "gradual ", "\n"] {
            refused(mode, "1", "none of typescript_only, parallel, gradual, python_only, emergency_rollback");
        }
        for percent in ["250", "101", "-1", "25.5", "1e2", "ten", " ", "65537", "99999999999"] {
            refused("gradual", percent, "no whole number of 0 to 100");
        }
        refused("a\u{1b}[31mb", "", "a\\u{1b}[31mb");
    }

    #[test]
    fn what_is_written_reads_as_the_same_but_for_hundredths() {
        let mirrored = mirrored("Old monolith (v1)", "Python");
        for mode in Mode::ALL {
            for (share, cut) in [(0, 0), (1, 0), (99, 0), (100, 100), (2_550, 2_500), (9_999, 9_900), (10_000, 10_000)]
            {
                let at = |share| Position { mode, share: BasisPoints::new(share).unwrap() };
                let [(_, mode), (_, percent)] = mirrored.values(at(share));
                let held = PlainKeys { mode: mode.into(), percent: percent.into() };
                assert_eq!(mirrored.read(&held), Ok(Some(at(cut))));
            }
        }
        assert_eq!(mirrored.mode_word(Mode::LegacyOnly), "old_monolith_v1_only");
    }

    #[test]
    fn keys_that_are_somebody_elses_or_nobodys_are_refused() {
        for key in ["system_mode", "app:mode", "{app}:mode", "a b", "\u{e4}"] {
            assert_eq!(check_key(key), Ok(()), "{key}");
        }
        assert_eq!(check_key("crossfade:{e}:revision"), Err(InvalidKey::Own));
        for key in ["", "a\nb", &"x".repeat(257)] {
            assert_eq!(check_key(key), Err(InvalidKey::Malformed), "{key}");
        }
        for key in ["{}a", "a}b", "a{b", "}{"] {
            assert_eq!(check_key(key), Err(InvalidKey::Braces), "{key}");
        }
        assert_eq!(slot_tag("a{b}c{d}"), Some("b"));
        assert_eq!(slot_tag("abc"), None);
    }
}
