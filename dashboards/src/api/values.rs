//! Values of a change that are well-formed JSON and may still be impossible: 422, with the remedy.
//!
//! Lengths of reasons and keys are judged by [`flags::control`], which every writer passes.

use std::time::Duration;

use flags::{BasisPoints, Mode, Side};

use crate::problem::{Code, Problem};

/// The longest `?wait=`; a router that needs longer is gone.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// The longest life of a pin that has an end at all.
const PIN_LIFE_MAX: Duration = Duration::from_secs(10 * 366 * 24 * 60 * 60);

fn impossible(detail: impl Into<String>) -> Problem {
    Problem::new(Code::InvalidValue, detail)
}

/// The mandatory reason, without white space around it.
pub(crate) fn reason(given: Option<&str>) -> Result<String, Problem> {
    let text = given.unwrap_or_default().trim();
    if text.is_empty() {
        let detail = "say in \"reason\" why the change is made: the history keeps it for whoever looks next";
        return Err(Problem::new(Code::ReasonRequired, detail));
    }
    Ok(text.into())
}

pub(crate) fn mode(text: &str) -> Result<Mode, Problem> {
    text.parse().map_err(|error: flags::mode::UnknownMode| impossible(error.to_string()))
}

pub(crate) fn percent(number: f64) -> Result<BasisPoints, Problem> {
    BasisPoints::from_percent(number).map_err(|error| impossible(error.to_string()))
}

pub(crate) fn side(text: &str) -> Result<Side, Problem> {
    Side::ALL.into_iter().find(|side| side.name() == text).ok_or_else(|| {
        let shown: String = text.chars().take(80).collect();
        impossible(format!("\"{}\" is not a side: use legacy or new", shown.escape_debug()))
    })
}

/// How many entries a page has.
pub(crate) fn limit(asked: Option<usize>, usual: usize, most: usize) -> Result<usize, Problem> {
    match asked {
        None => Ok(usual),
        Some(limit) if (1..=most).contains(&limit) => Ok(limit),
        Some(limit) => Err(impossible(format!("\"limit\" is {limit}: use 1 to {most}"))),
    }
}

/// How long a pin holds.
pub(crate) fn pin_life(text: &str) -> Result<Duration, Problem> {
    match duration(text) {
        Some(life) if !life.is_zero() && life <= PIN_LIFE_MAX => Ok(life),
        Some(_) | None => Err(not_a_duration("for", text, "10 years")),
    }
}

/// How long a freeze holds; `Control` says how long it may.
pub(crate) fn freeze_life(text: &str) -> Result<Duration, Problem> {
    duration(text).ok_or_else(|| not_a_duration("for", text, "30d"))
}

/// How long a change waits for the replicas.
pub(crate) fn wait(text: Option<&str>) -> Result<Option<Duration>, Problem> {
    let Some(text) = text else { return Ok(None) };
    match duration(text) {
        Some(wait) if wait <= WAIT_MAX => Ok(Some(wait)),
        Some(_) | None => Err(not_a_duration("wait", text, "60s")),
    }
}

/// How many whole seconds back a question goes.
pub(crate) fn window(text: Option<&str>, usual: u64, most: u64) -> Result<u64, Problem> {
    let Some(text) = text else { return Ok(usual) };
    match duration(text) {
        Some(window) if (1..=most).contains(&window.as_secs()) && window.subsec_nanos() == 0 => Ok(window.as_secs()),
        Some(_) | None => Err(not_a_duration("window", text, &format!("{most}s"))),
    }
}

fn not_a_duration(name: &str, text: &str, limit: &str) -> Problem {
    let shown: String = text.chars().take(80).collect();
    let shown = shown.escape_debug();
    impossible(format!(
        "\"{name}\" is \"{shown}\": use a whole number with a unit of ms, s, m, h or d, such as 10s, up to {limit}"
    ))
}

/// `10s`, `500ms`, `7d`.
fn duration(text: &str) -> Option<Duration> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let millis: u64 = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(millis).map(Duration::from_millis)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Option<u64>) {
        let millis = duration(text).map(|d| u64::try_from(d.as_millis()).unwrap());
        assert_eq!(millis, expected, "{text:?}");
    }

    #[test]
    fn a_duration_is_a_number_with_a_unit() {
        check("10s", Some(10_000));
        check("500ms", Some(500));
        check("7d", Some(604_800_000));
        check("0s", Some(0));
        for text in ["", "10", "s", "-1s", "1.5s", " 1s", "1s ", "1w", "99999999999999999999s", "18446744073709551615d"]
        {
            check(text, None);
        }
    }

    #[test]
    fn limits_are_inclusive() {
        assert_eq!(wait(Some("60s")).unwrap(), Some(WAIT_MAX));
        assert!(wait(Some("61s")).is_err());
        assert!(pin_life("0s").is_err());
    }

    #[test]
    fn a_blank_reason_is_none() {
        for given in [None, Some(""), Some("  \n\t")] {
            assert_eq!(reason(given).unwrap_err().code(), Code::ReasonRequired, "{given:?}");
        }
        assert_eq!(reason(Some(" because ")).unwrap(), "because");
    }
}
