//! A route that receives issues, as the file would write it with every default and no secret.

use std::path::PathBuf;

use flags::KeySource;
use serde_json::{Value, json};

use super::super::issues::{IssueRoute, Pointer, Reconcile, Scheme, SideTarget, Signature};
use super::super::notify::{Held, Secret};
use super::super::units::{Period, Size, word};
use super::{REDACTED, REDACTED_WEBHOOK_SECRET};

pub(super) fn issues(own: &IssueRoute) -> Value {
    let key: Vec<&str> = own.key.iter().map(Pointer::as_str).collect();
    let mut value = json!({
        "migration": own.migration,
        "preset": word(own.preset),
        "signature": signature(&own.signature),
        "delivery_id": own.delivery_id.to_string(),
        "key": key,
        "body_max": Size(own.body_max as u64).to_string(),
        "legacy": side(&own.legacy),
        "new": side(&own.new),
        "lease": Period(own.lease).to_string(),
        "rollback_after": own.rollback_after,
        "journal": own.journal,
        "journal_max": Size(own.journal_max).to_string(),
    });
    secrets(&mut value, &own.signature);
    let optional = [
        ("action", own.action.as_ref().map(KeySource::to_string)),
        ("order_by", own.order_by.as_ref().map(Pointer::to_string)),
    ];
    for (name, text) in optional {
        if let Some(text) = text {
            value[name] = json!(text);
        }
    }
    if !own.actions.is_empty() {
        value["actions"] = json!(own.actions);
    }
    if let Some(rate) = own.rate {
        value["rate"] = json!({ "per_source": rate.per_source.to_string(), "burst": rate.burst });
    }
    if let Some(own) = &own.reconcile {
        value["reconcile"] = reconcile(own);
    }
    value
}

fn signature(own: &Signature) -> Value {
    match own.scheme {
        Scheme::HmacSha256Hex => json!({ "scheme": word(own.scheme), "header": own.header, "prefix": own.prefix }),
        Scheme::StandardWebhooks | Scheme::Unsigned => json!({ "scheme": word(own.scheme) }),
    }
}

fn secrets(value: &mut Value, own: &Signature) {
    let files: Vec<&PathBuf> = own.secrets.iter().filter_map(|secret| secret.file.as_ref()).collect();
    let here = own.secrets.len() - files.len();
    if here > 0 {
        let hidden = if own.scheme == Scheme::StandardWebhooks { REDACTED_WEBHOOK_SECRET } else { REDACTED };
        value["secret"] = json!(vec![hidden; here]);
    }
    if !files.is_empty() {
        value["secret_file"] = json!(files);
    }
}

fn side(own: &SideTarget) -> Value {
    let timeout = Period(own.timeout).to_string();
    let mut value = json!({ "path": own.path, "timeout": timeout, "dry_run": own.dry_run });
    if let Some(longest) = own.max_duration {
        value["max_duration"] = json!(Period(longest).to_string());
    }
    value
}

fn reconcile(own: &Reconcile) -> Value {
    let Held::<Secret> { file, .. } = &own.token;
    let mut value =
        json!({ "api": own.api, "repositories": own.repositories, "interval": Period(own.interval).to_string() });
    match file {
        Some(path) => value["token_file"] = json!(path),
        None => value["token"] = json!(REDACTED),
    }
    value
}
