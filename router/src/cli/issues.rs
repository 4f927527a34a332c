//! `crossfade issues`: what is where in the ledger and why, and what people do about it.

use std::time::Duration;

use http::Method;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::change::reason;
use super::client::{Call, Connection, encoded};
use super::exit::Failure;
use super::output::{Output, cell, print, print_json, seconds, table};

/// Looks at issues that arrived as webhooks, and handles those that wait for a person.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Clone, Debug, clap::Subcommand)]
enum Command {
    List(ListArgs),
    Show(ShowArgs),
    Replay(ReplayArgs),
    Discard(TouchArgs),
    Handoff(HandoffArgs),
    Quarantine(QuarantineArgs),
    Reconcile(ReconcileArgs),
}

#[derive(Clone, Debug, clap::Args)]
struct Common {
    /// Whose issues; the default migration unless said, or the only one.
    #[arg(long, value_name = "ID")]
    migration: Option<String>,
    #[command(flatten)]
    connection: Connection,
    #[command(flatten)]
    output: Output,
}

/// Lists issues that have not ended, or with --dead the events that wait for a person.
#[derive(Clone, Debug, clap::Args)]
struct ListArgs {
    /// Only those in this state.
    #[arg(long, value_parser = ["parked", "sending", "moving", "waiting", "unsure", "running", "idle"])]
    state: Option<String>,
    /// Only those of this side.
    #[arg(long, value_parser = ["legacy", "new"])]
    owner: Option<String>,
    /// Only those whose id begins so, such as a repository.
    #[arg(long, value_name = "TEXT")]
    prefix: Option<String>,
    /// How many, 1 to 200.
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=200))]
    limit: u16,
    /// Events that wait for a person.
    #[arg(long, conflicts_with_all = ["state", "owner", "prefix"])]
    dead: bool,
    #[command(flatten)]
    common: Common,
}

/// Shows all of one issue: whose it is and why, what waits, what happened.
#[derive(Clone, Debug, clap::Args)]
struct ShowArgs {
    /// Such as owner/repo#123.
    issue: String,
    #[command(flatten)]
    common: Common,
}

/// Lets an event that waits for a person be tried again, or with --delivered sends what was delivered once more.
#[derive(Clone, Debug, clap::Args)]
struct ReplayArgs {
    /// Such as owner/repo#123.
    #[arg(required_unless_present_any = ["all", "delivery"])]
    issue: Option<String>,
    /// All that wait, 200 with one call.
    #[arg(long, conflicts_with = "issue")]
    all: bool,
    /// With --all, only those that wait for this reason.
    #[arg(long, requires = "all", conflicts_with = "issue", value_parser = ["rejected", "dead", "rolled_back"])]
    why: Option<String>,
    /// Why: the audit keeps it.
    #[arg(long, value_name = "TEXT", value_parser = reason)]
    reason: String,
    /// Tells what would be sent and changes nothing.
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    delivered: DeliveredArgs,
}

/// Events that were delivered, each to the system that had it.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "What was delivered")]
struct DeliveredArgs {
    /// Events that were delivered: those of the issue, or with --all and --since all of them, 200 with one call.
    #[arg(long, conflicts_with = "why")]
    delivered: bool,
    /// One event, by the id of its delivery.
    #[arg(long, value_name = "ID", conflicts_with_all = ["issue", "all", "why", "delivered", "since", "until"])]
    delivery: Option<String>,
    /// Delivered no earlier than this: 2h ago, or 2026-12-31T10:00:00Z.
    #[arg(long, value_name = "TIME", value_parser = ago, requires = "delivered")]
    since: Option<Timestamp>,
    /// Delivered before this: 10m ago, or a time; now unless said.
    #[arg(long, value_name = "TIME", value_parser = ago, requires = "delivered")]
    until: Option<Timestamp>,
}

/// A time, or how long ago it was.
fn ago(text: &str) -> Result<Timestamp, String> {
    let usage = || "write a time such as 2026-12-31T10:00:00Z, or how long ago it was, such as 2h".to_owned();
    if let Ok(time) = text.parse::<Timestamp>() {
        return Ok(time);
    }
    let ago: SignedDuration = text.parse().map_err(|_| usage())?;
    Timestamp::now().checked_sub(ago).map_err(|_| usage())
}

/// Gives an event that waits for a person up, for good.
#[derive(Clone, Debug, clap::Args)]
struct TouchArgs {
    /// Such as owner/repo#123.
    #[arg(required_unless_present = "all")]
    issue: Option<String>,
    /// All that wait, 200 with one call.
    #[arg(long, conflicts_with = "issue")]
    all: bool,
    /// With --all, only those that wait for this reason.
    #[arg(long, requires = "all", conflicts_with = "issue", value_parser = ["rejected", "dead", "rolled_back"])]
    why: Option<String>,
    /// Why: the audit keeps it.
    #[arg(long, value_name = "TEXT", value_parser = reason)]
    reason: String,
    /// Tells what would be touched and changes nothing.
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    common: Common,
}

/// Gives an issue to a side, as soon as nobody can be working on it.
#[derive(Clone, Debug, clap::Args)]
struct HandoffArgs {
    /// Such as owner/repo#123.
    issue: String,
    #[arg(value_parser = ["legacy", "new"])]
    to: String,
    /// Of the issue as it was looked at; the present one unless said.
    #[arg(long, value_name = "N")]
    epoch: Option<u64>,
    /// Nobody works on it: move it at once.
    #[arg(long)]
    force: bool,
    /// Why: the audit keeps it.
    #[arg(long, value_name = "TEXT", value_parser = reason)]
    reason: String,
    /// Tells what would happen and changes nothing.
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    common: Common,
}

/// Lists what came as a webhook and could not become an event, the newest first, each with its reason.
#[derive(Clone, Debug, clap::Args)]
struct QuarantineArgs {
    #[command(flatten)]
    common: Common,
}

/// Asks the sender of webhooks now what it could not deliver, and has that delivered again.
#[derive(Clone, Debug, clap::Args)]
struct ReconcileArgs {
    /// Why: the log keeps it.
    #[arg(long, value_name = "TEXT", value_parser = reason)]
    reason: String,
    /// Tells what would be asked for, and asks for none of it.
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    common: Common,
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    match &args.command {
        Command::List(args) => list(args),
        Command::Show(args) => show(args),
        Command::Replay(args) => replay(args),
        Command::Discard(args) => touch(args, "discard"),
        Command::Handoff(args) => handoff(args),
        Command::Quarantine(args) => quarantine(args),
        Command::Reconcile(args) => reconcile(args),
    }
}

impl Common {
    fn get(&self, path: &str) -> Call {
        let mut call = Call::get(path);
        call.query.extend(self.migration.clone().map(|migration| ("migration", migration)));
        call
    }

    fn post(&self, path: &str, dry_run: bool, body: Value) -> Call {
        let mut call = Call { method: Method::POST, body: Some(body), ..self.get(path) };
        if dry_run {
            call.query.push(("dry_run", "true".to_owned()));
        }
        call
    }

    /// Calls, and prints the answer or what a person reads of it.
    fn run(&self, call: Call, text: impl FnOnce(&Value) -> String) -> Result<(), Failure> {
        let answer = self.connection.call(call)?;
        let printed = if self.output.is_json() { print_json(&answer) } else { print(&text(&answer)) };
        Ok(printed?)
    }
}

fn rows(answer: &Value, name: &str, row: impl Fn(&Value) -> Vec<String>) -> Vec<Vec<String>> {
    answer[name].as_array().map(|all| all.iter().map(row).collect()).unwrap_or_default()
}

const LETTERS: [&str; 5] = ["ISSUE", "SIDE", "DELIVERY", "WHY", "SINCE"];

fn letter(letter: &Value) -> Vec<String> {
    let [issue, owner, delivery, why] = ["issue", "owner", "delivery", "why"].map(|name| cell(&letter[name]));
    vec![issue, owner, delivery, why, seconds(&letter["since"])]
}

fn list(args: &ListArgs) -> Result<(), Failure> {
    if args.dead {
        let call = args.common.get("/issues/dead-letters");
        return args.common.run(call, |answer| table(&LETTERS, rows(answer, "dead_letters", letter)));
    }
    let mut call = args.common.get("/issues");
    call.query.push(("limit", args.limit.to_string()));
    for (name, value) in [("state", &args.state), ("owner", &args.owner), ("prefix", &args.prefix)] {
        call.query.extend(value.clone().map(|value| (name, value)));
    }
    args.common.run(call, |answer| {
        if answer["next"].is_string() {
            eprintln!("there are more: narrow the list with --prefix, --state or --owner, or raise --limit");
        }
        table(&["ISSUE", "LANE", "STATE", "OWNER", "EPOCH", "WAITING", "OLDEST"], rows(answer, "issues", issue))
    })
}

fn issue(issue: &Value) -> Vec<String> {
    let mut row: Vec<_> = ["id", "lane", "state", "owner", "epoch", "waiting"].map(|name| cell(&issue[name])).to_vec();
    row.push(if issue["oldest"].is_null() { String::new() } else { seconds(&issue["oldest"]) });
    row
}

fn show(args: &ShowArgs) -> Result<(), Failure> {
    let call = args.common.get(&format!("/issues/{}", encoded(&args.issue)));
    args.common.run(call, |answer| {
        let mut text = String::new();
        for record in answer["records"].as_array().into_iter().flatten() {
            let [id, state, owner, fence] = ["id", "state", "owner", "fence"].map(|name| cell(&record[name]));
            let (why, waiting) = (cell(&record["why"]), cell(&record["waiting"]));
            text.push_str(&format!("{id}: {state}, {owner}'s, fence {fence}, {waiting} waiting\n  {why}\n"));
            for delivery in record["deliveries"].as_array().into_iter().flatten() {
                text.push_str(&format!("  waits: {}\n", cell(delivery)));
            }
        }
        let event = |event: &Value| {
            let [what, detail, actor, reason] = ["what", "detail", "actor", "reason"]
                .map(|name| event[name].as_str().map_or(String::new(), |_| cell(&event[name])));
            vec![seconds(&event["time"]), what, detail, actor, reason]
        };
        text.push_str(&table(&["TIME", "WHAT", "DETAIL", "ACTOR", "REASON"], rows(answer, "events", event)));
        text
    })
}

fn touch(args: &TouchArgs, how: &'static str) -> Result<(), Failure> {
    let mut body = json!({ "reason": args.reason });
    let path = match &args.issue {
        Some(issue) => format!("/issues/{}/{how}", encoded(issue)),
        None => {
            if let Some(why) = &args.why {
                body["why"] = json!(why);
            }
            format!("/issues/{how}")
        }
    };
    let call = args.common.post(&path, args.dry_run, body);
    args.common.run(call, |answer| {
        if answer["more"] == true {
            eprintln!("there are more: repeat the command");
        }
        table(&LETTERS, rows(answer, "events", letter))
    })
}

fn replay(args: &ReplayArgs) -> Result<(), Failure> {
    let ReplayArgs { issue, all, why, reason, dry_run, common, delivered } = args.clone();
    let DeliveredArgs { delivered, delivery, since, until } = delivered;
    if !delivered && delivery.is_none() {
        return touch(&TouchArgs { issue, all, why, reason, dry_run, common }, "replay");
    }
    let mut body = json!({ "reason": reason });
    for (name, value) in [("delivery", delivery), ("issue", issue)] {
        if let Some(value) = value {
            body[name] = json!(value);
        }
    }
    for (name, time) in [("since", since), ("until", until)] {
        if let Some(time) = time {
            body[name] = json!(time.to_string());
        }
    }
    let call = common.post("/issues/replay-delivered", dry_run, body);
    common.run(call, |answer| {
        if answer["next_since"].is_string() {
            eprintln!("there are more: repeat the command with --since {}", cell(&answer["next_since"]));
        }
        if let Some(from) = answer["from"].as_str() {
            eprintln!("only the newest 20,000 things that happened were looked at, back to {from}: what was delivered before is found by --delivery alone");
        }
        let row = |one: &Value| {
            let [issue, side] = ["issue", "side"].map(|name| one[name].as_str().unwrap_or_default().to_owned());
            vec![issue, side, cell(&one["delivery"]), cell(&one["resent"]), cell(&one["why"])]
        };
        table(&["ISSUE", "SIDE", "DELIVERY", "RESENT", "WHY"], rows(answer, "events", row))
    })
}

fn quarantine(args: &QuarantineArgs) -> Result<(), Failure> {
    let call = args.common.get("/issues/quarantine");
    args.common.run(call, |answer| {
        let row = |one: &Value| {
            let [reason, detail, bytes] = ["reason", "detail", "body_bytes"].map(|name| cell(&one[name]));
            let delivery = one["delivery"].as_str().map_or(String::new(), |_| cell(&one["delivery"]));
            vec![seconds(&one["time"]), reason, delivery, bytes, detail]
        };
        table(&["TIME", "REASON", "DELIVERY", "BYTES", "DETAIL"], rows(answer, "quarantined", row))
    })
}

/// How long the router may ask.
const ASKED_MAX: Duration = Duration::from_secs(60);

fn reconcile(args: &ReconcileArgs) -> Result<(), Failure> {
    let body = json!({ "reason": args.reason });
    let mut call = args.common.post("/issues/reconcile", args.dry_run, body);
    call.wait = ASKED_MAX;
    args.common.run(call, |answer| {
        if answer["more"] == true {
            eprintln!("there are more: repeat the command when these have arrived");
        }
        for issue in answer["unknown"].as_array().into_iter().flatten() {
            eprintln!("no webhook has told of {}: look at the webhook's settings", cell(issue));
        }
        let row = |one: &Value| {
            let [repository, delivery, status] = ["repository", "delivery", "status"].map(|name| cell(&one[name]));
            let [action, answered] =
                ["action", "answered"].map(|name| if one[name].is_null() { String::new() } else { cell(&one[name]) });
            vec![repository, delivery, action, seconds(&one["tried"]), status, answered]
        };
        table(&["REPOSITORY", "DELIVERY", "ACTION", "TRIED", "STATUS", "ASKED AGAIN"], rows(answer, "lost", row))
    })
}

fn handoff(args: &HandoffArgs) -> Result<(), Failure> {
    let path = format!("/issues/{}", encoded(&args.issue));
    let epoch = match args.epoch {
        Some(epoch) => json!(epoch),
        None => args.common.connection.call(args.common.get(&path))?["records"][0]["epoch"].clone(),
    };
    let body = json!({ "to": args.to, "epoch": epoch, "force": args.force, "reason": args.reason });
    let call = args.common.post(&format!("{path}/handoff"), args.dry_run, body);
    args.common.run(call, |answer| {
        let (issue, to) = (cell(&answer["issue"]), cell(&answer["to"]));
        match answer["status"].as_str() {
            Some("waiting") => format!(
                "{issue} goes to {to} when its owner reports the end, or 5 s after its lease: {}\n",
                seconds(&answer["lease_until"])
            ),
            Some("already") => format!("{issue} is {to}'s already\n"),
            _ => format!("{issue} is {to}'s now, epoch {}\n", cell(&answer["epoch"])),
        }
    })
}
