//! `crossfade counts`: what the fleet counted of late, to look at and to keep for a replay.

use flags::tally::{Slot, Tally};
use jiff::Timestamp;
use metrics::performance::{Kind, Side};
use serde_json::Value;

use super::client::{Call, Connection, encoded};
use super::exit::{Exit, Failure};
use super::output::{Output, print, table};
use super::performance::duration;

/// Shows what the whole fleet counted of a migration, second by second.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "\
What a side itself did with each request, its copies included, whatever a fallback then made of it. OK is below 400,
REFUSED a 4xx, FAILED a 5xx or no whole answer. With -o json everything is printed as it is stored, by the half second, with
how the migration stood and what its guard was set to: keep it for `crossfade replay`.")]
pub(crate) struct Args {
    migration: String,
    /// How far back, such as 60s; 15m at most.
    #[arg(long, value_name = "DURATION", default_value = "60s")]
    window: String,
    #[command(flatten)]
    connection: Connection,
    #[command(flatten)]
    output: Output,
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let mut call = Call::get(format!("/migrations/{}/counts", encoded(&args.migration)));
    call.query = vec![("form", "slots".into()), ("window", args.window.clone())];
    let answer = args.connection.call(call)?;
    if args.output.is_json() {
        // For a machine, and long: without white space.
        return Ok(print(&answer.to_string())?);
    }
    let slots = answer["slots"].as_array().ok_or_else(|| {
        Failure::new(
            Exit::Failure,
            "this router does not tell counts by the slot: update it to the version of this command",
        )
    })?;
    Ok(print(&shown(slots))?)
}

/// Both sides of each second.
fn shown(slots: &[Value]) -> String {
    let second = |slot: &Value| Slot(slot["slot"].as_u64().unwrap_or_default()).second();
    let header =
        ["SECOND", "LEGACY OK", "REFUSED", "FAILED", "P50", "P99", "NEW OK", "REFUSED", "FAILED", "P50", "P99"];
    let rows: Vec<_> =
        slots.chunk_by(|one, next| second(one) == second(next)).map(|of| row(second(&of[0]), of)).collect();
    if rows.is_empty() { "nothing was counted in this window".into() } else { table(&header, rows) }
}

fn row(second: u64, slots: &[Value]) -> Vec<String> {
    let time = i64::try_from(second).ok().and_then(|second| Timestamp::from_second(second).ok()).unwrap_or_default();
    let mut row = vec![time.to_string()];
    for side in ["legacy", "new"] {
        row.extend(cells(&sum(slots.iter().map(|slot| &slot[side]))));
    }
    row
}

fn sum<'a>(sides: impl Iterator<Item = &'a Value>) -> Tally {
    let mut sum = Tally::default();
    for (name, count) in sides.filter_map(Value::as_object).flatten() {
        sum.add(name, count.as_u64().unwrap_or_default());
    }
    sum
}

fn cells(tally: &Tally) -> [String; 5] {
    let Kind { durations, .. } = Side::of(tally).requests;
    let quantile = |quantile| durations.quantile(quantile).map(|duration| duration.as_secs_f64());
    let count = |name: &str| tally.get(name).to_string();
    [count("ok"), count("refused"), count("failed"), duration(quantile(0.50)), duration(quantile(0.99))]
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_halves_of_a_second_are_one_row() {
        let slots = [
            json!({"slot": 3_600_000_000_u64, "legacy": {"ok": 9, "h40": 9}, "new": {}}),
            json!({"slot": 3_600_000_001_u64, "legacy": {"ok": 1, "refused": 2, "h40": 3}, "new": {"failed": 4, "h8": 4}}),
            json!({"slot": 3_600_000_004_u64, "legacy": {}, "new": {"ok": 1, "h8": 1}}),
        ];
        let text = shown(&slots);
        let lines: Vec<Vec<&str>> = text
            .lines()
            .map(|line| line.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).collect())
            .collect();
        assert_eq!(lines.len(), 3, "{text}");
        assert_eq!(lines[1][..4], ["2027-01-15T08:00:00Z", "10", "2", "0"]);
        assert_eq!(lines[1][6..9], ["0", "0", "4"]);
        assert_eq!((lines[2][0], &lines[2][4..7]), ("2027-01-15T08:00:02Z", &["-", "-", "1"][..]));
        assert_eq!(shown(&[]), "nothing was counted in this window");
    }
}
