//! The file: whatever stands in it is a configuration or a list of what is wrong, and a configuration survives being written.

use std::path::Path;

use router::config::{Config, ConfigErrors};

/// Nothing is read below a folder that is none, so an input cannot name a file of this machine by chance.
const BASE: &str = "/nowhere";

/// Holds a text against every invariant of the file.
pub fn file(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    // Files that the text names are read, and what this machine holds must not matter.
    if ["_file", "/dev", "/proc"].iter().any(|word| text.contains(word)) {
        return;
    }
    match parse(&text) {
        Ok(config) => check_written(&config, &text),
        Err(errors) => check_told(&errors, &text),
    }
}

fn parse(text: &str) -> Result<Config, ConfigErrors> {
    let environment = |name: &str| (name == "SET").then(|| "value".to_owned());
    Config::parse_in("fuzzed.yaml", text, Path::new(BASE), &environment)
}

/// The effective file means the same as the file.
fn check_written(config: &Config, text: &str) {
    let effective = config.effective();
    let yaml = config.effective_yaml();
    // What stands in for a secret is not one.
    if yaml.contains("redacted") {
        return;
    }
    match parse(&yaml) {
        Ok(again) => assert_eq!(again.effective(), effective, "{text:?} became {yaml}"),
        Err(errors) => panic!("{text:?} became\n{yaml}\nwhich is refused:\n{errors}"),
    }
}

/// Every error has a place in the text and can be shown.
fn check_told(errors: &ConfigErrors, text: &str) {
    let findings: Vec<_> = errors.findings().collect();
    assert!(!findings.is_empty(), "{text:?} is refused without a reason");
    let lines = text.split('\n').count();
    for finding in findings {
        let placed = (1..=lines).contains(&finding.line) && finding.column >= 1 && !finding.message.is_empty();
        assert!(placed, "{finding:?} of {text:?}");
    }
    assert!(!errors.to_string().is_empty());
}
