//! A report with everything in it, in each form.

use metrics::compare::{Kind, Shown, Type};

use super::html::html;
use super::json::json;
use super::text::text;
use super::*;
use crate::diff::tally::{Example, Finding, Totals};

const MARKUP: &str = "<script>alert('x')</script>\"&\u{1b}[31m";

fn finding(route: &str, pattern: &str, requests: u64) -> Finding {
    let shown = Some(Shown { kind: Type::String, length: 4, form: MARKUP.into() });
    let example = Example { line: 7, place: pattern.into(), legacy: shown, new: None };
    Finding { requests, example: Some(example), ..Finding::new(route, pattern, Kind::Missing) }
}

fn full() -> Report {
    let totals = Totals { matched: 1, ignored: 2, mismatched: 3, not_compared: 4 };
    let counted = Counted {
        totals,
        routes: [(format!("GET /{MARKUP}"), totals)].into(),
        findings: vec![finding(&format!("GET /{MARKUP}"), MARKUP, 3), finding("GET /b", "$.b", 1)],
        noise: vec![finding("GET /c", MARKUP, 0)],
        by_noise: 1,
        beyond: 1,
        notations: 5,
        reasons: [(MARKUP.to_owned(), 4)].into(),
    };
    Report {
        legacy: "http://a".into(),
        new: "http://b".into(),
        recording: MARKUP.into(),
        sent: 10,
        unreadable: 1,
        skipped: vec![("beyond --limit", 2)],
        noise: true,
        counted,
    }
}

#[test]
fn markup_in_paths_and_names_is_text_on_the_page() {
    let page = html(&full());
    assert!(!page.contains("<script") && !page.contains("alert('") && !page.contains('\u{1b}'), "{page}");
    assert!(page.contains("&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;&quot;&amp;"), "{page}");
    for allowed in ["src=", "href=", "http-equiv=\"refresh", "url(", "onload", "@import"] {
        assert!(!page.contains(allowed), "{allowed} is on the page");
    }
    assert!(page.contains("default-src 'none'"));
    assert_eq!(page.matches("<section>").count(), 2);
    for word in ["4", "not compared", "beyond --limit", "cannot be read", "Noise", "line 7"] {
        assert!(page.contains(word), "{word}");
    }
}

#[test]
fn markup_commands_no_terminal() {
    let shown = text(&full());
    assert!(!shown.contains('\u{1b}'), "{shown}");
    for word in
        ["3 of 6 requests mismatched", "not compared  4", "NOISE", "beyond --limit", "cannot be read", "missing"]
    {
        assert!(shown.contains(word), "{word}: {shown}");
    }
}

#[test]
fn a_program_finds_the_same_numbers() {
    let value = json(&full());
    assert_eq!(value["totals"], serde_json::json!({"matched": 1, "ignored": 2, "mismatched": 3, "not_compared": 4}));
    assert_eq!(value["differences"][0]["requests"], 3);
    assert_eq!(value["differences"][0]["example"]["line"], 7);
    assert_eq!(value["differences"][0]["example"]["legacy"]["type"], "string");
    assert!(value["differences"][0]["example"]["new"].is_null());
    assert_eq!(value["noise"]["requests"], 1);
    assert_eq!(value["skipped"][0]["requests"], 2);
}

#[test]
fn nothing_compared_is_not_called_equal() {
    assert_eq!(Report::default().verdict(), "nothing was compared");
    assert!(html(&Report::default()).contains("nothing was compared"));
}
