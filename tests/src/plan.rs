//! What is done to a fleet, in which order, drawn from a seed.
//!
//! # Why a plan and not a die that is cast on the way
//!
//! What a run draws would depend on how fast it goes. A plan is drawn before anything starts, so that a seed names it for
//! good and a failure is run again by its number. What remains of chance is the machine's.
//!
//! A plan is a row of episodes: a fault begins, operators ask for changes through routers on both sides of it, the fault
//! ends. Each lasts for so many requests of the load, so a plan is bounded by itself.

use std::time::Duration;

use crate::history::{Ask, Mode, Side};
use crate::operator::Errand;
use crate::tcp_proxy::{Fault, Flow};

/// Faults of a plan, one after the other.
const EPISODES: u64 = 4;

/// One thing that is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    /// The load makes so many more requests.
    Requests(usize),
    /// An operator asks; the answer is not waited for.
    Ask(Errand),
    /// The wire of a router does this from now on.
    Wire(usize, Fault),
    /// Every connection of a router to the store is reset.
    Cut(usize),
    /// Only those that hear announcements are.
    CutAnnouncements(usize),
    /// No connection of a router to the store is made any more.
    Refuse(usize),
    /// The wire of a router works again.
    Heal(usize),
    Kill,
    Restart,
    Pause,
    Resume,
    /// A sentinel replaces a primary that is well.
    FailOver,
    /// Waits until a sentinel has replaced a primary that is not.
    TakeOver,
    /// The store forgets everything; then an admin has this router write back what it knows.
    FlushAndReseed(usize),
}

/// What a fleet can meet, because the machine and the program have it.
#[derive(Clone, Copy, Debug)]
pub struct Means {
    pub routers: usize,
    pub can_reseed: bool,
}

/// A small generator of numbers that look random (xorshift64*).
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    pub const fn new(seed: u64) -> Self {
        // Spread, because neighbouring seeds are what people try; zero would stay zero.
        Self(seed.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// A number below `sides`.
    pub fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % sides
    }

    fn pick<T: Clone>(&mut self, of: &[T]) -> T {
        of[self.index(of.len())].clone()
    }

    fn index(&mut self, length: usize) -> usize {
        let sides = u64::try_from(length).expect("lists are short");
        usize::try_from(self.roll(sides)).expect("less than a length")
    }
}

/// The plan of a seed.
pub fn plan(seed: u64, keys: &[String], means: Means) -> Vec<Act> {
    let mut planner =
        Planner { dice: Dice::new(seed), seed, keys, means, acts: Vec::new(), asked: 0, rolled_back: false };
    planner.ask();
    for _ in 0..EPISODES {
        planner.episode();
    }
    planner.acts
}

/// The plan of a seed for a fleet behind a sentinel: one fail-over among changes.
pub fn plan_of_fail_over(seed: u64, keys: &[String], means: Means) -> Vec<Act> {
    let mut planner =
        Planner { dice: Dice::new(seed), seed, keys, means, acts: Vec::new(), asked: 0, rolled_back: false };
    planner.changes();
    match planner.dice.roll(3) {
        0 => planner.acts.push(Act::FailOver),
        1 => planner.replaced(Act::Kill, Act::Restart),
        _ => planner.replaced(Act::Pause, Act::Resume),
    }
    planner.changes();
    planner.changes();
    planner.acts
}

struct Planner<'a> {
    dice: Dice,
    seed: u64,
    keys: &'a [String],
    means: Means,
    acts: Vec<Act>,
    asked: usize,
    /// Whether the last change of a mode that was asked for was a rollback.
    rolled_back: bool,
}

impl Planner<'_> {
    fn episode(&mut self) {
        let kinds = if self.means.can_reseed { 11 } else { 10 };
        match self.dice.roll(kinds) {
            0 => self.changes(),
            1 | 2 => self.around(Act::Kill, Act::Restart),
            3 => self.around(Act::Pause, Act::Resume),
            4 | 5 => self.partition(),
            6 => self.some_routers(|_, router| Act::Refuse(router)),
            7 => self.some_routers(|dice, router| dice.pick(&[Act::Cut(router), Act::CutAnnouncements(router)])),
            8 => self.some_routers(|dice, router| {
                let announcements = dice.pick(&[Flow::Swallow, Flow::Stall, Flow::Delay(Duration::from_millis(300))]);
                Act::Wire(router, Fault { announcements, ..Fault::NONE })
            }),
            9 => self.some_routers(|dice, router| {
                let answers_to_changes = dice.pick(&[Flow::Swallow, Flow::Stall]);
                Act::Wire(router, Fault { answers_to_changes, ..Fault::NONE })
            }),
            _ => {
                let router = self.dice.index(self.means.routers);
                self.acts.push(Act::FlushAndReseed(router));
            }
        }
        self.pause();
    }

    fn around(&mut self, begin: Act, end: Act) {
        self.acts.push(begin);
        self.changes();
        self.acts.push(end);
    }

    fn replaced(&mut self, begin: Act, end: Act) {
        self.acts.push(begin);
        self.changes();
        self.acts.push(Act::TakeOver);
        self.changes();
        self.acts.push(end);
    }

    fn partition(&mut self) {
        let delay = Flow::Delay(Duration::from_millis(50 + self.dice.roll(400)));
        let flow = self.dice.pick(&[Flow::Swallow, Flow::Stall, Flow::Swallow, Flow::Stall, delay]);
        let fault = match self.dice.roll(4) {
            0 => Fault { requests: flow, ..Fault::NONE },
            1 => Fault { answers: flow, ..Fault::NONE },
            _ => Fault::both(flow),
        };
        self.some_routers(|_, router| Act::Wire(router, fault));
    }

    /// A fault of some routers, perhaps of all.
    fn some_routers(&mut self, fault: impl Fn(&mut Dice, usize) -> Act) {
        let first = self.dice.index(self.means.routers);
        let count = 1 + self.dice.index(self.means.routers);
        let routers: Vec<usize> = (first..first + count).map(|router| router % self.means.routers).collect();
        for router in &routers {
            let act = fault(&mut self.dice, *router);
            self.acts.push(act);
        }
        self.changes();
        self.acts.extend(routers.into_iter().map(Act::Heal));
    }

    fn changes(&mut self) {
        self.pause();
        for _ in 0..=self.dice.roll(3) {
            self.ask();
            self.pause();
        }
    }

    /// Mostly shorter than a call to the store may take, at times longer.
    fn pause(&mut self) {
        let requests = self.dice.pick(&[10, 20, 40, 40, 80, 160, 600]);
        self.acts.push(Act::Requests(requests));
    }

    fn ask(&mut self) {
        self.asked += 1;
        let ask = self.next_ask();
        let router = self.dice.index(self.means.routers);
        let force = self.dice.roll(2) == 0;
        let reason = format!("{}/{}", self.seed, self.asked);
        self.acts.push(Act::Ask(Errand { router, ask, force, reason }));
    }

    fn next_ask(&mut self) -> Ask {
        if self.rolled_back && self.dice.roll(2) == 0 {
            self.rolled_back = false;
            return Ask::Acknowledge(self.dice.pick(&[Mode::LegacyOnly, Mode::Parallel]));
        }
        match self.dice.roll(20) {
            0..=7 => Ask::Mode(self.dice.pick(&[Mode::LegacyOnly, Mode::Gradual, Mode::Gradual, Mode::NewOnly])),
            8..=11 => Ask::Rollout(u16::try_from(self.dice.roll(101)).expect("a percent") * 100),
            12..=14 => Ask::Pin(self.dice.pick(self.keys), self.dice.pick(&[Side::Legacy, Side::New])),
            15 => Ask::Unpin(self.dice.pick(self.keys)),
            16 => Ask::Undo,
            _ => {
                self.rolled_back = true;
                Ask::RollBack
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys() -> Vec<String> {
        ["ann", "bob", "cat"].map(str::to_owned).to_vec()
    }

    const MEANS: Means = Means { routers: 5, can_reseed: true };

    #[test]
    fn a_seed_names_its_plan() {
        let plans: Vec<_> = (0..50).map(|seed| plan(seed, &keys(), MEANS)).collect();
        assert_eq!(plans[7], plan(7, &keys(), MEANS));
        for (seed, one) in plans.iter().enumerate() {
            assert!(plans[..seed].iter().all(|other| other != one), "seed {seed} draws the plan of another");
        }
    }

    #[test]
    fn every_fault_ends_and_every_kind_is_drawn() {
        let mut drawn = [0; 8];
        for seed in 0..200 {
            let (mut down, mut paused, mut broken) = (false, false, [false; 5]);
            for act in plan(seed, &keys(), MEANS) {
                let kind = match act {
                    Act::Requests(_) | Act::Ask(_) => continue,
                    Act::Wire(router, _) | Act::Refuse(router) => {
                        broken[router] = true;
                        if matches!(act, Act::Refuse(_)) { 0 } else { 1 }
                    }
                    Act::Heal(router) => {
                        broken[router] = false;
                        2
                    }
                    Act::Kill | Act::Restart => {
                        down = act == Act::Kill;
                        3
                    }
                    Act::Pause | Act::Resume => {
                        paused = act == Act::Pause;
                        4
                    }
                    Act::Cut(_) => 5,
                    Act::CutAnnouncements(_) => 6,
                    Act::FlushAndReseed(_) => 7,
                    Act::FailOver | Act::TakeOver => unreachable!("there is no sentinel"),
                };
                drawn[kind] += 1;
            }
            assert!(!down && !paused && broken == [false; 5], "the plan of seed {seed} ends in a fault");
        }
        assert!(drawn.iter().all(|times| *times > 10), "{drawn:?}");
    }
}
