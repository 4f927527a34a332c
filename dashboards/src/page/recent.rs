//! The newest comparisons, so that many open pages cost the store as much as one.
//!
//! One at a time is made: whoever comes meanwhile waits for it and takes it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use flags::MigrationId;
use tokio::sync::Mutex;

use super::COMPARED_MAX;
use crate::Shared;
use crate::api::comparison::{ComparisonView, compare};

/// How far back pages look.
const WINDOW_SECONDS: u64 = 600;

/// How long a comparison is new enough for a page.
const KEPT: Duration = Duration::from_secs(5);

/// When it was made, and what came of it; a store that does not answer is not asked again at once either.
type Made = (Instant, Option<Arc<ComparisonView>>);

/// See the module.
#[derive(Default)]
pub(crate) struct Recent(Mutex<BTreeMap<MigrationId, Made>>);

impl Recent {
    /// How both sides of a migration did in the last ten minutes, or in those that ended some seconds ago.
    pub(super) async fn compare(&self, shared: &Shared, id: &MigrationId) -> Option<Arc<ComparisonView>> {
        let mut kept = self.0.lock().await;
        kept.retain(|_, (made, _)| made.elapsed() < KEPT);
        if let Some((_, comparison)) = kept.get(id) {
            return comparison.clone();
        }
        let comparison = compare(shared, id, WINDOW_SECONDS).await.ok().map(Arc::new);
        if kept.len() < COMPARED_MAX {
            kept.insert(id.clone(), (Instant::now(), comparison.clone()));
        }
        comparison
    }
}
