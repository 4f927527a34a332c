//! Two connections to Redis that come back by themselves: one for commands, one for announcements.
//!
//! # Why not the client's own connection manager
//!
//! It keeps talking to a primary that was demoted and to a socket that swallows everything. Here
//! every call has a time-out of its own, a connection that has not answered for a second is pinged,
//! and three failures, or one answer of a server that is no longer the primary, build a new one, for
//! which the primary is looked for anew.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::StreamExt;
use redis::aio::{MultiplexedConnection, PubSub};
use redis::{Cmd, FromRedisValue, RedisError, ScriptInvocation};
use tokio::sync::{Mutex, watch};
use tokio::time::{Instant, timeout};

use super::address::{Address, Host, Topology};
use super::primary::{Connected, Servers};
use super::words::{Failure, explain, has_moved, is_unwell, timed_out};
use crate::store::StoreError;

/// How long any call may take on a connection that is there.
const CALL_TIMEOUT: Duration = Duration::from_secs(2);

/// How long a connection may be silent before it is asked whether it lives, and how long it may
/// take to answer that.
const PING: Duration = Duration::from_secs(1);

/// How often the announcements' connection is pinged. That of commands has the heartbeat, and is pinged only where that is late.
const LISTEN_PING: Duration = Duration::from_secs(2);

/// How often the sentinels are asked while all seems well: as long may a replaced primary still be believed.
const FOLLOW: Duration = Duration::from_secs(1);

/// Failures in a row after which a connection is not believed to recover.
const FAILURES_MAX: u32 = 3;

const BACKOFF_FIRST: Duration = Duration::from_millis(100);
const BACKOFF_MAX: Duration = Duration::from_secs(1);

/// The way to the primary of one address.
pub(super) struct Link {
    servers: Servers,
    state: Mutex<State>,
    /// Whom the commands' connection was last made to; announcements are heard from the same.
    primary: watch::Sender<Option<Host>>,
    /// Counts connections for commands, for who wants to know without waiting.
    renewals: AtomicU64,
    /// Counts what may have been an announcement.
    announced: watch::Sender<u64>,
}

#[derive(Default)]
struct State {
    connection: Option<Open>,
    /// Counts connections, so that a late failure does not close a younger one.
    generation: u64,
    /// Servers that earlier answers named, to be asked when those of the address are gone.
    known: Vec<Host>,
    /// Until then nobody connects, and everybody is told why.
    wait: Option<(Instant, Failure)>,
    backoff: Option<Duration>,
}

struct Open {
    connection: MultiplexedConnection,
    host: Host,
    failures: u32,
    answered: Instant,
}

impl Link {
    pub(super) fn new(servers: Servers) -> Self {
        let ((primary, _), (announced, _)) = (watch::channel(None), watch::channel(0));
        Self { servers, state: Mutex::default(), primary, renewals: AtomicU64::new(0), announced }
    }

    pub(super) const fn address(&self) -> &Address {
        &self.servers.address
    }

    pub(super) const fn servers(&self) -> &Servers {
        &self.servers
    }

    /// Whether commands go to this server.
    pub(super) fn is_to(&self, host: &Host) -> bool {
        self.primary.borrow().as_ref() == Some(host)
    }

    /// Connections for commands so far.
    pub(super) fn renewals(&self) -> u64 {
        self.renewals.load(Ordering::Relaxed)
    }

    pub(super) fn subscribe(&self) -> watch::Receiver<u64> {
        self.announced.subscribe()
    }

    pub(super) async fn query<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, StoreError> {
        self.query_within(command, CALL_TIMEOUT).await
    }

    async fn query_within<T: FromRedisValue>(&self, command: &Cmd, limit: Duration) -> Result<T, StoreError> {
        let (mut connection, generation) = self.connection().await?;
        let answer = timeout(limit, command.query_async(&mut connection)).await;
        self.judge(answer.unwrap_or_else(|_| Err(timed_out())), generation).await
    }

    pub(super) async fn invoke<T: FromRedisValue>(&self, call: &ScriptInvocation<'_>) -> Result<T, StoreError> {
        let (mut connection, generation) = self.connection().await?;
        let answer = timeout(CALL_TIMEOUT, call.invoke_async(&mut connection)).await;
        self.judge(answer.unwrap_or_else(|_| Err(timed_out())), generation).await
    }

    async fn connection(&self) -> Result<(MultiplexedConnection, u64), StoreError> {
        let mut state = self.state.lock().await;
        if let Some(open) = &state.connection {
            return Ok((open.connection.clone(), state.generation));
        }
        if let Some((until, why)) = &state.wait
            && Instant::now() < *until
        {
            return Err(why.clone().into());
        }
        match self.servers.connect(&state.known).await {
            Ok(Connected { connection, host, known }) => {
                let generation = state.generation + 1;
                let open =
                    Open { connection: connection.clone(), host: host.clone(), failures: 0, answered: Instant::now() };
                *state = State { connection: Some(open), generation, known, ..State::default() };
                self.primary.send_if_modified(|last| last.replace(host.clone()).is_none_or(|last| last != host));
                self.renewals.store(generation, Ordering::Relaxed);
                // Whatever was announced meanwhile was missed.
                self.announce();
                Ok((connection, generation))
            }
            Err(why) => {
                let backoff = state.backoff.map_or(BACKOFF_FIRST, |last| (last * 2).min(BACKOFF_MAX));
                state.backoff = Some(backoff);
                state.wait = Some((Instant::now() + jittered(backoff), why.clone()));
                Err(why.into())
            }
        }
    }

    /// Turns the client's answer into ours, and gives up a connection that is worth nothing.
    async fn judge<T>(&self, answer: Result<T, RedisError>, generation: u64) -> Result<T, StoreError> {
        let mut state = self.state.lock().await;
        let generation_now = state.generation;
        let mut open = state.connection.as_mut().filter(|_| generation_now == generation);
        let error = match answer {
            Ok(answer) => {
                if let Some(open) = &mut open {
                    (open.failures, open.answered) = (0, Instant::now());
                }
                return Ok(answer);
            }
            Err(error) => error,
        };
        let is_slow = error.is_timeout();
        let is_gone = !is_slow && (error.is_connection_dropped() || error.is_unrecoverable_error());
        let host = open.as_ref().map(|open| open.host.clone());
        if let Some(open) = open {
            if is_slow || is_unwell(&error) {
                open.failures += 1;
            } else if error.code().is_some() {
                (open.failures, open.answered) = (0, Instant::now());
            }
            if has_moved(&error) || is_gone || open.failures >= FAILURES_MAX {
                state.connection = None;
            }
        }
        drop(state);
        let explained = self.explain(host.as_ref(), &error);
        Err(if is_slow || is_gone { explained.once_sent() } else { explained })
    }

    fn explain(&self, host: Option<&Host>, error: &RedisError) -> StoreError {
        let server = host.map_or_else(|| self.servers.address.servers(), ToString::to_string);
        explain(&self.servers.address, &server, error).into()
    }

    /// Leaves a server that those who know the primary no longer name, although it goes on answering: one that was
    /// paused and replaced takes writes until it is told, and they are lost.
    async fn follow_primary(&self) {
        let (known, generation) = {
            let state = self.state.lock().await;
            (state.known.clone(), state.generation)
        };
        let Some(named) = self.servers.named_primary(&known).await else { return };
        let mut state = self.state.lock().await;
        let is_other = state.connection.as_ref().is_some_and(|open| open.host != named);
        if is_other && state.generation == generation {
            tracing::warn!(primary = %named, "the sentinels name another primary; this router follows");
            state.connection = None;
        }
    }

    async fn is_silent(&self) -> bool {
        let state = self.state.lock().await;
        state.connection.as_ref().is_none_or(|open| open.answered.elapsed() >= PING)
    }

    fn announce(&self) {
        self.announced.send_modify(|count| *count = count.wrapping_add(1));
    }
}

/// Pings the commands' connection when nothing else is said, so that a dead one is noticed before
/// it is needed.
pub(super) async fn keep(link: Arc<Link>) {
    let ping = redis::cmd("PING");
    loop {
        let begun = Instant::now();
        if link.is_silent().await {
            // A failure is counted where it is judged.
            let _: Result<(), _> = link.query_within(&ping, PING).await;
        }
        // What took its time needs no pause: a dead connection is to be noticed within seconds.
        tokio::time::sleep(PING.saturating_sub(begun.elapsed()).max(BACKOFF_FIRST)).await;
    }
}

/// Asks the sentinels whether the primary is still the one that is talked to. Not needed elsewhere: one server has no
/// other, and a node of a Cluster says itself that a slot has moved.
pub(super) async fn follow(link: Arc<Link>) {
    while matches!(link.address().topology(), Topology::Sentinel { .. }) {
        tokio::time::sleep(jittered(FOLLOW)).await;
        link.follow_primary().await;
    }
}

/// Listens for announcements for as long as the store lives.
pub(super) async fn listen(link: Arc<Link>, channel: String) {
    let mut primary = link.primary.subscribe();
    let mut backoff = BACKOFF_FIRST;
    let mut told = None;
    loop {
        let Ok(host) = primary.wait_for(Option::is_some).await.map(|host| host.clone()) else { return };
        let Some(host) = host else { continue };
        let begun = Instant::now();
        match link.servers.subscribe(&host, &channel).await {
            Ok(connection) => {
                told = None;
                listen_once(&link, connection, &mut primary).await;
            }
            // What else is wrong shows on the commands' connection.
            Err(error) if error.code() == Some("NOPERM") && told.is_none() => {
                let problem = link.explain(Some(&host), &error);
                tracing::warn!(error = %problem, "changes are not announced to this router: it finds them a second later, when it looks");
                told = Some(());
            }
            Err(_) => {}
        }
        if primary.has_changed().unwrap_or(false) {
            continue;
        }
        backoff = if begun.elapsed() > BACKOFF_MAX { BACKOFF_FIRST } else { (backoff * 2).min(BACKOFF_MAX) };
        tokio::time::sleep(jittered(backoff)).await;
    }
}

/// Returns when the connection is of no more use.
async fn listen_once(link: &Link, connection: PubSub, primary: &mut watch::Receiver<Option<Host>>) {
    // Whatever happened before the subscription was not heard.
    link.announce();
    let (mut sink, mut messages) = connection.split();
    let hear = async {
        while messages.next().await.is_some() {
            link.announce();
        }
    };
    let ping = async {
        let mut failures = 0;
        while failures < FAILURES_MAX {
            tokio::time::sleep(LISTEN_PING).await;
            let answer = timeout(PING, sink.ping::<redis::Value>()).await;
            failures = if matches!(answer, Ok(Ok(_))) { 0 } else { failures + 1 };
        }
    };
    tokio::select! {
        () = hear => {}
        () = ping => {}
        _ = primary.changed() => {}
    }
}

pub(super) fn jittered(base: Duration) -> Duration {
    let mut random = [0; 4];
    // Without randomness the fleet comes back in step, which is no reason not to come back.
    let _ = getrandom::fill(&mut random);
    base * (75 + u32::from_ne_bytes(random) % 51) / 100
}
