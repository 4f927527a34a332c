//! One JSON object a line.

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::{PROBLEMS_MAX, Recorded, Unfit, bounded, headers, method, string, syntax, target, typed};

/// Whether the first line that is not empty is an object by itself, and not one with a `log`.
pub(super) fn is_lines(bytes: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Either {
        log: Option<serde::de::IgnoredAny>,
    }
    let mut lines = bytes.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii).filter(|line| !line.is_empty());
    // A list is a struct to serde, and none to us.
    let object =
        |line: &[u8]| line.first().filter(|byte| **byte == b'{').and_then(|_| serde_json::from_slice(line).ok());
    let first: Option<Option<Either>> = lines.next().map(object);
    match first {
        Some(Some(either)) => either.log.is_none(),
        // Either HAR over many lines, or lines of which the first is broken: then another one is a request.
        Some(None) => lines.take(PROBLEMS_MAX).any(|line| {
            std::str::from_utf8(line).is_ok_and(|line| matches!(of_line(line), Ok(_) | Err(Unfit::NotHttp)))
        }),
        None => true,
    }
}

#[derive(Deserialize)]
struct Line<'a> {
    #[serde(borrow)]
    method: Option<&'a RawValue>,
    #[serde(borrow)]
    path: Option<&'a RawValue>,
    #[serde(borrow)]
    headers: Option<&'a RawValue>,
    #[serde(borrow)]
    body: Option<&'a RawValue>,
}

pub(super) fn of_line(text: &str) -> Result<Recorded, Unfit> {
    if !text.starts_with('{') {
        return Err("it is not an object with `method` and `path`".into());
    }
    let line: Line<'_> = serde_json::from_str(text).map_err(|error| Unfit::Because(syntax(&error)))?;
    let (host, target) = target(&string(line.path, "`path` is not a text")?)?;
    let method = method(&string(line.method, "`method` is not a text")?)?;
    let mut pairs = Vec::new();
    if let Some(headers) = line.headers {
        let map: serde_json::Map<String, Value> =
            serde_json::from_str(headers.get()).map_err(|_| "`headers` is not an object of names and values")?;
        for (name, value) in map {
            let values = if let Value::Array(values) = value { values } else { vec![value] };
            for value in values {
                let value = match value {
                    Value::String(text) => text,
                    Value::Number(number) => number.to_string(),
                    Value::Bool(_) | Value::Null | Value::Array(_) | Value::Object(_) => {
                        return Err("a value in `headers` is not a text".into());
                    }
                };
                pairs.push((name.clone(), value));
            }
        }
    }
    let mut headers = headers(pairs)?;
    let body = match line.body.map(RawValue::get) {
        None => Vec::new(),
        Some(text) if text.starts_with('"') => {
            serde_json::from_str::<String>(text).map_err(|_| "`body` is not a text")?.into_bytes()
        }
        Some(json) => {
            typed(&mut headers, "application/json");
            json.as_bytes().to_vec()
        }
    };
    Ok(Recorded { line: 0, method, host, target, headers, body: bounded(body)? })
}
