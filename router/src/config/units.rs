//! Durations, sizes, shares and closed sets of words, as an operator writes them.
//!
//! A number without a unit is refused where one is needed, because `timeout: 10` has meant seconds
//! in one tool and milliseconds in the next.

use std::borrow::Cow;
use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;
use std::time::Duration;

use flags::guard::{GuardAction, LegacyWarmth};
use flags::migration::{OnMissingKey, UnsafeMethods};
use flags::{HashKind, Mode, Side};
use metrics::notice::Kind;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Deserialize, Deserializer, Error as _};

use super::errors::{closest, quoted};
use super::issues::{Preset, Scheme};
use super::{LogFormat, Role};

/// The longest duration: ten years, so that sums of instants cannot overflow.
const PERIOD_MAX: Duration = Duration::from_secs(3650 * 86_400);

/// `500ms`, `10s`, `5m`, `1h`, `7d`, `1h30m`, `1.5s`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Period(pub(crate) Duration);

/// `64KiB`, `10MB`, `512B`; in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Size(pub(crate) u64);

/// `25`, `12.5`, `1%`; in percent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Percent(pub(crate) f64);

/// `100/s`, `600/m`, `10/h`; so many in so long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rate {
    pub(crate) count: NonZeroU32,
    pub(crate) per: Duration,
}

/// `auto` or a number of threads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Workers {
    Auto,
    Count(u16),
}

impl FromStr for Period {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let invalid = || {
            format!("{} is not a duration: write a number with a unit, such as 500ms, 10s, 5m, 1h or 7d", quoted(text))
        };
        let mut rest = text.trim();
        let mut milliseconds = 0.0;
        if rest == "0" {
            return Ok(Self(Duration::ZERO));
        }
        if rest.is_empty() {
            return Err(invalid());
        }
        while !rest.is_empty() {
            let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(invalid)?;
            let number: f64 = rest[..digits].parse().map_err(|_| invalid())?;
            rest = &rest[digits..];
            let unit = rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len());
            milliseconds += number
                * match &rest[..unit] {
                    "ms" => 1.0,
                    "s" => 1_000.0,
                    "m" | "min" => 60_000.0,
                    "h" => 3_600_000.0,
                    "d" => 86_400_000.0,
                    _ => return Err(invalid()),
                };
            rest = &rest[unit..];
        }
        let microseconds = (milliseconds * 1_000.0_f64).round();
        if microseconds > PERIOD_MAX.as_secs_f64() * 1e6 {
            return Err(format!("{} is longer than ten years", quoted(text)));
        }
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "not negative, and at most ten years by the line above"
        )]
        let microseconds = microseconds as u64;
        Ok(Self(Duration::from_micros(microseconds)))
    }
}

/// In the largest unit that is whole, so that it reads back as itself.
impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let microseconds = self.0.as_micros();
        for (unit, length) in [("d", 86_400_000_000), ("h", 3_600_000_000), ("m", 60_000_000), ("s", 1_000_000)] {
            if microseconds >= length && microseconds.is_multiple_of(length) {
                return write!(f, "{}{unit}", microseconds / length);
            }
        }
        match microseconds {
            0 => f.write_str("0s"),
            exact if exact.is_multiple_of(1_000) => write!(f, "{}ms", exact / 1_000),
            _ => write!(f, "{}.{:03}ms", microseconds / 1_000, microseconds % 1_000),
        }
    }
}

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let invalid =
            || format!("{} is not a size: write a number with a unit, such as 64KiB, 10MB or 512B", quoted(text));
        let trimmed = text.trim();
        if trimmed == "0" {
            return Ok(Self(0));
        }
        let digits = trimmed.find(|c: char| !c.is_ascii_digit()).ok_or_else(invalid)?;
        let number: u64 = trimmed[..digits].parse().map_err(|_| invalid())?;
        let factor: u64 = match trimmed[digits..].trim_start() {
            "B" => 1,
            "KiB" => 1 << 10,
            "MiB" => 1 << 20,
            "GiB" => 1 << 30,
            "TiB" => 1 << 40,
            "kB" | "KB" => 1_000,
            "MB" => 1_000_000,
            "GB" => 1_000_000_000,
            "TB" => 1_000_000_000_000,
            _ => return Err(invalid()),
        };
        number.checked_mul(factor).map(Self).ok_or_else(|| format!("{} is too large", quoted(text)))
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (unit, length) in [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)] {
            if self.0 >= length && self.0.is_multiple_of(length) {
                return write!(f, "{}{unit}", self.0 / length);
            }
        }
        write!(f, "{}B", self.0)
    }
}

impl FromStr for Percent {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let trimmed = text.trim();
        let number = trimmed.strip_suffix('%').unwrap_or(trimmed).trim_end();
        let plain = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
        match number.parse::<f64>() {
            Ok(percent) if plain && (0.0..=100.0).contains(&percent) => Ok(Self(percent)),
            Ok(_) | Err(_) => Err(format!("{} is not a share: write 0 to 100, such as 25, 12.5 or 1%", quoted(text))),
        }
    }
}

const RATE_UNITS: [(&str, u64); 3] = [("s", 1), ("m", 60), ("h", 3_600)];

impl FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let invalid = || format!("{} is not a rate: write a number and a unit of time, such as 100/s", quoted(text));
        let (count, unit) = text.trim().split_once('/').ok_or_else(invalid)?;
        let count = count.trim_end().parse().map_err(|_| invalid())?;
        let (_, seconds) = RATE_UNITS.into_iter().find(|(own, _)| *own == unit.trim_start()).ok_or_else(invalid)?;
        Ok(Self { count, per: Duration::from_secs(seconds) })
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = RATE_UNITS.into_iter().find(|(_, seconds)| *seconds == self.per.as_secs());
        write!(f, "{}/{}", self.count, unit.map_or("s", |(unit, _)| unit))
    }
}

impl FromStr for Workers {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        const WORKERS_MAX: u16 = 1_024;
        match text.parse() {
            _ if text == "auto" => Ok(Self::Auto),
            Ok(count @ 1..=WORKERS_MAX) => Ok(Self::Count(count)),
            Ok(_) | Err(_) => {
                Err(format!("{} is not a number of workers: write auto or 1 to {WORKERS_MAX}", quoted(text)))
            }
        }
    }
}

/// What is read from text by [`FromStr`] and described by a pattern.
macro_rules! from_text {
    ($type:ty, $name:literal, $schema:expr) => {
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
            }
        }

        impl JsonSchema for $type {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> Cow<'static, str> {
                $name.into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                $schema
            }
        }
    };
}

from_text!(
    Period,
    "Duration",
    json_schema!({ "type": "string", "pattern": r"^(([0-9.]+(ms|s|m|min|h|d))+|0)$|\$\{", "examples": ["500ms", "10s", "5m", "1h", "7d"] })
);
from_text!(
    Size,
    "Size",
    json_schema!({ "type": "string", "pattern": r"^([0-9]+ ?(B|[KMGT]iB|[kKMGT]B)|0)$|\$\{", "examples": ["64KiB", "10MB"] })
);
from_text!(
    Percent,
    "Percent",
    json_schema!({ "anyOf": [
        { "type": "number", "minimum": 0, "maximum": 100 },
        { "type": "string", "pattern": r"^[0-9.]+ ?%?$|\$\{" }
    ] })
);
from_text!(
    Rate,
    "Rate",
    json_schema!({ "type": "string", "pattern": r"^[0-9]+ ?/ ?[smh]$|\$\{", "examples": ["100/s", "600/m"] })
);
from_text!(
    Workers,
    "Workers",
    json_schema!({ "anyOf": [{ "const": "auto" }, { "type": "integer", "minimum": 1, "maximum": 1024 }, { "type": "string", "pattern": r"\$\{" }] })
);

/// A type whose values are the words of a closed set.
pub(crate) trait Words: Copy + 'static {
    const WORDS: &'static [(&'static str, Self)];
}

/// One word of a closed set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OneOf<T>(pub(crate) T);

impl<T: Words> FromStr for OneOf<T> {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some((_, value)) = T::WORDS.iter().find(|(word, _)| *word == text) {
            return Ok(Self(*value));
        }
        let words: Vec<&str> = T::WORDS.iter().map(|(word, _)| *word).collect();
        let hint = closest(text, words.iter().copied()).map(|word| format!("; did you mean `{word}`?"));
        Err(format!("{} is not one of {}{}", quoted(text), words.join(", "), hint.unwrap_or_default()))
    }
}

impl<'de, T: Words> Deserialize<'de> for OneOf<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

impl<T: Words> JsonSchema for OneOf<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Word".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let words: Vec<&str> = T::WORDS.iter().map(|(word, _)| *word).collect();
        json_schema!({ "enum": words })
    }
}

impl Words for Side {
    const WORDS: &'static [(&'static str, Self)] = &[("legacy", Self::Legacy), ("new", Self::New)];
}

impl Words for Mode {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("legacy_only", Self::LegacyOnly),
        ("parallel", Self::Parallel),
        ("gradual", Self::Gradual),
        ("new_only", Self::NewOnly),
        ("emergency_rollback", Self::EmergencyRollback),
    ];
}

impl Words for HashKind {
    const WORDS: &'static [(&'static str, Self)] = &[("bucket", Self::Bucket), ("modulo", Self::Modulo)];
}

impl Words for OnMissingKey {
    const WORDS: &'static [(&'static str, Self)] =
        &[("legacy", Self::Legacy), ("new", Self::New), ("random", Self::Random)];
}

impl Words for UnsafeMethods {
    const WORDS: &'static [(&'static str, Self)] =
        &[("follow", Self::Follow), ("legacy_until_new_only", Self::LegacyUntilNewOnly)];
}

impl Words for GuardAction {
    const WORDS: &'static [(&'static str, Self)] =
        &[("rollback", Self::Rollback), ("hold", Self::Hold), ("off", Self::Off)];
}

impl Words for LegacyWarmth {
    const WORDS: &'static [(&'static str, Self)] =
        &[("measured", Self::Measured), ("warm", Self::Warm), ("cold", Self::Cold)];
}

impl Words for LogFormat {
    const WORDS: &'static [(&'static str, Self)] = &[("text", Self::Text), ("json", Self::Json)];
}

impl Words for Kind {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("hold", Self::Hold),
        ("release", Self::Release),
        ("brake", Self::Brake),
        ("rollback", Self::Rollback),
        ("acknowledged", Self::Acknowledged),
        ("no_data", Self::NoData),
        ("recovered", Self::Recovered),
        ("shared_dependency", Self::SharedDependency),
        ("mean_duration", Self::MeanDuration),
        ("awaiting_approval", Self::AwaitingApproval),
        ("mode_changed", Self::ModeChanged),
    ];
}

impl Words for Preset {
    const WORDS: &'static [(&'static str, Self)] = &[("github", Self::Github), ("json", Self::Json)];
}

impl Words for Scheme {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("hmac_sha256_hex", Self::HmacSha256Hex),
        ("standard_webhooks", Self::StandardWebhooks),
        ("none_the_network_is_trusted", Self::Unsigned),
    ];
}

impl Words for Role {
    const WORDS: &'static [(&'static str, Self)] =
        &[("viewer", Self::Viewer), ("reporter", Self::Reporter), ("operator", Self::Operator), ("admin", Self::Admin)];
}

/// The word of a value.
pub(crate) fn word<T: Words + PartialEq>(value: T) -> &'static str {
    T::WORDS.iter().find(|(_, own)| *own == value).map_or("", |(word, _)| word)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check_period(text: &str, milliseconds: Option<u64>) {
        let parsed = text.parse::<Period>().ok().map(|period| period.0);
        assert_eq!(parsed, milliseconds.map(Duration::from_millis), "{text:?}");
    }

    #[test]
    fn durations_need_a_unit() {
        check_period("500ms", Some(500));
        check_period("10s", Some(10_000));
        check_period("1h30m", Some(5_400_000));
        check_period("1.5s", Some(1_500));
        check_period("7d", Some(604_800_000));
        check_period("0", Some(0));
        for text in ["", "10", "s", "10 s", "-1s", "1y", "1e3s", "10S", "99999d", "1..2s", "ms"] {
            check_period(text, None);
        }
    }

    #[track_caller]
    fn check_size(text: &str, bytes: Option<u64>) {
        assert_eq!(text.parse::<Size>().ok().map(|size| size.0), bytes, "{text:?}");
    }

    #[test]
    fn sizes_need_a_unit() {
        check_size("64KiB", Some(65_536));
        check_size("10MB", Some(10_000_000));
        check_size("10 MB", Some(10_000_000));
        check_size("512B", Some(512));
        check_size("0", Some(0));
        for text in ["", "10", "KiB", "1.5MB", "-1B", "10mb", "99999999999TB"] {
            check_size(text, None);
        }
    }

    #[track_caller]
    fn check_percent(text: &str, percent: Option<f64>) {
        assert_eq!(text.parse::<Percent>().ok().map(|percent| percent.0), percent, "{text:?}");
    }

    #[test]
    fn shares_are_percent() {
        check_percent("25", Some(25.0));
        check_percent("12.5%", Some(12.5));
        check_percent("100 %", Some(100.0));
        for text in ["", "%", "101", "-1", "1e1", "NaN", "inf", "a"] {
            check_percent(text, None);
        }
    }

    #[track_caller]
    fn check_rate(text: &str, rate: Option<(u32, u64)>) {
        let parsed = text.parse::<Rate>().ok();
        assert_eq!(parsed.map(|rate| (rate.count.get(), rate.per.as_secs())), rate, "{text:?}");
        if let Some(rate) = parsed {
            assert_eq!(rate.to_string().parse(), Ok(rate), "{text:?}");
        }
    }

    #[test]
    fn a_rate_is_so_many_in_so_long() {
        check_rate("100/s", Some((100, 1)));
        check_rate("600 / m", Some((600, 60)));
        check_rate("1/h", Some((1, 3_600)));
        for text in ["", "100", "/s", "0/s", "-1/s", "1/d", "1/s/s", "1.5/s", "99999999999/s"] {
            check_rate(text, None);
        }
    }

    #[test]
    fn a_close_word_is_suggested() {
        let error = "graduall".parse::<OneOf<Mode>>().unwrap_err();
        assert!(error.ends_with("did you mean `gradual`?"), "{error}");
        for mode in Mode::ALL {
            assert_eq!(word(mode), mode.name());
        }
        for kind in Kind::ALL.into_iter().filter(|kind| *kind != Kind::Test) {
            assert_eq!(word(kind), kind.name());
        }
    }

    proptest! {
        #[test]
        fn durations_read_back_as_printed(milliseconds in 0..=10_000_000_000u64) {
            let period = Period(Duration::from_millis(milliseconds));
            prop_assert_eq!(period.to_string().parse::<Period>(), Ok(period));
        }

        #[test]
        fn sizes_read_back_as_printed(bytes: u64) {
            prop_assert_eq!(Size(bytes).to_string().parse::<Size>(), Ok(Size(bytes)));
        }
    }
}
