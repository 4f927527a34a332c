//! The file format: every key an operator may write, and nothing else.
//!
//! These structs are also the JSON Schema that `crossfade schema` prints; the comments on fields
//! are its descriptions. Everything is optional here, because a missing key must not hide the other
//! problems of a file; `build` knows the defaults and what is required.

mod issues;
mod notify;
mod oidc;
mod parallel;

use flags::guard::{GuardAction, LegacyWarmth};
use flags::migration::{OnMissingKey, UnsafeMethods};
use flags::{HashKind, Mode, Side};
use schemars::JsonSchema;
use serde::Deserialize;

use super::read::{At, Entries, Many};
use super::units::{OneOf, Percent, Period, Size, Workers};
use super::{LogFormat, Role};
pub(super) use issues::{Issues, Reconcile, SideTarget, SourceRate};
pub(super) use notify::NotifyTarget;
pub(super) use oidc::Oidc;
pub(super) use parallel::{Compare, Parallel, Write};

/// A value that this version reads but does not interpret.
type Free = At<serde_json::Value>;
type Text = Option<At<String>>;
type Switch = Option<At<bool>>;
type Span = Option<At<Period>>;

/// The configuration file of Crossfade.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "Crossfade")]
pub(super) struct File {
    /// Names this fleet's keys in a shared store.
    pub(super) environment: Text,
    /// The last good state, for a start without the store; relative to this file.
    pub(super) snapshot: Text,
    /// The Host given to HTTP/1.0 requests that have none.
    pub(super) default_host: Text,
    /// Threads that carry traffic: `auto` is one per core.
    pub(super) workers: Option<At<Workers>>,
    /// While this file exists everything goes to legacy.
    pub(super) kill_file: Text,
    /// Networks whose X-Forwarded-* count.
    pub(super) trusted_proxies: Option<At<Vec<At<String>>>>,
    pub(super) drain: Option<At<Drain>>,
    pub(super) log: Option<At<Log>>,
    /// Whether responses tell side, reason and timing.
    pub(super) expose: Switch,
    pub(super) listen: Option<At<Vec<At<Listen>>>>,
    pub(super) admin: Option<At<Admin>>,
    pub(super) store: Option<At<Store>>,
    pub(super) timeouts: Option<At<Timeouts>>,
    pub(super) limits: Option<At<Limits>>,
    pub(super) jwt: Option<At<Jwt>>,
    /// Who is told when a migration moves or is in trouble.
    pub(super) notify: Option<At<Vec<At<NotifyTarget>>>>,
    /// The services behind the sides, by name.
    pub(super) upstreams: Option<At<Entries<Upstream>>>,
    pub(super) migrations: Option<At<Vec<At<Migration>>>>,
    pub(super) routes: Option<At<Vec<At<Route>>>>,
}

/// How the router stops.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Drain {
    /// How long new connections are still taken while /readyz already says no.
    pub(super) delay: Span,
    /// How long open requests may take after that.
    pub(super) timeout: Span,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Log {
    pub(super) format: Option<At<OneOf<LogFormat>>>,
    pub(super) access: Option<At<AccessLog>>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct AccessLog {
    /// The share of requests that leave a line; requests that failed always do.
    pub(super) sample: Option<At<Percent>>,
}

/// Where traffic comes in.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Listen {
    /// IP address and port.
    #[schemars(required)]
    pub(super) address: Text,
    /// Not supported by this version.
    pub(super) tls: Option<Free>,
    /// Not supported by this version.
    pub(super) http2: Switch,
    /// Not supported by this version.
    pub(super) proxy_protocol: Switch,
}

/// Dashboard, API, metrics and health.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Admin {
    /// IP address and port; anything but loopback needs tokens.
    pub(super) address: Text,
    /// The address of the dashboard as people reach it, for links in notices and for the way back from `oidc`.
    pub(super) url: Text,
    /// Without any, one is made at start and printed once.
    pub(super) tokens: Option<At<Vec<At<Token>>>>,
    /// Sign-in with OpenID Connect, in binaries that are built with it.
    pub(super) oidc: Option<At<Oidc>>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Token {
    /// Who acts, as the history records it.
    #[schemars(required)]
    pub(super) name: Text,
    #[schemars(required)]
    pub(super) role: Option<At<OneOf<Role>>>,
    /// The SHA-256 of the token in hexadecimal; `crossfade token create` prints both.
    #[schemars(required)]
    pub(super) sha256: Text,
}

/// Where modes, shares, pins and the history are kept: one of these.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Store {
    /// A file of this router alone, relative to this file.
    pub(super) embedded: Text,
    /// The address of a Redis that the fleet shares: redis://[USER:PASSWORD@]HOST[:PORT][/DATABASE],
    /// redis+sentinel://HOST[:PORT],.../SERVICE or redis+cluster://HOST[:PORT],...; with rediss instead of redis by TLS.
    pub(super) redis: Text,
    /// A file that holds that address.
    pub(super) redis_file: Text,
    /// A PEM file with the authorities that have signed the certificate of Redis; the system's where left out.
    pub(super) ca_file: Text,
}

/// Time-outs of the client side and of bodies.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Timeouts {
    /// From the first byte of a request head to its last.
    pub(super) head: Span,
    /// Between two pieces of a body, either way.
    pub(super) body_idle: Span,
    /// Of upgraded connections.
    pub(super) tunnel_idle: Span,
    /// How long an upgraded connection may stay whose key has moved to the other side.
    pub(super) tunnel_flip: Span,
    /// Between two requests of a connection.
    pub(super) keep_alive: Span,
    /// After about this long a connection is asked to close after its next response.
    pub(super) connection_age: Span,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Limits {
    /// Open client connections of the whole router.
    pub(super) connections: Option<At<u64>>,
    /// Of a request head as a whole.
    pub(super) head_size: Option<At<Size>>,
    /// Header fields of a request.
    pub(super) fields: Option<At<u64>>,
    /// Of a request target.
    pub(super) target_size: Option<At<Size>>,
    /// Upgraded connections of the whole router.
    pub(super) tunnels: Option<At<u64>>,
}

/// How bearer tokens of callers are verified: one of these. Without, claims are read unverified.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Jwt {
    /// A JSON Web Key Set.
    pub(super) jwks_file: Text,
    /// A shared secret for HS256, HS384 and HS512.
    pub(super) secret: Text,
    pub(super) secret_file: Text,
}

/// The service behind a side.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Upstream {
    /// One or more of http://HOST:PORT
    #[schemars(required)]
    pub(super) endpoints: Option<At<Vec<At<String>>>>,
    /// From the last byte of a request to the head of its response.
    pub(super) timeout: Span,
    pub(super) connect_timeout: Span,
    /// Requests in flight before further ones wait; 0 is no limit.
    pub(super) in_flight: Option<At<u64>>,
    /// Requests that may wait for a place.
    pub(super) queue: Option<At<u64>>,
    /// How long they may wait before 503.
    pub(super) queue_timeout: Span,
    /// Idle connections kept per worker and endpoint.
    pub(super) idle_connections: Option<At<u64>>,
    /// How long an idle connection is kept; shorter than the service keeps it.
    pub(super) idle_timeout: Span,
    pub(super) health: Option<At<Health>>,
}

/// An active check: a GET that is answered with 2xx or 3xx.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Health {
    #[schemars(required)]
    pub(super) path: Text,
    pub(super) interval: Span,
    pub(super) timeout: Span,
    /// Failed checks in a row until an endpoint counts as down.
    pub(super) fall: Option<At<u32>>,
    /// Good checks in a row until it counts as up again.
    pub(super) rise: Option<At<u32>>,
}

/// One move of some routes from legacy to new.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Migration {
    /// ^[a-z0-9][a-z0-9._-]{0,62}$
    #[schemars(required)]
    pub(super) id: Text,
    /// The name of the upstream that served so far.
    #[schemars(required)]
    pub(super) legacy: Text,
    /// The name of the upstream that replaces it.
    #[schemars(required)]
    pub(super) new: Text,
    pub(super) labels: Option<At<Labels>>,
    /// Where the sticky key comes from, the first that is present: header:NAME, cookie:NAME,
    /// path:VARIABLE, query:NAME, json:/POINTER, jwt:CLAIM, client_ip.
    pub(super) key: Option<At<Many<At<String>>>>,
    pub(super) on_missing_key: Option<At<OneOf<OnMissingKey>>>,
    pub(super) hash: Option<At<OneOf<HashKind>>>,
    /// Migrations of one program place a key on the same side.
    pub(super) program: Text,
    /// Where it stands while the store knows nothing of it.
    pub(super) initial: Option<At<Initial>>,
    /// Requests that go to a side because of what they carry; the first rule that holds decides.
    pub(super) rules: Option<At<Vec<At<Rule>>>>,
    /// Migrations on whose new side a key must be before it may be on this one's.
    pub(super) requires: Option<At<Vec<At<String>>>>,
    pub(super) methods: Option<At<Methods>>,
    pub(super) fallback: Option<At<Fallback>>,
    pub(super) parallel: Option<At<Parallel>>,
    /// What rolls back by itself, and at what.
    pub(super) guard: Option<At<Guard>>,
    /// No effect in this version.
    pub(super) plan: Option<Free>,
    /// Plain keys of the store's Redis that are kept in step, for code that knows no migrations.
    pub(super) mirror_keys: Option<At<MirrorKeys>>,
    /// The migration of the story routes (/migration/...).
    pub(super) default: Switch,
    /// Whether new writes what legacy can still read.
    pub(super) reversible: Switch,
    pub(super) rollback: Option<At<Rollback>>,
}

/// Keys that hold the mode and the percentage as text; read once, while the store knows nothing of the migration.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct MirrorKeys {
    /// Holds parallel, gradual, emergency_rollback, or the label of a side with _only, such as python_only.
    #[schemars(required)]
    pub(super) mode: Text,
    /// Holds 0 to 100, without decimals.
    #[schemars(required)]
    pub(super) percent: Text,
}

/// What the sides are called on screens.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Labels {
    pub(super) legacy: Text,
    pub(super) new: Text,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Initial {
    pub(super) mode: Option<At<OneOf<Mode>>>,
    pub(super) percent: Option<At<Percent>>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Rule {
    /// Key sources and the values they may have; all must match.
    #[schemars(required)]
    pub(super) r#match: Option<At<Entries<Many<At<String>>>>>,
    #[schemars(required)]
    pub(super) serve: Option<At<OneOf<Side>>>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Methods {
    /// What `gradual` does with everything but GET, HEAD and OPTIONS.
    pub(super) r#unsafe: Option<At<OneOf<UnsafeMethods>>>,
}

/// Which failures of new are answered by legacy within the same request; never while `reversible` is false.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Fallback {
    /// connect, timeout, reset, 5xx, or single statuses such as 502; an empty list turns it off.
    pub(super) when: Option<At<Many<At<String>>>>,
    /// safe (GET, HEAD, OPTIONS), idempotent (PUT and DELETE too), or a list of methods.
    pub(super) methods: Option<At<Many<At<String>>>>,
}

/// How much worse new may be than legacy, and what happens beyond it.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Guard {
    /// `rollback` acts; `hold` stops progress and tells people; `off` does not look.
    pub(super) action: Option<At<OneOf<GuardAction>>>,
    /// Whether a router rolls back alone, at once, when new is plainly gone.
    pub(super) fast_path: Switch,
    /// A success rate below this is not acceptable whatever legacy does.
    pub(super) success_floor: Option<At<Percent>>,
    /// A mean duration above this is told to people.
    pub(super) mean_duration_limit: Span,
    /// How much higher the failure rate may be than that of legacy; a tenth of legacy's own is always allowed.
    pub(super) margin: Option<At<Percent>>,
    /// The share of sound migrations that may be rolled back by chance.
    pub(super) alpha: Option<At<Percent>>,
    /// Whether a lower quality of the work rolls back, rather than holds.
    pub(super) quality_can_rollback: Switch,
    /// Whether legacy can take everything at once: `measured` by what it served of late, `warm`, or `cold`.
    pub(super) legacy: Option<At<OneOf<LegacyWarmth>>>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Rollback {
    /// Whether an emergency rollback also moves keys that are pinned to new.
    pub(super) override_pins: Switch,
}

/// A host/path/method match and what it leads to: exactly one of migration, upstream, respond, issues.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Route {
    pub(super) migration: Text,
    /// An upstream of no migration.
    pub(super) upstream: Text,
    pub(super) respond: Option<At<Respond>>,
    /// Receives webhooks about issues.
    pub(super) issues: Option<At<Issues>>,
    /// A name without port, or *.NAME; any where left out.
    pub(super) host: Text,
    /// /literal/{variable}/** (the rest of any length only at the end).
    #[schemars(required)]
    pub(super) path: Text,
    /// Any where left out.
    pub(super) methods: Option<At<Many<At<String>>>>,
    /// Fields that must have these values.
    pub(super) headers: Option<At<Entries<String>>>,
    /// The largest request body; unlimited and streamed where left out.
    pub(super) body_max: Option<At<Size>>,
    /// Protocols that a client may upgrade to.
    pub(super) upgrades: Option<At<Vec<At<String>>>>,
    /// Whether a client that ends its direction after its request still wants the answer; otherwise it counts as gone.
    pub(super) half_close: Switch,
}

/// A local answer.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Respond {
    /// 200 to 599.
    #[schemars(required)]
    pub(super) status: Option<At<u16>>,
    /// The date on which the resource went or goes, for the Sunset field (RFC 8594).
    pub(super) sunset: Text,
    /// Where it is now.
    pub(super) location: Text,
    /// Plain text.
    pub(super) body: Text,
}
