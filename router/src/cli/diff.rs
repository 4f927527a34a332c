//! `crossfade diff`: recorded requests, both systems asked, what differs.

use std::io::{IsTerminal as _, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use clap::ValueEnum;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use jiff::Zoned;
use metrics::compare::{Limits, RuleEntry, RuleKind, Rules};

use super::exit::{Exit, Failure};
use super::output::{Output, colour_on_stderr, print, print_json, shown};
use crate::config::{Period, rules};
use crate::diff::gathering::KEPT_BYTES_MAX;
use crate::diff::recording::{FILE_BYTES_MAX, Problem, Recording, hosts};
use crate::diff::report::{Report, html::html, json::json, text::text};
use crate::diff::run::{Systems, run as send_all};
use crate::diff::select::{Choice, SAFE, Selection, Skipped, select};
use crate::diff::send::{Base, Sender};
use crate::diff::tally::Tally;

/// Of what is recorded; a list packs twenty times as well, and sixteen MiB are the end of it.
const DECODED_BYTES_MAX: usize = 4 * KEPT_BYTES_MAX;

const TIMEOUT_MAX: Duration = Duration::from_secs(600);

/// Sends recorded requests to both systems and tells where their answers differ.
///
/// Without options nothing is done twice that changes anything: only GET, HEAD and OPTIONS are sent.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The recording is HAR 1.2, as browsers save it, or one JSON object a line: {\"method\": \"GET\", \"path\": \"/a?b=1\", \"headers\": {...},
\"body\": ...}. Its host is replaced by both addresses; cookies and tokens are sent to both as recorded, unless --no-credentials; fields of
the connection and conditions (If-None-Match, ...) are not. Redirects are compared, not followed.

With --unsafe what changes something (POST, PUT, PATCH, DELETE, ...) is DONE, on the new system and only there, one at a time and in
order, with `Crossfade-Mirror: 1` and an Idempotency-Key that stays the same when the recording is sent again. Legacy has done it
already. Such requests are never compared.

Legacy's host in a Location is read as new's. Values of answers are in no report unless --redact raw, and credentials and e-mail
addresses not even then; queries never.

Exit codes: 0 no mismatch, 1 mismatches, or nothing was compared, 2 usage, 3 the rules or the recording cannot be read,
4 one of the systems never answered.")]
pub(crate) struct Args {
    /// Where legacy is: http://HOST[:PORT][/PATH] or https.
    #[arg(value_name = "LEGACY_URL")]
    legacy: Hidden,
    /// Where new is.
    #[arg(value_name = "NEW_URL")]
    new: Hidden,
    /// The recorded requests; - is standard input.
    #[arg(short, long, value_name = "FILE")]
    file: PathBuf,
    /// What may differ: a YAML list of {path, kind, owner, reason, expires, route}.
    #[arg(long, value_name = "FILE")]
    rules: Option<PathBuf>,
    /// What is shown of values.
    #[arg(long, value_enum, default_value_t, value_name = "HOW")]
    redact: Redact,
    /// Methods that are sent to both, of GET, HEAD and OPTIONS.
    #[arg(long, value_name = "METHODS", value_delimiter = ',', default_value = "GET,HEAD,OPTIONS", value_parser = safe)]
    methods: Vec<Method>,
    /// Also sends what changes something, to the new system only.
    #[arg(long = "unsafe")]
    writes: bool,
    /// A field for every request, in place of the recorded one; may be given several times.
    #[arg(long = "header", value_name = "NAME: VALUE")]
    headers: Vec<Hidden>,
    /// Leaves out cookies, authorization and other fields that name a token, key, session or secret.
    #[arg(long)]
    no_credentials: bool,
    /// Only requests that were recorded of this host, or * for all; the host of the first request otherwise.
    #[arg(long = "host", value_name = "HOST")]
    hosts: Vec<String>,
    /// Requests under way at once.
    #[arg(long, value_name = "NUMBER", default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=64))]
    concurrency: u16,
    /// How long an answer may take to its end.
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = timeout)]
    timeout: Duration,
    /// Sends no more than this many.
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..))]
    limit: Option<u32>,
    /// Asks legacy twice and leaves out what it has with itself.
    #[arg(long)]
    noise: bool,
    /// Also writes the report as a page.
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    #[command(flatten)]
    output: Output,
}

/// What may hold a secret, and so is printed by nobody.
#[derive(Clone)]
struct Hidden(String);

impl std::str::FromStr for Hidden {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self(text.to_owned()))
    }
}

impl std::fmt::Debug for Hidden {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Hidden")
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Redact {
    /// Type, length and shape.
    #[default]
    Shapes,
    /// The values, but for credentials and addresses of people.
    Raw,
}

fn safe(text: &str) -> Result<Method, String> {
    let method = Method::from_bytes(text.trim().to_ascii_uppercase().as_bytes()).ok();
    method
        .filter(|method| SAFE.contains(method))
        .ok_or_else(|| "it is none of GET, HEAD and OPTIONS; --unsafe sends the others to the new system".into())
}

fn timeout(text: &str) -> Result<Duration, String> {
    let Period(time) = text.parse()?;
    let possible = Some(time).filter(|time| !time.is_zero() && *time <= TIMEOUT_MAX);
    possible.ok_or_else(|| "write a time from 1ms to 10m".into())
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let (legacy, new) = (base("LEGACY_URL", &args.legacy)?, base("NEW_URL", &args.new)?);
    let headers = args.headers.iter().map(header).collect::<Result<HeaderMap, Failure>>()?;
    let rules = args.rules.as_deref().map(load_rules).transpose()?.unwrap_or_default();
    let rules = with_own_hosts(rules, &legacy, &new);
    let recording = recorded(&args.file)?;
    if let Some(page) = &args.html {
        writable(page)?;
    }
    let mut report = Report {
        legacy: legacy.to_string(),
        new: new.to_string(),
        recording: args.file.display().to_string(),
        unreadable: recording.unreadable,
        noise: args.noise,
        ..Report::default()
    };
    let Selection { requests, skipped } = selected(args, headers, recording)?;
    report.skipped = skipped.iter().map(|(skipped, count)| (skipped.reason(), *count)).collect();
    report.sent = requests.len() as u64;
    let concurrency = usize::from(args.concurrency);
    let sender =
        |base: Base| Sender::new(base, args.timeout, concurrency).map_err(|why| Failure::new(Exit::Failure, why));
    let systems = Systems {
        legacy: sender(legacy)?,
        new: sender(new)?,
        rules,
        limits: limits(),
        raw: args.redact == Redact::Raw,
        noise: args.noise,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("the threads cannot be started")?;
    let (mut tally, mut progress) = (Tally::default(), Progress::new(requests.len()));
    let reached = runtime.block_on(send_all(systems, requests, concurrency, |request, outcome| {
        tally.add(request, outcome);
        progress.show(&tally);
    }));
    progress.end();
    runtime.shutdown_background();
    report.counted = tally.finish();
    tell(args, &report)?;
    let never = [("legacy", reached.legacy), ("new", reached.new)].into_iter().filter(|(_, reached)| reached.never());
    let never: Vec<&str> = never.map(|(name, _)| name).collect();
    if !never.is_empty() {
        return Err(Failure::new(Exit::Unreachable, format!("{} never answered", never.join(" and "))));
    }
    let totals = report.counted.totals;
    if totals.mismatched > 0 {
        return Err(Failure::told(Exit::Failure));
    }
    if totals.compared() == 0 {
        return Err(Failure::new(Exit::Failure, "nothing was compared, so nothing is known"));
    }
    Ok(())
}

fn tell(args: &Args, report: &Report) -> Result<(), Failure> {
    if let Some(page) = &args.html {
        let written = std::fs::write(page, html(report));
        written.with_context(|| format!("{} cannot be written", page.display()))?;
    }
    Ok(if args.output.is_json() { print_json(&json(report)) } else { print(&text(report)) }?)
}

/// As much as a comparison at rest can afford.
fn limits() -> Limits {
    Limits {
        nodes: 1_000_000,
        body_bytes: KEPT_BYTES_MAX,
        decoded_bytes: DECODED_BYTES_MAX,
        differences: 10_000,
        differences_per_pattern: 10_000,
        ..Limits::default()
    }
}

fn base(name: &str, address: &Hidden) -> Result<Base, Failure> {
    let wrong = |why| Failure::new(Exit::Usage, format!("{name} is not the address of a system: {why}"));
    Base::parse(&address.0).map_err(wrong)
}

fn header(field: &Hidden) -> Result<(HeaderName, HeaderValue), Failure> {
    let usage = |message: &str| Failure::new(Exit::Usage, message);
    let (name, value) =
        field.0.split_once(':').ok_or_else(|| usage("a --header is not a field: write 'name: value'"))?;
    let name: HeaderName =
        name.trim().parse().map_err(|_| usage("a --header has a name that no field has: write 'name: value'"))?;
    let mut value: HeaderValue = value
        .trim()
        .parse()
        .map_err(|_| usage(&format!("the value of --header '{name}: ...' holds characters that no value has")))?;
    value.set_sensitive(true);
    Ok((name, value))
}

/// The rules that hold today.
fn load_rules(path: &Path) -> Result<Rules, Failure> {
    let rules = rules::load(path).map_err(|errors| {
        eprintln!("{}", errors.render(colour_on_stderr()));
        Failure::told(Exit::InvalidConfiguration)
    })?;
    let today = Zoned::now().date();
    for rule in rules.expired(today) {
        let path = shown(&rule.path);
        eprintln!("warning: the rule for {path} has expired and is not applied: ask {}", shown(&rule.owner));
    }
    Ok(rules.as_of(today))
}

/// Each system names itself where it sends its callers on, which is no difference; a rule of the file for that field has its way.
fn with_own_hosts(rules: Rules, legacy: &Base, new: &Base) -> Rules {
    const LOCATION: &str = "header:location";
    if legacy.host() == new.host() || rules.entries().iter().any(|rule| rule.path.eq_ignore_ascii_case(LOCATION)) {
        return rules;
    }
    let own = RuleEntry {
        path: LOCATION.into(),
        kind: RuleKind::MapHost { legacy: legacy.host().into(), new: new.host().into() },
        owner: "crossfade".into(),
        reason: "the addresses of both systems".into(),
        expires: None,
        route: None,
    };
    let entries = rules.entries().iter().cloned().chain([own]).collect();
    Rules::parse(entries).unwrap_or(rules)
}

fn recorded(path: &Path) -> Result<Recording, Failure> {
    let name = path.display().to_string();
    let invalid = |message: String| Failure::new(Exit::InvalidConfiguration, message);
    let source: Box<dyn std::io::Read> = if path == Path::new("-") {
        Box::new(std::io::stdin())
    } else {
        Box::new(std::fs::File::open(path).map_err(|error| invalid(format!("{name} cannot be opened: {error}")))?)
    };
    let mut bytes = Vec::new();
    let read = source.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes);
    read.map_err(|error| invalid(format!("{name} cannot be read: {error}")))?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(invalid(format!("{name} is larger than {} MiB: send it in parts", FILE_BYTES_MAX >> 20)));
    }
    match Recording::parse(&bytes) {
        Ok(recording) => {
            told(&name, "warning", &recording.problems);
            let more = recording.unreadable - recording.problems.len() as u64;
            if more > 0 {
                eprintln!("warning: {more} more of {} cannot be read", shown(&name));
            }
            Ok(recording)
        }
        Err(problems) => {
            told(&name, "error", &problems);
            Err(invalid(format!("{name} is no recording of requests")))
        }
    }
}

fn told(name: &str, level: &str, problems: &[Problem]) {
    for Problem { line, why } in problems {
        eprintln!("{level}: {}:{line}: {}", shown(name), shown(why));
    }
}

fn writable(page: &Path) -> Result<(), Failure> {
    let opened = std::fs::OpenOptions::new().create(true).append(true).open(page);
    opened
        .map(drop)
        .map_err(|error| Failure::new(Exit::Usage, format!("{} cannot be written: {error}", page.display())))
}

/// What is sent, or that nothing would be.
fn selected(args: &Args, headers: HeaderMap, recording: Recording) -> Result<Selection, Failure> {
    let choice = Choice {
        methods: args.methods.clone(),
        writes: args.writes,
        hosts: args.hosts.clone(),
        credentials: !args.no_credentials,
        limit: args.limit.map_or(usize::MAX, |limit| limit as usize),
        headers,
    };
    let others: Vec<String> =
        hosts(&recording.requests).iter().take(10).map(|(host, count)| format!("{host} ({count})")).collect();
    let selection = select(recording, &choice);
    if selection.skipped.contains_key(&Skipped::OtherHost) {
        eprintln!(
            "note: it has requests of several hosts, and --host says which are sent: {}",
            shown(&others.join(", "))
        );
    }
    if selection.requests.is_empty() {
        let why = selection.skipped.iter().map(|(skipped, count)| format!("{count} {}", skipped.reason()));
        let why = why.collect::<Vec<_>>().join("; ");
        return Err(Failure::new(Exit::Usage, format!("nothing would be sent: {why}")));
    }
    Ok(selection)
}

/// How far it is, on stderr: in place on a terminal, a line now and then elsewhere.
struct Progress {
    of: usize,
    terminal: bool,
    last: Instant,
}

impl Progress {
    fn new(of: usize) -> Self {
        Self { of, terminal: std::io::stderr().is_terminal(), last: Instant::now() }
    }

    fn show(&mut self, tally: &Tally) {
        let pause = if self.terminal { Duration::from_millis(200) } else { Duration::from_secs(5) };
        if self.last.elapsed() < pause {
            return;
        }
        self.last = Instant::now();
        let (start, end) = if self.terminal { ("\r", "") } else { ("", "\n") };
        eprint!("{start}{} of {} ended, {} differ{end}", tally.ended(), self.of, tally.differing());
        let _ = std::io::stderr().flush();
    }

    fn end(&self) {
        if self.terminal {
            eprint!("\r\u{1b}[K");
        }
    }
}
