//! What a sender told of webhooks that never arrived, as it leaves by HTTP.

use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use crate::reconcile::{Found, Lost};

/// What the sender told.
#[derive(Serialize, ToSchema)]
#[schema(as = Reconciled)]
pub(crate) struct ReconciledView {
    dry_run: bool,
    /// Deliveries that never arrived, and were asked for again unless it is a dry run.
    lost: Vec<LostView>,
    /// Issues that were changed of late and that the ledger does not know: look at the webhook's settings.
    unknown: Vec<String>,
    /// There is more than one call tells or asks for: call again when these have arrived.
    more: bool,
}

#[derive(Serialize, ToSchema)]
#[schema(as = LostDelivery)]
struct LostView {
    repository: String,
    delivery: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    action: Option<String>,
    /// When the sender tried last.
    #[schema(value_type = String, format = DateTime)]
    tried: Timestamp,
    /// What came of that; 0: no answer.
    status: u16,
    /// What the sender said to the request to deliver it again.
    #[serde(skip_serializing_if = "Option::is_none")]
    answered: Option<u16>,
}

impl ReconciledView {
    pub(crate) fn new(dry_run: bool, found: Found) -> Self {
        let Found { lost, unknown, more } = found;
        let unknown = unknown.iter().map(ToString::to_string).collect();
        Self { dry_run, lost: lost.into_iter().map(Into::into).collect(), unknown, more }
    }
}

impl From<Lost> for LostView {
    fn from(lost: Lost) -> Self {
        let Lost { repository, delivery, action, tried, status, answered } = lost;
        Self { repository, delivery, action, tried, status, answered }
    }
}
