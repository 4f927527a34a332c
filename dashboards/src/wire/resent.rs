//! Delivered events that are sent once more, as they leave by HTTP.

use flags::Side;
use flags::ledger::past::{Again, Delivered, Resent};
use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa::openapi::schema::ObjectBuilder;

use super::issues::time;
use super::words;

fn resent_schema() -> ObjectBuilder {
    words(Resent::ALL.map(Resent::name))
}

/// What became of each, or would.
#[derive(Serialize, ToSchema)]
#[schema(as = IssuesResent)]
pub(crate) struct ResentView {
    dry_run: bool,
    events: Vec<AgainView>,
    /// There are more than one call takes: go on with this as `since`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    next_since: Option<Timestamp>,
    /// There may be older ones that were asked for: what was delivered before this was not looked at; name it by its id.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    from: Option<Timestamp>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = IssueResent)]
struct AgainView {
    delivery: String,
    #[schema(schema_with = resent_schema)]
    resent: &'static str,
    /// The same in words.
    why: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    issue: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lane: Option<&'static str>,
    /// Who had it, and gets it again.
    #[serde(skip_serializing_if = "Option::is_none")]
    side: Option<&'static str>,
}

impl ResentView {
    pub(crate) const fn new(dry_run: bool) -> Self {
        Self { dry_run, events: Vec::new(), next_since: None, from: None }
    }

    pub(crate) fn between(self, found: &Delivered) -> Self {
        Self { next_since: found.next_ms.map(time), from: found.from_ms.map(time), ..self }
    }

    pub(crate) fn tell(&mut self, told: &[Again]) {
        self.events = told.iter().map(Into::into).collect();
    }
}

impl From<&Again> for AgainView {
    fn from(again: &Again) -> Self {
        let Again { delivery, resent, had } = again;
        let had = had.as_ref();
        Self {
            delivery: delivery.to_string(),
            resent: resent.name(),
            why: why(*resent),
            issue: had.map(|(at, _)| at.issue.to_string()),
            lane: had.map(|(at, _)| at.lane.name()),
            side: had.map(|(_, side)| Side::name(*side)),
        }
    }
}

pub(crate) const fn why(resent: Resent) -> &'static str {
    match resent {
        Resent::Again => "it goes to the system that had it, behind what waits",
        Resent::Unknown => "no delivery of this id came within the last eight days",
        Resent::Gone => "its body was kept for a day after it was delivered, and is not there any more",
        Resent::Waits => "it is not delivered yet, or waits already",
        Resent::NotDelivered => "it was never delivered: a person gave it up",
        Resent::Forgotten => "its issue ended long ago and is not in the ledger any more",
        Resent::Moved => "its issue is the other system's by now, which would do again what was done",
        Resent::RolledBack => "new had it, and gets nothing after an emergency rollback",
        Resent::Full => "as much waits as may",
    }
}
