//! What is typed becomes which call; which answer becomes which exit code.

use clap::CommandFactory as _;

use super::*;

#[test]
fn the_definition_of_the_command_line_is_sound() {
    Cli::command().debug_assert();
}

/// What scripts may call. A line that goes away breaks somebody.
const COMMANDS: &str = "\
demo serve check schema status mode rollout rollback acknowledge pin unpin explain history issues counts mismatches rule undo freeze thaw simulate replay diff reseed notify token completions";

#[test]
fn the_commands_are_pinned_and_documented() {
    let command = Cli::command();
    let names: Vec<&str> = command.get_subcommands().map(clap::Command::get_name).collect();
    assert_eq!(names.join(" "), COMMANDS);
    for sub in command.get_subcommands() {
        assert!(sub.get_about().is_some(), "{} has no help", sub.get_name());
    }
}

#[track_caller]
fn check(line: &str, well: bool) {
    let words = line.split_whitespace().map(|word| word.replace('~', " "));
    let parsed = Cli::try_parse_from(std::iter::once("crossfade".to_owned()).chain(words));
    assert_eq!(parsed.is_ok(), well, "{line}: {:?}", parsed.err().map(|error| error.to_string()));
}

#[test]
fn changes_need_a_reason_and_possible_values() {
    check("mode m gradual --reason why", true);
    check("mode m gradual", false);
    check("mode m gradual --reason ~", false);
    check("mode m graduall --reason why", false);
    check("rollout m 25 --reason why", true);
    check("rollout m 12.5 --reason why --if-revision 7 --dry-run --wait 500ms --force -o json", true);
    check("rollout m 25% --reason why", true);
    check("rollout m 101 --reason why", false);
    check("rollout m 12.345 --reason why", false);
    check("rollout m 25 --reason why --wait 10", false);
    check("rollout m 25 --reason why --wait 61s", false);
    check("rollback m --reason why", true);
    check("rollback --all --reason why", true);
    check("rollback m --all --reason why", false);
    check("rollback --reason why", false);
    check("acknowledge m --to legacy_only --reason why", true);
    check("acknowledge m --reason why", false);
    check("pin m k new --for 7d --reason why", true);
    check("pin m k new --for 0s --reason why", false);
    check("pin m k old --reason why", false);
    check("unpin m k --reason why", true);
    check("undo m --reason why", true);
    check("freeze --reason why --for 2h --dry-run -o json", true);
    check("freeze --reason why", true);
    check("freeze", false);
    check("freeze --reason ~", false);
    check("freeze --reason why --for 59s", false);
    check("freeze --reason why --for 31d", false);
    check("thaw --reason why", true);
    check("thaw --reason why --for 2h", false);
    check("reseed --reason why --dry-run", true);
    check("reseed", false);
}

#[test]
fn questions_need_no_reason() {
    check("status", true);
    check("status m --watch -o json --admin http://h:1 --token t", true);
    check("explain m --key 7 --method PUT --path /a?b=c --header a:~b --header c:d --ip ::1 --host h", true);
    check("explain m --header a", false);
    check("explain m --ip here", false);
    check("history m --limit 5 --before 9", true);
    check("history m --limit 0", false);
    check("check -c f --show-effective -o json", true);
    check("check", false);
    check("notify test -c f -o json", true);
    check("notify test", false);
    check("notify", false);
    check("serve -c f", true);
    check("schema", true);
    check("token create --name ci --role admin", true);
    check("token create --name ci --role root", false);
    check("completions bash", true);
    check("simulate", true);
    check("simulate --legacy-failure 1% --new-failure 5% --share 10% --rate 50 --ramps 10 --seed 3 -o json", true);
    check("simulate --share 0%", false);
    check("simulate --ramps 0", false);
    check("diff http://a http://b -f r.har", true);
    check(
        "diff http://a http://b -f - --rules r.yaml --redact raw --methods get,head --unsafe --header a:~b --noise",
        true,
    );
    check("diff http://a http://b -f r.har --concurrency 64 --timeout 500ms --limit 3 --html p.html -o json", true);
    check("diff http://a http://b", false);
    check("diff http://a -f r.har", false);
    check("diff http://a http://b -f r.har --methods POST", false);
    check("diff http://a http://b -f r.har --timeout 10", false);
    check("diff http://a http://b -f r.har --timeout 11m", false);
    check("diff http://a http://b -f r.har --concurrency 65", false);
    check("diff http://a http://b -f r.har --limit 0", false);
}

#[test]
fn changes_of_issues_need_a_reason_and_an_issue() {
    check("issues", false);
    check("issues list --state waiting --owner new --prefix o/ --limit 200 -o json", true);
    check("issues list --state ended", false);
    check("issues list --limit 201", false);
    check("issues list --dead", true);
    check("issues list --dead --state parked", false);
    check("issues show o/r#1 --migration m", true);
    check("issues show", false);
    for how in ["replay", "discard"] {
        check(&format!("issues {how} o/r#1 --reason why --dry-run"), true);
        check(&format!("issues {how} o/r#1"), false);
        check(&format!("issues {how} --reason why"), false);
        check(&format!("issues {how} --all --why dead --reason why -o json"), true);
        check(&format!("issues {how} o/r#1 --all --reason why"), false);
        check(&format!("issues {how} o/r#1 --why dead --reason why"), false);
    }
    check("issues handoff o/r#1 legacy --reason why", true);
    check("issues handoff o/r#1 new --epoch 3 --force --dry-run --reason why", true);
    check("issues handoff o/r#1 both --reason why", false);
    check("issues handoff o/r#1 legacy", false);
    check("issues quarantine -o json", true);
}

#[track_caller]
fn check_exit(status: u16, code: &str, expected: Exit) {
    assert_eq!(Exit::of_problem(status, code), expected, "{status} {code}");
}

#[test]
fn exit_codes_follow_the_problem() {
    for (status, code) in [(400, "invalid_json"), (422, "invalid_value"), (400, "reason_required")] {
        check_exit(status, code, Exit::Usage);
    }
    for (status, code) in
        [(401, "unauthorized"), (403, "forbidden"), (429, "too_many_attempts"), (503, "store_unavailable")]
    {
        check_exit(status, code, Exit::Unreachable);
    }
    check_exit(412, "stale_revision", Exit::Conflict);
    check_exit(409, "conflict", Exit::Conflict);
    check_exit(409, "refused", Exit::Refused);
    check_exit(409, "held", Exit::Refused);
    check_exit(409, "frozen", Exit::Refused);
    check_exit(409, "nothing_to_undo", Exit::Refused);
    check_exit(409, "not_converged", Exit::NotConverged);
    for (status, code) in [(404, "unknown_migration"), (500, "internal"), (302, "unknown")] {
        check_exit(status, code, Exit::Failure);
    }
    assert_eq!(
        [Exit::Failure as u8, Exit::Usage as u8, Exit::InvalidConfiguration as u8, Exit::Unreachable as u8],
        [1, 2, 3, 4]
    );
    assert_eq!([Exit::Conflict as u8, Exit::Refused as u8, Exit::NotConverged as u8], [5, 6, 7]);
}
