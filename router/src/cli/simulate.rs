//! `crossfade simulate`: what the guard would do to a system that is well and to one that is not, before there is any traffic.

use metrics::guard::GuardSettings;
use metrics::simulate::{Ending, Summary, Until, World, ramp};
use serde_json::{Value, json};

use super::exit::Failure;
use super::output::{Output, print, print_json, table};

const BLOCKS_PER_MINUTE: u32 = 120;

/// Tells what the guard would do: false rollbacks, and requests until a hold, a brake and a rollback.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "\
Each ramp is five minutes of legacy alone, then requests of 10,000 callers at one share, until a rollback or the end.
A sound system is played as often as the one that fails. A router's own fast test, which acts sooner when nothing
works at all, is not part of it. The same seed gives the same figures.")]
pub(crate) struct Args {
    /// How many requests fail on legacy.
    #[arg(long, value_name = "PERCENT", default_value = "1%", value_parser = rate)]
    legacy_failure: f64,
    /// How many requests fail on new.
    #[arg(long, value_name = "PERCENT", default_value = "5%", value_parser = rate)]
    new_failure: f64,
    /// The share of new.
    #[arg(long, value_name = "PERCENT", default_value = "10%", value_parser = share)]
    share: f64,
    /// Requests a second, both sides together.
    #[arg(long, value_name = "NUMBER", default_value = "200", value_parser = per_second)]
    rate: f64,
    /// How long a ramp lasts at most.
    #[arg(long, value_name = "NUMBER", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=1440))]
    minutes: u32,
    /// Ramps of each kind.
    #[arg(long, value_name = "NUMBER", default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..=100_000))]
    ramps: u64,
    /// Another number gives other ramps.
    #[arg(long, value_name = "NUMBER", default_value_t = 1, value_parser = clap::value_parser!(u32))]
    seed: u32,
    #[command(flatten)]
    output: Output,
}

fn percent(text: &str) -> Option<f64> {
    let number = text.strip_suffix('%').unwrap_or(text).trim();
    number.parse::<f64>().ok().filter(|percent| (0.0..=100.0).contains(percent)).map(|percent| percent / 100.0)
}

fn rate(text: &str) -> Result<f64, String> {
    percent(text).ok_or_else(|| "write a percentage from 0% to 100%".into())
}

/// With nobody on one of the sides there is nothing to compare.
fn share(text: &str) -> Result<f64, String> {
    let possible = percent(text).filter(|share| (0.0001..=0.9999).contains(share));
    possible.ok_or_else(|| "write a percentage from 0.01% to 99.99%".into())
}

fn per_second(text: &str) -> Result<f64, String> {
    let possible = text.parse::<f64>().ok().filter(|rate| (0.01..=100_000.0).contains(rate));
    possible.ok_or_else(|| "write a number of requests a second, from 0.01 to 100000".into())
}

impl Args {
    /// The migration as it was described, with this rate of failure on new.
    fn world(&self, new_failure: f64) -> World {
        World {
            per_second: self.rate,
            share: self.share,
            legacy_failure: self.legacy_failure,
            new_failure,
            slowness: 1.0,
            blocks: self.minutes * BLOCKS_PER_MINUTE,
            ..World::SOUND
        }
    }

    fn play(&self, new_failure: f64) -> Summary {
        let (world, settings) = (self.world(new_failure), GuardSettings::default());
        let seeds = (0..self.ramps).map(|at| u64::from(self.seed) << 32 | at);
        Summary::of(&seeds.map(|seed| ramp(&world, &settings, seed)).collect::<Vec<Ending>>())
    }
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let (sound, failing) = (args.play(args.legacy_failure), args.play(args.new_failure));
    if args.output.is_json() {
        return Ok(print_json(&report(args, &sound, &failing))?);
    }
    Ok(print(&shown(&sound, &failing))?)
}

fn report(args: &Args, sound: &Summary, failing: &Summary) -> Value {
    json!({
        "legacy_failure": args.legacy_failure,
        "new_failure": args.new_failure,
        "share": args.share,
        "per_second": args.rate,
        "minutes": args.minutes,
        "seed": args.seed,
        "sound": sound,
        "failing": failing,
    })
}

fn shown(sound: &Summary, failing: &Summary) -> String {
    let header = ["NEW", "ACTION", "RAMPS", "REQUESTS", "P95", "FAILURES", "SECONDS", "P95"];
    let mut rows = Vec::new();
    for (name, seen) in [("as legacy", sound), ("as described", failing)] {
        rows.push(row(name, "hold", seen.ramps, seen.held, seen.until_hold.as_ref()));
        rows.push(row(name, "brake", seen.ramps, seen.braked, seen.until_brake.as_ref()));
        rows.push(row(name, "rollback", seen.ramps, seen.rolled_back, seen.until_rollback.as_ref()));
    }
    table(&header, rows)
}

fn row(name: &str, action: &str, ramps: usize, acted: usize, until: Option<&Until>) -> Vec<String> {
    let mut row = vec![name.to_owned(), action.to_owned(), format!("{acted} of {ramps}")];
    let numbers = until.map(|until| {
        [until.requests_mean, until.requests_p95, until.failures_mean, until.seconds_mean, until.seconds_p95]
    });
    row.extend(numbers.map_or_else(|| vec!["-".into(); 5], |numbers| numbers.map(|n| format!("{n:.1}")).to_vec()));
    row
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(new_failure: f64) -> Args {
        Args {
            legacy_failure: 0.01,
            new_failure,
            share: 0.1,
            rate: 100.0,
            minutes: 2,
            ramps: 4,
            seed: 1,
            output: Output::default(),
        }
    }

    #[test]
    fn a_total_break_is_rolled_back_and_a_sound_system_is_not() {
        let args = args(1.0);
        let (sound, failing) = (args.play(args.legacy_failure), args.play(args.new_failure));
        assert_eq!((sound.rolled_back, failing.rolled_back), (0, 4));
        let text = shown(&sound, &failing);
        assert_eq!(text.lines().count(), 7, "{text}");
        assert!(text.contains("rollback  0 of 4") && text.contains("rollback  4 of 4"), "{text}");
        let told = report(&args, &sound, &failing);
        assert_eq!(told["failing"]["rolled_back"], 4, "{told}");
        assert!(told["sound"]["until_rollback"].is_null(), "{told}");
    }

    #[test]
    fn numbers_are_percentages_and_within_reason() {
        assert_eq!(rate("1%"), Ok(0.01));
        assert_eq!(rate("2.5"), Ok(0.025));
        assert_eq!(share("10 %"), Ok(0.1));
        assert!(rate("101%").is_err() && rate("-1").is_err() && rate("NaN").is_err());
        assert!(share("0").is_err() && share("100%").is_err());
        assert!(per_second("0").is_err() && per_second("inf").is_err() && per_second("0.1").is_ok());
    }
}
