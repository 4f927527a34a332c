//! The mode `parallel` in the effective document.

use flags::migration::{Excuse, Parallel, Write};
use metrics::compare::{RuleEntry, RuleKind};
use serde_json::{Map, Value, json};

use super::super::Mirroring;
use super::super::units::{Period, Size, word};

pub(super) fn parallel(own: &Parallel, mirroring: &Mirroring) -> Value {
    let period = |duration| Period(duration).to_string();
    let size = |bytes: usize| Size(bytes as u64).to_string();
    let rules: Vec<Value> = mirroring.rules.entries().iter().map(rule).collect();
    let mut compare = json!({ "rules": rules, "raw_paths": mirroring.raw_paths });
    if let Some(name) = &mirroring.version_header {
        compare["version_header"] = json!(name);
    }
    json!({
        "serve": word(own.serve),
        "percent": own.share.percent(),
        "methods": own.methods,
        "writes": own.writes.iter().map(write).collect::<Vec<_>>(),
        "noise": mirroring.noise.percent(),
        "request_max": size(mirroring.request_max),
        "timeout": period(mirroring.timeout),
        "connect_timeout": period(mirroring.connect_timeout),
        "budget": {
            "memory": size(mirroring.memory),
            "in_flight": mirroring.in_flight,
            "age": period(mirroring.age),
        },
        "compare": compare,
    })
}

fn write(own: &Write) -> Value {
    let mut value = json!({ "path": own.path.to_string(), "methods": own.methods });
    match &own.excuse {
        Excuse::DryRun => value["dry_run"] = json!(true),
        Excuse::Override(reason) => value["override_reason"] = json!(reason),
    }
    value
}

fn rule(own: &RuleEntry) -> Value {
    let kind = match &own.kind {
        RuleKind::Ignore => json!("ignore"),
        RuleKind::Shape => json!("shape"),
        RuleKind::Unordered => json!("unordered"),
        RuleKind::Tolerance { absolute, relative } => {
            let named = [("absolute", absolute), ("relative", relative)];
            let given = named.into_iter().filter_map(|(name, value)| Some((name, value.as_ref()?)));
            let bounds: Map<String, Value> =
                given.map(|(name, value)| (name.to_owned(), json!(value.to_string()))).collect();
            json!({ "tolerance": bounds })
        }
        RuleKind::KeyedBy { key } => json!({ "keyed_by": { "key": key } }),
        RuleKind::MapHost { legacy, new } => json!({ "map_host": { "legacy": legacy, "new": new } }),
    };
    let mut value = json!({ "path": own.path, "kind": kind, "owner": own.owner, "reason": own.reason });
    if let Some(expires) = own.expires {
        value["expires"] = json!(expires.to_string());
    }
    if let Some(route) = &own.route {
        value["route"] = json!(route);
    }
    value
}
