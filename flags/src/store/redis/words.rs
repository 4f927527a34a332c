//! What the client says when something fails, in words an operator can act on.
//!
//! # Why told apart
//!
//! A server that is away comes back by itself, and a router starts without it. A server that answers
//! and says no (a wrong password, another protocol, the wrong kind of server) does not: the file is
//! wrong, and whoever starts the router must hear so at once.

use std::error::Error;
use std::sync::Arc;

use redis::{ErrorKind, RedisError, ServerErrorKind};

use super::address::{Address, Topology};
use crate::store::StoreError;

/// Why something failed.
#[derive(Clone, Debug)]
pub(super) enum Failure {
    /// It may work later.
    Away(String),
    /// It works once somebody has mended the configuration.
    Refused(String),
    /// What is stored is not what a router stores.
    Content(String),
}

impl From<Failure> for StoreError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Away(words) => Self::unavailable(words),
            Failure::Refused(words) => Self::refused(words),
            Failure::Content(words) => Self::corrupt(words),
        }
    }
}

pub(super) fn timed_out() -> RedisError {
    std::io::Error::new(std::io::ErrorKind::TimedOut, "it did not answer in time").into()
}

/// Whether a server answered that it cannot serve now, so that another may be the one to ask.
pub(super) fn is_unwell(error: &RedisError) -> bool {
    let unwell = ["LOADING", "BUSY", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN", "ASK"];
    error.code().is_some_and(|code| unwell.contains(&code))
}

/// Whether another server is the primary now.
pub(super) fn has_moved(error: &RedisError) -> bool {
    matches!(error.kind(), ErrorKind::Server(ServerErrorKind::ReadOnly | ServerErrorKind::Moved))
}

pub(super) fn tls_error(error: &RedisError) -> Option<&rustls::Error> {
    system_error(error)?.get_ref()?.downcast_ref()
}

fn system_error(error: &RedisError) -> Option<&std::io::Error> {
    let source = error.source()?;
    // The client shares its sources.
    let shared = source.downcast_ref::<Arc<dyn Error + Send + Sync>>();
    shared.map_or_else(|| source.downcast_ref(), |shared| shared.downcast_ref())
}

/// `server` is where it happened: a host and a port.
pub(super) fn explain(address: &Address, server: &str, error: &RedisError) -> Failure {
    let said = address.redact(error.to_string());
    if let Some(failure) = network(server, error, &said) {
        return failure;
    }
    if let Some(failure) = denied(server, error, &said) {
        return failure;
    }
    let kind = error.kind();
    if error.code() == Some("WRONGTYPE") || kind == ErrorKind::UnexpectedReturnType {
        return Failure::Content(format!("Redis at {server} (`store.redis`): {said}"));
    }
    if kind == ErrorKind::Parse {
        return Failure::Refused(format!("what answers at {server} is not Redis; correct `store.redis` ({said})"));
    }
    if let Some(failure) = wrong_kind(address, server, error, &said) {
        return failure;
    }
    let is_followed = *address.topology() != Topology::Single;
    Failure::Away(match error.code() {
        Some("READONLY") if is_followed => {
            format!("Redis at {server} (`store.redis`) is a replica now; the new primary is looked for")
        }
        Some("READONLY") => {
            format!("Redis at {server} is a replica and takes no writes; name the primary in `store.redis`")
        }
        Some("MOVED" | "ASK" | "TRYAGAIN") => {
            format!(
                "the slot of this environment moves away from Redis at {server} (`store.redis`); its new server is looked for"
            )
        }
        Some("LOADING") => {
            format!("Redis at {server} (`store.redis`) is still loading its data; it answers when it is done")
        }
        Some("BUSY") => format!(
            "Redis at {server} (`store.redis`) is busy with somebody's script; SCRIPT KILL ends it if it has written nothing"
        ),
        Some("CLUSTERDOWN") => format!(
            "the Cluster of Redis at {server} (`store.redis`) is down: a slot has no server, or most of its servers are away; see CLUSTER INFO"
        ),
        Some("MISCONF") => format!(
            "Redis at {server} (`store.redis`) takes no writes because it cannot save them; see its log and its disk ({said})"
        ),
        Some("OOM") => format!("Redis at {server} (`store.redis`) is out of memory; raise its maxmemory ({said})"),
        _ => format!("Redis at {server} (`store.redis`): {said}"),
    })
}

/// What happens before anything is understood: names, and TLS.
fn network(server: &str, error: &RedisError, said: &str) -> Option<Failure> {
    if said.contains("failed to lookup address") {
        let is_certain = ["not known", "No address", "does not resolve"].iter().any(|words| said.contains(words));
        return Some(if is_certain {
            Failure::Refused(format!("the host of {server} in `store.redis` has no address; correct its name ({said})"))
        } else {
            Failure::Away(format!("the host of {server} in `store.redis` cannot be resolved now ({said})"))
        });
    }
    if error.kind() == ErrorKind::Io && error.source().is_some() && system_error(error).is_none() {
        return Some(Failure::Refused(format!(
            "this router cannot speak TLS to Redis at {server} (`store.redis`): {said}; if that is about certificates, mend SSL_CERT_FILE and SSL_CERT_DIR"
        )));
    }
    let problem = tls_error(error)?;
    Some(match problem {
        rustls::Error::InvalidCertificate(rustls::CertificateError::NotValidForNameContext { .. }) => {
            Failure::Refused(format!(
                "the certificate of Redis at {server} is of another name; name the host in `store.redis` as its certificate does ({said})"
            ))
        }
        rustls::Error::InvalidCertificate(_) => Failure::Refused(format!(
            "the certificate of Redis at {server} (`store.redis`) is not trusted; name the file of its authority in `store.ca_file` ({said})"
        )),
        rustls::Error::InvalidMessage(_) => Failure::Refused(no_tls(server)),
        rustls::Error::AlertReceived(_) => Failure::Refused(format!(
            "Redis at {server} (`store.redis`) ends the TLS handshake; if it asks for client certificates, set its tls-auth-clients to no ({said})"
        )),
        _ => Failure::Away(format!("Redis at {server} (`store.redis`), by TLS: {said}")),
    })
}

pub(super) fn no_tls(server: &str) -> String {
    format!(
        "what answers at {server} does not speak TLS; in `store.redis` write redis instead of rediss, or the port of TLS"
    )
}

pub(super) fn needs_tls(server: &str) -> String {
    format!("what answers at {server} speaks TLS only; in `store.redis` write rediss instead of redis")
}

fn denied(server: &str, error: &RedisError, said: &str) -> Option<Failure> {
    let is_about_auth = said.contains("AUTH") && error.kind() == ErrorKind::Server(ServerErrorKind::ResponseError);
    match error.code() {
        Some("NOPERM") => Some(Failure::Refused(format!(
            "Redis at {server} does not let the user of `store.redis` do what a router does; grant it as README.md says ({said})"
        ))),
        Some("NOAUTH" | "WRONGPASS") => Some(Failure::Refused(format!(
            "Redis at {server} refuses the user or the password of `store.redis` ({}); correct the address there",
            error.code().unwrap_or_default()
        ))),
        _ if error.kind() == ErrorKind::AuthenticationFailed || is_about_auth => Some(Failure::Refused(format!(
            "Redis at {server} refuses the user or the password of `store.redis` ({said}); correct the address there"
        ))),
        _ => None,
    }
}

/// A server of another kind than the address says.
fn wrong_kind(address: &Address, server: &str, error: &RedisError, said: &str) -> Option<Failure> {
    let refused = |words: String| Some(Failure::Refused(words));
    if said.contains("DB index") {
        let database = address.database();
        return refused(format!(
            "Redis at {server} has no database {database}; correct the number at the end of `store.redis`"
        ));
    }
    if said.contains("cluster support disabled") {
        return refused(format!("Redis at {server} is not part of a Cluster; in `store.redis` write redis:// for it"));
    }
    if said.contains("unknown command") && matches!(address.topology(), Topology::Sentinel { .. }) {
        return refused(format!(
            "what answers at {server} is Redis and not its Sentinel; in `store.redis` name the sentinels and their ports, or write redis:// for one server"
        ));
    }
    if error.code() == Some("MOVED") && *address.topology() == Topology::Single || said.contains("in cluster mode") {
        return refused(is_a_cluster(server));
    }
    None
}

pub(super) fn is_a_cluster(server: &str) -> String {
    format!("Redis at {server} is part of a Cluster; in `store.redis` write redis+cluster:// and some of its servers")
}

pub(super) fn is_a_sentinel(server: &str) -> String {
    format!(
        "what answers at {server} is a Sentinel and no store; in `store.redis` write redis+sentinel:// and the name of its service behind a /"
    )
}

pub(super) fn unknown_service(servers: &str, service: &str) -> String {
    format!(
        "the sentinels at {servers} know no service \"{}\"; correct the name at the end of `store.redis` (SENTINEL MASTERS lists them)",
        service.escape_debug()
    )
}
