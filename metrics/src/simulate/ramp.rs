//! One ramp, from the first request of new to a rollback or the end.

use super::dice::Dice;
use super::world::World;
use crate::guard::{Action, GuardSettings, Seen, Standing, State, Streams, Why, judge};

/// Blocks in which legacy serves alone before the ramp.
const BEFORE: u32 = 600;

const BLOCK_SECONDS: f64 = 0.5;

/// The share below which a brake does not go.
const SHARE_MIN: f64 = 0.01;

/// What had passed when something was done, from when new became what it is.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Moment {
    pub seconds: f64,
    /// Of new.
    pub requests: f64,
    /// Of those, how many failed.
    pub failures: f64,
}

/// What was done in one ramp, each for the first time.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Ending {
    pub held: Option<Moment>,
    pub braked: Option<Moment>,
    pub rolled_back: Option<Moment>,
}

/// Where a ramp stands.
struct Ramp<'a> {
    world: &'a World,
    settings: &'a GuardSettings,
    streams: Streams,
    share: f64,
    state: State,
    /// The block in which new was last seen.
    new_seen: u32,
    /// The block of the last hit that was not acted on because it was over, and whether it still is.
    last_hit: Option<u32>,
    had_recovered: bool,
    now: Moment,
    ending: Ending,
}

/// Plays one ramp of a world.
pub fn ramp(world: &World, settings: &GuardSettings, seed: u64) -> Ending {
    let mut dice = Dice::new(seed);
    let deff = world.observed_deff(f64::from(BEFORE) * BLOCK_SECONDS, &mut dice);
    let mut ramp = Ramp {
        world,
        settings,
        streams: Streams::default(),
        share: world.share,
        state: State::Running,
        new_seen: 0,
        last_hit: None,
        had_recovered: false,
        now: Moment::default(),
        ending: Ending::default(),
    };
    for block in 0..BEFORE {
        ramp.streams.fold(&world.block(i64::from(block) - i64::from(BEFORE), 0.0, deff, &mut dice), settings);
    }
    for block in 0..world.blocks {
        let seen = world.block(i64::from(block), ramp.share, deff, &mut dice);
        ramp.streams.fold(&seen, settings);
        ramp.count(block, &seen);
        // Where nothing came, nothing has changed.
        if !seen.requests.is_empty() {
            ramp.act(block);
        }
        if ramp.ending.rolled_back.is_some() {
            break;
        }
    }
    ramp.ending
}

impl Ramp<'_> {
    fn count(&mut self, block: u32, seen: &Seen) {
        if seen.requests.new.total > 0.0 {
            self.new_seen = block;
        }
        if block >= self.world.onset {
            self.now.seconds = f64::from(block - self.world.onset + 1) * BLOCK_SECONDS;
            self.now.requests += seen.requests.new.total;
            self.now.failures += seen.requests.new.bad;
        }
    }

    fn standing(&self, block: u32) -> Standing {
        let since = |then: u32| f64::from(block - then) * BLOCK_SECONDS;
        Standing {
            exposure: self.share,
            expects_new_traffic: true,
            new_silent_seconds: since(self.new_seen),
            legacy_probe: None,
            legacy_per_second: self.world.per_second * (1.0 - self.share),
            requests_per_second: self.world.per_second,
            last_hit_seconds: self.last_hit.map(since),
            state: self.state,
        }
    }

    fn act(&mut self, block: u32) {
        let verdict = judge(&self.streams, self.settings, &self.standing(block));
        let has_recovered =
            matches!(verdict.action, Action::Brake { why: Why::Recovered } | Action::Hold { why: Why::Recovered, .. });
        if has_recovered && !self.had_recovered {
            self.last_hit = Some(block);
        }
        self.had_recovered = has_recovered;
        match verdict.action {
            Action::None | Action::Notify { .. } => {}
            Action::ReleaseHold => self.state = State::Running,
            Action::NoData { .. } => self.state = State::NoData,
            Action::Hold { .. } => {
                self.ending.held.get_or_insert(self.now);
                if self.state != State::Braked {
                    self.state = State::Held;
                }
            }
            Action::Brake { .. } => {
                self.ending.held.get_or_insert(self.now);
                self.ending.braked.get_or_insert(self.now);
                self.state = State::Braked;
                self.share = (self.share * 0.5).max(SHARE_MIN).min(self.share);
            }
            Action::RollBack { .. } => {
                self.ending.held.get_or_insert(self.now);
                self.ending.rolled_back = Some(self.now);
            }
        }
    }
}
