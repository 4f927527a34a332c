//! Asks one system one question: an answer, or why there is none, within a time and up to a size.
//!
//! Redirects are not followed: where a system sends its callers is a part of its answer. An answer that ends late is no answer; of one that is
//! long a digest is made, and what is longer than that is left unread. Not supported: proxies, HTTP/2, certificates of clients.

use std::time::Duration;

use bytes::Bytes;
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{Method, Request, Response, Uri};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Body as _, Incoming};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use metrics::compare::Limits;
use metrics::mismatch::Kept;

use super::gathering::Gathering;
use super::select::Selected;
use crate::outgoing::{causes, connector};

/// Shorter than servers keep an idle connection, so that none is used while it is being closed.
const IDLE_MAX: Duration = Duration::from_secs(1);

/// Where a system is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Base {
    scheme: Scheme,
    authority: Authority,
    /// What each path is put behind; without a slash at its end.
    prefix: String,
}

impl Base {
    /// Reads an address. What is wrong with it is said without it, for it may hold a password.
    pub(crate) fn parse(text: &str) -> Result<Self, &'static str> {
        const FORM: &str = "write http://HOST or https://HOST, with a port or a path if need be";
        let uri: Uri = text.parse().map_err(|_| FORM)?;
        let parts = uri.into_parts();
        let (Some(scheme), Some(authority)) = (parts.scheme, parts.authority) else { return Err(FORM) };
        if scheme != Scheme::HTTP && scheme != Scheme::HTTPS {
            return Err(FORM);
        }
        if authority.as_str().contains('@') {
            return Err("a user name does not belong into an address: use --header 'Authorization: ...'");
        }
        let path = parts.path_and_query.unwrap_or(PathAndQuery::from_static("/"));
        if path.query().is_some() {
            return Err("a query does not belong into the address of a system");
        }
        Ok(Self { scheme, authority, prefix: path.path().trim_end_matches('/').to_owned() })
    }

    pub(crate) fn is_tls(&self) -> bool {
        self.scheme == Scheme::HTTPS
    }

    /// With a port where the address has one: as the system finds itself named in `Host`.
    pub(crate) fn host(&self) -> &str {
        self.authority.as_str()
    }

    fn uri(&self, target: &PathAndQuery) -> Option<Uri> {
        let path = if self.prefix.is_empty() {
            target.clone()
        } else {
            PathAndQuery::try_from(format!("{}{target}", self.prefix)).ok()?
        };
        let builder = Uri::builder().scheme(self.scheme.clone()).authority(self.authority.clone());
        builder.path_and_query(path).build().ok()
    }
}

/// For messages.
/// What to do about a failure of TLS, whose own words say only what it was.
fn advice(cause: &str) -> &'static str {
    if cause.contains("invalid peer certificate") {
        "; name a file with its authority in SSL_CERT_FILE"
    } else if cause.contains("corrupt message") {
        "; it does not speak TLS there, write http://"
    } else {
        ""
    }
}

impl std::fmt::Display for Base {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}://{}{}", self.scheme, self.authority, self.prefix)
    }
}

/// Why a system did not answer, so that it ends a sentence that begins with its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Unanswered {
    /// Not even connected.
    Unreachable(String),
    BrokeOff(String),
    TimedOut(Duration),
    Unsendable,
}

impl std::fmt::Display for Unanswered {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unreachable(cause) => write!(f, "cannot be reached: {cause}{}", advice(cause)),
            Self::BrokeOff(cause) => write!(f, "broke off: {cause}"),
            Self::TimedOut(time) => write!(f, "did not answer whole within {} s", time.as_secs_f64()),
            Self::Unsendable => f.write_str("cannot be sent this path"),
        }
    }
}

/// Speaks to one system.
#[derive(Clone, Debug)]
pub(crate) struct Sender {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    base: Base,
    timeout: Duration,
}

impl Sender {
    pub(crate) fn new(base: Base, timeout: Duration, concurrency: usize) -> Result<Self, String> {
        let connector = connector(None, base.is_tls())?;
        let client = Client::builder(TokioExecutor::new())
            .pool_max_idle_per_host(concurrency)
            .pool_idle_timeout(IDLE_MAX)
            .pool_timer(TokioTimer::new())
            .retry_canceled_requests(false)
            .build(connector);
        Ok(Self { client, base, timeout })
    }

    /// Asks; a second time only where the request is safe and a kept connection was closed under it.
    pub(crate) async fn ask(&self, request: &Selected, limits: &Limits) -> Result<Kept, Unanswered> {
        let asked = async {
            let head = match self.head(request).await {
                Err(Unanswered::BrokeOff(_)) if !request.write => self.head(request).await,
                result => result,
            };
            received(head?, &request.method, limits).await
        };
        tokio::time::timeout(self.timeout, asked).await.unwrap_or(Err(Unanswered::TimedOut(self.timeout)))
    }

    async fn head(&self, selected: &Selected) -> Result<Response<Incoming>, Unanswered> {
        let uri = self.base.uri(&selected.target).ok_or(Unanswered::Unsendable)?;
        let mut request = Request::new(Full::new(selected.body.clone()));
        *request.method_mut() = selected.method.clone();
        *request.uri_mut() = uri;
        *request.headers_mut() = selected.headers.clone();
        self.client.request(request).await.map_err(|error| {
            let cause = causes(&error);
            if error.is_connect() { Unanswered::Unreachable(cause) } else { Unanswered::BrokeOff(cause) }
        })
    }
}

async fn received(answer: Response<Incoming>, method: &Method, limits: &Limits) -> Result<Kept, Unanswered> {
    let status = answer.status().as_u16();
    let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
    let headers: Vec<(String, String)> =
        answer.headers().iter().map(|(name, value)| (name.as_str().to_owned(), text(value.as_bytes()))).collect();
    let mut incoming = answer.into_body();
    if *method == Method::HEAD {
        return Ok(Kept { status, headers, ..Kept::default() });
    }
    let named = headers.iter().filter(|(name, _)| name == "content-encoding").map(|(_, value)| value.as_str());
    let encoding = named.collect::<Vec<_>>().join(", ");
    let mut body = Gathering::new(&encoding, incoming.size_hint().exact().unwrap_or_default(), limits);
    while !body.is_done()
        && let Some(frame) = incoming.frame().await
    {
        let frame = frame.map_err(|error| Unanswered::BrokeOff(causes(&error)))?;
        frame.data_ref().into_iter().for_each(|data| body.saw(data));
    }
    Ok(body.end(status, headers))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(base: &str, target: &'static str, expected: Option<&str>) {
        let made = Base::parse(base).ok().and_then(|base| base.uri(&PathAndQuery::from_static(target)));
        assert_eq!(made.map(|uri| uri.to_string()).as_deref(), expected, "{base} {target}");
    }

    #[test]
    fn a_path_is_put_behind_the_address() {
        check("http://a:1", "/x?y=1", Some("http://a:1/x?y=1"));
        check("https://a/", "/x", Some("https://a/x"));
        check("https://a/api/", "/x", Some("https://a/api/x"));
        check("http://[::1]:80/api", "/", Some("http://[::1]:80/api/"));
    }

    #[test]
    fn what_is_no_address_is_refused_without_being_repeated() {
        for text in ["a:1", "/x", "ftp://a", "http://", "http://user:geheim@a", "http://a?b=geheim", "geheim"] {
            let why = Base::parse(text).unwrap_err();
            assert!(!why.contains("geheim"), "{text}: {why}");
        }
    }

    #[test]
    fn a_failure_of_tls_says_what_to_do() {
        let said = |cause: &str| Unanswered::Unreachable(cause.to_owned()).to_string();
        assert!(said("received corrupt message of type InvalidContentType").ends_with("write http://"));
        assert!(said("invalid peer certificate: UnknownIssuer").ends_with("in SSL_CERT_FILE"));
        assert_eq!(said("refused"), "cannot be reached: refused");
    }
}
