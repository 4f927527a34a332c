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
    Betting, Block, ByGroup, Closed, Cohorts, Count, Evidence, FLEET, FLOOR, OTHERS_MIN, OneSample, Others, PAIRED,
    Safety, TwoSample, is_unused,
};

/// Above this, evidence of a rollback has begun to rise.
const RISEN: f64 = 1.0;

/// Each measure with what it says and what of that may roll back.
pub(super) type Parts = [(Measure, Evidence, Evidence); Measure::ALL.len()];

/// The mean that is compared with the thresholds of brake and rollback.
pub(super) fn rollback_mean(parts: &Parts) -> Evidence {
    Evidence::mean(parts.map(|(measure, _, may)| (measure.weight(), may)))
}

/// The mean that is compared with the threshold of a hold.
pub(super) fn hold_mean(parts: &Parts) -> Evidence {
    Evidence::mean(parts.map(|(measure, says, _)| (measure.weight(), says)))
}

/// How much of the pairs of a block ago is still shown: about the last 500 blocks.
const FADE: f64 = 1.0 - 1.0 / 500.0;

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
    /// By content: new differs where legacy does not differ from itself.
    #[serde(default, skip_serializing_if = "is_unused")]
    content: OneSample,
    /// Pairs of late in which one side stood out, and those of them in which new did; by outcome and by content. To be shown.
    #[serde(default, skip_serializing_if = "is_unused")]
    unlike: [Count; 2],
    #[serde(default, skip_serializing_if = "is_unused")]
    quality: Cohorts,
    #[serde(default, skip_serializing_if = "is_unused")]
    floor_of_requests: Floor,
    #[serde(default, skip_serializing_if = "is_unused")]
    floor_of_work: Floor,
    #[serde(default, skip_serializing_if = "is_unused")]
    safety: Safety,
    /// Requests and refusals of all callers but those that fail most.
    #[serde(default, skip_serializing_if = "is_unused")]
    others_fail: Others,
    #[serde(default, skip_serializing_if = "is_unused")]
    others_refused: Others,
    #[serde(default, skip_serializing_if = "is_unused")]
    keys: Keys,
    #[serde(default, skip_serializing_if = "is_unused")]
    window: Window,
}

impl Streams {
    /// Takes in one block of the whole fleet.
    pub fn fold(&mut self, seen: &Seen, settings: &GuardSettings) {
        let (margin, deff) = (settings.margin(), seen.deff);
        // Without failing keys there is nothing to keep or forget.
        let has_risen = self.keys.failing() > 0 && self.rollback_evidence(settings).value() > RISEN;
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
        let others = |stream: &mut Others, block: &Block, failed: &ByGroup| {
            if seen.is_alone {
                stream.fold_alone(block.new, failed, &FLEET, deff);
            } else {
                stream.fold(block, failed, &FLEET, margin, deff);
            }
        };
        others(&mut self.others_fail, &seen.requests, &seen.failed);
        others(&mut self.others_refused, &seen.refusals, &seen.refused);
        if !seen.is_alone {
            for (stream, block) in self.latency.iter_mut().zip(&seen.latency) {
                stream.fold(block, &FLEET, margin, deff);
            }
        }
        self.floor_of_requests.fold(seen.requests.new, requests.as_ref(), seen, settings);
        self.floor_of_work.fold(seen.work.new, work.as_ref(), seen, settings);
        self.duration.fold(&seen.durations, settings.mean_duration_limit_seconds(), deff);
        let unlike = [&seen.pairs, &seen.twins].map(|pairs| {
            let (only_new, only_legacy) = (f64::from(pairs.only_new), f64::from(pairs.only_legacy));
            Count::new(only_new + only_legacy, only_new)
        });
        self.mismatch.fold(unlike[0], 0.5, &PAIRED, deff, None);
        self.content.fold(unlike[1], 0.5, &PAIRED, deff, None);
        for (sum, own) in self.unlike.iter_mut().zip(unlike).filter(|(_, own)| own.is_valid()) {
            *sum = Count::new(sum.total * FADE + own.total, sum.bad * FADE + own.bad);
        }
        self.quality.fold(&seen.matured, margin, deff);
    }

    /// Takes the same block as evidence that new is not worse by `delta`; a plan's step says by how much.
    pub fn fold_safety(&mut self, seen: &Seen, delta: f64) {
        self.safety.fold(&seen.requests, delta, seen.deff);
    }

    /// Forgets evidence and keeps rates: to be called after a rollback, and when an operator starts the migration again.
    pub fn restart(&mut self) {
        let pairs = [&mut self.requests, &mut self.refusals, &mut self.work];
        pairs.into_iter().chain(&mut self.latency).for_each(TwoSample::restart);
        self.duration.restart();
        self.quality.restart();
        self.safety.restart();
        self.keys.restart();
        self.others_fail.restart();
        self.others_refused.restart();
        self.mismatch.restart();
        self.content.restart();
        self.floor_of_requests = Floor::default();
        self.floor_of_work = Floor::default();
    }

    /// Forgets what answers that differ have shown: a person has accepted, or taken back, what may differ.
    pub fn forget_content(&mut self) {
        self.content = OneSample::default();
        self.unlike[1] = Count::default();
    }

    /// Whether answers that differ say more than outcomes that differ.
    pub(super) fn is_by_content(&self, measure: Measure) -> bool {
        measure == Measure::Mismatch && self.content.evidence().value() > self.mismatch.evidence().value()
    }

    /// What one measure alone says.
    pub fn evidence(&self, measure: Measure) -> Evidence {
        match measure {
            Measure::MeanDuration => self.duration.evidence(),
            // Nobody need compare contents, and then they say nothing, not less.
            Measure::Mismatch if is_unused(&self.content) => self.mismatch.evidence(),
            Measure::Mismatch => Evidence::mean([(0.5, self.mismatch.evidence()), (0.5, self.content.evidence())]),
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
    fn rollback_part(&self, measure: Measure, says: Evidence, settings: &GuardSettings) -> Evidence {
        match measure {
            Measure::MeanDuration => says.harmless(),
            Measure::Quality if !settings.quality_can_rollback() => says.harmless(),
            Measure::Floor => self.floor(|floor| &floor.unshared),
            // Where contents are compared, legacy serves: nobody is harmed by what only differs.
            Measure::Mismatch => self.mismatch.evidence(),
            _ => says,
        }
    }

    /// What every measure says, and what of it may roll back.
    pub(super) fn parts(&self, settings: &GuardSettings) -> Parts {
        Measure::ALL.map(|measure| {
            let says = self.evidence(measure);
            (measure, says, self.rollback_part(measure, says, settings))
        })
    }

    /// The mean that is compared with the thresholds of brake and rollback.
    pub fn rollback_evidence(&self, settings: &GuardSettings) -> Evidence {
        rollback_mean(&self.parts(settings))
    }

    /// Evidence that new is not worse by the margin that was asked for last.
    pub fn safety_evidence(&self) -> f64 {
        self.safety.evidence()
    }

    /// Whether new was worse in the last blocks too. A measure without sides of its own is as bad as requests are.
    pub(super) fn is_still_bad(&self, measure: Measure) -> bool {
        self.pair(measure).is_still_bad()
    }

    /// Counts to show for a measure, and of how long. A measure without sides of its own shows requests.
    pub(super) fn counts(&self, measure: Measure) -> (Block, Span) {
        if measure == Measure::Mismatch {
            let Count { total, bad } = self.unlike[usize::from(self.is_by_content(measure))];
            return (Block { new: Count::new(total, bad), legacy: Count::new(total, total - bad) }, Span::LastMinutes);
        }
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

    /// Whether new is worse for more than the one or two groups of callers that it fails most.
    pub(super) fn is_worse_for_others(&self, measure: Measure) -> bool {
        let others = if measure == Measure::Refusals { &self.others_refused } else { &self.others_fail };
        others.evidence().value() >= OTHERS_MIN
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
    fn fold(&mut self, new: Count, closed: Option<&Closed>, seen: &Seen, settings: &GuardSettings) {
        let rate = settings.floor_rate();
        self.plain.fold(new, rate, &FLOOR, seen.deff, None);
        if seen.is_alone {
            self.unshared.fold(new, rate, &FLOOR, seen.deff, None);
        } else if let Some(closed) = closed {
            self.unshared.fold(closed.block.new, rate, &FLOOR, seen.deff, Some(closed.ln_factor()));
        }
    }
}
