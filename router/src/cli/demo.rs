//! `crossfade demo`: two sample systems, a router in front of them and a gentle load, all on loopback.
//!
//! # Why a command and not a folder of scripts
//!
//! The first thing a newcomer runs must not need a second program, a free port or a configuration.
//! The demo starts the same router as `serve`, from a file as an operator would write it, so what
//! is tried here is what runs in front of real systems.
//!
//! Not here: anything that outlives the process. The state lives in a temporary folder.

use std::io::{self, Write as _};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use flags::Side;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior};

use crate::app::App;
use crate::config::Config;
use crate::demo::fault::Switch;
use crate::demo::folder::{Addresses, Folder, configuration, free_port};
use crate::demo::guide::{Guide, program_name};
use crate::demo::load::{self, Tally};
use crate::demo::status::{Asker, Line};
use crate::demo::system::Sample;
use crate::logging;

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

/// How often the migration is looked at for the status line.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// How long everything may take to end.
const ENDING_MAX: Duration = Duration::from_secs(5);

/// The migration of the generated file.
const MIGRATION: &str = "sessions";

/// Runs until Ctrl-C, TERM or the end of `--for`.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("the demo cannot start its threads")?;
    let ended = runtime.block_on(async {
        // Before anything starts, or an early Ctrl-C would leave the folder behind.
        let end = Ending::new(args.run_for)?;
        let stage = Stage::set(args).await?;
        let played = stage.play(args, end).await;
        stage.clear().await;
        played
    });
    runtime.shutdown_timeout(ENDING_MAX);
    ended
}

/// What ends the demo: Ctrl-C, TERM, or the time of `--for`.
struct Ending {
    interrupt: Signal,
    terminate: Signal,
    run_for: Option<Duration>,
}

impl Ending {
    fn new(run_for: Option<Duration>) -> anyhow::Result<Self> {
        let listen = |kind| signal(kind).context("the demo cannot listen for signals");
        Ok(Self { interrupt: listen(SignalKind::interrupt())?, terminate: listen(SignalKind::terminate())?, run_for })
    }

    async fn wait(&mut self, started: Instant) {
        let run_for = self.run_for;
        let time_is_up = async {
            match run_for {
                Some(run_for) => tokio::time::sleep_until(started + run_for).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
            () = time_is_up => {}
        }
    }
}

/// Everything that runs.
struct Stage {
    app: App,
    control: Sample,
    legacy: Sample,
    new: Sample,
    switch: Switch,
    folder: Folder,
}

impl Stage {
    async fn set(args: &Args) -> anyhow::Result<Self> {
        let folder = Folder::create().context("the demo cannot create its temporary folder")?;
        let switch = Switch::default();
        let sample = "the demo cannot start a sample system on loopback";
        let legacy = Sample::start(Side::Legacy, Switch::default()).await.context(sample)?;
        let new = Sample::start(Side::New, switch.clone()).await.context(sample)?;
        let control = Sample::start_control(switch.clone()).await.context(sample)?;
        let addresses = Addresses {
            listen: address("router", args.port)?,
            admin: address("admin side", args.admin_port)?,
            legacy: legacy.address(),
            new: new.address(),
        };
        let file = folder.file();
        std::fs::write(&file, configuration(&folder, &addresses)).context("the demo cannot write its configuration")?;
        let config = Config::load(&file).map_err(|errors| anyhow::anyhow!("{errors}"))?;
        // Quiet unless asked: the line of a failed request is news in production and noise beside the status line.
        if std::env::var_os("RUST_LOG").is_some() {
            logging::init(&config.log);
        }
        let app = App::start(config).await.context("the demo's router does not start")?;
        Ok(Self { app, control, legacy, new, switch, folder })
    }

    /// Shows the guide, then sends load and tells what happens until the end.
    async fn play(&self, args: &Args, mut end: Ending) -> anyhow::Result<()> {
        let started = Instant::now();
        let router = *self.app.data_addresses().first().context("the router has no address")?;
        if say(&self.guide(args, router)?).is_err() {
            return Ok(());
        }
        let tally = Arc::new(Tally::default());
        let mut sending = JoinSet::new();
        if !args.no_load {
            sending.spawn(load::run(router, tally.clone()));
        }
        let asker = Asker::new(self.app.admin_address(), MIGRATION, self.token()?);
        let mut line = Line::default();
        let mut looks = tokio::time::interval(LOOK_EVERY);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = end.wait(started) => break,
                _ = looks.tick() => {}
            }
            let next = line.next(asker.ask().await.ok(), self.switch.get(), tally.counts(), started.elapsed());
            // Nobody reads any more, such as behind `| head`: that is the end, too.
            if next.is_some_and(|text| say(&text).is_err()) {
                break;
            }
        }
        let _ = say("The demo ends.");
        Ok(())
    }

    fn token(&self) -> anyhow::Result<&str> {
        self.app.admin_token().context("the router made no admin token")
    }

    fn guide(&self, args: &Args, router: SocketAddr) -> anyhow::Result<String> {
        let binary = std::env::current_exe().unwrap_or_else(|_| "crossfade".into());
        let here = std::env::current_dir().unwrap_or_default();
        let guide = Guide {
            program: &program_name(&binary, &here),
            file: &self.folder.file(),
            kill_file: &self.folder.kill_file(),
            router,
            admin: self.app.admin_address(),
            token: self.token()?,
            legacy: self.legacy.address(),
            new: self.new.address(),
            control: self.control.address(),
            with_load: !args.no_load,
        };
        Ok(guide.text())
    }

    /// Ends the router first, so that nothing writes into the folder that is removed last.
    async fn clear(self) {
        let Self { app, control, legacy, new, switch: _, folder } = self;
        let _ = tokio::time::timeout(ENDING_MAX, app.shutdown()).await;
        drop((control, legacy, new));
        drop(folder);
    }
}

/// The wanted port of loopback, or another with a word about it.
fn address(what: &str, wanted: u16) -> anyhow::Result<SocketAddr> {
    let port = free_port(wanted).with_context(|| format!("the demo finds no free port for the {what}"))?;
    if port != wanted && wanted != 0 {
        eprintln!("Port {wanted} is taken, so the {what} is on {port}.");
    }
    Ok(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
}

fn say(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{text}")?;
    out.flush()
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
