//! The rules of the house that a compiler does not check.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

/// The staircase: each may depend on those before it, never on one behind it.
const STAIRCASE: [(&str, &str); 5] = [
    ("flags", "crossfade-flags"),
    ("metrics", "crossfade-metrics"),
    ("dashboards", "crossfade-dashboards"),
    ("router", "crossfade-router"),
    ("tests", "crossfade-tests"),
];

/// Files that compute and nothing else, besides those that ARCHITECTURE.md marks.
const PURE: &[&str] = &[
    "flags/src/bucket.rs",
    "flags/src/decide.rs",
    "flags/src/key.rs",
    "flags/src/mirror.rs",
    "flags/src/mode.rs",
    "flags/src/route.rs",
    "flags/src/route/pattern.rs",
    "flags/src/rule.rs",
    "flags/src/snapshot.rs",
    "flags/src/state.rs",
];

const IMPURE: &[&str] = &["async ", ".await", "tokio", "Instant::now", "SystemTime::now", "Timestamp::now", "rand::"];

/// Lines of production code in a file; a file past this has two nouns in it.
const LINES_MAX: usize = 450;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the package is in the workspace").to_owned()
}

/// Every file of the repository with its text; what is built or fetched is not part of it.
fn files() -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut folders = vec![root()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap().map(Result::unwrap) {
            let (name, path) = (entry.file_name(), entry.path());
            if matches!(name.to_str(), Some("target" | ".git" | "node_modules" | "vendor")) {
                continue;
            }
            if path.is_dir() && !path.is_symlink() {
                folders.push(path);
            } else if let Ok(text) = fs::read_to_string(&path) {
                found.push((path.strip_prefix(root()).unwrap().display().to_string(), text));
            }
        }
    }
    found.sort();
    assert!(found.len() > 20, "the walk found only {} files", found.len());
    found
}

fn rust_files() -> Vec<(String, String)> {
    files().into_iter().filter(|(path, _)| path.ends_with(".rs")).collect()
}

/// A file as production code and tests, which are a module at its end or the whole of a `tests.rs` or of a folder `tests`.
fn parts<'a>(path: &str, text: &'a str) -> (&'a str, &'a str) {
    if path.starts_with("tests/e2e/") || path.contains("/tests/") || path.ends_with("/tests.rs") {
        return ("", text);
    }
    let inline = |(at, _): &(usize, &str)| {
        let declared = text[*at..].lines().nth(1).unwrap_or_default();
        declared.contains("mod ") && declared.ends_with('{')
    };
    let at = text.match_indices("#[cfg(test)]\n").find(inline).map_or(text.len(), |(at, _)| at);
    text.split_at(at)
}

/// What of a file is compiled into the binary, without comments.
fn production(path: &str, text: &str) -> String {
    let code = parts(path, text).0.lines().filter(|line| !line.trim_start().starts_with("//"));
    code.collect::<Vec<_>>().join("\n")
}

/// Fails with all findings at once.
#[track_caller]
fn expect_none(rule: &str, findings: &[String]) {
    assert!(
        findings.is_empty(),
        "{rule}:\n{}",
        findings.iter().fold(String::new(), |mut text, finding| {
            let _ = writeln!(text, "  {finding}");
            text
        })
    );
}

/// The packages of ours that a manifest depends on; tests of a package may use no more.
fn arrows_of(manifest: &str) -> BTreeSet<&'static str> {
    let keys = manifest.lines().filter_map(|line| line.split(['.', '=', ' ']).next());
    let keys: BTreeSet<&str> = keys.collect();
    STAIRCASE.iter().map(|(_, package)| *package).filter(|package| keys.contains(package)).collect()
}

fn forbidden_arrows(step: usize, manifest: &str) -> Vec<&'static str> {
    let above: BTreeSet<&str> = STAIRCASE[step..].iter().map(|(_, package)| *package).collect();
    arrows_of(manifest).into_iter().filter(|package| above.contains(package)).collect()
}

#[test]
fn crates_depend_only_downward() {
    for (step, (folder, package)) in STAIRCASE.iter().enumerate() {
        let manifest = fs::read_to_string(root().join(folder).join("Cargo.toml")).unwrap();
        assert!(manifest.contains(&format!("name = \"{package}\"")), "{folder} is not {package}");
        // A package's own name is `name = …`, never a key, so an arrow to itself cannot hide one.
        let forbidden = forbidden_arrows(step, &manifest);
        assert!(forbidden.is_empty(), "{package} must not depend on {forbidden:?}");
    }
    assert_eq!(forbidden_arrows(0, "crossfade-metrics.workspace = true"), ["crossfade-metrics"]);
    assert_eq!(forbidden_arrows(1, "crossfade-router = { path = \"../router\" }"), ["crossfade-router"]);
}

#[test]
fn inside_the_router_only_main_and_app_name_the_dashboards() {
    let named = |(path, text): &(String, String)| {
        let file = path.strip_prefix("router/src/")?;
        let may = file == "main.rs" || file == "app.rs" || file.starts_with("app/");
        let names = production(path, text).contains("dashboards::");
        (!may && names).then(|| path.clone())
    };
    let findings: Vec<String> = rust_files().iter().filter_map(named).collect();
    expect_none("these name `dashboards`, which only app.rs may", &findings);
}

/// The files that a text in the manner of ARCHITECTURE.md marks as `[pure]`.
fn marked_pure(architecture: &str) -> Vec<String> {
    let mut marked = Vec::new();
    let mut crate_folder = String::new();
    for line in architecture.lines() {
        let first = line.split_whitespace().next().unwrap_or_default();
        if !line.starts_with(' ') && first.ends_with('/') {
            crate_folder = first.to_owned();
        }
        if line.contains("[pure") {
            let words = line.split_whitespace().filter(|word| word.starts_with("src/"));
            marked.extend(words.flat_map(|word| expanded(&format!("{crate_folder}{word}"))));
        }
    }
    marked
}

/// `a/{b,c}.rs` as `a/b.rs` and `a/c.rs`.
fn expanded(path: &str) -> Vec<String> {
    let Some((before, rest)) = path.split_once('{') else { return vec![path.to_owned()] };
    let Some((names, after)) = rest.split_once('}') else { return vec![path.to_owned()] };
    names.split(',').map(|name| format!("{before}{name}{after}")).collect()
}

#[test]
fn pure_files_compute_and_nothing_else() {
    let marked = fs::read_to_string(root().join("ARCHITECTURE.md")).map(|text| marked_pure(&text)).unwrap_or_default();
    let pure: BTreeSet<String> = PURE.iter().map(|path| (*path).to_owned()).chain(marked).collect();
    let mut findings = Vec::new();
    for path in pure.iter().filter(|path| path.ends_with(".rs")) {
        let Ok(text) = fs::read_to_string(root().join(path)) else {
            findings.push(format!("{path} is listed as pure and does not exist"));
            continue;
        };
        let production = production(path, &text);
        findings.extend(IMPURE.iter().filter(|w| production.contains(**w)).map(|word| format!("{path}: {word:?}")));
    }
    expect_none("pure files hold impure words", &findings);
}

#[test]
fn marks_of_purity_are_found() {
    let house = "flags/   what\n  src/mode.rs   the machine  [pure]\n  src/watch.rs  I/O\nrouter/  data\n  src/h1/{head,framing}.rs  heads  [pure, sans-io]\n";
    assert_eq!(marked_pure(house), ["flags/src/mode.rs", "router/src/h1/head.rs", "router/src/h1/framing.rs"]);
}

#[test]
fn files_stay_short() {
    let mut findings = Vec::new();
    for (path, text) in rust_files() {
        let lines = parts(&path, &text).0.lines().count();
        if lines > LINES_MAX {
            findings.push(format!("{path}: {lines}"));
        }
    }
    expect_none(&format!("these have more than {LINES_MAX} lines of production code; split by noun"), &findings);
}

/// Whether a test passes time but for the pause between two looks at a condition with a deadline.
fn sleeps(tests: &str) -> bool {
    let mut lines_since_deadline = usize::MAX;
    tests.lines().any(|line| {
        lines_since_deadline = if line.contains("deadline") { 0 } else { lines_since_deadline.saturating_add(1) };
        line.contains(concat!("sle", "ep(")) && lines_since_deadline > 1
    })
}

#[test]
fn tests_neither_sleep_nor_are_ignored() {
    let ignore = concat!("#[ign", "ore");
    let mut findings = Vec::new();
    for (path, text) in rust_files() {
        let (_, tests) = parts(&path, &text);
        for (number, line) in text.lines().enumerate() {
            let blocks = line.contains(concat!("thread::", "sle", "ep")) && !path.starts_with("router/src/cli/");
            if line.contains(ignore) || blocks {
                findings.push(format!("{path}:{}: {}", number + 1, line.trim()));
            }
        }
        if sleeps(tests) {
            findings.push(format!("{path}: its tests sleep; wait for a condition instead"));
        }
    }
    expect_none("tests wait for conditions and always run", &findings);
    let pause = concat!("sle", "ep(a)");
    assert!(sleeps(pause) && !sleeps(&format!("assert!(now < deadline);\n{pause}")));
}

#[test]
fn no_file_knows_the_machine_it_was_written_on() {
    let words = [concat!("/wo", "rk/"), concat!("/ro", "ot/")];
    let mut findings = Vec::new();
    for (path, text) in files() {
        for (number, line) in text.lines().enumerate() {
            if words.iter().any(|word| line.contains(word)) {
                findings.push(format!("{path}:{}: {}", number + 1, line.trim()));
            }
        }
    }
    expect_none("paths of one machine", &findings);
}

#[test]
fn every_crate_takes_the_shared_lints() {
    for (folder, _) in STAIRCASE {
        let manifest = fs::read_to_string(root().join(folder).join("Cargo.toml")).unwrap();
        assert!(manifest.contains("[lints]\nworkspace = true"), "{folder}/Cargo.toml has lints of its own");
        assert!(manifest.contains("license.workspace = true"), "{folder}/Cargo.toml names no licence");
    }
}

#[test]
fn the_papers_are_there() {
    for name in ["CHANGELOG.md", "LICENSE", "Cargo.lock", "tests/run", ".ci/run"] {
        assert!(root().join(name).is_file(), "{name} is missing");
    }
    let changelog = fs::read_to_string(root().join("CHANGELOG.md")).unwrap();
    assert!(changelog.contains("## Unreleased"), "the changelog has no section for what is to come");
}
