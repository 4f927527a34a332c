//! `crossfade explain`: which side a request would be served by, and why.

use super::client::{Call, Connection, encoded};
use super::exit::Failure;
use super::output::{Output, cell, print, print_json, table};

/// Tells which side would serve a request, and why.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {
    migration: String,
    /// The sticky key, instead of the one that the request has.
    #[arg(long)]
    key: Option<String>,
    #[arg(long)]
    method: Option<String>,
    /// The path, with a query if need be.
    #[arg(long)]
    path: Option<String>,
    #[arg(long)]
    host: Option<String>,
    /// A field of the request; may be given several times.
    #[arg(long = "header", value_name = "NAME: VALUE", value_parser = header)]
    headers: Vec<String>,
    /// The address of the client.
    #[arg(long)]
    ip: Option<std::net::IpAddr>,
    #[command(flatten)]
    connection: Connection,
    #[command(flatten)]
    output: Output,
}

fn header(text: &str) -> Result<String, String> {
    match text.split_once(':') {
        Some((name, value)) if !name.trim().is_empty() => Ok(format!("{}:{}", name.trim(), value.trim())),
        Some(_) | None => Err("write a field as 'name: value'".into()),
    }
}

impl Args {
    fn call(&self) -> Call {
        let mut call = Call::get(format!("/migrations/{}/decision", encoded(&self.migration)));
        let given = [
            ("key", self.key.clone()),
            ("method", self.method.clone()),
            ("host", self.host.clone()),
            ("path", self.path.clone()),
            ("ip", self.ip.map(|ip| ip.to_string())),
        ];
        call.query = given.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
        call.query.extend(self.headers.iter().map(|header| ("header", header.clone())));
        call
    }
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let answer = args.connection.call(args.call())?;
    if args.output.is_json() {
        return Ok(print_json(&answer)?);
    }
    let names = ["serve", "mirror", "reason", "key", "bucket", "route", "revision"];
    let row = names.iter().map(|name| cell(&answer[*name])).collect();
    print(&table(&["SERVE", "MIRROR", "REASON", "KEY", "BUCKET", "ROUTE", "REVISION"], vec![row]))?;
    if let Some(note) = answer["note"].as_str() {
        eprintln!("note: {}", super::output::shown(note));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_a_name_and_a_value() {
        assert_eq!(header("a: b"), Ok("a:b".into()));
        assert_eq!(header("a:"), Ok("a:".into()));
        assert!(header("a").is_err() && header(": b").is_err());
    }
}
