//! `crossfade token create`: makes a token for the admin side.
//!
//! The file keeps the hash, so that nobody who reads the file can use the token.

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use clap::Subcommand;
use serde_json::json;
use sha2::{Digest as _, Sha256};

use super::exit::Failure;
use super::output::{Output, print, print_json};

/// Random bytes of a token; nobody guesses 256 bits.
const TOKEN_BYTES: usize = 32;

/// Makes tokens for the admin side.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Clone, Debug, Subcommand)]
enum Command {
    Create(Create),
}

/// Prints a new token once, and the line for the file.
#[derive(Clone, Debug, clap::Args)]
struct Create {
    /// Who will hold it, as the history will name them.
    #[arg(long, value_parser = name)]
    name: String,
    /// What it allows: each role includes those before it.
    #[arg(long, value_parser = ["viewer", "reporter", "operator", "admin"])]
    role: String,
    #[command(flatten)]
    output: Output,
}

fn name(text: &str) -> Result<String, String> {
    // What the file accepts, less what YAML would read as its own.
    let valid = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-' | b'@');
    let starts_well = text.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric());
    if starts_well && text.len() <= 63 && text.bytes().all(valid) {
        Ok(text.into())
    } else {
        Err("use 1 to 63 letters, digits, '.', '_', '-' and '@', starting with a letter or digit".into())
    }
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let Command::Create(create) = &args.command;
    let token = new_token()?;
    let sha256 = hash(&token);
    if create.output.is_json() {
        let entry = json!({ "name": create.name, "role": create.role, "token": token, "sha256": sha256 });
        return Ok(print_json(&entry)?);
    }
    eprintln!("The token, shown only now. Hand it over by a safe way, and use it as CROSSFADE_TOKEN or with --token:");
    print(&token)?;
    eprintln!("For `admin: tokens:` of the file:");
    print(&entry(create, &sha256))?;
    Ok(())
}

fn entry(create: &Create, sha256: &str) -> String {
    format!("- {{name: \"{}\", role: {}, sha256: \"{sha256}\"}}", create.name, create.role)
}

fn new_token() -> Result<String, Failure> {
    let mut bytes = [0; TOKEN_BYTES];
    getrandom::fill(&mut bytes).context("the system gives no random bytes")?;
    Ok(format!("cf_{}", URL_SAFE_NO_PAD.encode(bytes)))
}

fn hash(token: &str) -> String {
    Sha256::digest(token).iter().fold(String::new(), |mut text, byte| {
        use std::fmt::Write as _;
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::Config;

    #[test]
    fn the_printed_line_is_one_for_the_file() {
        let token = new_token().unwrap();
        let create =
            Create { name: "ci".into(), role: "operator".into(), output: Output { output: Default::default() } };
        let file = format!(
            "upstreams: {{a: {{endpoints: [http://h:1]}}}}\nadmin:\n  tokens:\n    {}\n",
            entry(&create, &hash(&token))
        );
        let config = Config::parse("f", &file, Path::new("/")).unwrap();
        assert_eq!(config.admin.tokens[0].sha256[..], Sha256::digest(&token)[..]);
        assert_eq!(token.len(), "cf_".len() + 43);
        assert_ne!(token, new_token().unwrap());
    }

    #[test]
    fn names_need_no_quotes_and_forge_no_lines() {
        assert!(name("ann@example.com").is_ok());
        for text in ["", "a b", "a\nb", "-a", "ä", &"x".repeat(64)] {
            assert!(name(text).is_err(), "{text:?}");
        }
    }
}
