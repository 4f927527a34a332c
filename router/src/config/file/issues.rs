//! The part of the file that says how issues are received; as the rest of it, everything is optional here.

use schemars::JsonSchema;
use serde::Deserialize;

use super::super::issues::{Preset, Scheme};
use super::super::read::{At, Many};
use super::super::units::{OneOf, Rate, Size};
use super::{Span, Switch, Text};

/// Webhooks about issues: each is kept before it is answered, and then sent to the side that its issue belongs to.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Issues {
    /// The migration that places the issues.
    #[schemars(required)]
    pub(in crate::config) migration: Text,
    /// Whose webhooks these are: `github`, or `json` for any other, described by the keys below.
    pub(in crate::config) preset: Option<At<OneOf<Preset>>>,
    /// The secret that the sender signs with; several while it is being changed.
    pub(in crate::config) secret: Option<At<Many<At<String>>>>,
    /// Files that hold one secret each.
    pub(in crate::config) secret_file: Option<At<Many<At<String>>>>,
    pub(in crate::config) signature: Option<At<Signature>>,
    /// What names a delivery: header:NAME or json:/POINTER.
    pub(in crate::config) delivery_id: Text,
    /// Places in the body that name the issue together.
    pub(in crate::config) key: Option<At<Many<At<String>>>>,
    /// What happened to the issue: json:/POINTER or header:NAME.
    pub(in crate::config) action: Text,
    /// The actions that count; all where left out.
    pub(in crate::config) actions: Option<At<Many<At<String>>>>,
    /// A place in the body that says when the issue was changed.
    pub(in crate::config) order_by: Text,
    /// The largest body.
    pub(in crate::config) body_max: Option<At<Size>>,
    pub(in crate::config) rate: Option<At<SourceRate>>,
    pub(in crate::config) legacy: Option<At<SideTarget>>,
    pub(in crate::config) new: Option<At<SideTarget>>,
    /// How long a system that has accepted an issue keeps it without a heartbeat.
    pub(in crate::config) lease: Span,
    /// Deliveries that new did not accept within a minute, in mode new_only, before everything rolls back; 0 for never.
    pub(in crate::config) rollback_after: Option<At<u32>>,
    /// Keeps deliveries while the store is away; relative to this file.
    pub(in crate::config) journal: Text,
    /// The largest that the journal may become.
    pub(in crate::config) journal_max: Option<At<Size>>,
    pub(in crate::config) reconcile: Option<At<Reconcile>>,
}

/// How a sender proves that it has the secret.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Signature {
    pub(in crate::config) scheme: Option<At<OneOf<Scheme>>>,
    /// The field that holds an HMAC.
    pub(in crate::config) header: Text,
    /// What stands before its digits.
    pub(in crate::config) prefix: Text,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct SourceRate {
    /// How fast one address may send.
    #[schemars(required)]
    pub(in crate::config) per_source: Option<At<Rate>>,
    /// How many may come at once.
    pub(in crate::config) burst: Option<At<u32>>,
}

/// How one side gets its deliveries.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct SideTarget {
    /// Where it takes them; the path of the route where left out.
    pub(in crate::config) path: Text,
    /// From the begin of a try to the head of its answer.
    pub(in crate::config) timeout: Span,
    /// How long it may work on an issue without a heartbeat.
    pub(in crate::config) max_duration: Span,
    /// Whether it changes nothing when a delivery says `Crossfade-Shadow: 1`; without, mode parallel sends it none.
    pub(in crate::config) dry_run: Switch,
}

/// Finds what GitHub could not deliver, and has it delivered again.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Reconcile {
    /// https://api.github.com where left out.
    pub(in crate::config) api: Text,
    /// May read issues and redeliver webhooks.
    pub(in crate::config) token: Text,
    pub(in crate::config) token_file: Text,
    /// Each OWNER/NAME.
    #[schemars(required)]
    pub(in crate::config) repositories: Option<At<Many<At<String>>>>,
    pub(in crate::config) interval: Span,
}
