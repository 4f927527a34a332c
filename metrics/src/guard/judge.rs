//! The table of arbitration: what the evidence and the state of both sides ask for.
//!
//! # Why a table and not a threshold
//!
//! A rollback is a risky change itself. Evidence against new is not enough for one: legacy must be able to take everybody, the
//! trouble must still be there, more than one caller must have it, somebody must be exposed to it, and the way back must be open.
//! Where one of these is missing, people are told and nothing moves.
//!
//! An action says what should be so, and is said again with every block for as long as it should. Who acts does it once, and
//! tells people once per reason.

use serde::{Deserialize, Serialize};

use super::measure::Measure;
use super::record::{Interval, Record, Thresholds, whole};
use super::settings::GuardSettings;
use super::streams::{Parts, Streams, hold_mean, rollback_mean};
use crate::sequential::Evidence;

/// New without a request for so long is not being tested.
const SILENCE_MAX_SECONDS: f64 = 600.0;

/// A second hit within this latches.
const SECOND_HIT_SECONDS: f64 = 3_600.0;

/// A hold after a hit is not released before.
const HOLD_AFTER_HIT_SECONDS: f64 = 600.0;

/// Legacy that served less than this part of the present rate is cold.
const WARM: f64 = 0.25;

/// With fewer successes than this, something is better than nothing, however cold legacy is.
const HOPELESS_SUCCESS: f64 = 0.20;

/// What automation does at present, apart from the mode.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    #[default]
    Running,
    Held,
    Braked,
    NoData,
}

/// What stands besides the counts.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Standing {
    /// The share of callers that get answers of new, of one; 0 also in parallel mode while legacy serves.
    pub exposure: f64,
    /// New should have traffic: callers or copies.
    pub expects_new_traffic: bool,
    /// Since new last had a request.
    pub new_silent_seconds: f64,
    /// What health checks say of legacy, where there are any.
    pub legacy_probe: Option<bool>,
    /// Requests a second that legacy had in the last ten minutes, copies included.
    pub legacy_per_second: f64,
    /// Requests a second of the migration now.
    pub requests_per_second: f64,
    /// Since an action last said [`Why::Recovered`] while none did just before: the last hit that was not acted on.
    pub last_hit_seconds: Option<f64>,
    pub state: State,
}

/// What the evidence says about new.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Judgement {
    /// It was shown not to be worse by the margin of the step.
    Acceptable,
    /// Nothing was shown. No evidence is no good news.
    Undecided,
    Degraded,
}

/// How fast callers go back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pace {
    AtOnce,
    /// Legacy is cold: in four slices of five seconds.
    Slices,
}

/// The reason for an action; a metric may have it as a label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    Evidence,
    /// Both sides are below the floor, and new is no worse than legacy.
    SharedDependency,
    LegacyUnhealthy,
    Irreversible,
    NobodyExposed,
    FewKeys,
    Recovered,
    SecondHit,
    NoTraffic,
}

/// What should be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
pub enum Action {
    None,
    /// No progress. With `notify`, people should look now.
    Hold {
        why: Why,
        notify: bool,
    },
    /// The hold, brake or lack of data is over.
    ReleaseHold,
    /// The previous step; people are told.
    Brake {
        why: Why,
    },
    /// Everybody to legacy, latched.
    RollBack {
        pace: Pace,
        why: Why,
    },
    /// Nothing is known: no progress, and no rollback either.
    NoData {
        why: Why,
    },
    /// People should know; nothing else changes.
    Notify {
        why: Why,
    },
}

/// A judgement, and what follows from it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    pub judgement: Judgement,
    pub action: Action,
    /// The mean that brakes and rolls back.
    pub rollback_evidence: f64,
    /// The mean that holds.
    pub hold_evidence: f64,
    pub safety_evidence: f64,
    /// Of what the action was made; `None` without one.
    pub record: Option<Record>,
}

/// Everything that the table asks for.
struct Case<'a> {
    streams: &'a Streams,
    settings: &'a GuardSettings,
    standing: &'a Standing,
    thresholds: Thresholds,
    parts: Parts,
    rollback: f64,
    hold: f64,
}

/// Decides from what was counted and what stands.
pub fn judge(streams: &Streams, settings: &GuardSettings, standing: &Standing) -> Verdict {
    let parts = streams.parts(settings);
    let (rollback, hold) = (rollback_mean(&parts).value(), hold_mean(&parts).value());
    let case =
        Case { streams, settings, standing, thresholds: Thresholds::of(settings.alpha()), parts, rollback, hold };
    let action = case.action();
    let safety_evidence = streams.safety_evidence();
    let worst = case.rollback.max(case.hold);
    let judgement = if worst >= case.thresholds.hold {
        Judgement::Degraded
    } else if safety_evidence >= case.thresholds.hold && worst < case.thresholds.release {
        Judgement::Acceptable
    } else {
        Judgement::Undecided
    };
    Verdict {
        judgement,
        action,
        rollback_evidence: case.rollback,
        hold_evidence: case.hold,
        safety_evidence,
        record: case.record(action),
    }
}

impl Case<'_> {
    fn action(&self) -> Action {
        if let Some(why) = self.no_data() {
            return Action::NoData { why };
        }
        if self.rollback >= self.thresholds.rollback {
            return self.at_rollback();
        }
        if self.is_shared() {
            return Action::Hold { why: Why::SharedDependency, notify: true };
        }
        if self.rollback >= self.thresholds.brake && self.standing.state != State::Braked {
            return self.obstacle().unwrap_or(Action::Brake { why: Why::Evidence });
        }
        if self.hold >= self.thresholds.hold || self.rollback >= self.thresholds.hold {
            return Action::Hold { why: Why::Evidence, notify: false };
        }
        if self.may_release() {
            return Action::ReleaseHold;
        }
        let duration = self.streams.evidence(Measure::MeanDuration).value();
        if duration >= self.thresholds.rollback { Action::Notify { why: Why::Evidence } } else { Action::None }
    }

    /// The evidence is there; whether it is acted on.
    fn at_rollback(&self) -> Action {
        if let Some(obstacle) = self.obstacle() {
            return obstacle;
        }
        let is_braked = self.standing.state == State::Braked;
        if !self.streams.is_still_bad(self.leading()) {
            return self.at_recovered(is_braked);
        }
        if !self.has_enough_keys() {
            let hold = Action::Hold { why: Why::FewKeys, notify: true };
            return if is_braked { hold } else { Action::Brake { why: Why::FewKeys } };
        }
        self.roll_back(Why::Evidence)
    }

    /// Whether it is more than a caller or two who has this. What is slow has no failures to tell whose they are; then it must be
    /// more than a caller or two whom new serves.
    fn has_enough_keys(&self) -> bool {
        let keys = self.streams.keys();
        let leading = self.leading();
        match leading {
            Measure::Requests | Measure::Refusals | Measure::Floor => {
                keys.are_enough() && (keys.are_few() || self.streams.is_worse_for_others(leading))
            }
            Measure::Work
            | Measure::LatencyP50
            | Measure::LatencyP75
            | Measure::LatencyP90
            | Measure::LatencyP95
            | Measure::LatencyP99
            | Measure::MeanDuration
            | Measure::Mismatch
            | Measure::Quality => keys.seen_are_enough(),
        }
    }

    /// The evidence is there and the trouble is not. While this hit is braked nothing more is done; the next one latches.
    fn at_recovered(&self, is_braked: bool) -> Action {
        let is_second = self.standing.last_hit_seconds.is_some_and(|ago| ago <= SECOND_HIT_SECONDS);
        match (is_braked, is_second) {
            (true, _) => Action::Hold { why: Why::Recovered, notify: true },
            (false, true) => self.roll_back(Why::SecondHit),
            (false, false) => Action::Brake { why: Why::Recovered },
        }
    }

    fn roll_back(&self, why: Why) -> Action {
        let standing = self.standing;
        let is_cold = standing.legacy_per_second < WARM * standing.requests_per_second;
        let is_hopeless = self.streams.new_rate().is_some_and(|rate| rate > 1.0 - HOPELESS_SUCCESS);
        let pace = if is_cold && !is_hopeless { Pace::Slices } else { Pace::AtOnce };
        Action::RollBack { pace, why }
    }

    /// Why nobody may be moved to legacy, whatever new does.
    fn obstacle(&self) -> Option<Action> {
        let why = if self.standing.exposure <= 0.0 {
            Why::NobodyExposed
        } else if !self.settings.reversible() {
            Why::Irreversible
        } else if self.is_shared() {
            Why::SharedDependency
        } else if self.is_legacy_unhealthy() {
            Why::LegacyUnhealthy
        } else {
            return None;
        };
        Some(Action::Hold { why, notify: true })
    }

    fn no_data(&self) -> Option<Why> {
        let standing = self.standing;
        let is_silent = standing.expects_new_traffic && standing.new_silent_seconds >= SILENCE_MAX_SECONDS;
        is_silent.then_some(Why::NoTraffic)
    }

    fn is_legacy_below_floor(&self) -> bool {
        self.streams.legacy_rate().is_some_and(|rate| rate > self.settings.floor_rate())
    }

    fn is_legacy_unhealthy(&self) -> bool {
        self.standing.legacy_probe == Some(false) || self.is_legacy_below_floor()
    }

    /// New is below the floor, legacy too, and new is not shown to be worse.
    fn is_shared(&self) -> bool {
        let floor = self.streams.evidence(Measure::Floor).value();
        let relative = self.streams.evidence(Measure::Requests).value();
        floor >= self.thresholds.hold && self.is_legacy_below_floor() && relative < self.thresholds.hold
    }

    fn may_release(&self) -> bool {
        let is_calm = self.hold < self.thresholds.release && self.rollback < self.thresholds.release;
        let is_hit_past = self.standing.last_hit_seconds.is_none_or(|ago| ago >= HOLD_AFTER_HIT_SECONDS);
        self.standing.state != State::Running && is_calm && is_hit_past
    }

    fn is_about_rollback(&self) -> bool {
        self.rollback >= self.hold.min(self.thresholds.brake)
    }

    /// The measure that adds most to what this is about.
    fn leading(&self) -> Measure {
        let is_about_rollback = self.is_about_rollback();
        let part = |(measure, says, may): &(Measure, Evidence, Evidence)| {
            measure.weight() * if is_about_rollback { may.value() } else { says.value() }
        };
        let [first, rest @ ..] = &self.parts;
        rest.iter().fold(first, |most, next| if part(next) > part(most) { next } else { most }).0
    }

    fn record(&self, action: Action) -> Option<Record> {
        if action == Action::None {
            return None;
        }
        let measure = self.leading();
        let (block, span) = self.streams.counts(measure);
        let (legacy, new) = (whole(block.legacy), whole(block.new));
        let keys = self.streams.keys();
        let evidence = if self.is_about_rollback() { self.rollback } else { self.hold };
        let counts = if measure == Measure::Mismatch {
            format!("{} in {} requests, the other way round in {}", span.words(), new.bad, legacy.bad)
        } else {
            let (on_new, on_legacy) = (
                format!("{} of {} on new", new.bad, new.total),
                format!("{} of {} on legacy", legacy.bad, legacy.total),
            );
            format!("{} {on_new} and {on_legacy} were bad", span.words())
        };
        let why = format!("{}: {counts}, evidence {}.", self.sentence(action, measure), shown(evidence));
        Some(Record {
            measure,
            legacy,
            new,
            span,
            evidence,
            evidence_of_measure: self.streams.evidence(measure).value(),
            difference: Interval::of(&block),
            thresholds: self.thresholds,
            failing_keys: keys.failing(),
            needed_keys: keys.needed(),
            why,
        })
    }

    /// What happened and what to do, without the counts.
    fn sentence(&self, action: Action, measure: Measure) -> String {
        let complaint = if self.streams.is_by_content(measure) {
            "new answers something else where legacy answers the same twice"
        } else {
            measure.complaint()
        };
        match action {
            Action::None => String::new(),
            Action::ReleaseHold => "evidence against new is gone, so progress may go on".into(),
            Action::NoData { .. } => {
                "new had no request for ten minutes, so nothing is known of it; send it traffic or lower the percentage"
                    .into()
            }
            Action::Notify { .. } => {
                let limit = self.settings.mean_duration_limit_seconds();
                format!("the mean duration on new exceeds {limit} s, which does not roll back by itself")
            }
            Action::Hold { why, .. } => format!("progress stopped, because {}", self.reason(why, complaint)),
            Action::Brake { why } => format!("back to the previous step, because {}", self.reason(why, complaint)),
            Action::RollBack { why, .. } => format!("rolled back to legacy, because {}", self.reason(why, complaint)),
        }
    }

    fn reason(&self, why: Why, complaint: &str) -> String {
        match why {
            Why::Evidence | Why::NoTraffic => complaint.into(),
            Why::SharedDependency => {
                "both systems are below the floor and new is no worse; look at what they share, a rollback would not help".into()
            }
            Why::LegacyUnhealthy => format!("{complaint}, but legacy is unhealthy too; repair one of them"),
            Why::Irreversible => {
                format!("{complaint}, but its file lets nothing roll back by itself (`reversible` or `action`); decide by hand")
            }
            Why::NobodyExposed => format!("{complaint}; no caller gets its answers"),
            Why::FewKeys => {
                let keys = self.streams.keys();
                if keys.are_enough() {
                    return format!("{complaint}, but not for others than the one or two callers that fail most");
                }
                format!("{complaint}, but only for {} of the {} callers that a rollback needs", keys.failing(), keys.needed())
            }
            Why::Recovered => format!("{complaint}, but no longer; once more within an hour and it is a rollback"),
            Why::SecondHit => format!("{complaint}, for the second time within an hour"),
        }
    }
}

/// Evidence as people read it.
fn shown(evidence: f64) -> String {
    if evidence >= 1e6 { "above a million".into() } else { format!("{evidence:.1}") }
}
