//! Rules from other people's vulnerabilities that are no row of the table.

use harness::Backend;

use super::{OURS, canonical, forward, local_answer};
use crate::world::World;

/// Whatever a request names as its host, only the file says where it goes (Apache CVE-2021-40438).
#[tokio::test]
async fn no_address_in_a_request_is_ever_connected_to() {
    let (world, elsewhere) = (World::start().await, Backend::start("elsewhere").await);
    let there = elsewhere.address;
    let mut client = world.router.connect().await;
    for request in [
        format!("GET / HTTP/1.1\r\nHost: {there}\r\n\r\n"),
        format!("GET http://{there}/ HTTP/1.1\r\nHost: {there}\r\n\r\n"),
        format!("GET https://{there}/ HTTP/1.1\r\nHost: {there}\r\n\r\n"),
        format!("GET /http://{there}/ HTTP/1.1\r\nHost: a\r\n\r\n"),
        format!("GET //{there}/ HTTP/1.1\r\nHost: a\r\n\r\n"),
        format!("GET /?unix:/x|http://{there}/ HTTP/1.1\r\nHost: a\r\n\r\n"),
        format!(
            "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-Host: {there}\r\nX-Host: {there}\r\nForwarded: host={there}\r\n\r\n"
        ),
        format!(
            "GET / HTTP/1.1\r\nHost: a\r\nCrossfade-Side: new\r\nCrossfade-Upstream: {there}\r\nX-Original-URL: http://{there}/\r\n\r\n"
        ),
    ] {
        client.send(&request).await;
        assert_eq!(client.answer().await.text(), "legacy", "{request:?}");
    }
    assert_eq!((elsewhere.accepted(), world.new.accepted()), (0, 0));
}

/// The data side knows nothing of the admin side (Kong CVE-2020-11710).
#[tokio::test]
async fn the_data_side_serves_nothing_of_the_admin_side() {
    let world = World::start().await;
    let mut client = world.router.connect().await;
    for path in [
        "/",
        "/livez",
        "/readyz",
        "/metrics",
        "/api/v1/migrations",
        "/api/v1/migrations/shop/rollback",
        "/migration/dashboard",
        "/ofrep/v1/evaluate/flags",
    ] {
        for method in ["GET", "POST"] {
            let request = format!(
                "{method} {path} HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer admin-secret\r\n\r\n",
                world.router.admin
            );
            forward(&world, &mut client, &request, &request).await;
        }
    }
    assert_eq!(world.router.migration().await["mode"], "legacy_only");
}

/// What is ours alone cannot be set from outside, by whoever is believed or not (Envoy CVE-2024-45806).
#[tokio::test]
async fn the_fields_of_this_hop_cannot_be_set_from_outside() {
    for top in ["", "trusted_proxies: [127.0.0.0/8]"] {
        let world = World::with(|setup| setup.with_top(top)).await;
        let names = [
            "Crossfade-Migration",
            "CROSSFADE-SIDE",
            "crossfade-revision",
            "Crossfade-Mirror",
            "Crossfade-Error",
            "Crossfade-Anything",
        ];
        let spoofed: String = names.iter().map(|name| format!("{name}: spoofed\r\n")).collect();
        let mut client = world.router.connect().await;
        client.send(format!("GET / HTTP/1.1\r\nHost: a\r\n{spoofed}\r\n")).await;
        assert_eq!(client.answer().await.text(), "legacy");
        let bytes = world.legacy.bytes();
        assert_eq!(canonical(&bytes, top), "GET / HTTP/1.1\r\nHost: a\r\n\r\n", "{top}");
        assert!(!String::from_utf8_lossy(&bytes).contains("spoofed") && OURS.len() == 9, "{top}");
    }
}

/// A request that is refused takes nothing of the one before it along, and nothing behind it is read as a request.
#[tokio::test]
async fn behind_a_refusal_in_a_pipeline_nothing_is_read() {
    let world = World::start().await;
    let good = "POST /good HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc";
    let behind = "GET /behind HTTP/1.1\r\nHost: a\r\n\r\n";
    for (bad, expected) in [
        ("GET / HTTP/1.1\r\n\r\n", (400, "host_missing")),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            (400, "length_and_encoding"),
        ),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0x5\r\n\r\n", (400, "length_invalid")),
        ("abcGET /smuggled HTTP/1.1\r\n\r\n", (400, "host_missing")),
        ("\r\n\r\n", (400, "bad_request_line")),
        ("TRACE / HTTP/1.1\r\nHost: a\r\n\r\n", (405, "method_not_allowed")),
    ] {
        world.legacy.forget();
        let mut client = world.router.connect().await;
        client.send(format!("{good}{bad}{behind}")).await;
        let answer = client.answer().await;
        assert_eq!((answer.text().as_str(), answer.value("connection")), ("legacy", None), "{bad:?}: {answer:?}");
        local_answer(&mut client, "GET", expected, bad).await;
        assert!(client.closes_cleanly().await, "{bad:?}");
        let sent = canonical(&world.legacy.bytes(), bad);
        assert_eq!((sent.as_str(), world.legacy.count()), (good, 1), "{bad:?}");
    }
}
