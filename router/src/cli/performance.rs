//! How both sides of one migration did, and what speaks against new, as tables.

use serde_json::Value;

use super::output::{cell, shown, table};

/// Evidence below this is not worth a line of its own.
const WORTH_SAYING: f64 = 2.0;

/// Both sides over a window, by how much new is better, and the evidence.
pub(crate) fn tables(comparison: &Value, evidence: &Value) -> String {
    let mut text = String::new();
    if comparison.is_object() {
        let header = ["LAST", "REQUESTS", "SUCCESS", "MEAN", "P50", "P95", "P99", "WORK", "SUCCESS", "MEAN", "QUALITY"];
        let window = seconds_as_window(comparison["window_seconds"].as_u64().unwrap_or_default());
        let rows = ["legacy", "new"].map(|name| row(&comparison[name]));
        text.push_str(&table(&header, rows.to_vec()).replacen("LAST", &window, 1));
        text.push('\n');
        text.push_str(&improvements(&comparison["comparison"]));
    }
    if evidence.is_object() {
        text.push_str("\n\n");
        text.push_str(&evidence_line(evidence));
    }
    text
}

fn row(side: &Value) -> Vec<String> {
    let (requests, work) = (&side["requests"], &side["work"]);
    vec![
        cell(&side["label"]),
        cell(&requests["total"]),
        share(&requests["success_rate"]),
        duration(requests["mean_seconds"].as_f64()),
        duration(requests["p50_seconds"].as_f64()),
        duration(requests["p95_seconds"].as_f64()),
        duration(requests["p99_seconds"].as_f64()),
        cell(&work["total"]),
        share(&work["success_rate"]),
        duration(work["mean_seconds"].as_f64()),
        side["quality"]["score"].as_f64().map_or_else(|| "-".into(), |score| format!("{score:.2}")),
    ]
}

/// `99.81 %`.
fn share(rate: &Value) -> String {
    rate.as_f64().map_or_else(|| "-".into(), |rate| format!("{:.2} %", rate * 100.0))
}

pub(crate) fn duration(seconds: Option<f64>) -> String {
    match seconds {
        None => "-".into(),
        Some(seconds) if seconds < 1.0 => format!("{:.1} ms", seconds * 1_000.0),
        Some(seconds) if seconds < 120.0 => format!("{seconds:.1} s"),
        Some(seconds) => format!("{:.1} min", seconds / 60.0),
    }
}

fn improvements(comparison: &Value) -> String {
    let estimate = |name: &str, factor: f64, unit: &str| {
        let value = comparison[name].as_f64()? * factor;
        let end = |end: &str| comparison[format!("{name}_interval")][end].as_f64().map(|end| end * factor);
        let (low, high) = (end("low")?, end("high")?);
        Some(format!("{value:+.2} {unit} ({low:+.2} to {high:+.2})"))
    };
    let parts = [
        ("success", estimate("success_rate_improvement", 100.0, "points")),
        ("duration", estimate("duration_improvement", 1.0, "s")),
        ("quality", estimate("quality_improvement", 1.0, "")),
    ];
    let parts: Vec<String> =
        parts.into_iter().filter_map(|(name, text)| Some(format!("{name} {}", text?.replace("  ", " ")))).collect();
    if parts.is_empty() {
        return "improvement of new: nothing to compare yet".into();
    }
    format!("improvement of new, by {}, with 95 %: {}", cell(&comparison["basis"]), parts.join("; "))
}

fn evidence_line(evidence: &Value) -> String {
    let number = |value: &Value| value.as_f64().map_or_else(|| "-".into(), e_value);
    let thresholds = &evidence["thresholds"];
    let mut text = format!(
        "evidence against new {} (1 says nothing, holds at {}, brakes at {}, rolls back at {})",
        number(&evidence["evidence"]),
        number(&thresholds["hold"]),
        number(&thresholds["brake"]),
        number(&thresholds["rollback"]),
    );
    let measures = evidence["measures"].as_object().into_iter().flatten();
    let loud: Vec<String> = measures
        .filter_map(|(name, value)| Some((name, value.as_f64()?)))
        .filter(|(_, value)| *value >= WORTH_SAYING)
        .map(|(name, value)| format!("{name} {}", e_value(value)))
        .collect();
    if !loud.is_empty() {
        text.push_str(&format!(": {}", loud.join(", ")));
    }
    if let Some(why) = evidence["why"].as_str().filter(|why| !why.is_empty()) {
        text.push_str(&format!("\n{}: {}", cell(&evidence["state"]), shown(why)));
    }
    if let Some(until) = evidence["cooldown_until"].as_str() {
        text.push_str(&format!("\nrolled back of late: it should rest until {}", shown(until)));
    }
    text
}

/// An e-value with as many digits as say something.
pub(crate) fn e_value(value: f64) -> String {
    match value {
        value if value >= 1e6 => "above a million".into(),
        value if value >= 10.0 => format!("{value:.0}"),
        value => format!("{value:.1}"),
    }
}

fn seconds_as_window(seconds: u64) -> String {
    match seconds {
        seconds if seconds >= 86_400 && seconds.is_multiple_of(86_400) => format!("LAST {} D", seconds / 86_400),
        seconds if seconds >= 3_600 && seconds.is_multiple_of(3_600) => format!("LAST {} H", seconds / 3_600),
        seconds if seconds >= 60 && seconds.is_multiple_of(60) => format!("LAST {} MIN", seconds / 60),
        seconds => format!("LAST {seconds} S"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn both_sides_stand_below_each_other() {
        let side = |label: &str, rate: f64| {
            json!({
                "label": label,
                "requests": {"total": 1000, "failed": 2, "success_rate": rate, "success_rate_interval": {"low": 0.9, "high": 1.0}, "mean_seconds": 0.0042, "p50_seconds": 0.004, "p95_seconds": 0.25, "p99_seconds": 1.5},
                "work": {"total": 10, "failed": 1, "success_rate": 0.9, "mean_seconds": 150.0},
                "quality": {"jobs": 10, "reported": 8, "score": 0.8},
            })
        };
        let comparison = json!({
            "window_seconds": 600, "legacy": side("TypeScript", 0.998), "new": side("Python", 0.9991),
            "comparison": {"basis": "work", "success_rate_improvement": 0.1, "success_rate_improvement_interval": {"low": -0.2, "high": 0.3}},
        });
        let evidence = json!({
            "evidence": 31.4, "state": "held", "why": "new\u{7} is slower", "thresholds": {"hold": 20.0, "brake": 100.0, "rollback": 1000.0},
            "measures": {"requests": 0.5, "latency_p50": 780.2},
        });
        let text = tables(&comparison, &evidence);
        let lines: Vec<Vec<&str>> = text
            .lines()
            .map(|line| line.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).collect())
            .collect();
        assert_eq!(lines[0][..3], ["LAST 10 MIN", "REQUESTS", "SUCCESS"]);
        assert_eq!(
            lines[2],
            ["Python", "1000", "99.91 %", "4.2 ms", "4.0 ms", "250.0 ms", "1.5 s", "10", "90.00 %", "2.5 min", "0.80"]
        );
        assert!(
            text.contains("improvement of new, by work, with 95 %: success +10.00 points (-20.00 to +30.00)"),
            "{text}"
        );
        assert!(text.contains("evidence against new 31 (1 says nothing, holds at 20, brakes at 100, rolls back at 1000): latency_p50 780"), "{text}");
        assert!(text.ends_with("held: new\u{fffd} is slower"), "{text}");
    }

    #[test]
    fn without_anything_it_says_so() {
        let nothing = json!({"window_seconds": 90, "legacy": {}, "new": {}, "comparison": {"basis": "requests"}});
        let text = tables(&nothing, &Value::Null);
        assert!(text.starts_with("LAST 90 S") && text.ends_with("nothing to compare yet"), "{text}");
    }
}
