//! The binary as an operator meets it: what it prints, and the exit codes that scripts branch on.

#![allow(clippy::unwrap_used, reason = "a panic in a test is the failure it should be")]

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;

fn crossfade() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_crossfade"));
    command.env_remove("CROSSFADE_ADMIN").env_remove("CROSSFADE_TOKEN").env_remove("RUST_LOG").stdin(Stdio::null());
    command
}

const FILE: &str = "\
listen: [{address: 127.0.0.1:0}]
admin: {address: 127.0.0.1:0}
drain: {delay: 0s, timeout: 1s}
upstreams:
  old: {endpoints: [http://127.0.0.1:1]}
  fresh: {endpoints: [http://127.0.0.1:2]}
migrations:
  - {id: shop, legacy: old, new: fresh, key: header:x-user}
  - {id: base, legacy: old, new: fresh, key: path:id}
routes:
  - {migration: shop, path: /shop/**}
  - {migration: base, path: /base/{id}}
";

/// A router in a folder of its own, killed when the test ends.
struct Router {
    process: Child,
    admin: String,
    token: String,
    _folder: tempfile::TempDir,
}

impl Router {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("crossfade.yaml");
        std::fs::write(&path, FILE).unwrap();
        let mut process =
            crossfade().args(["serve", "-c"]).arg(&path).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut ready = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut ready).unwrap();
        let admin = ready.split("admin=").nth(1).unwrap_or_else(|| panic!("not ready: {ready:?}")).trim();
        let admin = format!("http://{admin}");
        let mut errors = BufReader::new(process.stderr.take().unwrap());
        let token = errors.by_ref().lines().map(Result::unwrap).find(|line| line.starts_with("cf_")).unwrap();
        // Whoever stops reading stops the router at its next line.
        std::thread::spawn(move || std::io::copy(&mut errors, &mut std::io::sink()));
        Self { process, admin, token, _folder: folder }
    }

    fn run(&self, arguments: &str) -> Output {
        let words = arguments.split_whitespace().map(|word| word.replace('~', " "));
        crossfade()
            .args(words)
            .env("CROSSFADE_ADMIN", &self.admin)
            .env("CROSSFADE_TOKEN", &self.token)
            .output()
            .unwrap()
    }

    #[track_caller]
    fn check(&self, arguments: &str, exit: i32, expected: &str) {
        let output = self.run(arguments);
        let text = format!("{}{}", text(&output.stdout), text(&output.stderr));
        assert_eq!(output.status.code(), Some(exit), "{arguments}: {text}");
        assert!(text.contains(expected), "{arguments}: {expected:?} is not in {text}");
    }

    fn json(&self, arguments: &str) -> Value {
        serde_json::from_slice(&self.run(&format!("{arguments} -o json")).stdout).unwrap()
    }
}

impl Drop for Router {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn a_migration_is_moved_and_taken_back_from_the_command_line() {
    let router = Router::start();
    router.check("status", 0, "legacy_only");
    router.check("mode shop gradual --reason first", 0, "legacy_only 0 % -> gradual 0 %, revision 1");
    router.check("rollout shop 12.5% --reason some --dry-run", 0, "would move 12.5 % of all keys toward new");
    router.check("rollout shop 12.5% --reason some", 0, "undo: crossfade undo shop --reason TEXT");
    assert_eq!(router.json("status shop")["migrations"][0]["percent"], 12.5);
    router.check("pin shop a/b~c?d new --for 7d --reason try", 0, "key a/b c?d not pinned -> pinned to new until");
    assert_eq!(router.json("explain shop --key a/b~c?d")["reason"], "pin");
    assert_eq!(router.json("explain shop --path /shop/1 --header x-user:~bert")["key"], "bert");
    router.check("unpin shop a/b~c?d --reason done", 0, "pinned to new -> not pinned");
    router.check("undo shop --reason wrong", 0, "not pinned -> pinned to new");
    router.check("rollback shop --reason bad", 0, "undo: crossfade acknowledge shop --to legacy_only");
    router.check("acknowledge shop --to legacy_only --reason found", 0, "emergency_rollback 12.5 % -> legacy_only");
    router.check("rollback --all --reason all", 0, "base: legacy_only 0 % -> emergency_rollback 0 %");
    let history = router.json("history shop --limit 2");
    assert_eq!(history["history"].as_array().map(Vec::len), Some(2));
    assert_eq!(history["chain"], "ok");
    router.check("history shop", 0, "first");
}

#[test]
fn exit_codes_tell_scripts_what_went_wrong() {
    let router = Router::start();
    router.check("status nope", 1, "unknown_migration");
    router.check("rollout shop 101 --reason why", 2, "not a share");
    router.check("mode shop gradual", 2, "--reason");
    router.check("status --admin https://127.0.0.1:1", 2, "http://HOST:PORT");
    router.check("status --token wrong", 4, "unauthorized");
    router.check("status --admin http://127.0.0.1:1", 4, "cannot be reached");
    router.check("mode shop parallel --reason why", 0, "revision 1");
    router.check("mode shop gradual --reason why --if-revision 0", 5, "stale_revision");
    router.check("rollback shop --reason why", 0, "emergency_rollback");
    router.check("mode shop gradual --reason why", 6, "refused");
}

#[track_caller]
fn check_file(content: &str, arguments: &[&str], exit: i32) -> Output {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("crossfade.yaml");
    std::fs::write(&path, content).unwrap();
    let output = crossfade().args(arguments).arg("-c").arg(&path).output().unwrap();
    assert_eq!(output.status.code(), Some(exit), "{}", text(&output.stderr));
    output
}

#[test]
fn a_bad_file_is_told_in_full_and_nothing_is_bound() {
    let bad = FILE.replace("legacy: old", "legacy: odl").replace("drain:", "drian:");
    for command in ["check", "serve"] {
        let output = check_file(&bad, &[command], 3);
        let errors = text(&output.stderr);
        assert!(output.stdout.is_empty());
        assert!(errors.contains("crossfade.yaml:3:1") && errors.contains("did you mean `drain`?"), "{errors}");
        assert!(errors.contains("crossfade.yaml:8:24") && errors.contains("did you mean `old`?"), "{errors}");
        assert!(errors.contains("error: 3 problems in"), "{errors}");
        assert!(!errors.contains('\u{1b}'), "colour without a terminal");
    }
    let report: Value = serde_json::from_slice(&check_file(&bad, &["check", "-o", "json"], 3).stdout).unwrap();
    assert_eq!(report["problems"][0]["line"], 3);
    assert_eq!(report["valid"], false);
}

#[test]
fn the_effective_file_is_a_file() {
    let effective = text(&check_file(FILE, &["check", "--show-effective"], 0).stdout);
    let again = text(&check_file(&effective, &["check", "--show-effective"], 0).stdout);
    assert_eq!(effective, again);
}

#[test]
fn a_missing_file_says_so() {
    let output = crossfade().args(["check", "-c"]).arg(Path::new("/nowhere/crossfade.yaml")).output().unwrap();
    assert_eq!(output.status.code(), Some(3));
    assert!(text(&output.stderr).contains("/nowhere/crossfade.yaml: cannot be read"));
}

#[test]
fn what_needs_no_router_needs_no_router() {
    let run = |arguments: &[&str]| text(&crossfade().args(arguments).output().unwrap().stdout);
    assert!(run(&["--version"]).starts_with("crossfade "));
    assert!(run(&["completions", "bash"]).contains("_crossfade"));
    assert!(run(&["token", "create", "--name", "ci", "--role", "viewer"]).starts_with("cf_"));
    let schema: Value = serde_json::from_str(&run(&["schema"])).unwrap();
    assert_eq!(schema["title"], "Crossfade");
    assert_eq!(crossfade().output().unwrap().status.code(), Some(2));
}
