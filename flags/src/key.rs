//! Where the sticky key of a request comes from, and how it is read.
//!
//! # Why a list of sources
//!
//! A user is known by a header here, by a cookie there and by nothing on the first visit. The file
//! names the sources in order and the first one that is present and not empty wins, so that a
//! caller keeps its side when the weaker source changes.
//!
//! A key is bytes, compared as they are: case matters, nothing is trimmed but the white space
//! around a header's value. Path and query values are percent-decoded once, so that two spellings
//! of one key are one key.
//!
//! Not here: whether a JWT was signed. [`crate::jwt`] verifies it where the file asks for that.

use std::borrow::Cow;
use std::fmt;
use std::fmt::Write as _;
use std::net::IpAddr;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;
use thiserror::Error;

use crate::jwt::JwtVerifier;
use crate::route::PathTemplate;

/// One place a key may come from, as written in the file: `header:x-user-id`, `cookie:uid`,
/// `path:id`, `query:account`, `json:/issue/number`, `jwt:sub`, `client_ip`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum KeySource {
    /// A field of the request, its name in lower case.
    Header(String),
    Cookie(String),
    /// A variable of the route's path template.
    Path(String),
    Query(String),
    /// A JSON Pointer (RFC 6901) into the body, of which the first 64 KiB are read.
    Json(String),
    /// A claim of the bearer token in `Authorization`.
    Jwt(String),
    ClientIp,
}

/// A text that names no [`KeySource`].
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error(
    "\"{}\" is not a key source: use header:NAME, cookie:NAME, path:VARIABLE, query:NAME, json:/POINTER, jwt:CLAIM or client_ip",
    .0.escape_debug()
)]
pub struct InvalidSource(String);

/// What a request offers to a decision. Implemented by the data plane over the bytes it received.
pub trait Request {
    fn method(&self) -> &[u8];

    /// The first value of the field with this lower-case name, white space around it removed.
    fn header(&self, name: &str) -> Option<&[u8]>;

    /// Calls `each` with every value of the field with this lower-case name, in order.
    fn headers<'a>(&'a self, name: &str, each: &mut dyn FnMut(&'a [u8]));

    /// What a variable of the matched path template stands for.
    fn path_variable(&self, name: &str) -> Option<Cow<'_, [u8]>>;

    /// The part of the target behind the first `?`.
    fn query(&self) -> Option<&[u8]>;

    /// The body, where the migration reads a key from it.
    fn body(&self) -> Option<&[u8]>;

    fn client_ip(&self) -> IpAddr;

    /// The path template of the matched route, where there is one.
    fn template(&self) -> Option<&PathTemplate> {
        None
    }
}

impl FromStr for KeySource {
    type Err = InvalidSource;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = || InvalidSource(text.chars().take(80).collect());
        if text == "client_ip" {
            return Ok(Self::ClientIp);
        }
        let (kind, name) = text.split_once(':').ok_or_else(invalid)?;
        let name_is_token = !name.is_empty() && name.bytes().all(is_token);
        match kind {
            "header" if name_is_token => Ok(Self::Header(name.to_ascii_lowercase())),
            "cookie" if name_is_token => Ok(Self::Cookie(name.into())),
            "path" if name_is_token => Ok(Self::Path(name.into())),
            "query" if !name.is_empty() => Ok(Self::Query(name.into())),
            "json" if name.starts_with('/') => Ok(Self::Json(name.into())),
            "jwt" if !name.is_empty() => Ok(Self::Jwt(name.into())),
            _ => Err(invalid()),
        }
    }
}

impl fmt::Display for KeySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Header(name) => write!(f, "header:{name}"),
            Self::Cookie(name) => write!(f, "cookie:{name}"),
            Self::Path(name) => write!(f, "path:{name}"),
            Self::Query(name) => write!(f, "query:{name}"),
            Self::Json(pointer) => write!(f, "json:{pointer}"),
            Self::Jwt(claim) => write!(f, "jwt:{claim}"),
            Self::ClientIp => f.write_str("client_ip"),
        }
    }
}

/// RFC 9110 section 5.6.2.
const fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*' | b'+' | b'-' | b'.' | b'^' | b'_' | b'`' | b'|' | b'~'
        )
}

/// How claims of bearer tokens are read; `now` judges their validity period.
#[derive(Clone, Copy, Debug, Default)]
pub struct Claims<'a> {
    pub verifier: Option<&'a JwtVerifier>,
    /// Seconds since the Unix epoch.
    pub now: i64,
}

impl KeySource {
    /// Whether the data plane must collect the body before this source can be read.
    pub const fn reads_body(&self) -> bool {
        matches!(self, Self::Json(_))
    }

    /// Reads this source; `None` when it is absent, empty or unreadable.
    pub fn read<'a>(&self, request: &'a dyn Request, claims: Claims<'_>) -> Option<Cow<'a, [u8]>> {
        let value = match self {
            Self::Header(name) => Cow::Borrowed(request.header(name)?),
            Self::Cookie(name) => Cow::Borrowed(cookie(request, name)?),
            Self::Path(name) => request.path_variable(name)?,
            Self::Query(name) => query_value(request.query()?, name)?,
            Self::Json(pointer) => json_value(request.body()?, pointer)?,
            Self::Jwt(claim) => jwt_claim(request, claim, claims)?,
            Self::ClientIp => {
                let mut text = String::with_capacity(39);
                write!(text, "{}", request.client_ip().to_canonical()).ok()?;
                Cow::Owned(text.into_bytes())
            }
        };
        (!value.is_empty()).then_some(value)
    }
}

/// The first key that is present among `sources`.
pub fn extract<'a>(sources: &[KeySource], request: &'a dyn Request, claims: Claims<'_>) -> Option<Cow<'a, [u8]>> {
    sources.iter().find_map(|source| source.read(request, claims))
}

/// The first cookie of this name over all `Cookie` fields (RFC 6265 section 5.4).
fn cookie<'a>(request: &'a dyn Request, name: &str) -> Option<&'a [u8]> {
    let mut found = None;
    request.headers("cookie", &mut |line: &'a [u8]| {
        if found.is_none() {
            found = line.split(|byte| *byte == b';').find_map(|pair| {
                let pair = pair.trim_ascii();
                let value = pair.strip_prefix(name.as_bytes())?.strip_prefix(b"=")?;
                Some(value)
            });
        }
    });
    found
}

/// The first value of `name` in a query, decoded as a form would write it.
fn query_value<'a>(query: &'a [u8], name: &str) -> Option<Cow<'a, [u8]>> {
    query.split(|byte| *byte == b'&').find_map(|pair| {
        let at = pair.iter().position(|byte| *byte == b'=').unwrap_or(pair.len());
        let value = pair.get(at + 1..).unwrap_or_default();
        (form_decoded(&pair[..at]).as_ref() == name.as_bytes()).then(|| form_decoded(value))
    })
}

fn form_decoded(text: &[u8]) -> Cow<'_, [u8]> {
    if !text.contains(&b'+') {
        return percent_encoding::percent_decode(text).into();
    }
    let spaced: Vec<u8> = text.iter().map(|byte| if *byte == b'+' { b' ' } else { *byte }).collect();
    Cow::Owned(percent_encoding::percent_decode(&spaced).collect())
}

fn json_value(body: &[u8], pointer: &str) -> Option<Cow<'static, [u8]>> {
    let value: Value = serde_json::from_slice(body).ok()?;
    scalar(value.pointer(pointer)?)
}

/// A string or a whole number as key; anything else identifies nobody.
pub(crate) fn scalar(value: &Value) -> Option<Cow<'static, [u8]>> {
    match value {
        Value::String(text) => Some(Cow::Owned(text.clone().into_bytes())),
        Value::Number(number) if !number.is_f64() => Some(Cow::Owned(number.to_string().into_bytes())),
        Value::Number(_) | Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

fn jwt_claim(request: &dyn Request, claim: &str, claims: Claims<'_>) -> Option<Cow<'static, [u8]>> {
    let token = bearer(request.header("authorization")?)?;
    if let Some(verifier) = claims.verifier {
        return scalar(verifier.claims(token, claims.now)?.get(claim)?);
    }
    let payload = token.split('.').nth(1)?;
    let payload = URL_SAFE_NO_PAD.decode(payload.trim_end_matches('=')).ok()?;
    let value: Value = serde_json::from_slice(&payload).ok()?;
    scalar(value.get(claim)?)
}

/// The token of `Bearer TOKEN`; the scheme's case does not matter (RFC 9110 section 11.1).
fn bearer(authorization: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(authorization).ok()?;
    let (scheme, token) = text.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

#[cfg(test)]
pub(crate) mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    /// A request as a test writes it down.
    #[derive(Debug, Default)]
    pub(crate) struct Written {
        pub(crate) headers: Vec<(&'static str, &'static str)>,
        pub(crate) path: Vec<(&'static str, &'static str)>,
        pub(crate) query: Option<&'static str>,
        pub(crate) body: Option<&'static str>,
        pub(crate) method: Option<&'static str>,
        pub(crate) template: Option<PathTemplate>,
    }

    impl Request for Written {
        fn method(&self) -> &[u8] {
            self.method.unwrap_or("GET").as_bytes()
        }

        fn header(&self, name: &str) -> Option<&[u8]> {
            self.headers.iter().find(|(n, _)| *n == name).map(|(_, value)| value.as_bytes())
        }

        fn headers<'a>(&'a self, name: &str, each: &mut dyn FnMut(&'a [u8])) {
            for (_, value) in self.headers.iter().filter(|(n, _)| *n == name) {
                each(value.as_bytes());
            }
        }

        fn path_variable(&self, name: &str) -> Option<Cow<'_, [u8]>> {
            self.path.iter().find(|(n, _)| *n == name).map(|(_, value)| Cow::Borrowed(value.as_bytes()))
        }

        fn query(&self) -> Option<&[u8]> {
            self.query.map(str::as_bytes)
        }

        fn body(&self) -> Option<&[u8]> {
            self.body.map(str::as_bytes)
        }

        fn client_ip(&self) -> IpAddr {
            Ipv4Addr::new(192, 0, 2, 7).to_ipv6_mapped().into()
        }

        fn template(&self) -> Option<&PathTemplate> {
            self.template.as_ref()
        }
    }

    #[track_caller]
    fn check(source: &str, request: &Written, expected: Option<&str>) {
        let source: KeySource = source.parse().unwrap();
        let read = source.read(request, Claims::default());
        assert_eq!(read.as_deref(), expected.map(str::as_bytes), "{source} of {request:?}");
    }

    #[test]
    fn a_header_is_read_by_any_case_of_its_name() {
        let request = Written { headers: vec![("x-user-id", "u1"), ("x-empty", "")], ..Written::default() };
        check("header:X-User-Id", &request, Some("u1"));
        check("header:x-empty", &request, None);
        check("header:x-other", &request, None);
    }

    #[test]
    fn a_cookie_is_read_whole_and_by_its_whole_name() {
        let request = Written {
            headers: vec![("cookie", "xuid=1; uid=a=b ;b"), ("cookie", "late=2; uid=3")],
            ..Written::default()
        };
        check("cookie:uid", &request, Some("a=b"));
        check("cookie:late", &request, Some("2"));
        check("cookie:b", &request, None);
        check("cookie:UID", &request, None);
    }

    #[test]
    fn query_values_are_decoded_once() {
        let request =
            Written { query: Some("a&account=acme%20ltd&plus=a+b&empty=&n%61me=x&twice=%2525"), ..Written::default() };
        check("query:account", &request, Some("acme ltd"));
        check("query:plus", &request, Some("a b"));
        check("query:name", &request, Some("x"));
        check("query:twice", &request, Some("%25"));
        check("query:empty", &request, None);
        check("query:a", &request, None);
    }

    #[test]
    fn json_offers_strings_and_whole_numbers() {
        let request =
            Written { body: Some(r#"{"issue":{"number":42,"id":"x","f":1.5,"n":null}}"#), ..Written::default() };
        check("json:/issue/number", &request, Some("42"));
        check("json:/issue/id", &request, Some("x"));
        check("json:/issue/f", &request, None);
        check("json:/issue/n", &request, None);
        check("json:/issue", &request, None);
        let broken = Written { body: Some("{"), ..Written::default() };
        check("json:/issue/number", &broken, None);
    }

    #[test]
    fn a_claim_is_read_from_the_bearer_token() {
        // {"alg":"none"} . {"sub":"user-1","tenant":7}
        let token = "bearer eyJhbGciOiJub25lIn0.eyJzdWIiOiJ1c2VyLTEiLCJ0ZW5hbnQiOjd9.";
        let request = Written { headers: vec![("authorization", token)], ..Written::default() };
        check("jwt:sub", &request, Some("user-1"));
        check("jwt:tenant", &request, Some("7"));
        check("jwt:other", &request, None);
        let basic = Written { headers: vec![("authorization", "Basic eyJ")], ..Written::default() };
        check("jwt:sub", &basic, None);
    }

    #[test]
    fn a_mapped_address_is_the_address() {
        check("client_ip", &Written::default(), Some("192.0.2.7"));
    }

    #[test]
    fn the_first_present_source_wins() {
        let sources: Vec<KeySource> =
            ["header:x-user-id", "cookie:uid", "client_ip"].map(|s| s.parse().unwrap()).to_vec();
        let request = Written { headers: vec![("x-user-id", ""), ("cookie", "uid=c")], ..Written::default() };
        assert_eq!(extract(&sources, &request, Claims::default()).as_deref(), Some(&b"c"[..]));
    }

    #[test]
    fn sources_print_as_they_parse() {
        for text in ["header:x-a", "cookie:uid", "path:id", "query:q", "json:/a/0", "jwt:sub", "client_ip"] {
            assert_eq!(text.parse::<KeySource>().unwrap().to_string(), text);
        }
        for text in ["", "header", "header:", "header:a b", "json:a", "ip", "client_ip:x", "body:/a"] {
            assert!(text.parse::<KeySource>().is_err(), "{text:?}");
        }
    }
}
