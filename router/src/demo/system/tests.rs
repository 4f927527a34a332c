//! The sample systems as a client sees them.

use std::collections::BTreeSet;

use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::*;

#[derive(Debug)]
struct Answer {
    status: u16,
    headers: HeaderMap,
    body: Value,
}

/// None where the system gave no answer.
async fn ask(method: &str, address: SocketAddr, path: &str, body: &'static str) -> Option<Answer> {
    let client = Client::builder(TokioExecutor::new()).build_http();
    let uri = format!("http://{address}{path}");
    let request = Request::builder().method(method).uri(uri).body(Full::<Bytes>::from(body)).unwrap();
    let (head, body) = client.request(request).await.ok()?.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
    Some(Answer { status: head.status.as_u16(), headers: head.headers, body })
}

async fn both() -> (Sample, Sample, Switch) {
    let switch = Switch::default();
    let legacy = Sample::start(Side::Legacy, Switch::default()).await.unwrap();
    let new = Sample::start(Side::New, switch.clone()).await.unwrap();
    (legacy, new, switch)
}

fn keys(value: &Value) -> BTreeSet<&String> {
    value.as_object().unwrap().keys().collect()
}

#[tokio::test]
async fn both_systems_tell_the_same_session_in_their_own_notation() {
    let (legacy, new, _switch) = both().await;
    let old = ask("GET", legacy.address(), "/api/sessions/42", "").await.unwrap();
    let fresh = ask("GET", new.address(), "/api/sessions/42", "").await.unwrap();
    assert_eq!((old.status, fresh.status), (200, 200));
    assert_eq!(keys(&old.body), keys(&fresh.body));
    assert_eq!(old.body["id"], fresh.body["id"]);
    assert_ne!(old.body["createdAt"], fresh.body["createdAt"]);
    assert_eq!((&old.body["served_by"], &fresh.body["served_by"]), (&"legacy".into(), &"new".into()));
    assert_eq!(fresh.headers[SERVED_BY], "new");
}

#[track_caller]
fn check(answer: Option<Answer>, status: u16) -> Answer {
    let answer = answer.expect("the system answers");
    assert_eq!(answer.status, status, "{answer:?}");
    answer
}

#[tokio::test]
async fn every_path_answers_as_a_service_would() {
    let (legacy, _new, _switch) = both().await;
    let at = legacy.address();
    check(ask("GET", at, "/health", "").await, 200);
    let list = check(ask("GET", at, "/api/sessions", "").await, 200);
    assert_eq!(list.body["sessions"].as_array().unwrap().len(), 3);
    let created = check(ask("POST", at, "/api/sessions", "{\"name\":\"x\"}").await, 201);
    assert_eq!(created.headers[LOCATION], "/api/sessions/1001");
    check(ask("POST", at, "/api/sessions", "no json").await, 400);
    let refused = check(ask("DELETE", at, "/api/sessions", "").await, 405);
    assert_eq!(refused.headers[ALLOW], "GET, HEAD, POST");
    check(ask("GET", at, "/api/sessions/x", "").await, 404);
    check(ask("GET", at, "/ws", "").await, 426);
}

#[tokio::test]
async fn a_fault_is_switched_on_and_off_at_the_control_port() {
    let (_legacy, new, switch) = both().await;
    let control = Sample::start_control(switch.clone()).await.unwrap();
    check(ask("POST", control.address(), "/fault", "{\"mode\":\"broken\"}").await, 400);
    check(ask("GET", control.address(), "/other", "").await, 404);
    check(ask("POST", control.address(), "/fault", "{\"mode\":\"fail\"}").await, 200);
    check(ask("GET", new.address(), "/api/sessions/1", "").await, 500);
    check(ask("GET", new.address(), "/health", "").await, 200);
    check(ask("POST", control.address(), "/fault", "{\"mode\":\"refuse\"}").await, 200);
    assert!(ask("GET", new.address(), "/health", "").await.is_none());
    check(ask("POST", control.address(), "/fault", "{\"mode\":\"none\"}").await, 200);
    let told = check(ask("GET", control.address(), "/fault", "").await, 200);
    assert_eq!(told.body["mode"], "none");
    check(ask("GET", new.address(), "/api/sessions/1", "").await, 200);
}

#[tokio::test]
async fn an_open_connection_is_dropped_by_refuse() {
    let (_legacy, new, switch) = both().await;
    let mut stream = TcpStream::connect(new.address()).await.unwrap();
    stream.write_all(b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    let mut first = [0; 15];
    stream.read_exact(&mut first).await.unwrap();
    assert_eq!(&first, b"HTTP/1.1 200 OK");
    switch.set(Fault::Refuse);
    stream.write_all(b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    let mut rest = Vec::new();
    let _ends_or_is_reset = stream.read_to_end(&mut rest).await;
    assert!(!String::from_utf8_lossy(&rest).contains("HTTP/1.1"), "{}", String::from_utf8_lossy(&rest));
}

#[tokio::test]
async fn a_websocket_echoes_after_its_handshake() {
    let (_legacy, new, _switch) = both().await;
    let mut stream = TcpStream::connect(new.address()).await.unwrap();
    let head = "GET /ws HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\
                Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(b"\x81\x82\x00\x00\x00\x00hi").await.unwrap();
    let mut seen = Vec::new();
    while !seen.ends_with(b"\r\n\r\n\x81\x02hi") {
        assert_ne!(stream.read_buf(&mut seen).await.unwrap(), 0, "{}", String::from_utf8_lossy(&seen));
    }
    let head = String::from_utf8_lossy(&seen).to_lowercase();
    assert!(head.starts_with("http/1.1 101"), "{head}");
    assert!(head.contains("sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo="), "{head}");
}

#[tokio::test]
async fn events_come_one_by_one() {
    let (legacy, _new, _switch) = both().await;
    let client = Client::builder(TokioExecutor::new()).build_http();
    let uri = format!("http://{}/events", legacy.address());
    let request = Request::builder().uri(uri).body(Full::<Bytes>::default()).unwrap();
    let mut response = client.request(request).await.unwrap();
    assert_eq!(response.headers()[CONTENT_TYPE], "text/event-stream");
    let frame = response.body_mut().frame().await.unwrap().unwrap().into_data().unwrap();
    assert_eq!(frame, "id: 1\ndata: {\"count\":1,\"served_by\":\"legacy\"}\n\n");
}
