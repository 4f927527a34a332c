//! Finds the one server to talk to, and connects to it.
//!
//! # Why not the client's Sentinel and Cluster
//!
//! All keys of an environment are in one slot, so that a Cluster is one server too: the one that
//! holds the slot. So the three topologies differ in one question only, who is the primary now, and
//! share time-outs, back-off, pings and the subscription. The question is asked anew at every
//! connect, of all who may know at once, and most votes win: a sentinel or a node that was cut off
//! from the others must not lead back to a primary that was replaced.
//!
//! Deliberately not here: reading from replicas.

use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use redis::aio::{MultiplexedConnection, PubSub};
use redis::io::tcp::TcpSettings;
use redis::{
    AsyncConnectionConfig, Client, Cmd, ConnectionAddr, FromRedisValue, IntoConnectionInfo, RedisConnectionInfo,
    RedisError, TlsCertificates, Value, cmd,
};
use tokio::time::{Instant, timeout, timeout_at};

use super::address::{Address, Authorities, Host, Topology};
use super::words::{self, Failure, explain, timed_out};

/// How long the only server of an address may take to accept a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// How long those who know the primary may take, and then each primary they name.
const ASK_TIMEOUT: Duration = Duration::from_secs(1);

/// Named primaries that are tried at one connect.
const CANDIDATES_MAX: usize = 2;

/// Servers that are asked who the primary is.
const ASKED_MAX: usize = 32;

/// The servers of one address.
#[derive(Clone)]
pub(super) struct Servers {
    pub(super) address: Address,
    pub(super) authorities: Option<Authorities>,
    /// A key of the environment, which names its slot in a Cluster.
    pub(super) slot_key: String,
}

/// A connection to the primary.
pub(super) struct Connected {
    pub(super) connection: MultiplexedConnection,
    pub(super) host: Host,
    /// Who can be asked the next time, besides those in the address.
    pub(super) known: Vec<Host>,
}

/// What those who know the primary said.
struct Votes {
    /// Those with most votes first.
    votes: Vec<(usize, Host)>,
    /// Who can be asked the next time, besides those in the address.
    known: Vec<Host>,
    asked: usize,
    failure: Option<Failure>,
}

/// Who is the primary, in one server's opinion.
struct Opinion {
    primary: Option<Host>,
    known: Vec<Host>,
}

impl Servers {
    /// Connects to who is the primary now. `known` are servers of earlier answers.
    pub(super) async fn connect(&self, known: &[Host]) -> Result<Connected, Failure> {
        if *self.address.topology() == Topology::Single {
            let host = self.address.hosts()[0].clone();
            let connection = self.open(&host, CONNECT_TIMEOUT).await?;
            return Ok(Connected { connection, host, known: Vec::new() });
        }
        let (candidates, known) = self.ask_all(known).await?;
        let mut failure = Failure::Away(format!("nobody at {} (`store.redis`) is the primary", self.address.servers()));
        for host in candidates.into_iter().take(CANDIDATES_MAX) {
            match self.open(&host, ASK_TIMEOUT).await {
                Ok(connection) => return Ok(Connected { connection, host, known }),
                Err(error) => failure = error,
            }
        }
        Err(failure)
    }

    /// Whom more than half of all that are asked name as the primary; none where so many do not answer or do not agree.
    pub(super) async fn named_primary(&self, known: &[Host]) -> Option<Host> {
        let Votes { votes, asked, .. } = self.vote(known).await;
        votes.into_iter().find(|(count, _)| count * 2 > asked).map(|(_, host)| host)
    }

    /// A connection of its own for announcements.
    pub(super) async fn subscribe(&self, host: &Host, channel: &str) -> Result<PubSub, RedisError> {
        let subscribing = async {
            let mut connection = self.client(host, self.address.is_tls(), true)?.get_async_pubsub().await?;
            connection.subscribe(channel).await?;
            Ok(connection)
        };
        timeout(CONNECT_TIMEOUT, subscribing).await.unwrap_or_else(|_| Err(timed_out()))
    }

    /// A connection to `host`, in use only if it is what the address says it is.
    async fn open(&self, host: &Host, limit: Duration) -> Result<MultiplexedConnection, Failure> {
        let server = host.to_string();
        let opening = async {
            let mut connection = self.bare(host, self.address.is_tls()).await?;
            self.log_in(&mut connection).await?;
            let role = self.role(&mut connection).await?;
            Ok((connection, role))
        };
        match timeout(limit, opening).await.unwrap_or_else(|_| Err(timed_out())) {
            Ok((connection, role)) => self.accept(&role, &server).map(|()| connection),
            Err(error) => Err(self.speaks_otherwise(host, &error).await.unwrap_or_else(|| self.explain(host, &error))),
        }
    }

    fn explain(&self, host: &Host, error: &RedisError) -> Failure {
        explain(&self.address, &host.to_string(), error)
    }

    fn client(&self, host: &Host, is_tls: bool, with_user: bool) -> Result<Client, RedisError> {
        let Host { name, port } = host.clone();
        let addr = if is_tls {
            ConnectionAddr::TcpTls { host: name, port, insecure: false, tls_params: None }
        } else {
            ConnectionAddr::Tcp(name, port)
        };
        let mut settings = RedisConnectionInfo::default().set_skip_set_lib_name();
        if let (true, Some(password)) = (with_user, self.address.password()) {
            settings = settings.set_password(password);
            settings = self.address.user().into_iter().fold(settings, RedisConnectionInfo::set_username);
        }
        let tcp = TcpSettings::default().set_nodelay(true);
        let info = addr.into_connection_info()?.set_redis_settings(settings).set_tcp_settings(tcp);
        match self.authorities.as_ref().filter(|_| is_tls) {
            Some(own) => Client::build_with_tls(info, TlsCertificates { client_tls: None, root_cert: Some(own.pem()) }),
            None => Client::open(info),
        }
    }

    /// A connection on which nothing was said yet. The user comes later: the client's own log-in
    /// does not tell a wrong password from a server that has no place.
    async fn bare(&self, host: &Host, is_tls: bool) -> Result<MultiplexedConnection, RedisError> {
        // The time-outs are outside, because the client's do not cover the name's lookup.
        let config = AsyncConnectionConfig::new().set_connection_timeout(None).set_response_timeout(None);
        self.client(host, is_tls, false)?.get_multiplexed_async_connection_with_config(&config).await
    }

    async fn log_in(&self, connection: &mut MultiplexedConnection) -> Result<(), RedisError> {
        if let Some(password) = self.address.password() {
            let () = cmd("AUTH").arg(self.address.user()).arg(password).query_async(connection).await?;
        }
        if self.address.database() != 0 {
            let () = cmd("SELECT").arg(self.address.database()).query_async(connection).await?;
        }
        Ok(())
    }

    /// What the server says it is: `master`, `slave`, `sentinel`, or `cluster` where the address
    /// names one server. Empty where it must not tell.
    async fn role(&self, connection: &mut MultiplexedConnection) -> Result<String, RedisError> {
        let role = answered(connection, cmd("ROLE").to_owned()).await?;
        let role = match role {
            Some(Value::Array(parts)) => parts.into_iter().next().and_then(|role| String::from_redis_value(role).ok()),
            _ => None,
        };
        if *self.address.topology() == Topology::Single {
            let is_cluster = answered(connection, cmd("CLUSTER").arg("INFO").to_owned()).await?.is_some();
            if is_cluster {
                return Ok("cluster".into());
            }
        }
        Ok(role.unwrap_or_default())
    }

    fn accept(&self, role: &str, server: &str) -> Result<(), Failure> {
        match (role, self.address.topology()) {
            ("cluster", _) => Err(Failure::Refused(words::is_a_cluster(server))),
            ("sentinel", _) => Err(Failure::Refused(words::is_a_sentinel(server))),
            ("slave", Topology::Sentinel { .. } | Topology::Cluster) => Err(Failure::Away(format!(
                "Redis at {server} (`store.redis`) was named as the primary and is a replica; the others have not agreed yet"
            ))),
            _ => Ok(()),
        }
    }

    /// Whether a server that failed speaks TLS where none is spoken, or the reverse.
    async fn speaks_otherwise(&self, host: &Host, error: &RedisError) -> Option<Failure> {
        let server = host.to_string();
        if !error.is_io_error() || error.is_connection_refusal() || words::tls_error(error).is_some() {
            return None;
        }
        let mut connection = timeout(ASK_TIMEOUT, self.bare(host, !self.address.is_tls())).await.ok()?;
        if !self.address.is_tls() {
            let is_tls = match &connection {
                Ok(_) => true,
                Err(error) => matches!(
                    words::tls_error(error),
                    Some(rustls::Error::InvalidCertificate(_) | rustls::Error::AlertReceived(_))
                ),
            };
            return is_tls.then(|| Failure::Refused(words::needs_tls(&server)));
        }
        let pong = answered(connection.as_mut().ok()?, cmd("PING"));
        let is_plain = timeout(ASK_TIMEOUT, pong).await.ok()?.is_ok();
        is_plain.then(|| Failure::Refused(words::no_tls(&server)))
    }

    /// The primaries that were named, those with most votes first, and who can be asked next time.
    async fn ask_all(&self, known: &[Host]) -> Result<(Vec<Host>, Vec<Host>), Failure> {
        let Votes { votes, known, failure, .. } = self.vote(known).await;
        if !votes.is_empty() {
            return Ok((votes.into_iter().map(|(_, host)| host).collect(), known));
        }
        Err(failure.unwrap_or_else(|| self.nobody_knows()))
    }

    /// Asks all at once, until more than half agree.
    async fn vote(&self, known: &[Host]) -> Votes {
        let deadline = Instant::now() + ASK_TIMEOUT;
        let mut hosts: Vec<Host> = self.address.hosts().to_vec();
        hosts.extend(known.iter().filter(|host| !self.address.hosts().contains(host)).cloned());
        hosts.truncate(ASKED_MAX);
        let mut asked: FuturesUnordered<_> = hosts.iter().map(|host| self.ask(host)).collect();
        let mut votes: Vec<(usize, Host)> = Vec::new();
        let (mut known, mut failure) = (Vec::new(), None);
        loop {
            // While nobody has told, those who did not answer are still asked whether they speak otherwise.
            let limit = if votes.is_empty() { deadline + ASK_TIMEOUT } else { deadline };
            let Ok(Some(opinion)) = timeout_at(limit, asked.next()).await else { break };
            let opinion = match opinion {
                Ok(opinion) => opinion,
                Err(error) => {
                    failure = Some(worse(failure, error));
                    continue;
                }
            };
            known.extend(opinion.known.into_iter().filter(|host| !known.contains(host)).collect::<Vec<_>>());
            known.truncate(ASKED_MAX);
            let Some(primary) = opinion.primary else { continue };
            let at = votes.iter().position(|(_, host)| *host == primary).unwrap_or(votes.len());
            if at == votes.len() {
                votes.push((0, primary));
            }
            votes[at].0 += 1;
            if votes[at].0 * 2 > hosts.len() {
                break;
            }
        }
        votes.sort_by_key(|(count, _)| std::cmp::Reverse(*count));
        Votes { votes, known, asked: hosts.len(), failure }
    }

    fn nobody_knows(&self) -> Failure {
        let servers = self.address.servers();
        Failure::Away(format!("nobody at {servers} (`store.redis`) has told in time who the primary is"))
    }

    async fn ask(&self, host: &Host) -> Result<Opinion, Failure> {
        let asking = async {
            let mut connection = self.bare(host, self.address.is_tls()).await?;
            match self.address.topology() {
                Topology::Sentinel { service } => self.ask_sentinel(&mut connection, service).await,
                Topology::Cluster | Topology::Single => self.ask_node(&mut connection, host).await,
            }
        };
        match timeout(ASK_TIMEOUT, asking).await.unwrap_or_else(|_| Err(timed_out())) {
            Ok(Opinion { primary: None, known }) => match self.address.topology() {
                Topology::Sentinel { service } => {
                    Err(Failure::Refused(words::unknown_service(&self.address.servers(), service)))
                }
                Topology::Cluster | Topology::Single => Ok(Opinion { primary: None, known }),
            },
            Ok(opinion) => Ok(opinion),
            Err(error) => Err(self.speaks_otherwise(host, &error).await.unwrap_or_else(|| self.explain(host, &error))),
        }
    }

    /// The user of the address is the servers' own; sentinels get it only if they ask for one.
    async fn ask_sentinel(&self, connection: &mut MultiplexedConnection, service: &str) -> Result<Opinion, RedisError> {
        let mut question = cmd("SENTINEL");
        question.arg("GET-MASTER-ADDR-BY-NAME").arg(service);
        let mut answer: Result<Option<(String, u16)>, RedisError> = question.query_async(connection).await;
        if let (Err(error), Some(password)) = (&answer, self.address.password())
            && error.code() == Some("NOAUTH")
        {
            let () = cmd("AUTH").arg(self.address.user()).arg(password).query_async(connection).await?;
            answer = question.query_async(connection).await;
        }
        Ok(Opinion { primary: answer?.map(|(name, port)| Host { name, port }), known: Vec::new() })
    }

    async fn ask_node(&self, connection: &mut MultiplexedConnection, asked: &Host) -> Result<Opinion, RedisError> {
        self.log_in(connection).await?;
        let slot: u16 = cmd("CLUSTER").arg("KEYSLOT").arg(&self.slot_key).query_async(connection).await?;
        let ranges: Vec<Value> = cmd("CLUSTER").arg("SLOTS").query_async(connection).await?;
        let mut opinion = Opinion { primary: None, known: Vec::new() };
        for range in ranges {
            let Value::Array(parts) = range else { continue };
            let mut parts = parts.into_iter();
            let bounds = (parts.next().and_then(number), parts.next().and_then(number));
            let (Some(first), Some(last)) = bounds else { continue };
            let nodes: Vec<Host> = parts.filter_map(|node| host_of(node, asked)).collect();
            if (first..=last).contains(&slot) {
                opinion.primary = nodes.first().cloned();
            }
            opinion.known.extend(nodes);
            opinion.known.truncate(ASKED_MAX);
        }
        Ok(opinion)
    }
}

/// An answer, or none where the server understood and would not give it; an error where it is no
/// server, or asks for a user first.
async fn answered(connection: &mut MultiplexedConnection, command: Cmd) -> Result<Option<Value>, RedisError> {
    match command.query_async(connection).await {
        Ok(answer) => Ok(Some(answer)),
        Err(error) if error.code().is_some_and(|code| code != "NOAUTH") => Ok(None),
        Err(error) => Err(error),
    }
}

/// What is wrong with the configuration tells more than who is away.
fn worse(one: Option<Failure>, other: Failure) -> Failure {
    match (one, other) {
        (Some(refused @ Failure::Refused(_)), _) => refused,
        (_, other) => other,
    }
}

fn number(value: Value) -> Option<u16> {
    u16::from_redis_value(value).ok()
}

/// A node as `CLUSTER SLOTS` tells of it; one without a name is at the host that was asked.
fn host_of(node: Value, asked: &Host) -> Option<Host> {
    let Value::Array(parts) = node else { return None };
    let mut parts = parts.into_iter();
    let name: Option<String> = Option::from_redis_value(parts.next()?).ok()?;
    let port = parts.next().and_then(number)?;
    let name = name.filter(|name| !name.is_empty() && name != "?").unwrap_or_else(|| asked.name.clone());
    Some(Host { name, port })
}
