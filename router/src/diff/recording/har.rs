//! The parts of HAR 1.2 that are a request; whatever else it holds is skipped unread.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{REQUESTS_MAX, Recorded, Unfit, bounded, headers, method, string, target, typed};

#[derive(Deserialize)]
pub(super) struct Har<'a> {
    #[serde(borrow)]
    pub(super) log: Log<'a>,
}

#[derive(Deserialize)]
pub(super) struct Log<'a> {
    #[serde(borrow)]
    pub(super) entries: Entries<'a>,
}

/// No more of them than are ever looked at: a list of two million `0` is a small file.
pub(super) struct Entries<'a>(Vec<&'a RawValue>);

impl<'a> IntoIterator for Entries<'a> {
    type Item = &'a RawValue;
    type IntoIter = std::vec::IntoIter<&'a RawValue>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Entries<'a> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Kept;
        impl<'de> serde::de::Visitor<'de> for Kept {
            type Value = Vec<&'de RawValue>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of entries")
            }

            fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
                let mut kept = Vec::new();
                while let Some(item) = items.next_element()? {
                    // Ten times as many, so that those beyond can be counted and those that cannot be read cost no others.
                    if kept.len() < 10 * REQUESTS_MAX {
                        kept.push(item);
                    }
                }
                Ok(kept)
            }
        }
        deserializer.deserialize_seq(Kept).map(Self)
    }
}

#[derive(Deserialize)]
struct Entry<'a> {
    #[serde(borrow)]
    request: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct HarRequest<'a> {
    #[serde(borrow)]
    method: Option<&'a RawValue>,
    #[serde(borrow)]
    url: Option<&'a RawValue>,
    #[serde(borrow)]
    headers: Option<&'a RawValue>,
    #[serde(borrow, rename = "postData")]
    post_data: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Pair {
    name: String,
    #[serde(default)]
    value: String,
}

#[derive(Deserialize)]
struct PostData {
    #[serde(default, rename = "mimeType")]
    mime_type: String,
    text: Option<String>,
    #[serde(default)]
    params: Vec<Pair>,
    encoding: Option<String>,
}

pub(super) fn of_entry(text: &str) -> Result<Recorded, Unfit> {
    let entry: Entry<'_> = serde_json::from_str(text).map_err(|_| "the entry is not an object")?;
    let request = entry.request.ok_or("the entry has no `request`")?.get();
    let request: HarRequest<'_> = serde_json::from_str(request).map_err(|_| "`request` is not an object")?;
    let (host, target) = target(&string(request.url, "`url` is not a text")?)?;
    let method = method(&string(request.method, "`method` is not a text")?)?;
    let pairs: Vec<Pair> = match request.headers {
        Some(list) => serde_json::from_str(list.get()).map_err(|_| "`headers` is not a list of names and values")?,
        None => Vec::new(),
    };
    let mut headers = headers(pairs.into_iter().map(|pair| (pair.name, pair.value)))?;
    let body = match request.post_data {
        Some(data) => {
            let data: PostData = serde_json::from_str(data.get()).map_err(|_| "`postData` is not as HAR has it")?;
            typed(&mut headers, &data.mime_type);
            posted(data)?
        }
        None => Vec::new(),
    };
    Ok(Recorded { line: 0, method, host, target, headers, body: bounded(body)? })
}

fn posted(data: PostData) -> Result<Vec<u8>, Unfit> {
    let form = data.mime_type.starts_with("application/x-www-form-urlencoded");
    match data.text {
        Some(text) if data.encoding.as_deref() == Some("base64") => {
            STANDARD.decode(text).map_err(|_| "`postData` is not base64, as it says".into())
        }
        Some(text) => Ok(text.into_bytes()),
        None if data.params.is_empty() => Ok(Vec::new()),
        None if form => {
            let encoded = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
            let pairs = data.params.iter().map(|pair| format!("{}={}", encoded(&pair.name), encoded(&pair.value)));
            Ok(pairs.collect::<Vec<_>>().join("&").into_bytes())
        }
        None => Err("its body was recorded in parts and not as it was sent".into()),
    }
}
