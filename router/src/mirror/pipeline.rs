//! What the copies of one migration share, over all workers and reloads of the file.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use flags::MigrationId;
use metrics::mismatch::{Mismatches, RouteCells};

use super::breaker::Breaker;
use super::budget::Budget;
use crate::config::{Config, Mirroring};

/// One migration's copies.
#[derive(Debug)]
pub(crate) struct Pipeline {
    pub(crate) id: MigrationId,
    pub(crate) settings: Mirroring,
    pub(crate) budget: Arc<Budget>,
    pub(crate) breaker: Arc<Breaker>,
    /// Against which the breaker's time is told.
    born: Instant,
}

impl Pipeline {
    /// Those of a file. A migration that was there `before` keeps what is in use and what is known of its other side.
    pub(crate) fn all(config: &Config, before: &[Arc<Self>]) -> Vec<Arc<Self>> {
        let known: HashMap<&MigrationId, &Arc<Self>> = before.iter().map(|own| (&own.id, own)).collect();
        let ids = config.definitions.migrations().iter().map(|migration| &migration.id);
        let pipeline = |(id, settings): (&MigrationId, &Mirroring)| {
            let (memory, in_flight) = (settings.memory, settings.in_flight);
            let (budget, breaker, born) = match known.get(id) {
                Some(known) => {
                    known.budget.limit(memory, in_flight);
                    (Arc::clone(&known.budget), Arc::clone(&known.breaker), known.born)
                }
                None => (Budget::new(memory, in_flight), Arc::default(), Instant::now()),
            };
            Arc::new(Self { id: id.clone(), settings: settings.clone(), budget, breaker, born })
        };
        ids.zip(&config.mirroring).map(pipeline).collect()
    }

    /// Milliseconds of the breaker's clock.
    pub(crate) fn now(&self) -> u64 {
        u64::try_from(self.born.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

/// A route as what is compared is counted by.
#[derive(Debug)]
pub(crate) struct Counted {
    pub(crate) template: Arc<str>,
    /// Found when the first request of the route is copied, because most routes of most files never see one.
    cells: OnceLock<Arc<RouteCells>>,
}

impl Counted {
    pub(crate) fn new(template: &str) -> Self {
        Self { template: template.into(), cells: OnceLock::new() }
    }

    pub(crate) fn cells(&self, mismatches: &Mismatches, id: &MigrationId) -> Arc<RouteCells> {
        Arc::clone(self.cells.get_or_init(|| mismatches.route(id, &self.template)))
    }
}
