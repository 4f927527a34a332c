//! Rules of the comparison that people accepted while the routers run: plain data with an owner, a reason and an end.
//!
//! # Why not in the file
//!
//! A rule is accepted by somebody who looks at what was found, on one router of many. It has to reach all of them in one order,
//! be in the audit and be taken back as any other change; all of that the state has and a file has not.
//!
//! Not here: what a path and a kind mean. Whoever asks for the change knows (`metrics::compare`) and has checked it; what does
//! not read on a router is left out there and told.

use jiff::Timestamp;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use thiserror::Error;

use crate::state::hex;

/// Rules that a migration may have accepted.
pub const RULES_MAX: usize = 64;

/// All of them together, in bytes of JSON, so that a document stays small.
pub const RULES_BYTES_MAX: usize = 32 * 1024;

/// The longest path, kind and route, in bytes.
pub const RULE_TEXT_BYTES_MAX: usize = 512;

/// The longest name of an owner, in bytes.
pub const OWNER_BYTES_MAX: usize = 128;

/// How long a rule holds unless said, and at most: it is to be looked at again.
pub const EXPIRES_DAYS: i64 = 30;
pub const EXPIRES_DAYS_MAX: i64 = 366;

/// One accepted rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AcceptedRule {
    /// Of route, path and kind: the same rule accepted again replaces the first.
    pub id: String,
    /// As `$.items[*].id`, `header:location` or `status`.
    pub path: String,
    /// In JSON, as the file has it: `"shape"` or `{"tolerance":{"absolute":0.01}}`.
    pub kind: String,
    /// The route's path template; all routes without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub route: Option<String>,
    /// Who answers for it.
    pub owner: String,
    pub reason: String,
    /// The last day on which it holds, in UTC.
    pub expires: Date,
    /// When it was accepted: what was found later, it did not let pass.
    pub accepted: Timestamp,
}

/// A rule before and after a change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleChange {
    pub before: Option<AcceptedRule>,
    pub after: Option<AcceptedRule>,
}

/// What is wrong with a rule, in words for who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum InvalidRule {
    #[error(
        "the rule's {0} is empty or too long: path, kind and route have {RULE_TEXT_BYTES_MAX} bytes at most, an owner {OWNER_BYTES_MAX}"
    )]
    Text(&'static str),
    #[error("the rule's {0} contains a control character such as a line break; write it on one line")]
    ControlCharacter(&'static str),
    #[error("the rule would end on {0}, which is past")]
    AlreadyOver(Date),
    #[error("the rule would end on {0}; a rule is looked at again after {EXPIRES_DAYS_MAX} days at most")]
    TooLong(Date),
    #[error(
        "this migration has {RULES_MAX} accepted rules, or {RULES_BYTES_MAX} bytes of them; remove some, or let one on an object stand for those below it"
    )]
    TooMany,
    #[error(
        "this migration has no accepted rule of this id; `crossfade rule list` (GET /api/v1/migrations/ID/rules) has those that there are"
    )]
    Unknown,
}

impl AcceptedRule {
    /// The id of a rule at this place.
    pub fn id_of(route: Option<&str>, path: &str, kind: &str) -> String {
        let mut hash = Sha256::new();
        for part in [route.unwrap_or_default(), path, kind] {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part.as_bytes());
        }
        hex(&hash.finalize()[..6])
    }

    /// Whether it no longer holds on a day.
    pub fn is_expired(&self, today: Date) -> bool {
        self.expires < today
    }

    /// Whether both let the same pass for as long, for the same reasons.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        Self { accepted: other.accepted, ..self.clone() } == *other
    }

    pub(crate) fn check(&self, today: Date) -> Result<(), InvalidRule> {
        let texts = [
            ("path", self.path.as_str(), RULE_TEXT_BYTES_MAX),
            ("kind", &self.kind, RULE_TEXT_BYTES_MAX),
            ("route", self.route.as_deref().unwrap_or("/"), RULE_TEXT_BYTES_MAX),
            ("owner", &self.owner, OWNER_BYTES_MAX),
            ("id", &self.id, OWNER_BYTES_MAX),
        ];
        for (name, text, bytes_max) in texts {
            if text.trim().is_empty() || text.len() > bytes_max {
                return Err(InvalidRule::Text(name));
            }
            if text.chars().any(char::is_control) {
                return Err(InvalidRule::ControlCharacter(name));
            }
        }
        if self.expires < today {
            return Err(InvalidRule::AlreadyOver(self.expires));
        }
        let last = today.saturating_add(jiff::Span::new().days(EXPIRES_DAYS_MAX));
        if self.expires > last { Err(InvalidRule::TooLong(self.expires)) } else { Ok(()) }
    }
}

/// The rules after a change; those that are over make room.
pub(crate) fn changed(
    rules: &[AcceptedRule],
    change: &RuleChange,
    today: Date,
) -> Result<Vec<AcceptedRule>, InvalidRule> {
    let ids = [&change.before, &change.after].map(|rule| rule.as_ref().map(|rule| rule.id.as_str()));
    let is_other = |rule: &&AcceptedRule| !ids.contains(&Some(rule.id.as_str()));
    let mut changed: Vec<AcceptedRule> = rules.iter().filter(is_other).cloned().collect();
    let is_full = |rules: &[AcceptedRule]| {
        let bytes = serde_json::to_vec(rules).map_or(usize::MAX, |text| text.len());
        rules.len() > RULES_MAX || bytes > RULES_BYTES_MAX
    };
    if let Some(after) = &change.after {
        changed.push(after.clone());
        if is_full(&changed) {
            changed.retain(|rule| !rule.is_expired(today));
        }
        if is_full(&changed) {
            return Err(InvalidRule::TooMany);
        }
    }
    changed.sort_by(|a, b| a.id.cmp(&b.id));
    Ok(changed)
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;

    pub(crate) fn rule(path: &str) -> AcceptedRule {
        let (kind, route) = (r#""shape""#.to_owned(), Some("/orders/{id}".to_owned()));
        let id = AcceptedRule::id_of(route.as_deref(), path, &kind);
        let (owner, reason) = ("ann".into(), "made anew".into());
        AcceptedRule {
            id,
            path: path.into(),
            kind,
            route,
            owner,
            reason,
            expires: date(2026, 12, 31),
            accepted: Timestamp::UNIX_EPOCH,
        }
    }

    const TODAY: Date = date(2026, 12, 1);

    #[track_caller]
    fn check(edit: impl Fn(&mut AcceptedRule), expected: Result<(), InvalidRule>) {
        let mut rule = rule("$.id");
        edit(&mut rule);
        assert_eq!(rule.check(TODAY), expected);
    }

    #[test]
    fn a_rule_is_short_and_has_an_owner_and_an_end() {
        check(|_| {}, Ok(()));
        check(|rule| rule.route = None, Ok(()));
        check(|rule| rule.expires = TODAY, Ok(()));
        check(|rule| rule.expires = date(2026, 11, 30), Err(InvalidRule::AlreadyOver(date(2026, 11, 30))));
        check(|rule| rule.expires = date(2028, 1, 1), Err(InvalidRule::TooLong(date(2028, 1, 1))));
        check(|rule| rule.owner = " ".into(), Err(InvalidRule::Text("owner")));
        check(|rule| rule.path = "$".repeat(513), Err(InvalidRule::Text("path")));
        check(|rule| rule.kind = "\"a\nb\"".into(), Err(InvalidRule::ControlCharacter("kind")));
    }

    #[test]
    fn rules_are_replaced_by_their_id_and_bounded() {
        let put = |rules: &[AcceptedRule], after: AcceptedRule| {
            changed(rules, &RuleChange { before: None, after: Some(after) }, TODAY)
        };
        let mut rules = Vec::new();
        for n in 0..RULES_MAX {
            rules = put(&rules, rule(&format!("$.a{n}"))).unwrap();
        }
        assert_eq!(put(&rules, rule("$.more")), Err(InvalidRule::TooMany));
        let again = AcceptedRule { reason: "another".into(), ..rule("$.a7") };
        rules = put(&rules, again.clone()).unwrap();
        assert!(rules.len() == RULES_MAX && rules.contains(&again));
        rules[3].expires = date(2026, 11, 1);
        assert_eq!(put(&rules, rule("$.more")).unwrap().len(), RULES_MAX, "one that was over made room");
        let removed = changed(&rules, &RuleChange { before: Some(again), after: None }, TODAY).unwrap();
        assert_eq!(removed.len(), RULES_MAX - 1);
        let large = AcceptedRule { reason: "r".repeat(40_000), ..rule("$.large") };
        assert_eq!(put(&[], large), Err(InvalidRule::TooMany));
    }
}
