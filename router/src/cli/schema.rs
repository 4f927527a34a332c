//! `crossfade schema`: the JSON Schema of the file, for editors.

use super::exit::Failure;
use super::output::print_json;

/// Prints the JSON Schema of the configuration file.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct Args {}

pub(crate) fn run(_: &Args) -> Result<(), Failure> {
    Ok(print_json(&crate::config::schema())?)
}
