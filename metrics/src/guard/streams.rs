//! The evidence of one migration, folded from blocks.
//!
//! The whole of it is a few kilobytes of JSON, so that any router of a fleet can take it from a shared store, fold the next block
//! and write it back. What is read back damaged is refused as a whole; evidence then begins anew, which is safe.

use serde::{Deserialize, Serialize};

use super::keys::Keys;
use super::measure::Measure;
use super::record::Span;
use super::seen::Seen;
use super::settings::GuardSettings;
use super::window::Window;
use crate::sequential::latency::QUANTILES;
use crate::sequential::{
    Betting, Block, Closed, Cohorts, Count, Evidence, FLEET, FLOOR, OneSample, PAIRED, Safety, TwoSample, is_unused,
};

/// Above this, evidence of a rollback has begun to rise.
const RISEN: f64 = 1.0;

/// One measure of success against the floor.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Floor {
    /// New is below it.
    #[serde(default, skip_serializing_if = "is_unused")]
    plain: OneSample,
    /// New is below it and legacy is not just as bad.
    #[serde(default, skip_serializing_if = "is_unused")]
    unshared: OneSample,
}

/// Everything that is known of a migration's two sides.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Streams {
    #[serde(default, skip_serializing_if = "is_unused")]
    requests: TwoSample,
    #[serde(default, skip_serializing_if = "is_unused")]
    refusals: TwoSample,
    #[serde(default, skip_serializing_if = "is_unused")]
    work: TwoSample,
    #[serde(default, skip_serializing_if = "is_unused")]
    latency: [TwoSample; QUANTILES.len()],
    #[serde(default, skip_serializing_if = "is_unused")]
    duration: Betting,
    #[serde(default, skip_serializing_if = "is_unused")]
    mismatch: OneSample,
    #[serde(default, skip_serializing_if = "is_unused")]
    quality: Cohorts,
    #[serde(default, skip_serializing_if = "is_unused")]
    floor_of_requests: Floor,
    #[serde(default, skip_serializing_if = "is_unused")]
    floor_of_work: Floor,
    #[serde(default, skip_serializing_if = "is_unused")]
    safety: Safety,
    #[serde(default, skip_serializing_if = "is_unused")]
    keys: Keys,
    #[serde(default, skip_serializing_if = "is_unused")]
    window: Window,
}

impl Streams {
    /// Takes in one block of the whole fleet.
    pub fn fold(&mut self, seen: &Seen, settings: &GuardSettings) {
        let (margin, deff) = (settings.margin(), seen.deff);
        let has_risen = self.rollback_evidence(settings).value() > RISEN;
        self.keys.fold(seen, has_risen);
        self.window.fold(&seen.requests);
        let pair = |stream: &mut TwoSample, block: &Block| {
            if seen.is_alone {
                stream.fold_alone(block.new, &FLEET, deff);
                return None;
            }
            stream.fold(block, &FLEET, margin, deff)
        };
        let requests = pair(&mut self.requests, &seen.requests);
        let work = pair(&mut self.work, &seen.work);
        pair(&mut self.refusals, &seen.refusals);
        if !seen.is_alone {
            for (stream, block) in self.latency.iter_mut().zip(&seen.latency) {
                stream.fold(block, &FLEET, margin, deff);
            }
        }
        self.floor_of_requests.fold(seen.requests.new, requests, seen, settings);
        self.floor_of_work.fold(seen.work.new, work, seen, settings);
        self.duration.fold(&seen.durations, settings.mean_duration_limit_seconds(), deff);
        let (only_new, only_legacy) = (f64::from(seen.pairs.only_new), f64::from(seen.pairs.only_legacy));
        self.mismatch.fold(Count::new(only_new + only_legacy, only_new), 0.5, &PAIRED, deff, None);
        self.quality.fold(&seen.matured, margin, deff);
    }

    /// Takes the same block as evidence that new is not worse by `delta`; a plan's step says by how much.
    pub fn fold_safety(&mut self, seen: &Seen, delta: f64) {
        self.safety.fold(&seen.requests, delta, seen.deff);
    }

    /// Forgets evidence and keeps rates: to be called after a rollback, and where a verdict asks for it.
    pub fn restart(&mut self) {
        let pairs = [&mut self.requests, &mut self.refusals, &mut self.work];
        pairs.into_iter().chain(&mut self.latency).for_each(TwoSample::restart);
        self.duration.restart();
        self.quality.restart();
        self.safety.restart();
        self.keys.restart();
        self.mismatch.restart();
        self.floor_of_requests = Floor::default();
        self.floor_of_work = Floor::default();
    }

    /// What one measure alone says.
    pub fn evidence(&self, measure: Measure) -> Evidence {
        match measure {
            Measure::MeanDuration => self.duration.evidence(),
            Measure::Mismatch => self.mismatch.evidence(),
            Measure::Quality => self.quality.evidence(),
            Measure::Floor => self.floor(|floor| &floor.plain),
            Measure::Requests
            | Measure::Refusals
            | Measure::Work
            | Measure::LatencyP50
            | Measure::LatencyP75
            | Measure::LatencyP90
            | Measure::LatencyP95
            | Measure::LatencyP99 => self.pair(measure).evidence(),
        }
    }

    /// What a measure may add to a rollback: less than it says where it may only hold.
    fn rollback_part(&self, measure: Measure, settings: &GuardSettings) -> Evidence {
        let evidence = self.evidence(measure);
        match measure {
            Measure::MeanDuration => evidence.harmless(),
            Measure::Quality if !settings.quality_can_rollback() => evidence.harmless(),
            Measure::Floor => self.floor(|floor| &floor.unshared),
            _ => evidence,
        }
    }

    /// The mean that is compared with the thresholds of brake and rollback.
    pub fn rollback_evidence(&self, settings: &GuardSettings) -> Evidence {
        Evidence::mean(Measure::ALL.map(|measure| (measure.weight(), self.rollback_part(measure, settings))))
    }

    /// The mean that is compared with the threshold of a hold.
    pub fn hold_evidence(&self) -> Evidence {
        Evidence::mean(Measure::ALL.map(|measure| (measure.weight(), self.evidence(measure))))
    }

    /// Evidence that new is not worse by the margin that was asked for last.
    pub fn safety_evidence(&self) -> f64 {
        self.safety.evidence()
    }

    /// The measure that adds most to what rolls back, or to what holds.
    pub(super) fn leading(&self, rollback: Option<&GuardSettings>) -> Measure {
        let part = |measure: Measure| {
            let evidence =
                rollback.map_or_else(|| self.evidence(measure), |settings| self.rollback_part(measure, settings));
            measure.weight() * evidence.value()
        };
        let larger = |most: Measure, next: Measure| if part(next) > part(most) { next } else { most };
        Measure::ALL.into_iter().fold(Measure::Requests, larger)
    }

    /// Whether the last few blocks of a measure still spoke against new.
    pub(super) fn is_still_bad(&self, measure: Measure) -> bool {
        match measure {
            Measure::MeanDuration => self.duration.is_still_bad(),
            Measure::Mismatch => self.mismatch.is_still_bad(),
            Measure::Floor => {
                self.floor_of_requests.unshared.is_still_bad() || self.floor_of_work.unshared.is_still_bad()
            }
            _ => self.pair(measure).is_still_bad(),
        }
    }

    /// Counts to show for a measure, and of how long. A measure without sides of its own shows requests.
    pub(super) fn counts(&self, measure: Measure) -> (Block, Span) {
        let now = self.window.sum();
        let shows_requests = matches!(measure, Measure::Requests | Measure::Floor);
        if shows_requests && now.new.total > 0.0 && now.legacy.total > 0.0 {
            return (now, Span::LastSeconds);
        }
        (*self.pair(measure).past(), Span::LastMinutes)
    }

    /// The rate of failure of new in the last ten seconds, or of late where it had no requests in them.
    pub(super) fn new_rate(&self) -> Option<f64> {
        self.window.sum().new.rate().or_else(|| self.requests.past().new.rate())
    }

    /// The rate of failure of legacy's last 200 requests.
    pub(super) fn legacy_rate(&self) -> Option<f64> {
        self.window.legacy_rate()
    }

    /// What both sides did in the last ten seconds.
    pub fn last_seconds(&self) -> Block {
        self.window.sum()
    }

    pub const fn keys(&self) -> &Keys {
        &self.keys
    }

    pub const fn quality(&self) -> &Cohorts {
        &self.quality
    }

    fn pair(&self, measure: Measure) -> &TwoSample {
        match measure {
            Measure::Refusals => &self.refusals,
            Measure::Work => &self.work,
            Measure::LatencyP50 => &self.latency[0],
            Measure::LatencyP75 => &self.latency[1],
            Measure::LatencyP90 => &self.latency[2],
            Measure::LatencyP95 => &self.latency[3],
            Measure::LatencyP99 => &self.latency[4],
            Measure::Quality => self.quality.leading(),
            Measure::Requests | Measure::MeanDuration | Measure::Mismatch | Measure::Floor => &self.requests,
        }
    }

    fn floor(&self, which: fn(&Floor) -> &OneSample) -> Evidence {
        let of = |floor| (0.5, which(floor).evidence());
        Evidence::mean([of(&self.floor_of_requests), of(&self.floor_of_work)])
    }
}

impl Floor {
    /// `closed` is the block of both sides that these counts completed, if they did.
    fn fold(&mut self, new: Count, closed: Option<Closed>, seen: &Seen, settings: &GuardSettings) {
        let rate = settings.floor_rate();
        self.plain.fold(new, rate, &FLOOR, seen.deff, None);
        if seen.is_alone {
            self.unshared.fold(new, rate, &FLOOR, seen.deff, None);
        } else if let Some(Closed { block, ln_factor }) = closed {
            self.unshared.fold(block.new, rate, &FLOOR, seen.deff, Some(ln_factor));
        }
    }
}
