//! Outcomes of work that ends after its request: what is remembered of each, and what a cohort of them adds up to.
//!
//! # Why parts
//!
//! Systems report again when they are not sure, and one thing at a time: that a job has ended, a day later that its pull
//! request was accepted. So each part of an id counts once, whenever and however often it is told, and the first word
//! stands.
//!
//! # Why horizons
//!
//! A job of an hour ago has had no time to prove itself. Sums are kept per horizon, of what was reported within it, so
//! that cohorts of both sides are compared after the same time. A job's quality is the mean of its measures so far; a
//! further measure moves the sum by the difference.
//!
//! Redis does the same in a script of its own (`store/redis/outcomes.rs`); one suite holds the two together.
//!
//! Not here: what a good quality is, and which names are counted for a job's end.

use super::RecordError;
use crate::migration::{MigrationId, Side};
use crate::tally::Tally;

/// The longest id of an outcome, in bytes.
pub const OUTCOME_ID_BYTES_MAX: usize = 128;

/// How long an id is remembered, in seconds: 30 days.
pub const REMEMBERED_S: u64 = 30 * DAY_S;

/// Ids that are remembered of one migration and day.
pub const REMEMBERED_MAX: u64 = 100_000;

/// How long after its routing a job's quality may be reported to count, in seconds: an hour, a day, three days.
pub const HORIZONS_S: [u64; 3] = [60 * 60, DAY_S, 3 * DAY_S];

/// The jobs of a cohort were routed within 5 minutes.
pub const COHORT_S: u64 = 5 * 60;

/// How long a cohort is kept, in seconds: 5 days.
pub const COHORTS_KEPT_S: u64 = 5 * DAY_S;

/// Under this name the ends of jobs are counted, beside those of the routers.
pub const OUTCOMES_REPLICA: &str = "outcomes";

pub(crate) const DAY_S: u64 = 24 * 60 * 60;

/// The best quality.
const MILLI_MAX: u16 = 1_000;

/// The stable name of one job, as the system that does it says: any text of 1 to 128 bytes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OutcomeId(String);

impl OutcomeId {
    pub fn new(text: &str) -> Result<Self, RecordError> {
        match text.len() {
            0 => Err(RecordError::Invalid("an outcome needs an id: the same for every report about one job")),
            1..=OUTCOME_ID_BYTES_MAX => Ok(Self(text.to_owned())),
            bytes => Err(RecordError::TooLarge { what: "the id of an outcome", bytes, max: OUTCOME_ID_BYTES_MAX }),
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What is said of how good a job's work is; each measure may come on its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Quality {
    pub pr_accepted: Option<bool>,
    pub build_passed: Option<bool>,
    /// In thousandths, 1,000 at most.
    pub score_milli: Option<u16>,
}

/// One report about one job. One that says neither that it has ended nor how good it is makes the job known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    pub id: OutcomeId,
    pub side: Side,
    /// When the job was given to its side, in seconds since 1970; the first report's stands.
    pub routed_at: u64,
    /// What the end of the job adds to the counts of the slot in which it is reported, if it has ended.
    pub work: Option<Tally>,
    pub quality: Quality,
}

impl Outcome {
    pub(crate) fn check(&self) -> Result<(), RecordError> {
        if self.quality.score_milli.is_some_and(|score| score > MILLI_MAX) {
            return Err(RecordError::Invalid("a score is between 0 and 1"));
        }
        Ok(())
    }

    /// The measures in the order in which they are remembered, in thousandths.
    pub(crate) fn measures(&self) -> [Option<u16>; 3] {
        let Quality { pr_accepted, build_passed, score_milli } = self.quality;
        let milli = |yes| if yes { MILLI_MAX } else { 0 };
        [pr_accepted.map(milli), build_passed.map(milli), score_milli]
    }
}

/// Which parts of a report were new.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools, reason = "five parts, each of which is new or not")]
pub struct Parts {
    /// Nothing was known of the job.
    pub job: bool,
    pub work: bool,
    pub pr_accepted: bool,
    pub build_passed: bool,
    pub score: bool,
}

/// What became of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recorded {
    /// These parts were new and are counted; others were there.
    New(Parts),
    /// All of it was known, and nothing is counted.
    Known,
}

impl From<Parts> for Recorded {
    fn from(parts: Parts) -> Self {
        if parts == Parts::default() { Self::Known } else { Self::New(parts) }
    }
}

/// What is known of the jobs that were given to one side within [`COHORT_S`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cohort {
    /// The first of its seconds since 1970.
    pub from: u64,
    pub side: Side,
    pub sums: CohortSums,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CohortSums {
    pub jobs: u64,
    /// Jobs of which anything was said within each of [`HORIZONS_S`].
    pub reported: [u64; 3],
    /// The sum of their qualities, in thousandths: of each the mean of what was said within the horizon.
    pub quality_milli: [u64; 3],
}

impl CohortSums {
    pub(crate) fn to_text(self) -> String {
        let [r1, r2, r3] = self.reported;
        let [q1, q2, q3] = self.quality_milli;
        format!("{} {r1} {r2} {r3} {q1} {q2} {q3}", self.jobs)
    }

    pub(crate) fn parse(text: &[u8]) -> Option<Self> {
        let words = numbers(text)?;
        let [jobs, r1, r2, r3, q1, q2, q3] = words.try_into().ok()?;
        Some(Self { jobs, reported: [r1, r2, r3], quality_milli: [q1, q2, q3] })
    }

    /// Without any that a damaged sum would bring below 0.
    fn moved(mut self, known: Option<&Known>, next: &Known) -> Self {
        let before = known.map(Known::qualities).unwrap_or_default();
        self.jobs += u64::from(known.is_none());
        for (at, after) in next.qualities().into_iter().enumerate() {
            let reported = self.reported[at] + u64::from(after.is_some());
            self.reported[at] = reported.saturating_sub(before[at].is_some().into());
            let quality = self.quality_milli[at] + after.unwrap_or_default();
            self.quality_milli[at] = quality.saturating_sub(before[at].unwrap_or_default());
        }
        self
    }
}

/// Numbers between single spaces, none of which is too long to be one of ours.
fn numbers(text: &[u8]) -> Option<Vec<u64>> {
    let text = std::str::from_utf8(text).ok()?;
    let is_number = |word: &str| (1..=15).contains(&word.len()) && word.bytes().all(|byte| byte.is_ascii_digit());
    text.split(' ').take(8).map(|word| word.parse().ok().filter(|_| is_number(word))).collect()
}

/// What is remembered of one job: `new 1760000000 1760000100 1 1000:0 - 870:2`, which are its side, when it was routed,
/// when it was first heard of, whether its end is counted, and of each measure the value and the first horizon in which
/// it was told (3: later than all).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Known {
    pub(crate) side: Side,
    pub(crate) routed_at: u64,
    pub(crate) seen_at: u64,
    has_ended: bool,
    measures: [Option<(u16, u8)>; 3],
}

impl Known {
    pub(crate) fn parse(text: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(text).ok()?;
        let words: Vec<_> = text.split(' ').take(8).collect();
        let [side, routed_at, seen_at, has_ended, first, second, third] = words.try_into().ok()?;
        let side = Side::ALL.into_iter().find(|known| known.name() == side)?;
        let number = |word: &str| Some(*numbers(word.as_bytes())?.first()?);
        let has_ended = match has_ended {
            "0" => false,
            "1" => true,
            _ => return None,
        };
        let (routed_at, seen_at) = (number(routed_at)?, number(seen_at)?);
        let measures = [measure(first)?, measure(second)?, measure(third)?];
        Some(Self { side, routed_at, seen_at, has_ended, measures })
    }

    pub(crate) fn to_text(self) -> String {
        let [first, second, third] = self.measures.map(|measure| match measure {
            Some((milli, horizon)) => format!("{milli}:{horizon}"),
            None => "-".to_owned(),
        });
        let (side, ended) = (self.side.name(), u8::from(self.has_ended));
        format!("{side} {} {} {ended} {first} {second} {third}", self.routed_at, self.seen_at)
    }

    /// The quality within each horizon, where anything was said by then.
    fn qualities(&self) -> [Option<u64>; 3] {
        [0, 1, 2].map(|within| {
            let told = self.measures.iter().flatten().filter(|(_, horizon)| *horizon <= within);
            let (sum, count) = told.fold((0, 0), |(sum, count), (milli, _)| (sum + u64::from(*milli), count + 1));
            (sum).checked_div(count)
        })
    }

    /// The first second of its cohort.
    pub(crate) const fn cohort(&self) -> u64 {
        self.routed_at / COHORT_S * COHORT_S
    }
}

/// The outer none: it does not read.
#[allow(clippy::option_option, reason = "a measure that was not told is not one that does not read")]
fn measure(word: &str) -> Option<Option<(u16, u8)>> {
    if word == "-" {
        return Some(None);
    }
    let (milli, horizon) = word.split_once(':')?;
    let milli = numbers(milli.as_bytes())?.first().and_then(|milli| u16::try_from(*milli).ok())?;
    let horizon = ["0", "1", "2", "3"].iter().position(|known| *known == horizon)?;
    (milli <= MILLI_MAX).then_some(Some((milli, u8::try_from(horizon).ok()?)))
}

/// What a report makes of what was known of its job at `now`, and which parts of it were new.
pub(crate) fn fold(known: Option<&Known>, outcome: &Outcome, now: u64) -> Result<(Known, Parts), RecordError> {
    // A clock that is ahead must not put a job into the future.
    let routed_at = outcome.routed_at.min(now);
    let fresh = Known { side: outcome.side, routed_at, seen_at: now, has_ended: false, measures: [None; 3] };
    let mut next = known.copied().unwrap_or(fresh);
    if next.side != outcome.side {
        return Err(RecordError::SideDiffers { before: next.side, reported: outcome.side });
    }
    let age = now.saturating_sub(next.routed_at);
    let horizon = HORIZONS_S.iter().position(|horizon| age <= *horizon).unwrap_or(HORIZONS_S.len());
    let horizon = u8::try_from(horizon).unwrap_or(u8::MAX);
    let mut new = [false; 3];
    for (at, milli) in outcome.measures().into_iter().enumerate() {
        if let (None, Some(milli)) = (next.measures[at], milli) {
            next.measures[at] = Some((milli, horizon));
            new[at] = true;
        }
    }
    let work = outcome.work.is_some() && !next.has_ended;
    next.has_ended |= work;
    let [pr_accepted, build_passed, score] = new;
    Ok((next, Parts { job: known.is_none(), work, pr_accepted, build_passed, score }))
}

/// The sums of a job's cohort after a report that made `next` of what was known of it.
pub(crate) fn moved(sums: Option<CohortSums>, known: Option<&Known>, next: &Known) -> CohortSums {
    sums.unwrap_or_default().moved(known, next)
}

/// Whether the cohort of seconds from `from` on is still kept at `now`.
pub(crate) const fn is_kept(from: u64, now: u64) -> bool {
    from + COHORTS_KEPT_S >= now
}

/// What a store says where it remembers as much as it may.
pub(crate) fn full(migration: &MigrationId) -> RecordError {
    RecordError::Full { migration: migration.clone(), max: REMEMBERED_MAX }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_760_000_000;

    fn report(work: bool, measures: [Option<u16>; 3]) -> Outcome {
        let [pr, build, score_milli] = measures;
        let (pr_accepted, build_passed) = (pr.map(|milli| milli > 0), build.map(|milli| milli > 0));
        Outcome {
            id: OutcomeId::new("job").unwrap(),
            side: Side::New,
            routed_at: NOW,
            work: work.then(Tally::default),
            quality: Quality { pr_accepted, build_passed, score_milli },
        }
    }

    /// Reports so many seconds after the routing, and what the cohort holds after them: jobs, reported, quality.
    #[track_caller]
    fn check(reports: &[(u64, Outcome)], expected: &str) {
        let (mut known, mut sums) = (None, None);
        for (age, outcome) in reports {
            let (next, parts) = fold(known.as_ref(), outcome, NOW + age).unwrap();
            sums = Some(moved(sums, known.as_ref(), &next));
            assert_eq!(Known::parse(next.to_text().as_bytes()), Some(next));
            known = Some(next);
            let again = fold(known.as_ref(), outcome, NOW + age + 1).unwrap();
            assert_eq!((again.0, Recorded::from(again.1)), (next, Recorded::Known), "after {parts:?}");
            assert_eq!(moved(sums, known.as_ref(), &again.0), sums.unwrap());
        }
        let sums = sums.unwrap();
        assert_eq!((sums.to_text().as_str(), CohortSums::parse(expected.as_bytes())), (expected, Some(sums)));
    }

    #[test]
    fn each_part_counts_once_in_the_horizons_that_it_was_told_in() {
        const HOUR: u64 = 60 * 60;
        let none = [None; 3];
        check(&[(0, report(false, none))], "1 0 0 0 0 0 0");
        check(&[(5, report(true, none)), (9, report(true, none))], "1 0 0 0 0 0 0");
        check(&[(HOUR, report(true, [Some(1_000), None, None]))], "1 1 1 1 1000 1000 1000");
        check(&[(HOUR + 1, report(false, [None, Some(0), None]))], "1 0 1 1 0 0 0");
        check(&[(72 * HOUR, report(false, [None, None, Some(870)]))], "1 0 0 1 0 0 870");
        check(&[(72 * HOUR + 1, report(false, [None, None, Some(870)]))], "1 0 0 0 0 0 0");
        // The mean moves, and only where the later word was still heard.
        let (good, bad, score) = (
            report(false, [Some(1_000), None, None]),
            report(true, [None, Some(0), None]),
            report(false, [None, None, Some(701)]),
        );
        check(&[(1, good.clone()), (2 * HOUR, bad.clone())], "1 1 1 1 1000 500 500");
        check(&[(1, good), (2 * HOUR, bad), (30 * HOUR, score)], "1 1 1 1 1000 500 567");
    }

    #[test]
    fn the_first_word_stands_but_for_the_side() {
        let (first, _) = fold(None, &report(true, [Some(1_000), None, None]), NOW + 10).unwrap();
        let other = Outcome { routed_at: NOW - 9_000, ..report(false, [Some(0), None, Some(5)]) };
        let (next, parts) = fold(Some(&first), &other, NOW + 20).unwrap();
        assert_eq!(parts, Parts { score: true, ..Parts::default() });
        assert_eq!(next.to_text(), "new 1760000000 1760000010 1 1000:0 - 5:0");
        let other = Outcome { side: Side::Legacy, ..other };
        let refused = fold(Some(&first), &other, NOW + 20).unwrap_err();
        assert!(matches!(refused, RecordError::SideDiffers { before: Side::New, reported: Side::Legacy }), "{refused}");
        let ahead = Outcome { routed_at: NOW + 1_000_000, ..report(false, [None; 3]) };
        assert_eq!(fold(None, &ahead, NOW).unwrap().0.routed_at, NOW);
    }

    #[test]
    fn what_a_router_did_not_write_does_not_read() {
        for damaged in [
            "",
            "new",
            "other 1 1 1 - - -",
            "new 1 1 2 - - -",
            "new 1 1 1 - -",
            "new 1 1 1 - - - -",
            "new 1 1 1 - - 1001:0",
            "new 1 1 1 - - 5:4",
            "new 1 1 1 - - 5",
            "new 1  1 1 - - -",
            "new +1 1 1 - - -",
            "new 1000000000000000 1 1 - - -",
        ] {
            assert_eq!(Known::parse(damaged.as_bytes()), None, "{damaged:?}");
        }
        for damaged in ["", "1 2 3 4 5 6", "1 2 3 4 5 6 7 8", "1 2 3 4 5 6 -7", "1 2 3 4 5 6 x", " 1 2 3 4 5 6 7"] {
            assert_eq!(CohortSums::parse(damaged.as_bytes()), None, "{damaged:?}");
        }
    }

    #[test]
    fn an_id_is_bounded() {
        assert!(OutcomeId::new("").is_err() && OutcomeId::new(&"ä".repeat(65)).is_err());
        assert_eq!(OutcomeId::new(&"ä".repeat(64)).unwrap().as_str().len(), OUTCOME_ID_BYTES_MAX);
    }
}
