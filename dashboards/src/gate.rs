//! What every request of the admin side passes before a handler sees it, and what every answer gets.
//!
//! # Why a host check beside tokens
//!
//! A page of a foreign name can make that name resolve to 127.0.0.1 and then read, as same-origin,
//! whatever this listener answers without a token. So a listener on loopback answers only to loopback's names, to the name that
//! the file gives it, and to addresses, which cannot be rebound. A listener that the operator put on a network is
//! readable there anyway, and is called by names that nobody could list here.
//!
//! Limits come before the work: requests in flight, their time, the size of a body. The probes pass
//! no limit, so that a busy admin side does not look like a dead router.

use std::any::Any;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State as Extract};
use axum::http::header::{CACHE_CONTROL, HOST, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS};
use axum::http::{HeaderName, HeaderValue, Method};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tokio::sync::Semaphore;

use crate::problem::{Code, Problem};

/// Requests handled at once. Most of the time of most of them is waiting for replicas.
const IN_FLIGHT_MAX: usize = 256;

/// Beyond the longest `?wait=`, so that this only ends what hangs.
const REQUEST_TIME_MAX: Duration = Duration::from_secs(90);

/// Requests in flight that may still begin.
pub(crate) type Places = Arc<Semaphore>;

pub(crate) fn places() -> Places {
    Arc::new(Semaphore::new(IN_FLIGHT_MAX))
}

/// Lets a bounded number of requests through, each for a bounded time.
pub(crate) async fn bounded(Extract(places): Extract<Places>, request: Request, next: Next) -> Response {
    let Ok(_place) = places.try_acquire() else {
        let detail = format!("{IN_FLIGHT_MAX} requests are being answered already: try again in a second");
        return Problem::new(Code::TooBusy, detail).retry_after(1).into_response();
    };
    match tokio::time::timeout(REQUEST_TIME_MAX, next.run(request)).await {
        Ok(response) => response,
        Err(_elapsed) => {
            let detail = "the answer took too long; a change may still have been made, so look before you repeat it";
            Problem::new(Code::TimedOut, detail).retry_after(1).into_response()
        }
    }
}

/// Where this listener is, and by which name people reach it through a proxy.
#[derive(Clone, Debug)]
pub(crate) struct Served {
    address: SocketAddr,
    public: Option<Arc<str>>,
}

impl Served {
    pub(crate) fn new(address: SocketAddr, public: Option<&str>) -> Self {
        Self { address, public: public.map(|name| name.to_ascii_lowercase().into()) }
    }
}

/// Refuses other sites and other names.
pub(crate) async fn same_place(Extract(served): Extract<Served>, request: Request, next: Next) -> Response {
    let headers = request.headers();
    if let Some(host) = headers.get(HOST)
        && !is_served(host.as_bytes(), &served)
    {
        let address = served.address;
        let detail = format!(
            "use http://{address}/ or http://localhost:{}/ instead of a name that is not loopback's; behind a proxy, name its address in `admin.url`",
            address.port()
        );
        return Problem::new(Code::HostNotAllowed, detail).into_response();
    }
    let changes = !matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
    let site = headers.get("sec-fetch-site").map(HeaderValue::as_bytes);
    if changes && site == Some(b"cross-site") {
        let detail = "a page of another site sent this change: use this router's own page, the API or the command line";
        return Problem::new(Code::CrossSite, detail).into_response();
    }
    next.run(request).await
}

/// Whether a `Host` may name this listener.
fn is_served(host: &[u8], own: &Served) -> bool {
    if !own.address.ip().is_loopback() {
        return true;
    }
    let Ok(host) = std::str::from_utf8(host) else { return false };
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
    own.public.as_deref() == Some(name.as_str())
        || name == "localhost"
        || name.ends_with(".localhost")
        || name.parse::<IpAddr>().is_ok()
}

/// Adds what no answer of the admin side may lack.
pub(crate) async fn hardened(request: Request, next: Next) -> Response {
    const FIXED: [(HeaderName, &str); 5] = [
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (X_FRAME_OPTIONS, "DENY"),
        (REFERRER_POLICY, "no-referrer"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
        (
            axum::http::header::CONTENT_SECURITY_POLICY,
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'",
        ),
    ];
    let mut response = next.run(request).await;
    for (name, value) in FIXED {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    // Files of the dashboard are kept, and asked for again with their hash.
    response.headers_mut().entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

/// Turns a panic of a handler into an answer; the payload goes to the log alone.
#[allow(clippy::needless_pass_by_value, reason = "the signature tower-http calls")]
pub(crate) fn panicked(payload: Box<dyn Any + Send>) -> Response {
    let text = payload.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| payload.downcast_ref::<&str>().copied()).unwrap_or("no message");
    tracing::error!(panic = text.escape_debug().to_string(), "a handler of the admin side panicked");
    let detail = "the router made a mistake while it answered; routing is not affected. Please report it with the log around this moment";
    Problem::new(Code::Internal, detail).into_response()
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::body::Body;
    use axum::http::StatusCode;
    use axum::middleware::from_fn_with_state;
    use axum::routing::get;
    use tower::ServiceExt as _;
    use tower_http::catch_panic::CatchPanicLayer;

    use super::*;

    async fn answer(app: Router) -> Response {
        app.oneshot(Request::new(Body::empty())).await.unwrap()
    }

    #[tokio::test]
    async fn a_full_admin_side_says_so_at_once() {
        for (places, expected) in [(0, StatusCode::SERVICE_UNAVAILABLE), (1, StatusCode::OK)] {
            let places: Places = Arc::new(Semaphore::new(places));
            let app = Router::new().route("/", get(async || "ok")).layer(from_fn_with_state(places, bounded));
            let answer = answer(app).await;
            assert_eq!(answer.status(), expected);
            assert_eq!(answer.headers().contains_key("retry-after"), expected != StatusCode::OK);
        }
    }

    #[tokio::test]
    async fn a_panic_is_an_answer_that_tells_nothing_of_it() {
        async fn broken() -> &'static str {
            panic!("a secret")
        }
        let app = Router::new().route("/", get(broken)).layer(CatchPanicLayer::custom(panicked));
        let answer = answer(app).await;
        assert_eq!(answer.status(), StatusCode::INTERNAL_SERVER_ERROR);
        let body = axum::body::to_bytes(answer.into_body(), 10_000).await.unwrap();
        let text = String::from_utf8(body.to_vec()).unwrap();
        assert!(text.contains("\"internal\"") && !text.contains("secret"), "{text}");
    }

    #[track_caller]
    fn check(host: &str, own: &str, expected: bool) {
        let own: IpAddr = own.parse().unwrap();
        let served = Served::new(SocketAddr::new(own, 9_900), Some("Crossfade.example.com"));
        assert_eq!(is_served(host.as_bytes(), &served), expected, "{host:?} at {own}");
    }

    #[test]
    fn loopback_answers_to_its_names_and_to_addresses() {
        for host in
            ["localhost", "LOCALHOST:9900", "localhost.:1", "a.localhost", "127.0.0.1:9900", "[::1]:9900", "10.0.0.7"]
        {
            check(host, "127.0.0.1", true);
            check(host, "::1", true);
        }
        for host in
            ["example.com", "evil.example:9900", "localhost.example.com", "127.0.0.1.example", "notlocalhost", ""]
        {
            check(host, "127.0.0.1", false);
        }
    }

    #[test]
    fn loopback_answers_to_the_name_that_a_proxy_has() {
        check("crossfade.example.com", "127.0.0.1", true);
        check("Crossfade.Example.com:443", "127.0.0.1", true);
        check("evil.crossfade.example.com", "127.0.0.1", false);
        check("example.com", "127.0.0.1", false);
    }

    #[test]
    fn a_listener_on_a_network_answers_to_any_name() {
        check("crossfade.internal:9900", "0.0.0.0", true);
        check("crossfade", "10.0.0.7", true);
    }
}
