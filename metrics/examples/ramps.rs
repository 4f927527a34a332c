//! Plays sound and broken migrations through the whole guard by the thousand, and fails when a promise is not kept.
//!
//! `benches/ramps` builds and runs this; the figures are in docs/guard.md. The same seed gives the same figures, on one core
//! or many.

use std::fmt::Write as _;
use std::process::ExitCode;
use std::thread;

use metrics::guard::{GuardSettings, Measure};
use metrics::sequential::{FLEET, Margin, TwoSample};
use metrics::simulate::{Dice, Ending, Moment, Shape, Summary, Until, World, ramp, requests_needed};
use serde_json::{Value, json};

/// Of 10,000 sound ramps at `alpha` 0.001: ten, and three standard deviations.
const FALSE_ROLLBACKS_MAX: f64 = 19.0;

/// Of what cannot be beaten, for a system that fails two to five times as often.
const RATIO_MAX: f64 = 1.5;

/// Failures of new until a total break is rolled back.
const FAILURES_MAX: f64 = 5.0;

/// A figure that was promised.
struct Promise {
    what: String,
    value: f64,
    most: f64,
}

/// Everything that was measured.
#[derive(Default)]
struct Report {
    text: String,
    rows: Vec<Value>,
    promises: Vec<Promise>,
}

struct Options {
    sound: u64,
    broken: u64,
    seed: u64,
    is_json: bool,
}

fn main() -> ExitCode {
    let options = match options() {
        Ok(options) => options,
        Err(message) => {
            eprintln!("error: {message}");
            return ExitCode::from(2);
        }
    };
    let mut report = Report::default();
    sound(&options, &mut report);
    one_stream(&options, &mut report);
    whole_guard(&options, &mut report);
    special(&options, &mut report);
    let missed: Vec<&Promise> =
        report.promises.iter().filter(|promise| promise.value.is_nan() || promise.value > promise.most).collect();
    if options.is_json {
        let missed: Vec<&str> = missed.iter().map(|promise| promise.what.as_str()).collect();
        println!("{:#}", json!({ "seed": options.seed, "rows": report.rows, "missed": missed }));
    } else {
        print!("{}", report.text);
        println!("\n{} of {} promises kept", report.promises.len() - missed.len(), report.promises.len());
    }
    for promise in &missed {
        eprintln!("MISSED: {} is {:.2}, promised is at most {:.2}", promise.what, promise.value, promise.most);
    }
    if missed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn options() -> Result<Options, String> {
    let mut options = Options { sound: 10_000, broken: 1_000, seed: 1, is_json: false };
    let mut arguments = std::env::args().skip(1);
    while let Some(name) = arguments.next() {
        let value = arguments.next().ok_or_else(|| format!("{name} needs a value"))?;
        let number = || value.parse().map_err(|_| format!("{name} needs a number, not {value}"));
        match name.as_str() {
            "--sound" => options.sound = number()?,
            "--broken" => options.broken = number()?,
            "--seed" => options.seed = number()?,
            "-o" => options.is_json = value == "json",
            _ => return Err(format!("{name} is unknown; there are --sound N, --broken N, --seed N and -o table|json")),
        }
    }
    Ok(options)
}

/// What each ramp of so many came to, in the order of their seeds.
fn all<T: Send>(ramps: u64, seed: u64, one: impl Fn(u64) -> T + Sync) -> Vec<T> {
    let threads = thread::available_parallelism().map_or(1, |count| count.get() as u64);
    let chunk = ramps.div_ceil(threads).max(1);
    thread::scope(|scope| {
        let part = |from: u64| {
            let one = &one;
            // Seeds of different measurements stay apart.
            scope.spawn(move || (from..ramps.min(from + chunk)).map(|at| one(seed << 32 | at)).collect::<Vec<T>>())
        };
        let parts: Vec<_> = (0..ramps).step_by(chunk as usize).map(part).collect();
        parts.into_iter().flat_map(|part| part.join().expect("a ramp does not panic")).collect()
    })
}

fn guarded(world: &World, ramps: u64, seed: u64) -> Summary {
    let settings = GuardSettings::default();
    Summary::of(&all(ramps, seed, |seed| ramp(world, &settings, seed)))
}

impl Report {
    fn promise(&mut self, what: &str, value: f64, most: f64) {
        self.promises.push(Promise { what: what.into(), value, most });
    }
}

/// Systems of which the new one is as good as legacy, and as slow as is tolerated.
fn sound(options: &Options, report: &mut Report) {
    let sound = World::SOUND;
    let scenarios = [
        ("flat", sound),
        ("diurnal", World { shape: Shape::Diurnal { period: 600 }, ..sound }),
        ("shared 30 % outage", World { shape: Shape::Outage { from: 200, until: 320, rate: 0.3 }, ..sound }),
        ("shared 60 % outage", World { shape: Shape::Outage { from: 200, until: 320, rate: 0.6 }, ..sound }),
        ("bursty", World { shape: Shape::Bursty, ..sound }),
        ("sessions of 20 fail together", World { session: 20, ..sound }),
        ("1 % at 0.1 requests/s, 3 h", World { share: 0.01, per_second: 0.1, blocks: 21_600, ..sound }),
        ("legacy fails 5 %", World { legacy_failure: 0.05, new_failure: 0.05, ..sound }),
        ("slow shared database", World { shape: Shape::SlowShared { from: 200, until: 400, factor: 3.0 }, ..sound }),
    ];
    let _ = writeln!(
        report.text,
        "{:<30} {:>7} {:>16} {:>7} {:>7}",
        "sound", "ramps", "false rollbacks", "brakes", "holds"
    );
    for (name, world) in scenarios {
        let seen = guarded(&world, options.sound, options.seed);
        let most = (FALSE_ROLLBACKS_MAX * options.sound as f64 / 10_000.0).ceil();
        report.promise(&format!("false rollbacks, {name}"), seen.rolled_back as f64, most);
        let _ = writeln!(
            report.text,
            "{name:<30} {:>7} {:>16} {:>7} {:>7}",
            seen.ramps, seen.rolled_back, seen.braked, seen.held
        );
        report.rows.push(json!({ "sound": name, "seen": seen }));
    }
}

const TOTAL_BREAK: World =
    World { share: 0.01, per_second: 50.0, new_failure: 1.0, slowness: 1.0, blocks: 40_000, ..World::SOUND };

const CELLS: [(f64, f64); 12] = [
    (0.02, 0.01),
    (0.02, 0.1),
    (0.02, 0.5),
    (0.05, 0.01),
    (0.05, 0.1),
    (0.05, 0.5),
    (0.1, 0.01),
    (0.1, 0.1),
    (0.1, 0.5),
    (1.0, 0.01),
    (1.0, 0.1),
    (1.0, 0.5),
];

/// A system that is broken from the first request on, for as long as it takes.
fn broken(new_failure: f64, share: f64) -> World {
    World { new_failure, share, slowness: 1.0, blocks: 40_000, ..World::SOUND }
}

/// The stream of requests alone, without a margin: comparable with what was simulated for the design.
fn one_stream(options: &Options, report: &mut Report) {
    let until = |world: &World, seed: u64| {
        let (mut dice, mut stream, mut now) = (Dice::new(seed), TwoSample::default(), Moment::default());
        for block in -600..i64::from(world.blocks) {
            let seen = world.block(block, if block < 0 { 0.0 } else { world.share }, 1.0, &mut dice).requests;
            stream.fold(&seen, &FLEET, Margin::ZERO, 1.0);
            if block >= 0 {
                now.requests += seen.new.total;
                now.failures += seen.new.bad;
                now.seconds += 0.5;
            }
            if stream.evidence().value() >= 1_000.0 {
                return Ending { rolled_back: Some(now), ..Ending::default() };
            }
        }
        Ending::default()
    };
    let play = |world: &World| Summary::of(&all(options.broken, options.seed, |seed| until(world, seed)));
    heading(report, "one stream at weight 1, no margin");
    for (new, share) in CELLS {
        let world = broken(new, share);
        let seen = play(&world);
        let bound = requests_needed(world.legacy_failure, new, share, 0.0, 1_000.0);
        cell(report, "one stream", (new, share), &seen, bound);
    }
    total_break(report, "one stream", &play(&TOTAL_BREAK));
}

/// Everything as it will decide: margin, weights, brakes on the way, keys. What cannot be beaten here is a test of the requests alone
/// that knows both rates and has their weight in the mean.
fn whole_guard(options: &Options, report: &mut Report) {
    heading(report, "the whole guard, margin 0.2 points");
    for (new, share) in CELLS {
        let world = broken(new, share);
        let seen = guarded(&world, options.broken, options.seed);
        let bound = requests_needed(world.legacy_failure, new, share, 0.002, 1_000.0 / Measure::Requests.weight());
        cell(report, "guard", (new, share), &seen, bound);
    }
    total_break(report, "guard", &guarded(&TOTAL_BREAK, options.broken, options.seed));
}

/// Nothing works on new, and a block seldom has more than one request of it: what it takes is blocks, not requests.
fn total_break(report: &mut Report, kind: &str, seen: &Summary) {
    let name = format!("{kind}: 100 %, 1 % of 50 requests/s");
    let failures = seen.until_rollback.map_or(f64::NAN, |until| until.failures_mean);
    report.promise(&format!("{name}: failures"), failures, FAILURES_MAX);
    if let Some(until) = seen.until_rollback {
        line(report, &name, &until, None);
    }
    report.rows.push(json!({ "total_break": kind, "seen": seen }));
}

fn heading(report: &mut Report, what: &str) {
    let _ = writeln!(
        report.text,
        "\n{what:<36} {:>8} {:>8} {:>8} {:>6} {:>9} {:>9}",
        "mean", "p95", "bound", "ratio", "failures", "seconds"
    );
}

fn cell(report: &mut Report, kind: &str, (new, share): (f64, f64), seen: &Summary, bound: f64) {
    let name = format!("{kind}: new fails {:.0} %, share {:.0} %", new * 100.0, share * 100.0);
    report.promise(&format!("{name}: ramps that were not rolled back"), (seen.ramps - seen.rolled_back) as f64, 0.0);
    let Some(until) = seen.until_rollback else { return };
    let ratio = until.requests_mean / bound;
    if new < 0.06 {
        report.promise(&format!("{name}: ratio to the bound"), ratio, RATIO_MAX);
    }
    line(report, &name, &until, Some(bound));
    report.rows.push(json!({ "cell": kind, "new_failure": new, "share": share, "bound": bound, "seen": seen }));
}

fn line(report: &mut Report, name: &str, until: &Until, bound: Option<f64>) {
    let (bound, ratio) = bound.map_or_else(
        || ("-".to_owned(), "-".to_owned()),
        |bound| (format!("{bound:.1}"), format!("{:.2}", until.requests_mean / bound)),
    );
    let _ = writeln!(
        report.text,
        "{name:<36} {:>8.1} {:>8.0} {bound:>8} {ratio:>6} {:>9.1} {:>9.1}",
        until.requests_mean, until.requests_p95, until.failures_mean, until.seconds_mean
    );
}

fn special(options: &Options, report: &mut Report) {
    let late = World { onset: 3_000, ..broken(0.1, 0.1) };
    let cases = [
        ("legacy fails 2 %, new 4 %", World { legacy_failure: 0.02, ..broken(0.04, 0.1) }),
        ("10 % after 25 sound minutes", late),
        ("100 % after 25 sound minutes", World { new_failure: 1.0, ..late }),
        ("twice as slow, no failures more", World { slowness: 2.0, ..broken(0.01, 0.1) }),
    ];
    heading(report, "others, the whole guard");
    for (name, world) in cases {
        let seen = guarded(&world, options.broken, options.seed);
        report.promise(
            &format!("{name}: ramps that were not rolled back"),
            (seen.ramps - seen.rolled_back) as f64,
            0.0,
        );
        if let Some(until) = seen.until_rollback {
            line(report, name, &until, None);
        }
        report.rows.push(json!({ "case": name, "seen": seen }));
    }
}
