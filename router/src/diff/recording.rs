//! A recording of requests: HAR 1.2, or one JSON object a line.
//!
//! # Why each request is read by itself
//!
//! Recordings are cut, edited and joined by hand. One request that is no request must not cost the others, so it is counted, told with
//! its line and left out. Nothing of what it holds is in the message: recordings are full of passwords.
//!
//! Not here: answers that were recorded, binary bodies in lines, and HAR of more than one log.

mod har;
mod line;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::uri::PathAndQuery;
use http::{HeaderName, HeaderValue, Method};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use serde_json::value::RawValue;

use har::{Har, of_entry};
use line::{is_lines, of_line};

/// The longest recording that is read.
pub(crate) const FILE_BYTES_MAX: u64 = 256 << 20;

/// Requests of one recording; further ones are counted.
const REQUESTS_MAX: usize = 100_000;

const BODY_BYTES_MAX: usize = 1 << 20;

/// Header fields of one request, and bytes in their names and values.
const HEADERS_MAX: usize = 200;
const HEADER_BYTES_MAX: usize = 64 << 10;

/// Of what cannot be read, this much is told and not only counted.
const PROBLEMS_MAX: usize = 20;

/// What browsers leave as it is and no request line may have.
const UNSENDABLE: &AsciiSet =
    &CONTROLS.add(b' ').add(b'"').add(b'<').add(b'>').add(b'\\').add(b'^').add(b'`').add(b'{').add(b'|').add(b'}');

/// One request as it was recorded.
#[derive(Clone)]
pub(crate) struct Recorded {
    /// Where it stands in the recording, from 1.
    pub(crate) line: usize,
    pub(crate) method: Method,
    /// Without a host, in lower case, where the recording names none.
    pub(crate) host: Option<String>,
    pub(crate) target: PathAndQuery,
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
    pub(crate) body: Bytes,
}

/// Without what may be a secret.
impl fmt::Debug for Recorded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recorded").field("line", &self.line).field("method", &self.method).finish_non_exhaustive()
    }
}

/// Something that stands in a recording and is not a request that can be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    pub(crate) line: usize,
    pub(crate) why: String,
}

/// What a file held.
#[derive(Clone, Debug, Default)]
pub(crate) struct Recording {
    pub(crate) requests: Vec<Recorded>,
    /// The first of what could not be read.
    pub(crate) problems: Vec<Problem>,
    /// How much could not be read, also what is not told.
    pub(crate) unreadable: u64,
    /// Requests after the first 100,000.
    pub(crate) beyond: u64,
    /// WebSockets, `data:` and whatever else is in a HAR and is no request by http.
    pub(crate) not_http: u64,
}

/// Why one request cannot be sent.
enum Unfit {
    NotHttp,
    Because(String),
}

impl From<&str> for Unfit {
    fn from(why: &str) -> Self {
        Self::Because(why.into())
    }
}

impl Recording {
    /// Reads a file, whichever of the two forms it has.
    ///
    /// # Errors
    ///
    /// Where not a single request could be read.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, Vec<Problem>> {
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        let recording = if is_lines(bytes) { Self::of_lines(bytes) } else { Self::of_har(bytes)? };
        if recording.requests.is_empty() && recording.not_http == 0 {
            let none = Problem { line: 1, why: "there is no request in it".into() };
            let problems = if recording.problems.is_empty() { vec![none] } else { recording.problems };
            return Err(problems);
        }
        Ok(recording)
    }

    fn of_lines(bytes: &[u8]) -> Self {
        let mut recording = Self::default();
        for (at, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
            let line = line.trim_ascii();
            if line.is_empty() {
                continue;
            }
            let Some(room) = recording.room() else { continue };
            let read = std::str::from_utf8(line).map_err(|_| "it is not UTF-8".into()).and_then(of_line);
            recording.take(room, at + 1, read);
        }
        recording
    }

    fn of_har(bytes: &[u8]) -> Result<Self, Vec<Problem>> {
        let broken = |line: usize, why: String| vec![Problem { line, why }];
        let text = std::str::from_utf8(bytes).map_err(|error| {
            let line = 1 + memchr::memchr_iter(b'\n', &bytes[..error.valid_up_to()]).count();
            broken(line, "it is not UTF-8".into())
        })?;
        let har: Har<'_> = serde_json::from_str(text).map_err(|error| {
            let why = if error.is_data() {
                "it is neither HAR (`log.entries`) nor one JSON object with `method` and `path` a line".into()
            } else {
                syntax(&error)
            };
            broken(error.line().max(1), why)
        })?;
        let mut recording = Self::default();
        let (mut line, mut counted) = (1, 0);
        for entry in har.log.entries {
            // An entry is a part of the text, so that its address tells its place.
            let at = (entry.get().as_ptr() as usize).saturating_sub(text.as_ptr() as usize).clamp(counted, text.len());
            line += memchr::memchr_iter(b'\n', &text.as_bytes()[counted..at]).count();
            counted = at;
            let Some(room) = recording.room() else { continue };
            recording.take(room, line, of_entry(entry.get()));
        }
        Ok(recording)
    }

    /// Counts one more request that there is no room for; otherwise gives a place.
    fn room(&mut self) -> Option<Room> {
        if self.requests.len() < REQUESTS_MAX {
            return Some(Room);
        }
        self.beyond += 1;
        None
    }

    fn take(&mut self, _: Room, line: usize, read: Result<Recorded, Unfit>) {
        match read {
            Ok(request) => self.requests.push(Recorded { line, ..request }),
            Err(Unfit::NotHttp) => self.not_http += 1,
            Err(Unfit::Because(why)) => {
                self.unreadable += 1;
                if self.problems.len() < PROBLEMS_MAX {
                    self.problems.push(Problem { line, why });
                }
            }
        }
    }
}

/// A place for one more request.
struct Room;

/// What is wrong with JSON, which says nothing of what it holds.
fn syntax(error: &serde_json::Error) -> String {
    if error.is_data() {
        return "it is not an object with `method` and `path`".into();
    }
    let text = error.to_string();
    let what = text.split(" at line ").next().unwrap_or_default();
    format!("it is not JSON: {what} (column {})", error.column())
}

fn string(raw: Option<&RawValue>, otherwise: &str) -> Result<String, Unfit> {
    raw.and_then(|raw| serde_json::from_str(raw.get()).ok()).ok_or_else(|| otherwise.into())
}

fn method(text: &str) -> Result<Method, Unfit> {
    Method::from_bytes(text.to_ascii_uppercase().as_bytes()).map_err(|_| "`method` is not a method".into())
}

/// Host and target of an address or of a path alone.
fn target(url: &str) -> Result<(Option<String>, PathAndQuery), Unfit> {
    let url = url.split('#').next().unwrap_or_default();
    let (host, rest) = if url.starts_with('/') {
        (None, url)
    } else {
        let (scheme, rest) = url.split_once(':').ok_or("the path does not begin with `/`")?;
        let rest = rest.strip_prefix("//").ok_or(Unfit::NotHttp)?;
        if !scheme.eq_ignore_ascii_case("http") && !scheme.eq_ignore_ascii_case("https") {
            return Err(Unfit::NotHttp);
        }
        let (authority, rest) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        let host = authority.rsplit('@').next().unwrap_or_default().to_ascii_lowercase();
        (Some(host), rest)
    };
    let slash = if rest.starts_with('/') { "" } else { "/" };
    let sendable = format!("{slash}{}", utf8_percent_encode(rest, UNSENDABLE));
    let target = PathAndQuery::try_from(sendable).map_err(|_| "the path is not one that can be sent")?;
    Ok((host, target))
}

fn headers(pairs: impl IntoIterator<Item = (String, String)>) -> Result<Vec<(HeaderName, HeaderValue)>, Unfit> {
    let (mut headers, mut bytes) = (Vec::new(), 0);
    for (name, value) in pairs {
        // What HTTP/2 has instead of a request line.
        if name.starts_with(':') {
            continue;
        }
        bytes += name.len() + value.len();
        if headers.len() == HEADERS_MAX || bytes > HEADER_BYTES_MAX {
            return Err(Unfit::Because(format!("it has more than {HEADERS_MAX} header fields or 64 KiB of them")));
        }
        let name = HeaderName::from_bytes(name.trim().as_bytes()).map_err(|_| "a name in `headers` is not one")?;
        let mut value = HeaderValue::from_bytes(value.trim().as_bytes())
            .map_err(|_| Unfit::Because(format!("the value of the header `{name}` cannot be sent")))?;
        value.set_sensitive(true);
        headers.push((name, value));
    }
    Ok(headers)
}

/// Says what a body is, where the recording has not said so in a header.
fn typed(headers: &mut Vec<(HeaderName, HeaderValue)>, media_type: &str) {
    if media_type.is_empty() || headers.iter().any(|(name, _)| name == CONTENT_TYPE) {
        return;
    }
    if let Ok(value) = HeaderValue::from_str(media_type) {
        headers.push((CONTENT_TYPE, value));
    }
}

fn bounded(body: Vec<u8>) -> Result<Bytes, Unfit> {
    if body.len() > BODY_BYTES_MAX {
        return Err(Unfit::Because(format!("its body is larger than {} MiB", BODY_BYTES_MAX >> 20)));
    }
    Ok(body.into())
}

/// How many requests are of which host, where the recording names hosts.
pub(crate) fn hosts(requests: &[Recorded]) -> BTreeMap<&str, u64> {
    let mut hosts = BTreeMap::new();
    for host in requests.iter().filter_map(|request| request.host.as_deref()) {
        *hosts.entry(host).or_insert(0) += 1;
    }
    hosts
}
