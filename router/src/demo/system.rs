//! A sample system: a small HTTP/1.1 service that answers about sessions.
//!
//! # Why two that differ a little
//!
//! Two implementations of one interface never answer the same bytes. The legacy sample writes its
//! keys and its times as a TypeScript service would, the new one as a Python service would, so that
//! the difference is visible in `curl` and a comparison has something to judge.
//!
//! Not here: state. A created session is answered and forgotten.

use std::convert::Infallible;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use flags::migration::Side;
use http::header::{ALLOW, CONNECTION, CONTENT_TYPE, HeaderName, LOCATION, UPGRADE};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, Limited, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::{JoinHandle, JoinSet};

use crate::demo::fault::{Ask, Fault, Switch};
use crate::demo::websocket;

/// Names the side in every answer of a sample system, so that the load can count without reading bodies.
pub const SERVED_BY: HeaderName = HeaderName::from_static("served-by");

/// How late a slow system answers.
const SLOWNESS: Duration = Duration::from_millis(800);

/// Connections of one sample system, and of these such that became WebSockets.
const CONNECTIONS_MAX: usize = 1024;
const WEBSOCKETS_MAX: usize = 128;

const BODY_BYTES_MAX: usize = 64 << 10;

type Body = UnsyncBoxBody<Bytes, Infallible>;

/// A running sample system; it ends when this is dropped.
#[derive(Debug)]
pub struct Sample {
    address: SocketAddr,
    accepting: JoinHandle<()>,
}

/// What the connections of one system share.
#[derive(Debug)]
struct Shared {
    side: Side,
    switch: Switch,
    created: AtomicU64,
    websockets: Arc<Semaphore>,
}

impl Sample {
    /// Starts a system of this side on a free port of loopback.
    pub async fn start(side: Side, switch: Switch) -> io::Result<Self> {
        let shared = Shared {
            side,
            switch: switch.clone(),
            created: AtomicU64::new(if side == Side::Legacy { 1000 } else { 5000 }),
            websockets: Arc::new(Semaphore::new(WEBSOCKETS_MAX)),
        };
        Self::listen(switch, Arc::new(Role::System(shared))).await
    }

    /// Starts the listener that turns `switch`: `POST /fault {"mode":"fail"}`.
    pub async fn start_control(switch: Switch) -> io::Result<Self> {
        Self::listen(Switch::default(), Arc::new(Role::Control(switch))).await
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    async fn listen(switch: Switch, role: Arc<Role>) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        Ok(Self { address, accepting: tokio::spawn(accept(listener, switch, role)) })
    }
}

impl Drop for Sample {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

#[derive(Debug)]
enum Role {
    System(Shared),
    Control(Switch),
}

/// Ends its connections with itself, because the set that owns them is dropped.
async fn accept(listener: TcpListener, switch: Switch, role: Arc<Role>) {
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        if connections.len() >= CONNECTIONS_MAX {
            connections.join_next().await;
        }
        match listener.accept().await {
            // Dropped unanswered: to the router this is a reset or an end before the first byte.
            Ok((stream, _)) if switch.get() == Fault::Refuse => drop(stream),
            Ok((stream, _)) => {
                connections.spawn(connection(stream, role.clone()));
            }
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

async fn connection(stream: TcpStream, role: Arc<Role>) {
    let _ = stream.set_nodelay(true);
    let service = service_fn(move |request| {
        let role = role.clone();
        async move {
            match role.as_ref() {
                Role::System(shared) => answer(shared, request).await,
                Role::Control(switch) => Ok(control(switch, request).await),
            }
        }
    });
    let mut http = hyper::server::conn::http1::Builder::new();
    http.timer(TokioTimer::new());
    // An error here is a client that went away or a fault that was asked for.
    let _ = http.serve_connection(TokioIo::new(stream), service).with_upgrades().await;
}

/// The wish to drop the connection instead of answering.
#[derive(Debug, thiserror::Error)]
#[error("the sample system drops this connection, as its fault switch says")]
struct Dropped;

async fn answer(shared: &Shared, request: Request<Incoming>) -> Result<Response<Body>, Dropped> {
    // The health check stays truthful about the process: only a system that drops connections is down.
    let is_health = request.uri().path() == "/health";
    match shared.switch.get() {
        Fault::Refuse => return Err(Dropped),
        Fault::Fail if !is_health => {
            let body = format!("{{\"error\":\"failing on purpose\",\"served_by\":\"{}\"}}\n", shared.side);
            return Ok(json(shared.side, StatusCode::INTERNAL_SERVER_ERROR, body));
        }
        Fault::Slow if !is_health => tokio::time::sleep(SLOWNESS).await,
        Fault::None | Fault::Fail | Fault::Slow => {}
    }
    Ok(route(shared, request).await)
}

async fn route(shared: &Shared, request: Request<Incoming>) -> Response<Body> {
    let side = shared.side;
    let path = request.uri().path().to_owned();
    let is_read = matches!(*request.method(), Method::GET | Method::HEAD);
    match path.as_str() {
        "/health" if is_read => json(side, StatusCode::OK, format!("{{\"status\":\"ok\",\"served_by\":\"{side}\"}}\n")),
        "/api/sessions" if is_read => json(side, StatusCode::OK, list(side)),
        "/api/sessions" if request.method() == Method::POST => create(shared, request).await,
        "/events" if is_read => events(side),
        "/ws" if is_read => upgrade(shared, request),
        "/health" | "/api/sessions" | "/events" | "/ws" => not_allowed(side, &path),
        _ => match path.strip_prefix("/api/sessions/").and_then(|id| id.parse::<u64>().ok()) {
            Some(id) if is_read => json(side, StatusCode::OK, session(side, id) + "\n"),
            Some(_) => not_allowed(side, &path),
            None => {
                json(side, StatusCode::NOT_FOUND, format!("{{\"error\":\"not found\",\"served_by\":\"{side}\"}}\n"))
            }
        },
    }
}

fn session(side: Side, id: u64) -> String {
    let (day, minute) = (id % 28 + 1, id % 60);
    match side {
        Side::Legacy => format!(
            "{{\"id\":{id},\"name\":\"Session {id}\",\"state\":\"running\",\"createdAt\":\"2026-03-{day:02}T08:{minute:02}:00.000Z\",\
             \"cost\":12.5,\"served_by\":\"legacy\"}}"
        ),
        Side::New => format!(
            "{{\"cost\": 12.50, \"createdAt\": \"2026-03-{day:02}T08:{minute:02}:00+00:00\", \"id\": {id}, \
             \"name\": \"Session {id}\", \"served_by\": \"new\", \"state\": \"running\"}}"
        ),
    }
}

fn list(side: Side) -> String {
    let sessions: Vec<String> = (1..=3).map(|id| session(side, id)).collect();
    format!("{{\"sessions\":[{}],\"served_by\":\"{side}\"}}\n", sessions.join(","))
}

async fn create(shared: &Shared, request: Request<Incoming>) -> Response<Body> {
    let side = shared.side;
    let body = Limited::new(request.into_body(), BODY_BYTES_MAX).collect().await;
    let readable = body.is_ok_and(|body| serde_json::from_slice::<serde_json::Value>(&body.to_bytes()).is_ok());
    if !readable {
        let body = format!("{{\"error\":\"send JSON of at most 64 KiB\",\"served_by\":\"{side}\"}}\n");
        return json(side, StatusCode::BAD_REQUEST, body);
    }
    let id = shared.created.fetch_add(1, Ordering::Relaxed) + 1;
    let mut response = json(side, StatusCode::CREATED, session(side, id) + "\n");
    if let Ok(location) = format!("/api/sessions/{id}").parse() {
        response.headers_mut().insert(LOCATION, location);
    }
    response
}

/// One event a second, without end.
fn events(side: Side) -> Response<Body> {
    let stream = futures_util::stream::unfold(1_u64, move |count| async move {
        if count > 1 {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        let event = format!("id: {count}\ndata: {{\"count\":{count},\"served_by\":\"{side}\"}}\n\n");
        Some((Ok(Frame::data(Bytes::from(event))), count + 1))
    });
    let mut response = Response::new(StreamBody::new(stream).boxed_unsync());
    describe(response.headers_mut(), side, "text/event-stream");
    response.headers_mut().insert(http::header::CACHE_CONTROL, http::HeaderValue::from_static("no-store"));
    response
}

fn upgrade(shared: &Shared, mut request: Request<Incoming>) -> Response<Body> {
    let side = shared.side;
    let asked = |name, value: &str| {
        let found = request.headers().get(name).and_then(|v| v.to_str().ok());
        found.is_some_and(|text| text.split(',').any(|item| item.trim().eq_ignore_ascii_case(value)))
    };
    let key = request.headers().get("sec-websocket-key").map(|key| websocket::accept_key(key.as_bytes()));
    let (Some(accept), true, true) = (key, asked(UPGRADE, "websocket"), asked(CONNECTION, "upgrade")) else {
        let body = format!("{{\"error\":\"/ws speaks WebSocket only\",\"served_by\":\"{side}\"}}\n");
        return json(side, StatusCode::UPGRADE_REQUIRED, body);
    };
    let Ok(permit) = shared.websockets.clone().try_acquire_owned() else {
        return json(side, StatusCode::SERVICE_UNAVAILABLE, "{\"error\":\"too many WebSockets\"}\n".into());
    };
    let upgraded = hyper::upgrade::on(&mut request);
    tokio::spawn(async move {
        if let Ok(upgraded) = upgraded.await {
            let _ = websocket::echo(TokioIo::new(upgraded)).await;
        }
        drop(permit);
    });
    let mut response = Response::new(Full::default().boxed_unsync());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(CONNECTION, http::HeaderValue::from_static("Upgrade"));
    headers.insert(UPGRADE, http::HeaderValue::from_static("websocket"));
    headers.insert(SERVED_BY, http::HeaderValue::from_static(side.name()));
    if let Ok(accept) = accept.parse() {
        headers.insert("sec-websocket-accept", accept);
    }
    response
}

fn not_allowed(side: Side, path: &str) -> Response<Body> {
    let body = format!("{{\"error\":\"method not allowed\",\"served_by\":\"{side}\"}}\n");
    let mut response = json(side, StatusCode::METHOD_NOT_ALLOWED, body);
    let allow = if path == "/api/sessions" { "GET, HEAD, POST" } else { "GET, HEAD" };
    response.headers_mut().insert(ALLOW, http::HeaderValue::from_static(allow));
    response
}

fn json(side: Side, status: StatusCode, body: String) -> Response<Body> {
    let mut response = Response::new(Full::from(body).boxed_unsync());
    *response.status_mut() = status;
    describe(response.headers_mut(), side, "application/json");
    response
}

fn describe(headers: &mut HeaderMap, side: Side, content_type: &'static str) {
    let server = if side == Side::Legacy { "express" } else { "uvicorn" };
    headers.insert(CONTENT_TYPE, http::HeaderValue::from_static(content_type));
    headers.insert(http::header::SERVER, http::HeaderValue::from_static(server));
    headers.insert(SERVED_BY, http::HeaderValue::from_static(side.name()));
}

/// `GET /fault` tells the fault, `POST /fault {"mode":"…"}` changes it.
async fn control(switch: &Switch, request: Request<Incoming>) -> Response<Body> {
    let text = |status, text: String| {
        let mut response = Response::new(Full::from(text).boxed_unsync());
        *response.status_mut() = status;
        response.headers_mut().insert(CONTENT_TYPE, http::HeaderValue::from_static("application/json"));
        response
    };
    if request.uri().path() != "/fault" {
        return text(StatusCode::NOT_FOUND, "{\"error\":\"only /fault is here\"}\n".into());
    }
    if request.method() == Method::POST {
        let body = Limited::new(request.into_body(), BODY_BYTES_MAX).collect().await;
        let ask = body.ok().and_then(|body| serde_json::from_slice::<Ask>(&body.to_bytes()).ok());
        let Some(Ask { mode }) = ask else {
            let error = "{\"error\":\"send {\\\"mode\\\":\\\"none|fail|slow|refuse\\\"}\"}\n";
            return text(StatusCode::BAD_REQUEST, error.into());
        };
        switch.set(mode);
    }
    text(StatusCode::OK, format!("{{\"mode\":\"{}\"}}\n", switch.get()))
}

#[cfg(test)]
mod tests;
