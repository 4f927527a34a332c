//! The effective configuration as a document: for people, for comparing replicas, for tests.
//!
//! It is a file again: read back, it means the same. The part that a fleet must share is hashed;
//! what may differ from host to host (addresses, paths, limits, tokens) and every secret is not.

mod issues;
mod parallel;

use std::fmt::Write as _;
use std::path::PathBuf;

use flags::fallback::{Fallback, Repeatable};
use flags::migration::Labels;
use flags::route::{Route, Target};
use flags::rule::{AnyOf, Rule};
use flags::{Guard, Migration};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::notify::Channel;
use super::units::{Period, Size, word};
use super::{
    Admin, Config, Health, JwtKeys, Mirroring, NotifyTarget, Oidc, RouteSettings, StoreConfig, Token, Upstream,
};

/// What stands in for a secret.
const REDACTED: &str = "redacted";

/// The same where only a secret of some form reads: `redacted` three times in base64, and as long as a key.
const REDACTED_WEBHOOK_SECRET: &str = "whsec_cmVkYWN0ZWRyZWRhY3RlZHJlZGFjdGVk";
const REDACTED_ROUTING_KEY: &str = "redactedredactedredactedredacted";

pub(super) fn document(config: &Config) -> Value {
    let definitions = &config.definitions;
    let routes: Vec<Route> = definitions.routes().iter().cloned().collect();
    let migrations = (definitions.migrations(), config.mirroring.as_slice());
    let jwt = config.jwt.as_ref();
    let Value::Object(mut document) =
        shared(&config.environment, &config.upstreams, migrations, &routes, &config.routes, jwt)
    else {
        return Value::Null;
    };
    let listen: Vec<Value> = config.listen.iter().map(|address| json!({ "address": address })).collect();
    let period = |duration| Period(duration).to_string();
    let (timeouts, limits) = (&config.timeouts, &config.limits);
    let rest = json!({
        "snapshot": config.snapshot,
        "default_host": config.default_host,
        "workers": config.workers,
        "kill_file": config.kill_file,
        "trusted_proxies": config.trusted_proxies,
        "drain": { "delay": period(config.drain.delay), "timeout": period(config.drain.timeout) },
        "log": { "format": word(config.log.format), "access": { "sample": sample(config.log.access_sample) } },
        "expose": config.expose,
        "listen": listen,
        "admin": admin(&config.admin),
        "store": store(&config.store),
        "notify": config.notify.iter().map(notify_target).collect::<Vec<_>>(),
        "timeouts": {
            "head": period(timeouts.head),
            "body_idle": period(timeouts.body_idle),
            "tunnel_idle": period(timeouts.tunnel_idle),
            "tunnel_flip": period(timeouts.tunnel_flip),
            "keep_alive": period(timeouts.keep_alive),
            "connection_age": period(timeouts.connection_age),
        },
        "limits": {
            "connections": limits.connections,
            "head_size": Size(limits.head_bytes as u64).to_string(),
            "fields": limits.fields,
            "target_size": Size(limits.target_bytes as u64).to_string(),
            "tunnels": limits.tunnels,
        },
    });
    if let Value::Object(rest) = rest {
        document.extend(rest.into_iter().filter(|(_, value)| !value.is_null()));
    }
    Value::Object(document)
}

/// The part that must be equal on every router of a fleet.
pub(super) fn shared(
    environment: &str,
    upstreams: &[Upstream],
    (migrations, mirroring): (&[Migration], &[Mirroring]),
    routes: &[Route],
    settings: &[RouteSettings],
    jwt: Option<&JwtKeys>,
) -> Value {
    let upstreams: Map<String, Value> = upstreams.iter().map(|own| (own.name.clone(), upstream(own))).collect();
    let migrations: Vec<Value> =
        migrations.iter().zip(mirroring).map(|(own, mirroring)| migration(own, mirroring)).collect();
    let routes: Vec<Value> =
        routes.iter().zip(settings).map(|(route, settings)| self::route(route, settings)).collect();
    let mut document = Map::from_iter([
        ("environment".into(), environment.into()),
        ("upstreams".into(), upstreams.into()),
        ("migrations".into(), migrations.into()),
        ("routes".into(), routes.into()),
    ]);
    let jwt = jwt.map(|keys| match keys {
        JwtKeys::Secret => json!({ "secret": REDACTED }),
        JwtKeys::SecretFile(path) => json!({ "secret_file": path }),
        JwtKeys::KeySet(path) => json!({ "jwks_file": path }),
    });
    document.extend(jwt.map(|jwt| ("jwt".to_owned(), jwt)));
    Value::Object(document)
}

/// SHA-256 in hexadecimal of the canonical form: keys sorted, no white space. A journal is a folder of one router, so where it is says
/// nothing of the file.
pub(super) fn hash(document: &Value) -> String {
    let mut shared = sorted(document);
    let routes = shared.get_mut("routes").and_then(Value::as_array_mut).into_iter().flatten();
    for issues in routes.filter_map(|route| route.get_mut("issues")?.as_object_mut()) {
        issues.remove("journal");
    }
    let canonical = shared.to_string();
    Sha256::digest(canonical).iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Maps keep their order where some other crate asked `serde_json` for it, so it is made here.
fn sorted(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            let mut entries: Vec<_> = map.iter().map(|(key, value)| (key.clone(), sorted(value))).collect();
            entries.sort_by(|(a, _), (b, _)| a.cmp(b));
            Value::Object(entries.into_iter().collect())
        }
        Value::Array(items) => items.iter().map(sorted).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.clone(),
    }
}

fn upstream(own: &Upstream) -> Value {
    let endpoints: Vec<&str> = own.endpoints.iter().map(|endpoint| endpoint.url.as_str()).collect();
    let mut value = json!({
        "endpoints": endpoints,
        "timeout": Period(own.first_byte_timeout).to_string(),
        "connect_timeout": Period(own.connect_timeout).to_string(),
        "in_flight": own.in_flight,
        "queue": own.queue,
        "queue_timeout": Period(own.queue_timeout).to_string(),
        "idle_connections": own.idle_connections,
        "idle_timeout": Period(own.idle_timeout).to_string(),
    });
    if let Some(Health { path, interval, timeout, fall, rise }) = &own.health {
        let (interval, timeout) = (Period(*interval).to_string(), Period(*timeout).to_string());
        value["health"] = json!({ "path": path, "interval": interval, "timeout": timeout, "fall": fall, "rise": rise });
    }
    value
}

fn migration(own: &Migration, mirroring: &Mirroring) -> Value {
    let Labels { legacy, new } = &own.labels;
    let key: Vec<String> = own.key.iter().map(ToString::to_string).collect();
    let rules: Vec<Value> = own.rules.iter().map(rule).collect();
    let mut value = json!({
        "id": own.id,
        "legacy": own.legacy,
        "new": own.new,
        "labels": { "legacy": legacy, "new": new },
        "key": key,
        "on_missing_key": word(own.on_missing_key),
        "hash": word(own.hash),
        "initial": { "mode": word(own.initial.mode), "percent": own.initial.share.percent() },
        "rules": rules,
        "requires": own.requires,
        "methods": { "unsafe": word(own.unsafe_methods) },
        "fallback": fallback(&own.fallback),
        "parallel": parallel::parallel(&own.parallel, mirroring),
        "guard": guard(&own.guard),
        "default": own.default,
        "reversible": own.reversible,
        "rollback": { "override_pins": own.override_pins },
    });
    if let Some(keys) = &own.mirror_keys {
        value["mirror_keys"] = json!({ "mode": keys.mode, "percent": keys.percent });
    }
    if let Some(program) = &own.program {
        value["program"] = json!(program);
    }
    value
}

fn guard(own: &Guard) -> Value {
    json!({
        "action": word(own.action),
        "fast_path": own.fast_path,
        "success_floor": own.success_floor.percent(),
        "mean_duration_limit": Period(own.mean_duration_limit).to_string(),
        "margin": own.margin.percent(),
        "alpha": own.alpha.percent(),
        "quality_can_rollback": own.quality_can_rollback,
        "legacy": word(own.legacy),
    })
}

fn fallback(own: &Fallback) -> Value {
    let when: Vec<String> = own.when.iter().map(ToString::to_string).collect();
    let methods = match &own.methods {
        Repeatable::Safe => json!("safe"),
        Repeatable::Idempotent => json!("idempotent"),
        Repeatable::These(methods) => json!(methods),
    };
    json!({ "when": when, "methods": methods })
}

fn rule(own: &Rule) -> Value {
    let conditions: Map<String, Value> = own
        .conditions
        .iter()
        .map(|condition| {
            let values = match &condition.any_of {
                AnyOf::Values(values) => json!(values),
                AnyOf::Networks(networks) => json!(networks),
            };
            (condition.source.to_string(), values)
        })
        .collect();
    json!({ "match": conditions, "serve": word(own.serve) })
}

fn route(own: &Route, settings: &RouteSettings) -> Value {
    let mut value =
        json!({ "path": own.path.to_string(), "upgrades": settings.upgrades, "half_close": settings.half_close });
    match &own.target {
        Target::Migration(id) => value["migration"] = json!(id),
        Target::Issues(_) => value["issues"] = settings.issues.as_deref().map(issues::issues).into(),
        Target::Upstream(name) => value["upstream"] = json!(name),
        Target::Respond(respond) => {
            value["respond"] = json!({ "status": respond.status, "body": respond.body });
            for (key, text) in [("sunset", &respond.sunset), ("location", &respond.location)] {
                if let Some(text) = text {
                    value["respond"][key] = json!(text);
                }
            }
        }
    }
    if let Some(host) = &own.host {
        value["host"] = json!(host.to_string());
    }
    if !own.methods.is_empty() {
        value["methods"] = json!(own.methods);
    }
    if !own.headers.is_empty() {
        let headers: Map<String, Value> =
            own.headers.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
        value["headers"] = headers.into();
    }
    if let Some(bytes) = settings.body_max {
        value["body_max"] = json!(Size(bytes).to_string());
    }
    value
}

fn admin(own: &Admin) -> Value {
    let tokens: Vec<Value> = own.tokens.iter().map(token).collect();
    let mut value = json!({ "address": own.address, "url": own.url, "tokens": tokens });
    if let Some(own) = &own.oidc {
        value["oidc"] = oidc(own);
    }
    value
}

fn oidc(own: &Oidc) -> Value {
    let roles: Map<String, Value> = own.roles.iter().map(|(group, role)| (group.clone(), word(*role).into())).collect();
    let mut value = json!({
        "issuer": own.issuer,
        "client_id": own.client_id,
        "label": own.label,
        "scopes": own.scopes,
        "groups_claim": own.groups_claim,
        "roles": roles,
    });
    if let Some(secret) = &own.client_secret {
        match &secret.file {
            Some(path) => value["client_secret_file"] = json!(path),
            None => value["client_secret"] = REDACTED.into(),
        }
    }
    if let Some(claim) = &own.name_claim {
        value["name_claim"] = json!(claim);
    }
    if let Some(authorities) = &own.authorities {
        value["ca_file"] = json!(authorities.path);
    }
    value
}

/// The hash of a token tells nothing about the token, so it is shown.
fn token(token: &Token) -> Value {
    let sha256 = token.sha256.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    });
    json!({ "name": token.name, "role": word(token.role), "sha256": sha256 })
}

fn store(store: &StoreConfig) -> Value {
    match store {
        StoreConfig::Embedded(path) => json!({ "embedded": path }),
        StoreConfig::Redis { options, ca_file } => {
            // Shown, an address has a word for its password.
            let mut value = json!({ "redis": options.address.to_string() });
            if let Some(path) = ca_file {
                value["ca_file"] = json!(path);
            }
            value
        }
    }
}

/// Secrets give way to words that read back, so that the whole is a file again.
fn notify_target(target: &NotifyTarget) -> Value {
    let on: Vec<&str> = target.on.iter().map(|kind| kind.name()).collect();
    let in_file = |key: &str, file: &Option<PathBuf>, otherwise: String| match file {
        Some(path) => (format!("{key}_file"), json!(path)),
        None => (key.to_owned(), otherwise.into()),
    };
    let plain = |key: &str, text: String| (key.to_owned(), Value::from(text));
    let members = match &target.channel {
        Channel::Webhook { url, secret } => {
            vec![plain("url", url.to_string()), in_file("secret", &secret.file, REDACTED_WEBHOOK_SECRET.into())]
        }
        Channel::Slack { url } => vec![in_file("url", &url.file, url.value.to_string())],
        Channel::Alertmanager { url } => vec![plain("url", url.without_query())],
        Channel::PagerDuty { routing_key, url } => {
            vec![
                in_file("routing_key", &routing_key.file, REDACTED_ROUTING_KEY.into()),
                plain("url", url.without_query()),
            ]
        }
    };
    let mut value = json!({ "on": on });
    value[target.channel.name()] = Value::Object(members.into_iter().collect());
    if let Some(authorities) = &target.authorities {
        value["ca_file"] = json!(authorities.path);
    }
    value
}

/// Eight decimals tell every share of 2^32 from its neighbours.
fn sample(share: u64) -> String {
    #[allow(clippy::cast_precision_loss, reason = "a share is at most 2^32")]
    let percent = share as f64 / 4_294_967_296.0 * 100.0;
    let text = format!("{percent:.8}");
    format!("{}%", text.trim_end_matches('0').trim_end_matches('.'))
}

/// Maps as blocks, lists of scalars in one line; strings in JSON's quotes, which are YAML's.
pub(super) fn yaml(document: &Value) -> String {
    let mut text = String::new();
    if let Value::Object(map) = document {
        block(&mut text, map, 0, false);
    }
    text
}

fn block(text: &mut String, map: &Map<String, Value>, indent: usize, mut first_is_placed: bool) {
    for (key, value) in map {
        let spaces = if std::mem::take(&mut first_is_placed) { 0 } else { indent };
        let plain = key.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.'));
        let key = if plain { key.clone() } else { json!(key).to_string() };
        let _ = write!(text, "{:spaces$}{key}:", "");
        match value {
            Value::Object(map) if !map.is_empty() => {
                text.push('\n');
                block(text, map, indent + 2, false);
            }
            Value::Array(items) if items.iter().any(Value::is_object) => {
                text.push('\n');
                for item in items {
                    let _ = write!(text, "{:indent$}  - ", "");
                    match item {
                        Value::Object(map) if !map.is_empty() => block(text, map, indent + 4, true),
                        other => {
                            let _ = writeln!(text, "{}", inline(other));
                        }
                    }
                }
            }
            other => {
                let _ = writeln!(text, " {}", inline(other));
            }
        }
    }
}

fn inline(value: &Value) -> String {
    match value {
        Value::String(text) => {
            let safe = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'/' | b'.' | b'-');
            let word = text.bytes().all(safe)
                && text.bytes().next().is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'/');
            let reserved = matches!(
                text.to_ascii_lowercase().as_str(),
                "true" | "false" | "null" | "yes" | "no" | "on" | "off" | "y" | "n"
            );
            if word && !reserved { text.clone() } else { json!(text.replace("${", "$${")).to_string() }
        }
        Value::Array(items) => format!("[{}]", items.iter().map(inline).collect::<Vec<_>>().join(", ")),
        other => other.to_string(),
    }
}
