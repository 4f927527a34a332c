//! Whether a value is what a schema says, for the schemas of two OpenAPI documents: OFREP's and our own.

use serde_json::Value;

/// The first thing that is wrong with `value`, by the part of JSON Schema that the two documents use.
///
/// `oneOf` is taken as "any of": by OFREP's, an integer is a float as well, and its `codeDefaultFlag` matches every flag.
pub(crate) fn violation(root: &Value, schema: &Value, value: &Value) -> Option<String> {
    if let Some(target) = schema["$ref"].as_str() {
        return violation(root, root.pointer(target.strip_prefix('#').unwrap()).unwrap(), value);
    }
    let list = |name: &str| schema[name].as_array().cloned().unwrap_or_default();
    let kinds = schema["type"].as_str().map_or_else(|| list("type"), |kind| vec![kind.into()]);
    if !kinds.is_empty() && !kinds.iter().any(|kind| is_of(kind.as_str().unwrap(), value)) {
        return Some(format!("{value} is not of type {}", schema["type"]));
    }
    if !list("enum").is_empty() && !list("enum").contains(value) {
        return Some(format!("{value} is none of {}", schema["enum"]));
    }
    let required = list("required");
    if let Some(name) = required.iter().find(|name| value.is_object() && value.get(name.as_str().unwrap()).is_none()) {
        return Some(format!("{value} lacks {name}"));
    }
    let any = list("oneOf");
    if !any.is_empty() && any.iter().all(|option| violation(root, option, value).is_some()) {
        return Some(format!("{value} is none of {} forms", any.len()));
    }
    let of_all = list("allOf");
    let members = value.as_object().into_iter().flatten().map(|(name, member)| {
        let more = schema.get("additionalProperties").filter(|more| more.is_object());
        (schema["properties"].get(name).or(more).cloned().unwrap_or_default(), member)
    });
    let items = value.as_array().into_iter().flatten().map(|item| (schema["items"].clone(), item));
    let mut inside = of_all.into_iter().map(|part| (part, value)).chain(members).chain(items);
    inside.find_map(|(schema, value)| violation(root, &schema, value))
}

fn is_of(kind: &str, value: &Value) -> bool {
    match kind {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "null" => value.is_null(),
        other => panic!("the schema has a type {other}"),
    }
}

/// The response that an OpenAPI document promises for a call; `None` for calls it does not hold.
pub(crate) fn promised<'a>(document: &'a Value, method: &str, path: &str, status: u16) -> Option<&'a Value> {
    let path: Vec<&str> = path.split('?').next().unwrap().split('/').collect();
    let fits = |template: &str| {
        let template: Vec<&str> = template.split('/').collect();
        template.len() == path.len() && template.iter().zip(&path).all(|(t, p)| t == p || t.starts_with('{'))
    };
    let (_, item) = document["paths"].as_object().unwrap().iter().find(|(template, _)| fits(template))?;
    let responses = item.get(method.to_ascii_lowercase())?.get("responses")?;
    let promised = responses.get(status.to_string()).or_else(|| responses.get("default").filter(|_| status >= 400));
    Some(promised.unwrap_or_else(|| panic!("{method} {path:?} does not promise {status}")))
}
