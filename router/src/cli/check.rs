//! `crossfade check`: tells everything that is wrong with a file, and starts nothing.

use std::path::PathBuf;

use serde_json::{Value, json};

use super::exit::{Exit, Failure};
use super::output::{Output, colour_on_stderr, print, print_json};
use crate::config::{Config, ConfigErrors, Purpose};

/// Checks a configuration file.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {
    /// The file.
    #[arg(short, long, value_name = "FILE")]
    config: PathBuf,
    /// Prints the whole configuration with every default, secrets replaced.
    #[arg(long)]
    show_effective: bool,
    #[command(flatten)]
    output: Output,
}

/// Reads the file of a command, or tells what is wrong with it.
pub(crate) fn load(path: &std::path::Path) -> Result<Config, Failure> {
    Config::load(path).map_err(|errors| {
        eprintln!("{}", errors.render(colour_on_stderr()));
        Failure::told(Exit::InvalidConfiguration)
    })
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let json = args.output.is_json();
    let config = match Config::load_for(Purpose::Check, &args.config) {
        Ok(config) => config,
        Err(errors) => {
            if json {
                print_json(&report(&errors))?;
            } else {
                eprintln!("{}", errors.render(colour_on_stderr()));
            }
            return Err(Failure::told(Exit::InvalidConfiguration));
        }
    };
    warn(&config);
    if args.show_effective {
        return Ok(if json { print_json(&config.effective()) } else { print(&config.effective_yaml()) }?);
    }
    let (migrations, routes) = (config.definitions.migrations().len(), config.routes.len());
    if json {
        let hash = &config.definitions.config_hash;
        let notes = json!({ "warnings": config.warnings, "without_effect": config.without_effect });
        print_json(&json!({ "valid": true, "problems": [], "config_hash": hash, "notes": notes }))?;
    } else {
        let [upstreams, migrations, routes] =
            [(config.upstreams.len(), "upstream"), (migrations, "migration"), (routes, "route")].map(counted);
        print(&format!("{} is good: {upstreams}, {migrations}, {routes}", args.config.display()))?;
    }
    Ok(())
}

/// Tells what the file asks for and does not get, or likely does not mean.
pub(crate) fn warn(config: &Config) {
    for warning in &config.warnings {
        eprintln!("warning: {warning}");
    }
    for key in &config.without_effect {
        eprintln!("warning: {key} has no effect in this version of crossfade");
    }
}

fn counted((number, noun): (usize, &str)) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

fn report(errors: &ConfigErrors) -> Value {
    let problems: Vec<_> = errors.findings().collect();
    json!({ "valid": false, "file": errors.name(), "problems": problems })
}
