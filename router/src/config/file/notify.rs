//! The part of the file that says who is told; as the rest of it, everything is optional here.

use metrics::notice::Kind;
use schemars::JsonSchema;
use serde::Deserialize;

use super::super::read::{At, Many};
use super::super::units::OneOf;
use super::Text;

/// One receiver of notices: exactly one of webhook, slack, alertmanager, pagerduty.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct NotifyTarget {
    /// What it is told of; everything but mode_changed where left out.
    pub(in crate::config) on: Option<At<Many<At<OneOf<Kind>>>>>,
    pub(in crate::config) webhook: Option<At<Webhook>>,
    pub(in crate::config) slack: Option<At<Slack>>,
    pub(in crate::config) alertmanager: Option<At<Alertmanager>>,
    pub(in crate::config) pagerduty: Option<At<PagerDuty>>,
    /// A PEM file with the authorities that have signed the certificate of the receiver; the system's where left out.
    pub(in crate::config) ca_file: Text,
}

/// A POST of JSON, signed as Standard Webhooks says.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Webhook {
    #[schemars(required)]
    pub(in crate::config) url: Text,
    /// whsec_ and 24 to 64 bytes in base64.
    pub(in crate::config) secret: Text,
    /// A file that holds the secret.
    pub(in crate::config) secret_file: Text,
}

/// An incoming webhook of Slack.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Slack {
    pub(in crate::config) url: Text,
    /// A file that holds the address.
    pub(in crate::config) url_file: Text,
}

/// An Alertmanager of Prometheus.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Alertmanager {
    /// Its address, without /api/v2/alerts.
    #[schemars(required)]
    pub(in crate::config) url: Text,
}

/// The Events API v2 of PagerDuty.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct PagerDuty {
    /// The integration key of a service.
    pub(in crate::config) routing_key: Text,
    /// A file that holds the key.
    pub(in crate::config) routing_key_file: Text,
    /// https://events.pagerduty.com/v2/enqueue where left out.
    pub(in crate::config) url: Text,
}
