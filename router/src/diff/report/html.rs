//! The report as one page: no scripts, no requests, readable without a network, safe to pass on.
//!
//! # Why everything is escaped in one place
//!
//! Paths and names come from a recording and from answers. A page that people mail around must not run what a request said, so text only
//! enters through [`Page`], and a policy in the page forbids the rest.

use std::fmt::Write as _;

use super::Report;
use super::text::{notes, sides};
use crate::cli::output::shown;
use crate::diff::tally::Finding;

/// Differences that have a section; the JSON has all.
const SECTIONS_MAX: usize = 1_000;

const HEAD: &str = "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
<meta name=\"viewport\" content=\"width=device-width\">\n<title>Legacy and new compared</title>\n<style>\n\
body{font:1rem/1.5 system-ui,sans-serif;max-width:64rem;margin:2rem auto;padding:0 1rem;color:#1b1f24;background:#fff}\n\
h1{font-size:1.5rem}h2{font-size:1.2rem;margin-top:2rem}section{border-top:1px solid #d0d7de;padding:.5rem 0}\n\
h3{font-size:1rem;margin:.5rem 0;overflow-wrap:anywhere}table{border-collapse:collapse}td,th{text-align:left;padding:.2rem 1rem .2rem 0;\
vertical-align:top;overflow-wrap:anywhere}td.n{text-align:right;font-variant-numeric:tabular-nums}code{font-family:ui-monospace,monospace}\n\
p.sub{color:#57606a;margin:.2rem 0}\n\
@media(prefers-color-scheme:dark){body{color:#e6edf3;background:#0d1117}section{border-color:#30363d}p.sub{color:#8d96a0}}\n\
</style>\n";

/// A page under construction; what is not of this file goes in as text.
struct Page(String);

impl Page {
    /// Markup of this file.
    fn tag(&mut self, markup: &'static str) -> &mut Self {
        self.0.push_str(markup);
        self
    }

    fn text(&mut self, text: &str) -> &mut Self {
        for character in shown(text).chars() {
            match character {
                '&' => self.0.push_str("&amp;"),
                '<' => self.0.push_str("&lt;"),
                '>' => self.0.push_str("&gt;"),
                '"' => self.0.push_str("&quot;"),
                '\'' => self.0.push_str("&#39;"),
                other => self.0.push(other),
            }
        }
        self
    }

    fn number(&mut self, number: u64) -> &mut Self {
        let _ = write!(self.0, "{number}");
        self
    }

    fn row(&mut self, number: u64, cells: &[&str]) {
        self.tag("<tr><td class=\"n\">").number(number).tag("</td>");
        for cell in cells {
            self.tag("<td>").text(cell).tag("</td>");
        }
        self.tag("</tr>\n");
    }
}

pub(crate) fn html(report: &Report) -> String {
    let counted = &report.counted;
    let mut page = Page(HEAD.to_owned());
    page.tag("<h1>").text(&report.verdict()).tag("</h1>\n<p class=\"sub\">");
    page.text(&format!("legacy {}, new {}, recorded in {}", report.legacy, report.new, report.recording));
    page.tag("</p>\n<table>\n");
    for (name, count, told) in report.numbers() {
        page.row(count, &[name, &told]);
    }
    page.tag("</table>\n");
    for note in notes(report) {
        page.tag("<p class=\"sub\">").text(&note).tag("</p>\n");
    }
    if !counted.findings.is_empty() {
        page.tag("<h2>Differences, the most requests first</h2>\n");
    }
    for finding in counted.findings.iter().take(SECTIONS_MAX) {
        section(&mut page, finding);
    }
    if let Some(more) = counted.findings.len().checked_sub(SECTIONS_MAX).filter(|more| *more > 0) {
        page.tag("<p>").number(more as u64).tag(" more are only in the JSON</p>\n");
    }
    routes(&mut page, report);
    let reasons = counted.reasons.iter().map(|(reason, count)| (reason.as_str(), *count));
    list(&mut page, "<h2>Not compared</h2>\n", reasons);
    let unreadable = (report.unreadable > 0).then_some(("cannot be read", report.unreadable));
    list(&mut page, "<h2>Not sent</h2>\n", report.skipped.iter().copied().chain(unreadable));
    if !counted.noise.is_empty() {
        page.tag("<h2>Noise: legacy differs from itself</h2>\n<table>\n");
        for finding in counted.noise.iter().take(SECTIONS_MAX) {
            page.row(finding.noise, &[&finding.route, &finding.pattern, finding.kind.name()]);
        }
        page.tag("</table>\n");
    }
    page.tag("</html>\n");
    page.0
}

fn section(page: &mut Page, finding: &Finding) {
    let [legacy, new] = sides(finding.example.as_ref());
    page.tag("<section>\n<h3><code>").text(&finding.pattern).tag("</code> ").text(finding.kind.name());
    page.tag("</h3>\n<p class=\"sub\">").text(&finding.route).tag("</p>\n<table>\n");
    page.tag("<tr><th>Requests</th><td>").number(finding.requests).tag("</td></tr>\n");
    page.tag("<tr><th>Differences</th><td>").number(finding.differences).tag("</td></tr>\n");
    if let Some(example) = &finding.example {
        page.tag("<tr><th>First at</th><td>line ").number(example.line as u64);
        page.tag(", <code>").text(&example.place).tag("</code></td></tr>\n");
        page.tag("<tr><th>Legacy</th><td><code>").text(&legacy).tag("</code></td></tr>\n");
        page.tag("<tr><th>New</th><td><code>").text(&new).tag("</code></td></tr>\n");
    }
    page.tag("<tr><th>Fingerprint</th><td><code>").text(&finding.fingerprint.to_string());
    page.tag("</code></td></tr>\n</table>\n</section>\n");
}

fn routes(page: &mut Page, report: &Report) {
    page.tag("<h2>Routes</h2>\n<table>\n<tr><th>Route</th><th>Matched</th><th>Ignored</th><th>Mismatched</th>");
    page.tag("<th>Not compared</th></tr>\n");
    for (name, totals) in &report.counted.routes {
        page.tag("<tr><td><code>").text(name).tag("</code></td>");
        for number in [totals.matched, totals.ignored, totals.mismatched, totals.not_compared] {
            page.tag("<td class=\"n\">").number(number).tag("</td>");
        }
        page.tag("</tr>\n");
    }
    page.tag("</table>\n");
}

fn list<'a>(page: &mut Page, title: &'static str, reasons: impl Iterator<Item = (&'a str, u64)>) {
    let mut reasons = reasons.peekable();
    if reasons.peek().is_none() {
        return;
    }
    page.tag(title).tag("<table>\n");
    for (reason, count) in reasons {
        page.row(count, &[reason]);
    }
    page.tag("</table>\n");
}
