//! Who is given an upstream's connection after whom.

use std::collections::BTreeSet;

use harness::backend::response;
use harness::http::Head;
use harness::{Step, wait_for, wait_until};

use crate::world::{World, patient};

/// What a server that knows users by their connection answers: it asks, it challenges, it accepts.
fn ntlm(_: &str, head: &Head) -> Vec<u8> {
    let no = |challenge: &str| format!("HTTP/1.1 401 No\r\nWWW-Authenticate: {challenge}\r\nContent-Length: 0\r\n\r\n");
    match head.value("authorization").as_deref() {
        Some("NTLM one") => no("NTLM two").into_bytes(),
        Some("NTLM three" | "Negotiate ticket") => response("200 OK", "signed in"),
        _ if head.target() == "/ask" => no("Basic realm=\"a\", NTLM").into_bytes(),
        _ => response("200 OK", "whoever this is"),
    }
}

/// RFC 4559 section 6.
#[tokio::test]
async fn a_connection_on_which_a_user_signed_in_serves_nobody_else() {
    let world = World::with(|setup| setup.with_workers(1)).await;
    world.legacy.on_all(Some(vec![Step::ReadBody, Step::Answer(ntlm)]));
    let mut kept = Vec::new();
    for steps in [&["/ask", "NTLM one", "NTLM three"][..], &["Negotiate ticket"]] {
        world.legacy.forget();
        let mut alice = world.router.connect().await;
        for step in steps {
            let credentials = if *step == "/ask" { String::new() } else { format!("Authorization: {step}\r\n") };
            alice.get_with(if *step == "/ask" { step } else { "/in" }, &credentials).await;
        }
        assert_eq!(alice.get("/mail").await.text(), "whoever this is", "{steps:?}");
        let mut mallory = world.router.connect().await;
        mallory.get("/mallory").await;
        alice.get("/again").await;
        let seen: Vec<_> = world.legacy.seen().iter().map(|seen| (seen.head.target(), seen.connection)).collect();
        let (mallorys, alices): (Vec<_>, Vec<_>) = seen.iter().partition(|(target, _)| target == "/mallory");
        assert!(alices.iter().all(|(_, connection)| *connection == alices[0].1), "{seen:?}");
        assert_ne!(mallorys[0].1, alices[0].1, "{seen:?}");
        kept.push(alice);
    }
    kept.clear();
    wait_until("what was signed in ends with its caller, and the other is kept", || world.legacy.open() == 1).await;
}

/// Row 36: nobody knows how much of an upload is read behind an answer that began before it.
#[tokio::test]
async fn a_connection_with_an_early_answer_serves_nobody_else() {
    let world = World::with(|setup| setup.with_workers(1)).await;
    let begun = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nearly\r\n";
    world.legacy.on("/up", [Step::send(begun), Step::ReadBody, Step::send("0\r\n\r\n")]);
    let mut client = world.router.connect().await;
    client.send("POST /up HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\n").await;
    client.until(b"early").await;
    client.send("late").await;
    client.until(b"\r\n0\r\n\r\n").await;
    assert!(client.closes().await);
    let first = world.legacy.only("/up").await;
    assert_eq!(first.text(), "late");
    world.get("/account").await;
    assert_ne!(world.legacy.only("/account").await.connection, first.connection);
}

/// A copy is read by servers that leave a body unread, too.
#[tokio::test]
async fn a_copy_with_an_unusual_body_leaves_no_connection_behind() {
    let world = World::with(|setup| {
        setup.with_migration(&format!("key: [header:x-user-id]\nparallel: {{{}}}", patient("methods: [GET]")))
    })
    .await;
    world.router.mode("parallel").await;
    let mut client = world.router.connect().await;
    for number in 1..4 {
        client.send("GET /a HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody").await;
        assert_eq!(client.answer().await.text(), "legacy");
        wait_until("it was copied", || world.new.seen_at("/a").iter().filter(|seen| seen.whole).count() == number)
            .await;
        let compared = || world.router.metric("crossfade_mirrors_finished_total", "side=\"new\",result=\"answered\"");
        wait_for("it was answered", || async { (compared().await >= Some(number as f64)).then_some(()) }).await;
    }
    let connections: BTreeSet<_> = world.new.seen_at("/a").iter().map(|seen| seen.connection).collect();
    assert_eq!(connections.len(), 3, "one for each");
}
