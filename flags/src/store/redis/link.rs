//! Two connections to Redis that come back by themselves: one for commands, one for announcements.
//!
//! # Why not the client's own connection manager
//!
//! It keeps talking to a primary that was demoted and to a socket that swallows everything. Here
//! every call has a time-out of its own, the connections are pinged every second, and three
//! failures, or one answer of a replica, build a new one.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, Cmd, ErrorKind, FromRedisValue, IntoConnectionInfo, RedisError};
use redis::{ScriptInvocation, ServerErrorKind};
use tokio::sync::{Mutex, watch};
use tokio::time::Instant;

use crate::store::StoreError;

/// How long any call may take, connecting included.
const CALL_TIMEOUT: Duration = Duration::from_secs(2);

const PING: Duration = Duration::from_secs(1);

/// Failures in a row after which a connection is not believed to recover.
const FAILURES_MAX: u32 = 3;

const BACKOFF_FIRST: Duration = Duration::from_millis(100);
const BACKOFF_MAX: Duration = Duration::from_secs(1);

/// The way to one Redis server.
pub(super) struct Link {
    client: Client,
    /// Host and port, for messages.
    shown: String,
    /// Only to keep it out of messages that a server echoes.
    password: Option<String>,
    state: Mutex<State>,
    /// Counts what may have been an announcement.
    announced: watch::Sender<u64>,
}

#[derive(Default)]
struct State {
    connection: Option<MultiplexedConnection>,
    /// Counts connections, so that a late failure does not close a younger one.
    generation: u64,
    failures: u32,
    /// Until then nobody connects, and everybody is told why.
    wait: Option<(Instant, String)>,
    backoff: Option<Duration>,
}

impl Link {
    /// Reads the address; connects when something is asked.
    pub(super) fn new(address: &str) -> Result<Self, StoreError> {
        let scheme = address.split_once(':').map_or("", |(scheme, _)| scheme);
        if scheme != "redis" {
            return Err(StoreError::unavailable(refused_scheme(scheme)));
        }
        let info = address.into_connection_info().map_err(|_| StoreError::unavailable(NOT_AN_ADDRESS))?;
        let tcp = info.tcp_settings().clone().set_nodelay(true);
        let info = info.set_tcp_settings(tcp);
        let shown = info.addr().to_string();
        let password = info.redis_settings().password().map(str::to_owned);
        let client = Client::open(info).map_err(|_| StoreError::unavailable(NOT_AN_ADDRESS))?;
        let (announced, _) = watch::channel(0);
        Ok(Self { client, shown, password, state: Mutex::default(), announced })
    }

    pub(super) fn shown(&self) -> &str {
        &self.shown
    }

    pub(super) fn subscribe(&self) -> watch::Receiver<u64> {
        self.announced.subscribe()
    }

    pub(super) async fn query<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, StoreError> {
        let (mut connection, generation) = self.connection().await?;
        let answer = tokio::time::timeout(CALL_TIMEOUT, command.query_async(&mut connection)).await;
        self.judge(answer.unwrap_or_else(|_| Err(timed_out())), generation).await
    }

    pub(super) async fn invoke<T: FromRedisValue>(&self, call: &ScriptInvocation<'_>) -> Result<T, StoreError> {
        let (mut connection, generation) = self.connection().await?;
        let answer = tokio::time::timeout(CALL_TIMEOUT, call.invoke_async(&mut connection)).await;
        self.judge(answer.unwrap_or_else(|_| Err(timed_out())), generation).await
    }

    async fn connection(&self) -> Result<(MultiplexedConnection, u64), StoreError> {
        let mut state = self.state.lock().await;
        if let Some(connection) = &state.connection {
            return Ok((connection.clone(), state.generation));
        }
        if let Some((until, why)) = &state.wait
            && Instant::now() < *until
        {
            return Err(StoreError::unavailable(why.clone()));
        }
        // The call's own time-out is outside, because the client's do not cover the name's lookup.
        let config = AsyncConnectionConfig::new().set_connection_timeout(None).set_response_timeout(None);
        let connecting = self.client.get_multiplexed_async_connection_with_config(&config);
        match tokio::time::timeout(CALL_TIMEOUT, connecting).await.unwrap_or_else(|_| Err(timed_out())) {
            Ok(connection) => {
                *state = State { generation: state.generation + 1, ..State::default() };
                state.connection = Some(connection.clone());
                // Whatever was announced meanwhile was missed.
                self.announce();
                Ok((connection, state.generation))
            }
            Err(error) => {
                let why = self.words(&error);
                let backoff = state.backoff.map_or(BACKOFF_FIRST, |last| (last * 2).min(BACKOFF_MAX));
                state.backoff = Some(backoff);
                state.wait = Some((Instant::now() + jittered(backoff), why.clone()));
                Err(StoreError::unavailable(why))
            }
        }
    }

    /// Turns the client's answer into ours, and gives up a connection that is worth nothing.
    async fn judge<T>(&self, answer: Result<T, RedisError>, generation: u64) -> Result<T, StoreError> {
        let mut state = self.state.lock().await;
        let same = state.generation == generation;
        let error = match answer {
            Ok(answer) => {
                if same {
                    state.failures = 0;
                }
                return Ok(answer);
            }
            Err(error) => error,
        };
        let is_replica = error.kind() == ErrorKind::Server(ServerErrorKind::ReadOnly);
        let is_slow = error.is_timeout();
        if same && is_slow {
            state.failures += 1;
        }
        let is_gone = !is_slow && (error.is_connection_dropped() || error.is_unrecoverable_error());
        if same && (is_replica || is_gone || state.failures >= FAILURES_MAX) {
            state.connection = None;
        }
        drop(state);
        Err(self.explain(&error))
    }

    fn explain(&self, error: &RedisError) -> StoreError {
        let words = self.words(error);
        let is_content = error.code() == Some("WRONGTYPE") || error.kind() == ErrorKind::UnexpectedReturnType;
        if is_content { StoreError::corrupt(words) } else { StoreError::unavailable(words) }
    }

    fn words(&self, error: &RedisError) -> String {
        let shown = &self.shown;
        let said = error.to_string();
        let text = match &self.password {
            Some(password) if !password.is_empty() => said.replace(password.as_str(), "***"),
            _ => said,
        };
        let is_denied = error.kind() == ErrorKind::AuthenticationFailed
            || matches!(error.code(), Some("NOAUTH" | "WRONGPASS" | "NOPERM"));
        if is_denied {
            return format!(
                "Redis at {shown} refuses the user or the password of `store.redis` ({}); correct the address there",
                error.code().unwrap_or("authentication failed")
            );
        }
        match error.kind() {
            ErrorKind::Parse => format!("what answers at {shown} is not Redis; check `store.redis` ({text})"),
            ErrorKind::Server(ServerErrorKind::ReadOnly) => {
                format!("Redis at {shown} is a replica and takes no writes; name the primary in `store.redis`")
            }
            _ => format!("Redis at {shown} (`store.redis`): {text}"),
        }
    }

    fn announce(&self) {
        self.announced.send_modify(|count| *count = count.wrapping_add(1));
    }
}

const NOT_AN_ADDRESS: &str =
    "`store.redis` is not an address of Redis; write redis://[user:password@]host[:port][/database]";

fn refused_scheme(scheme: &str) -> String {
    match scheme {
        "rediss" | "redis+sentinel" | "redis+cluster" | "rediss+sentinel" | "rediss+cluster" => format!(
            "`store.redis` begins with {scheme}://, which this version does not speak yet; name one server by redis://[user:password@]host[:port][/database]"
        ),
        _ => NOT_AN_ADDRESS.into(),
    }
}

fn timed_out() -> RedisError {
    std::io::Error::new(std::io::ErrorKind::TimedOut, "it did not answer in time").into()
}

/// Pings the commands' connection, so that a dead one is noticed before it is needed.
pub(super) async fn keep(link: Arc<Link>) {
    let ping = redis::cmd("PING");
    loop {
        // A failure is counted where it is judged.
        let _: Result<(), _> = link.query(&ping).await;
        tokio::time::sleep(PING).await;
    }
}

/// Listens for announcements for as long as the store lives.
pub(super) async fn listen(link: Arc<Link>, channel: String) {
    let mut backoff = BACKOFF_FIRST;
    loop {
        let begun = Instant::now();
        let connected = tokio::time::timeout(CALL_TIMEOUT, link.client.get_async_pubsub()).await;
        if let Ok(Ok(connection)) = connected {
            // Why it ended shows on the commands' connection, or matters to nobody.
            let _ = listen_once(&link, connection, &channel).await;
        }
        backoff = if begun.elapsed() > BACKOFF_MAX { BACKOFF_FIRST } else { (backoff * 2).min(BACKOFF_MAX) };
        tokio::time::sleep(jittered(backoff)).await;
    }
}

async fn listen_once(link: &Link, mut connection: redis::aio::PubSub, channel: &str) -> Result<(), RedisError> {
    tokio::time::timeout(CALL_TIMEOUT, connection.subscribe(channel)).await.unwrap_or_else(|_| Err(timed_out()))?;
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
            tokio::time::sleep(PING).await;
            let answer = tokio::time::timeout(PING, sink.ping::<redis::Value>()).await;
            failures = if matches!(answer, Ok(Ok(_))) { 0 } else { failures + 1 };
        }
    };
    tokio::select! {
        () = hear => {}
        () = ping => {}
    }
    Ok(())
}

fn jittered(base: Duration) -> Duration {
    let mut random = [0; 4];
    // Without randomness the fleet comes back in step, which is no reason not to come back.
    let _ = getrandom::fill(&mut random);
    base * (75 + u32::from_ne_bytes(random) % 51) / 100
}
