//! What the sender of a webhook is told.
//!
//! Success has the shape of the issue-agents story: `{"status": "routed", "systems": ["python"], "mode": "gradual"}`, the
//! systems and the modes of one side named by the labels of the sides. Everything else is a problem like any other of
//! the router's, by a code that [`crate::error`] knows.

use flags::ledger::{DeliveryId, IssueId, Ownership};
use flags::migration::Labels;
use flags::mirror::only;
use flags::{Mode, Side};
use serde_json::{Value, json};
use thiserror::Error;

use super::payload::Unreadable;

/// Seconds after which a sender may try again what could not be kept.
const RETRY_AFTER_SECONDS: u64 = 5;

/// Why a webhook was not taken.
#[derive(Debug, Error)]
pub(crate) enum Unaccepted {
    #[error("The signature of this webhook is not valid.")]
    Unsigned,
    #[error("Webhooks are sent to this path by POST.")]
    OnlyPost,
    #[error("This webhook cannot be read: {}.", .0.words())]
    Unreadable(Unreadable),
    #[error("This delivery id was used for another body before.")]
    Conflict,
    #[error("Webhooks come faster from this address than they may.")]
    TooFast { seconds: u64 },
    #[error("This proxy holds as many webhooks as it may at a time.")]
    NoRoom,
    #[error("This webhook can be kept nowhere at the moment.")]
    NoLedger,
}

impl Unaccepted {
    pub(crate) const fn status(&self) -> u16 {
        match self {
            Self::Unsigned => 401,
            Self::OnlyPost => 405,
            Self::Conflict => 409,
            Self::Unreadable(_) => 422,
            Self::TooFast { .. } => 429,
            Self::NoRoom | Self::NoLedger => 503,
        }
    }

    pub(crate) const fn code(&self) -> &'static str {
        match self {
            Self::Unsigned => "webhook_unsigned",
            Self::OnlyPost => "webhook_only_post",
            Self::Unreadable(Unreadable::NotJson(_)) => "webhook_not_json",
            Self::Unreadable(Unreadable::NoDelivery(_)) => "webhook_without_id",
            Self::Unreadable(Unreadable::NoKey(_)) => "webhook_without_issue",
            Self::Unreadable(Unreadable::NotANumber(_)) => "webhook_without_number",
            Self::Conflict => "webhook_conflict",
            Self::TooFast { .. } => "webhook_too_fast",
            Self::NoRoom => "webhook_no_room",
            Self::NoLedger => "webhook_not_kept",
        }
    }

    /// Seconds to wait before another try; none where no other try would help.
    pub(crate) const fn retry_after(&self) -> Option<u64> {
        match self {
            Self::TooFast { seconds } => Some(*seconds),
            Self::NoRoom | Self::NoLedger => Some(RETRY_AFTER_SECONDS),
            Self::Unsigned | Self::OnlyPost | Self::Unreadable(_) | Self::Conflict => None,
        }
    }
}

/// One of each, for tests that something holds for all.
#[cfg(test)]
pub(crate) fn every_refusal() -> Vec<Unaccepted> {
    let words = || "a \"word\"\n".to_owned();
    vec![
        Unaccepted::Unsigned,
        Unaccepted::OnlyPost,
        Unaccepted::Unreadable(Unreadable::NotJson(words())),
        Unaccepted::Unreadable(Unreadable::NoDelivery(words())),
        Unaccepted::Unreadable(Unreadable::NoKey(words())),
        Unaccepted::Unreadable(Unreadable::NotANumber(words())),
        Unaccepted::Conflict,
        Unaccepted::TooFast { seconds: 1 },
        Unaccepted::NoRoom,
        Unaccepted::NoLedger,
    ]
}

/// A whole answer that is no problem.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Said {
    pub(crate) status: u16,
    pub(crate) body: String,
}

impl Said {
    fn new(status: u16, body: &Value) -> Self {
        Self { status, body: format!("{body}\n") }
    }

    pub(crate) fn pong() -> Self {
        Self::new(200, &json!({ "status": "pong" }))
    }

    pub(crate) fn ignored(action: Option<&str>) -> Self {
        Self::new(200, &json!({ "status": "ignored", "action": action }))
    }

    /// It is kept, and goes to these.
    pub(crate) fn routed(labels: &Labels, mode: Mode, about: About<'_>, owners: &[Ownership]) -> Self {
        let mut body = about.value("routed");
        body["systems"] = systems(labels, owners.iter().map(|own| own.owner));
        body["mode"] = json!(mode_word(labels, mode));
        Self::new(202, &body)
    }

    /// It was kept before, and nothing is done twice.
    pub(crate) fn duplicate(labels: &Labels, mode: Mode, about: About<'_>, owners: &[Ownership]) -> Self {
        let mut body = about.value("duplicate");
        body["systems"] = systems(labels, owners.iter().map(|own| own.owner));
        body["mode"] = json!(mode_word(labels, mode));
        Self::new(200, &body)
    }

    /// It is kept by this router alone until the store is back; only then is it known whose its issue is.
    pub(crate) fn journalled(labels: &Labels, mode: Mode, about: About<'_>) -> Self {
        let mut body = about.value("journalled");
        body["systems"] = json!([]);
        body["mode"] = json!(mode_word(labels, mode));
        Self::new(202, &body)
    }
}

/// Which delivery an answer is about.
#[derive(Clone, Copy, Debug)]
pub(crate) struct About<'a> {
    pub(crate) delivery: &'a DeliveryId,
    pub(crate) issue: &'a IssueId,
}

impl About<'_> {
    fn value(self, status: &str) -> Value {
        json!({ "status": status, "delivery": self.delivery, "issue": self.issue })
    }
}

/// Each once, by its label.
fn systems(labels: &Labels, sides: impl Iterator<Item = Side>) -> Value {
    let mut names: Vec<String> = Vec::new();
    for side in sides {
        let name = system(labels, side);
        if !names.contains(&name) {
            names.push(name);
        }
    }
    json!(names)
}

/// `TypeScript` as `typescript`.
fn system(labels: &Labels, side: Side) -> String {
    let label = match side {
        Side::Legacy => &labels.legacy,
        Side::New => &labels.new,
    };
    only(label).trim_end_matches("_only").to_owned()
}

/// In the words of the story: `typescript_only`, `parallel`, `gradual`, `python_only`, `emergency_rollback`.
fn mode_word(labels: &Labels, mode: Mode) -> String {
    match mode {
        Mode::LegacyOnly => only(&labels.legacy),
        Mode::NewOnly => only(&labels.new),
        Mode::Parallel | Mode::Gradual | Mode::EmergencyRollback => mode.name().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use flags::ledger::Lane;

    use super::*;

    fn own(lane: Lane, owner: Side) -> Ownership {
        Ownership { lane, owner, epoch: 1 }
    }

    #[track_caller]
    fn check(said: &Said, status: u16, body: &Value) {
        let found: Value = serde_json::from_str(&said.body).unwrap();
        assert_eq!((said.status, &found), (status, body));
    }

    #[test]
    fn answers_have_the_shape_of_the_story() {
        let labels = Labels { legacy: "TypeScript".into(), new: "Python".into() };
        let (delivery, issue) = (DeliveryId::new("d-1").unwrap(), IssueId::new("octo/hello#7").unwrap());
        let about = About { delivery: &delivery, issue: &issue };
        let body = |status: &str, systems: Value, mode: &str| json!({ "status": status, "delivery": "d-1", "issue": "octo/hello#7", "systems": systems, "mode": mode });
        let one = [own(Lane::Only, Side::New)];
        check(&Said::routed(&labels, Mode::Gradual, about, &one), 202, &body("routed", json!(["python"]), "gradual"));
        let routed = Said::routed(&labels, Mode::NewOnly, about, &one);
        check(&routed, 202, &body("routed", json!(["python"]), "python_only"));
        let both = [own(Lane::Legacy, Side::Legacy), own(Lane::New, Side::New)];
        let routed = Said::routed(&labels, Mode::Parallel, about, &both);
        check(&routed, 202, &body("routed", json!(["typescript", "python"]), "parallel"));
        let twice = Said::duplicate(&labels, Mode::LegacyOnly, about, &[own(Lane::Only, Side::Legacy)]);
        check(&twice, 200, &body("duplicate", json!(["typescript"]), "typescript_only"));
        let kept = Said::journalled(&labels, Mode::EmergencyRollback, about);
        check(&kept, 202, &body("journalled", json!([]), "emergency_rollback"));
        check(&Said::ignored(Some("closed")), 200, &json!({ "status": "ignored", "action": "closed" }));
        check(&Said::ignored(None), 200, &json!({ "status": "ignored", "action": null }));
    }

    #[test]
    fn who_may_try_again_is_told_when() {
        for refusal in every_refusal() {
            assert_eq!(refusal.retry_after().is_some(), matches!(refusal.status(), 429 | 503), "{refusal:?}");
        }
    }
}
