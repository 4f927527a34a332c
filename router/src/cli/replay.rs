//! `crossfade replay`: what the guard would have done with counts that were recorded.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use flags::guard::GuardAction;
use flags::state::Position;
use flags::{BasisPoints, Migration, MigrationId, Mode};
use metrics::judge::{Decision, Recording, RecordingError, Replay, replay};
use serde_json::json;

use super::check;
use super::exit::{Exit, Failure};
use super::output::{Output, print, print_json, shown, table};
use super::performance::e_value;

/// The longest recording that is read.
const FILE_BYTES_MAX: u64 = 256 << 20;

/// Plays recorded counts through the guard, and tells when it would have held, braked and rolled back, and why.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "\
Record with `crossfade counts MIGRATION --window 15m -o json > FILE`. Without options the guard is set as it was, and the
migration stands as it stood. The same file and options give the same answer. What a recording does not hold is not played:
health checks of legacy, reports of quality, and a router's own fast test, which acts sooner when nothing works at all.")]
pub(crate) struct Args {
    /// What `crossfade counts -o json` printed; - is standard input.
    file: PathBuf,
    /// The migration of the configuration; that of the recording unless said.
    #[arg(requires = "config")]
    migration: Option<String>,
    /// Takes the guard from this configuration file.
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The share of sound migrations that may be rolled back by chance, from 0.01% to 1%.
    #[arg(long, value_name = "PERCENT", value_parser = alpha)]
    alpha: Option<BasisPoints>,
    /// How much higher the failure rate of new may be, from 0% to 50%.
    #[arg(long, value_name = "PERCENT", value_parser = margin)]
    margin: Option<BasisPoints>,
    /// A success rate below it is not acceptable, from 0.01% to 99.99%.
    #[arg(long, value_name = "PERCENT", value_parser = floor)]
    success_floor: Option<BasisPoints>,
    /// Gradual at this share all the time, whatever was recorded.
    #[arg(long, value_name = "PERCENT", value_parser = percent)]
    share: Option<BasisPoints>,
    #[command(flatten)]
    output: Output,
}

fn within(text: &str, range: std::ops::RangeInclusive<u16>, told: &str) -> Result<BasisPoints, String> {
    let number = text.strip_suffix('%').unwrap_or(text).trim().parse().ok();
    let share = number.and_then(|number| BasisPoints::from_percent(number).ok());
    share
        .filter(|share| range.contains(&share.get()))
        .ok_or_else(|| format!("write a percentage {told}, with at most two decimals"))
}

fn alpha(text: &str) -> Result<BasisPoints, String> {
    within(text, 1..=100, "from 0.01% to 1%")
}

fn margin(text: &str) -> Result<BasisPoints, String> {
    within(text, 0..=5_000, "from 0% to 50%")
}

fn floor(text: &str) -> Result<BasisPoints, String> {
    within(text, 1..=9_999, "from 0.01% to 99.99%")
}

fn percent(text: &str) -> Result<BasisPoints, String> {
    within(text, 0..=10_000, "from 0% to 100%")
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let recording = Recording::parse(&read(&args.file)?).map_err(|error| refused(&args.file, error))?;
    let fixed = args.share.map(|share| Position { mode: Mode::Gradual, share });
    if fixed.is_none() && !recording.has_positions() {
        return Err(Failure::new(
            Exit::Usage,
            "the recording does not tell how the migration stood: say the share of new, such as --share 25%",
        ));
    }
    let definition = definition(args, &recording)?;
    let played = replay(&recording, &definition, fixed);
    if args.output.is_json() {
        let mut value = serde_json::to_value(&played).context("the answer cannot be written")?;
        value["migration"] = json!(recording.migration);
        return Ok(print_json(&value)?);
    }
    Ok(print(&told(&recording.migration, &played))?)
}

fn read(path: &Path) -> Result<String, Failure> {
    let name = path.display();
    let (mut text, stdin) = (String::new(), path == Path::new("-"));
    let source: Box<dyn std::io::Read> = if stdin {
        Box::new(std::io::stdin())
    } else {
        Box::new(std::fs::File::open(path).with_context(|| format!("{name} cannot be opened"))?)
    };
    source
        .take(FILE_BYTES_MAX + 1)
        .read_to_string(&mut text)
        .with_context(|| format!("{name} cannot be read as text: is it what `crossfade counts -o json` printed?"))?;
    if text.len() as u64 > FILE_BYTES_MAX {
        let message = format!("{name} is larger than {} MiB: cut it and play the parts", FILE_BYTES_MAX >> 20);
        return Err(Failure::new(Exit::Failure, message));
    }
    Ok(text)
}

fn refused(path: &Path, error: RecordingError) -> Failure {
    Failure::from(anyhow::Error::new(error).context(path.display().to_string()))
}

/// The migration with its guard as it is to be played.
fn definition(args: &Args, recording: &Recording) -> Result<Migration, Failure> {
    let mut definition = match &args.config {
        Some(config) => configured(config, args.migration.as_deref().unwrap_or(recording.migration.as_str()))?,
        None => recording.definition().map_err(|error| refused(&args.file, error))?,
    };
    let guard = &mut definition.guard;
    guard.alpha = args.alpha.unwrap_or(guard.alpha);
    guard.margin = args.margin.unwrap_or(guard.margin);
    guard.success_floor = args.success_floor.unwrap_or(guard.success_floor);
    if guard.action == GuardAction::Off {
        eprintln!("warning: the guard is off there; this is what it would do with `action: rollback`");
        guard.action = GuardAction::Rollback;
    }
    Ok(definition)
}

fn configured(file: &Path, id: &str) -> Result<Migration, Failure> {
    let config = check::load(file)?;
    let migrations = config.definitions.migrations();
    let found = migrations.iter().find(|migration| migration.id.as_str() == id).cloned();
    found.ok_or_else(|| {
        let names: Vec<_> = migrations.iter().map(|migration| migration.id.as_str()).collect();
        let message =
            format!("{} has no migration \"{}\": name one of {}", file.display(), shown(id), names.join(", "));
        Failure::new(Exit::Usage, message)
    })
}

/// The time line, and what spoke against new at its end.
fn told(migration: &MigrationId, played: &Replay) -> String {
    let seconds = played.slots as f64 / flags::tally::Slot::PER_SECOND as f64;
    let at_worst = if matches!(played.outcome, "running" | "rolled_back") { "" } else { " at worst" };
    let outcome = played.outcome.replace('_', " ");
    let mut text =
        format!("{migration}: {outcome}{at_worst}, after {seconds} s and {} requests of new", played.requests);
    if !played.decisions.is_empty() {
        text.push_str("\n\n");
        text.push_str(&table(&["TIME", "WHAT", "TO", "WHY"], played.decisions.iter().map(row).collect()));
    }
    if played.left_out > 0 {
        text.push_str(&format!("\n\n{} more are not shown", played.left_out));
    }
    text.push_str("\n\n");
    text.push_str(&evidence(played));
    text
}

fn row(decision: &Decision) -> Vec<String> {
    let to = decision.to.map(|Position { mode, share }| match mode {
        Mode::Gradual => format!("{mode} {} %", share.percent()),
        Mode::LegacyOnly | Mode::Parallel | Mode::NewOnly | Mode::EmergencyRollback => mode.to_string(),
    });
    let time = decision.time.strftime("%Y-%m-%dT%H:%M:%S%.1fZ").to_string();
    vec![time, decision.does.into(), to.unwrap_or_else(|| "-".into()), decision.why.clone()]
}

fn evidence(played: &Replay) -> String {
    if played.evidence.is_empty() {
        return "nothing is judged at the end: new was not meant to have traffic".into();
    }
    let mut rows: Vec<_> = played.evidence.iter().filter(|(name, _)| *name != "all").collect();
    rows.sort_by(|one, other| other.1.total_cmp(one.1));
    let mut rows: Vec<_> = rows.into_iter().map(|(name, value)| vec![name.clone(), e_value(*value)]).collect();
    let all = played.evidence.get("all").copied().unwrap_or(1.0);
    rows.push(vec!["all, weighted".into(), format!("{} (at most {})", e_value(all), e_value(played.evidence_max))]);
    rows.push(vec!["for new: no worse by the margin".into(), e_value(played.safety)]);
    table(&["MEASURE", "EVIDENCE AT THE END"], rows)
}
