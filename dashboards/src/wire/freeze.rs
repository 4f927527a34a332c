//! The freeze of the environment, and who said what about it.

use flags::Revision;
use flags::control::Frozen;
use flags::freeze::{FreezeEntry, FreezeKind};
use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa::openapi::schema::ObjectBuilder;

use super::words;

fn kind_schema() -> ObjectBuilder {
    words(FreezeKind::ALL.map(FreezeKind::name))
}

/// Who froze, why, since when and until when.
#[derive(Serialize, ToSchema)]
#[schema(as = Freeze)]
pub(crate) struct FreezeView {
    /// The token's name.
    pub(crate) actor: String,
    pub(crate) reason: String,
    #[schema(value_type = String, format = DateTime)]
    pub(crate) time: Timestamp,
    /// The first instant at which it no longer holds; absent until somebody thaws.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub(crate) until: Option<Timestamp>,
}

impl From<FreezeEntry> for FreezeView {
    fn from(entry: FreezeEntry) -> Self {
        let FreezeEntry { actor, reason, time, until, .. } = entry;
        Self { actor, reason, time, until }
    }
}

/// One word on the freeze.
#[derive(Serialize, ToSchema)]
#[schema(as = FreezeEntry)]
pub(crate) struct FreezeEntryView {
    #[schema(schema_with = kind_schema)]
    pub(crate) kind: &'static str,
    /// Of the whole environment.
    #[schema(value_type = u64)]
    pub(crate) revision: Revision,
    #[serde(flatten)]
    pub(crate) freeze: FreezeView,
}

impl From<FreezeEntry> for FreezeEntryView {
    fn from(entry: FreezeEntry) -> Self {
        Self { kind: entry.kind.name(), revision: entry.revision, freeze: entry.into() }
    }
}

/// Whether nothing may move toward new. All but `frozen` is present while it is.
#[derive(Serialize, ToSchema)]
#[schema(as = FreezeNow)]
pub(crate) struct FreezeNowView {
    pub(crate) frozen: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) actor: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub(crate) time: Option<Timestamp>,
    /// The first instant at which it no longer holds; absent until somebody thaws.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub(crate) until: Option<Timestamp>,
}

impl From<Option<FreezeEntry>> for FreezeNowView {
    fn from(freeze: Option<FreezeEntry>) -> Self {
        match freeze {
            Some(FreezeEntry { actor, reason, time, until, .. }) => {
                Self { frozen: true, actor: Some(actor), reason: Some(reason), time: Some(time), until }
            }
            None => Self { frozen: false, actor: None, reason: None, time: None, until: None },
        }
    }
}

/// How it is, and what was said before.
#[derive(Serialize, ToSchema)]
#[schema(as = FreezeState)]
pub(crate) struct FreezeStateView {
    #[serde(flatten)]
    pub(crate) now: FreezeNowView,
    /// The last 100 freezes and thaws, newest first.
    pub(crate) history: Vec<FreezeEntryView>,
}

impl FreezeStateView {
    pub(crate) fn new(freeze: Option<FreezeEntry>, entries: Vec<FreezeEntry>) -> Self {
        Self { now: freeze.into(), history: entries.into_iter().map(Into::into).collect() }
    }
}

/// What a freeze or a thaw did, or would do.
#[derive(Serialize, ToSchema)]
#[schema(as = FreezeChange)]
pub(crate) struct FreezeChangeView {
    #[serde(flatten)]
    pub(crate) now: FreezeNowView,
    /// False: there was nothing to thaw, and nothing was written.
    pub(crate) changed: bool,
    pub(crate) dry_run: bool,
}

impl FreezeChangeView {
    pub(crate) fn new(frozen: Frozen, dry_run: bool) -> Self {
        Self { changed: frozen.changed, now: frozen.freeze.into(), dry_run }
    }
}
