//! `crossfade demo`: two sample systems, a router in front of them and a gentle load, all on loopback.
//!
//! # Why a command and not a folder of scripts
//!
//! The first thing a newcomer runs must not need a second program, a free port or a configuration.
//! The demo starts the same router as `serve`, from a file as an operator would write it, so what
//! is tried here is what runs in front of real systems.
//!
//! Not here: anything that outlives the process. The state lives in a temporary folder.

use std::time::Duration;

/// Starts two sample systems and a router in front of them, and sends a gentle load.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// The router's port; a free one where it is taken.
    #[arg(long, value_name = "PORT", default_value_t = 8080)]
    pub port: u16,
    /// The port of the admin side; a free one where it is taken.
    #[arg(long, value_name = "PORT", default_value_t = 9900)]
    pub admin_port: u16,
    /// Sends no requests of its own.
    #[arg(long)]
    pub no_load: bool,
    /// Ends by itself after this long, such as 30s or 5m.
    #[arg(long = "for", value_name = "DURATION", value_parser = duration)]
    pub run_for: Option<Duration>,
}

fn duration(text: &str) -> Result<Duration, String> {
    let parsed: Option<Duration> = text.parse::<jiff::SignedDuration>().ok().and_then(|d| d.try_into().ok());
    parsed.filter(|d| !d.is_zero()).ok_or_else(|| "write a length of time with its unit, such as 30s or 5m".into())
}

/// Runs until Ctrl-C, TERM or the end of `--for`.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let Args { port, admin_port, no_load, run_for } = args;
    anyhow::bail!("the demo cannot start yet (port {port}, admin {admin_port}, load {}, for {run_for:?})", !no_load)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Option<Duration>) {
        assert_eq!(duration(text).ok(), expected, "{text:?}");
    }

    #[test]
    fn a_duration_needs_its_unit_and_a_length() {
        check("30s", Some(Duration::from_secs(30)));
        check("5m", Some(Duration::from_secs(300)));
        check("1500ms", Some(Duration::from_millis(1500)));
        for text in ["", "30", "0s", "-5s", "soon"] {
            check(text, None);
        }
    }
}
