//! What the documentation shows is what the code takes: examples, blocks of the README, the list of errors.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use clap::Parser as _;

use crate::config::Config;
use crate::demo::folder::{Addresses, Folder, configuration};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

#[track_caller]
fn check(name: &str, text: &str) -> Config {
    match Config::parse(name, text, Path::new("/nowhere")) {
        Ok(config) => config,
        Err(errors) => panic!("{name} is not accepted:\n{errors}"),
    }
}

#[test]
fn every_example_is_accepted_without_a_warning() {
    let mut seen = 0;
    for entry in fs::read_dir(root().join("examples")).unwrap() {
        let folder = entry.unwrap().path();
        if !folder.is_dir() {
            continue;
        }
        let file = folder.join("crossfade.yaml");
        let config = check(&file.display().to_string(), &fs::read_to_string(&file).unwrap());
        assert!(config.without_effect.is_empty(), "{}: {:?}", file.display(), config.without_effect);
        assert!(folder.join("README.md").exists(), "{} tells its story", folder.display());
        seen += 1;
    }
    assert!(seen >= 6, "{seen} examples");
}

/// What stands between two lines, both left out.
fn between<'a>(text: &'a str, start: &str, end: &str) -> Vec<&'a str> {
    text.split(start).skip(1).filter_map(|rest| rest.split_once(end)).map(|(block, _)| block).collect()
}

#[test]
fn every_configuration_of_the_readme_is_accepted() {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let marked = between(&readme, "```yaml\n# config:", "\n```");
    let written = between(&readme, "crossfade.yaml <<'END'\n", "\nEND\n");
    assert!(!marked.is_empty() && !written.is_empty(), "{} marked, {} written", marked.len(), written.len());
    for block in marked {
        check("README.md", &format!("# config:{block}"));
    }
    for block in written {
        check("README.md", block);
    }
}

#[test]
fn the_file_of_the_demo_is_accepted() {
    let folder = Folder::create().unwrap();
    let at = |port| SocketAddr::from(([127, 0, 0, 1], port));
    let addresses = Addresses { listen: at(8080), admin: at(9900), legacy: at(3001), new: at(3002) };
    let config = check("the demo", &configuration(&folder, &addresses));
    assert!(config.without_effect.is_empty(), "{:?}", config.without_effect);
    assert_eq!(config.listen, [addresses.listen]);
    assert_eq!(config.kill_file, Some(folder.kill_file()));
}

#[test]
fn every_error_code_is_explained_once_in_order_and_with_its_status() {
    let text = fs::read_to_string(root().join("docs/errors.md")).unwrap();
    let rows = text.lines().filter_map(|line| line.strip_prefix("| `")?.split_once("` | "));
    let explained: Vec<(&str, &str)> =
        rows.map(|(code, rest)| (code, rest.split(" | ").next().unwrap_or_default())).collect();
    let codes: Vec<&str> = explained.iter().map(|(code, _)| *code).collect();
    assert_eq!(codes, crate::error::CODES);
    for error in crate::error::every_error() {
        let documented = explained.iter().find(|(code, _)| *code == error.code()).map(|(_, status)| *status);
        assert_eq!(documented, Some(error.status().to_string().as_str()), "{}", error.code());
    }
}

/// The words of a command line of the documentation; quotes hold words together, and a comment ends it.
fn words(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut quoted = false;
    let line = line.split_once(" #").map_or(line, |(command, _)| command.trim_end());
    for character in line.chars() {
        match character {
            '"' => quoted = !quoted,
            ' ' if !quoted => words.push(String::new()),
            other => words.last_mut().unwrap().push(other),
        }
    }
    words
}

#[test]
fn every_command_of_the_runbook_can_be_typed() {
    let text = fs::read_to_string(root().join("docs/runbook.md")).unwrap();
    let lines: Vec<&str> = text.lines().filter(|line| line.starts_with("crossfade ")).collect();
    assert!(lines.len() > 20, "{} commands", lines.len());
    for line in lines {
        let parsed = crate::cli::Cli::try_parse_from(words(line));
        assert!(parsed.is_ok(), "{line}: {}", parsed.unwrap_err());
    }
}

#[test]
fn every_alert_has_its_section_of_the_runbook_and_every_section_its_alert() {
    let rules = fs::read_to_string(root().join("dashboards/prometheus/alert_rules.yaml")).unwrap();
    let runbook = fs::read_to_string(root().join("docs/runbook.md")).unwrap();
    let after = |line: &str, start: &str| line.trim().strip_prefix(start).map(str::to_owned);
    let alerts: Vec<String> = rules.lines().filter_map(|line| after(line, "- alert: ")).collect();
    let sections: Vec<String> = runbook.lines().filter_map(|line| after(line, "### ")).collect();
    assert_eq!(alerts, sections);
    let links: Vec<String> = rules.lines().filter_map(|line| after(line, "runbook_url: docs/runbook.md#")).collect();
    assert_eq!(links, alerts.iter().map(|name| name.to_lowercase()).collect::<Vec<_>>());
    let severities: Vec<String> = rules.lines().filter_map(|line| after(line, "labels: {severity: ")).collect();
    let told: Vec<String> = runbook
        .lines()
        .filter_map(|line| after(line, "**")?.split_once(".**").map(|(word, _)| format!("{word}}}")))
        .collect();
    assert_eq!(severities, told, "the runbook says how urgent each is");
}
