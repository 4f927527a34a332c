//! What the guard says of a migration, and how both sides did, as fragments of a page.
//!
//! Everything is text that a screen reader reads in order; the bar beside the evidence says nothing that the text does not.

use std::fmt::{self, Display};

use super::Judged;
use super::html::{Escaped, Piece};
use crate::api::comparison::{ComparisonView, ImprovementView, Interval, KindView, SideView};

/// Evidence that says nothing, where the bar is empty.
const NOTHING: f64 = 1.0;

/// The evidence of one measure from which on it is named.
const WORTH_SAYING: f64 = 2.0;

/// Whether it makes progress, why not, and what speaks against new.
pub(super) fn state<'a>(judged: &'a Judged) -> impl Display + 'a {
    Piece(move |f: &mut fmt::Formatter<'_>| {
        if judged.action == "off" {
            return f.write_str("<div class=\"guard\"><h3>Guard</h3><p class=\"dim small\">Off: nothing is judged, and nothing rolls back by itself.</p></div>");
        }
        let badge = match judged.state {
            "held" => "<span class=\"badge warn\">■ held</span>",
            "braked" => "<span class=\"badge warn\">▼ braked</span>",
            "no_data" => "<span class=\"badge warn\">? no_data</span>",
            "paused" => "<span class=\"badge\">‖ paused</span>",
            "awaiting_approval" => "<span class=\"badge\">… awaiting_approval</span>",
            _ => "<span class=\"badge good\">✓ running</span>",
        };
        write!(f, "<div class=\"guard\"><div class=\"title\"><h3>Guard</h3>{badge}</div>")?;
        if !judged.why.is_empty() {
            write!(f, "<p class=\"small\">{}</p>", Escaped(&judged.why))?;
        }
        if let Some(until) = judged.cooldown_until {
            let until = until.strftime("%H:%M UTC");
            write!(f, "<p class=\"small\">Rolled back of late: it should rest until {until}.</p>")?;
        }
        write!(f, "{}</div>", evidence(judged))
    })
}

fn evidence(judged: &Judged) -> impl Display + '_ {
    Piece(move |f: &mut fmt::Formatter<'_>| {
        let (value, rollback) = (judged.evidence, judged.rollback_at);
        let does = if judged.action == "hold" { "tells people" } else { "rolls back" };
        write!(f, "<p class=\"small\">Evidence against new <b>{}</b>", e_value(value))?;
        if let Some((measure, _)) = judged.loudest.as_ref().filter(|(_, own)| *own >= WORTH_SAYING) {
            write!(f, ", most of it from {}", Escaped(measure))?;
        }
        let (hold, brake) = (20.0_f64.min(rollback), 100.0_f64.min(rollback));
        write!(
            f,
            " <span class=\"dim\">· 1 says nothing, {} holds, {} brakes, {} {does}</span></p>",
            e_value(hold),
            e_value(brake),
            e_value(rollback)
        )?;
        // By powers of ten, because evidence multiplies.
        let part = |value: f64| (value.max(NOTHING).log10() / rollback.max(10.0).log10()).clamp(0.0, 1.0) * 100.0;
        write!(
            f,
            "<svg class=\"evidence\" viewBox=\"0 0 100 1\" preserveAspectRatio=\"none\" aria-hidden=\"true\"><rect class=\"ground\" width=\"100\" height=\"1\"/>\
             <rect class=\"level\" width=\"{:.1}\" height=\"1\"/><rect class=\"mark\" x=\"{:.1}\" width=\"0.8\" height=\"1\"/><rect class=\"mark\" x=\"{:.1}\" width=\"0.8\" height=\"1\"/></svg>",
            part(value),
            part(hold),
            part(brake)
        )
    })
}

/// Both sides beside each other, and by how much new is better.
pub(super) fn performance(judged: &Judged) -> impl Display + '_ {
    Piece(move |f: &mut fmt::Formatter<'_>| {
        f.write_str("<div class=\"performance\"><h3>Performance Comparison</h3>")?;
        let Some(compared) = judged.comparison.as_deref() else {
            return f.write_str("<p class=\"dim small\">Not known: too many migrations for one page, or the store does not answer. <code>crossfade status ID</code> tells.</p></div>");
        };
        let minutes = compared.window_seconds / 60;
        write!(
            f,
            "<table class=\"compared\"><caption>First attempts of the last {minutes} min</caption><thead><tr><th scope=\"col\">Side</th><th scope=\"col\">Requests</th><th scope=\"col\">Success</th><th scope=\"col\">p50</th><th scope=\"col\">p95</th></tr></thead><tbody>{}{}</tbody></table>",
            row(&compared.legacy),
            row(&compared.new)
        )?;
        write!(f, "{}</div>", improvements(compared))
    })
}

fn row(side: &SideView) -> impl Display + '_ {
    Piece(move |f: &mut fmt::Formatter<'_>| {
        let KindView { total, success_rate, p50_seconds, p95_seconds, .. } = &side.requests;
        let success = success_rate.map_or_else(|| "-".into(), |rate| format!("{:.2} %", rate * 100.0));
        write!(
            f,
            "<tr><th scope=\"row\">{}</th><td>{total}</td><td>{success}</td><td>{}</td><td>{}</td></tr>",
            Escaped(&side.label),
            duration(*p50_seconds),
            duration(*p95_seconds)
        )
    })
}

/// By the names of the API, which are also those of the issue-agents story.
fn improvements(compared: &ComparisonView) -> impl Display + '_ {
    Piece(move |f: &mut fmt::Formatter<'_>| {
        let better = &compared.comparison;
        write!(f, "<dl><dt>Improvement of new</dt><dd>by {}, with its 95 % range</dd>", better.basis)?;
        let is_short = better.duration_improvement.is_some_and(|seconds| seconds.abs() < 1.0);
        let (seconds, unit) = if is_short { (1_000.0, " ms") } else { (1.0, " s") };
        let ImprovementView { success_rate_improvement, duration_improvement, quality_improvement, .. } = better;
        for (name, value, interval, factor, unit) in [
            (
                "success_rate_improvement",
                success_rate_improvement,
                &better.success_rate_improvement_interval,
                100.0,
                " points",
            ),
            ("duration_improvement", duration_improvement, &better.duration_improvement_interval, seconds, unit),
            ("quality_improvement", quality_improvement, &better.quality_improvement_interval, 1.0, ""),
        ] {
            let text = improvement(*value, interval.as_ref(), factor, unit);
            write!(f, "<dt><code>{name}</code></dt><dd>{text}</dd>")?;
        }
        f.write_str("</dl>")
    })
}

fn improvement(value: Option<f64>, interval: Option<&Interval>, factor: f64, unit: &str) -> String {
    let (Some(value), Some(Interval { low, high })) = (value, interval) else { return "nothing to compare yet".into() };
    let [value, low, high] = [value, *low, *high].map(|part| part * factor);
    format!("{value:+.2}{unit} ({low:+.2} to {high:+.2})")
}

fn duration(seconds: Option<f64>) -> String {
    match seconds {
        None => "-".into(),
        Some(seconds) if seconds < 1.0 => format!("{:.1} ms", seconds * 1_000.0),
        Some(seconds) => format!("{seconds:.1} s"),
    }
}

fn e_value(value: f64) -> String {
    match value {
        value if value >= 1e6 => "above a million".into(),
        value if value >= 10.0 => format!("{value:.0}"),
        value => format!("{}", (value * 10.0).round() / 10.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_as_many_digits_as_say_something() {
        let values = [0.04, 1.0, 9.94, 20.0, 999.6, 2e6].map(e_value);
        assert_eq!(values, ["0", "1", "9.9", "20", "1000", "above a million"]);
        assert_eq!([None, Some(0.0042), Some(1.26)].map(duration), ["-", "4.2 ms", "1.3 s"]);
        let interval = Interval { low: -0.002, high: 0.06 };
        assert_eq!(improvement(Some(0.031), Some(&interval), 100.0, " points"), "+3.10 points (-0.20 to +6.00)");
        assert_eq!(improvement(None, None, 1.0, ""), "nothing to compare yet");
    }
}
