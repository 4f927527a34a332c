//! One migration as it stands at a moment, as far as a judgement asks.
//!
//! Not here: what was counted.

use flags::guard::GuardAction;
use flags::state::Document;
use flags::tally::Slot;
use flags::{BasisPoints, Migration, Mode, Side};
use jiff::Timestamp;

use crate::guard::GuardSettings;

/// One migration as it stands, for a judgement.
#[derive(Clone, Copy, Debug)]
pub(super) struct Situation<'a> {
    pub(super) definition: &'a Migration,
    pub(super) document: &'a Document,
    /// In which this router serves it; a rollback that is not stored yet is ahead.
    pub(super) mode: Mode,
    /// What health checks say of legacy.
    pub(super) legacy_probe: Option<bool>,
    pub(super) now: Timestamp,
    /// The slot that runs.
    pub(super) slot: Slot,
}

impl Situation<'_> {
    /// The share of callers that new serves, as far as the mode tells; 0..=1.
    pub(super) fn exposure(&self) -> f64 {
        match self.mode {
            Mode::LegacyOnly | Mode::EmergencyRollback => 0.0,
            Mode::Gradual => f64::from(self.document.share.get()) / 10_000.0,
            Mode::NewOnly => 1.0,
            Mode::Parallel if self.definition.parallel.serve == Side::New => 1.0,
            Mode::Parallel => 0.0,
        }
    }

    /// Whether new should have traffic, of callers or of copies.
    pub(super) fn expects_new(&self) -> bool {
        self.exposure() > 0.0 || (self.mode == Mode::Parallel && self.definition.parallel.share > BasisPoints::ZERO)
    }

    /// Whether there is nothing beside new to compare it with.
    pub(super) fn is_alone(&self) -> bool {
        self.mode == Mode::NewOnly || (self.mode == Mode::Gradual && self.document.share == BasisPoints::ALL)
    }

    pub(super) fn settings(&self) -> GuardSettings {
        let guard = &self.definition.guard;
        let share = |share: BasisPoints| f64::from(share.get()) / 10_000.0;
        let usual = GuardSettings::default();
        // What the file allows is within what a guard allows, so that nothing is ever left at its default here.
        let settings = usual.with_success_floor(share(guard.success_floor)).unwrap_or(usual);
        let limit = guard.mean_duration_limit.as_secs_f64();
        let settings = settings.with_mean_duration_limit_seconds(limit).unwrap_or(settings);
        let settings = settings.with_margin(share(guard.margin)).unwrap_or(settings);
        let settings = settings.with_alpha(share(guard.alpha)).unwrap_or(settings);
        settings
            .with_quality_can_rollback(guard.quality_can_rollback)
            .with_reversible(self.definition.reversible && guard.action == GuardAction::Rollback)
    }
}
