//! Tunnels: how their directions end, and how they follow a flip, a rollback and a new file.

use harness::{Client, Setup, Step, wait_for, wait_until};

use crate::world::World;

/// The answer to a request for a WebSocket.
const SWITCH: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n";

/// A request for a WebSocket by a user.
fn upgrade(path: &str, user: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: a\r\n{user}Upgrade: websocket\r\nConnection: upgrade\r\n\r\n")
}

/// A tunnel to a backend that sends everything back.
async fn tunnel(world: &World, path: &str, user: &str) -> Client {
    let mut client = world.router.connect().await;
    let user = if user.is_empty() { String::new() } else { format!("X-User-Id: {user}\r\n") };
    client.send(upgrade(path, &user)).await;
    assert_eq!(client.head().await.unwrap().status(), 101);
    echoes(&mut client).await;
    client
}

async fn echoes(client: &mut Client) {
    client.send("still there?").await;
    client.until(b"still there?").await;
}

/// A world whose backends echo what comes by a tunnel, and in which `/plain` leads to legacy whatever the mode.
async fn echoing(lines: &str) -> World {
    let routes = "- {migration: shop, path: /**}\n- {upstream: old, path: /plain}";
    let world = World::with(|setup| setup.with_top(lines).with_routes(routes)).await;
    for backend in [&world.legacy, &world.new] {
        for path in ["/ws", "/plain"] {
            backend.on(path, [Step::send(SWITCH), Step::Echo]);
        }
    }
    world
}

async fn closed(world: &World, reason: &str) -> Option<f64> {
    world.router.metric("crossfade_tunnels_closed_total", &format!("reason=\"{reason}\"")).await
}

/// More than sockets and router hold, so that the end of a direction has to wait behind it.
const MUCH: u64 = 16 << 20;

#[tokio::test]
async fn each_direction_of_a_tunnel_ends_by_itself_and_loses_nothing() {
    let world = World::start().await;
    let piece = vec![b'u'; usize::try_from(MUCH).unwrap()];

    // The caller ends first, with bytes on the way in both directions.
    world.legacy.on("/ws", [Step::send(SWITCH), Step::AwaitEnd, Step::SendFiller(MUCH), Step::Close]);
    let mut client = world.router.connect().await;
    client.send(upgrade("/ws", "")).await;
    assert_eq!(client.head().await.unwrap().status(), 101);
    client.send(&piece).await;
    client.shut_down_writing().await;
    assert!(client.discard(MUCH).await, "what the upstream sends behind the caller's end arrives");
    assert!(client.closes().await);
    assert_eq!(world.legacy.only("/ws").await.body_bytes, MUCH, "what the caller sent before its end arrives");
    wait_until("the upstream's connection is closed", || world.legacy.open() == 0).await;

    // The upstream ends first.
    world.legacy.forget();
    world.legacy.on("/ws", [Step::send(SWITCH), Step::SendFiller(MUCH), Step::ShutDown, Step::AwaitEnd, Step::Close]);
    let mut client = world.router.connect().await;
    client.send(upgrade("/ws", "")).await;
    assert_eq!(client.head().await.unwrap().status(), 101);
    assert!(client.discard(MUCH).await && client.closes().await, "the end comes behind the last byte");
    client.send(&piece).await;
    client.shut_down_writing().await;
    wait_until("everything arrives behind the upstream's end", || {
        world.legacy.seen_at("/ws").first().is_some_and(|seen| seen.closed && seen.body_bytes == MUCH)
    })
    .await;
    wait_until("the upstream's connection is closed", || world.legacy.open() == 0).await;
}

#[tokio::test]
async fn tunnels_whose_key_has_moved_close_after_a_while_and_no_others() {
    let world = echoing("timeouts: {tunnel_flip: 4s}").await;
    world.router.pin("pinned", "legacy").await;
    let (mut plain, mut pinned) = (tunnel(&world, "/plain", "u").await, tunnel(&world, "/ws", "pinned").await);
    let mut moved = Vec::new();
    for user in 0..8 {
        moved.push(tunnel(&world, "/ws", &user.to_string()).await);
    }
    assert_eq!(world.legacy.open(), 10);
    world.router.mode("new_only").await;
    assert_eq!(world.side_of("0").await, "new", "a new request goes there at once");
    for client in &mut moved {
        echoes(client).await;
    }
    for client in &mut moved {
        assert!(client.closes().await);
    }
    wait_until("their upstream is let go", || world.legacy.open() == 2).await;
    assert_eq!(closed(&world, "moved").await, Some(8.0));
    echoes(&mut plain).await;
    echoes(&mut pinned).await;
}

/// Opens a tunnel, moves its key, and waits until it has closed for that: half a second at least.
async fn witness(world: &World, user: &str) {
    let mut client = tunnel(world, "/ws", user).await;
    world.router.pin(user, "new").await;
    assert!(client.closes().await);
}

#[tokio::test]
async fn a_flip_back_before_the_deadline_keeps_a_tunnel() {
    let migration = "key: [header:x-user-id]\non_missing_key: random\ninitial: {mode: gradual, percent: 0}";
    let routes = "- {migration: shop, path: /**}";
    let world = World::with(|setup| {
        setup.with_top("timeouts: {tunnel_flip: 1s}").with_routes(routes).with_migration(migration)
    })
    .await;
    world.legacy.on("/ws", [Step::send(SWITCH), Step::Echo]);
    world.new.on("/ws", [Step::send(SWITCH), Step::Echo]);
    let mut back = tunnel(&world, "/ws", "back").await;
    world.router.pin("back", "new").await;
    world.router.unpin("back").await;
    // Without a key a die was cast, and stays cast while the percentage does.
    world.router.rollout(50.0).await;
    for user in ["back", "a", "b", "c"] {
        world.router.pin(user, "legacy").await;
    }
    let mut without_key = Vec::new();
    for _ in 0..8 {
        without_key.push(tunnel(&world, "/ws", "").await);
    }
    for user in ["a", "b", "c"] {
        witness(&world, user).await;
    }
    echoes(&mut back).await;
    for client in &mut without_key {
        echoes(client).await;
    }
    assert_eq!(closed(&world, "moved").await, Some(3.0));
}

#[tokio::test]
async fn a_rollback_takes_tunnels_off_new_within_the_time_of_a_drain() {
    let world = echoing("timeouts: {tunnel_flip: 1h}").await;
    let routes = "- {migration: shop, path: /**}\n- {upstream: old, path: /plain}";
    let setup = Setup::new(world.legacy.address, world.new.address).with_top("timeouts: {tunnel_flip: 1h}");
    let file = setup.with_routes(routes).file(world.router.directory()).replace("timeout: 20s", "timeout: 1s");
    world.router.mode("new_only").await;
    let mut plain = tunnel(&world, "/plain", "u").await;
    let mut tunnels = Vec::new();
    for user in 0..8 {
        tunnels.push(tunnel(&world, "/ws", &user.to_string()).await);
    }
    world.router.reload(&file).await;
    world.router.wait_until_printed("generation=2").await;
    for client in &mut tunnels {
        echoes(client).await;
    }
    assert_eq!(world.new.open(), 8, "a new file moves nothing");
    world.router.roll_back().await;
    for client in &mut tunnels {
        assert!(client.closes().await);
    }
    wait_until("new is let go", || world.new.open() == 0).await;
    echoes(&mut plain).await;
}

#[tokio::test]
async fn tunnels_take_no_place_of_a_request() {
    let world = World::with(|setup| setup.with_upstreams("in_flight: 1, queue: 1, queue_timeout: 100ms")).await;
    world.legacy.on("/ws", [Step::send(SWITCH), Step::Echo]);
    let mut tunnels = Vec::new();
    for _ in 0..5 {
        tunnels.push(tunnel(&world, "/ws", "u").await);
        assert_eq!(world.get("/").await.text(), "legacy");
    }
    // The last request may still be on its way out of the count.
    let load = || async { world.router.metric("crossfade_upstream_in_flight", "upstream=\"old\"").await };
    let is_theirs = || async { (load().await == Some(5.0)).then_some(()) };
    wait_for("they are load, which the balance of endpoints looks at", is_theirs).await;
}

#[tokio::test]
async fn a_tunnel_keeps_no_idle_connection_of_an_old_file() {
    let upstreams = "idle_timeout: 1h";
    let world = World::with(|setup| setup.with_upstreams(upstreams)).await;
    world.legacy.on("/ws", [Step::send(SWITCH), Step::Echo]);
    let mut open = tunnel(&world, "/ws", "u").await;
    for _ in 0..8 {
        assert_eq!(world.get("/").await.text(), "legacy");
    }
    assert!(world.legacy.open() > 1);
    let setup = Setup::new(world.legacy.address, world.new.address).with_upstreams(upstreams);
    world.router.reload(&setup.file(world.router.directory())).await;
    wait_until("only the tunnel is left", || world.legacy.open() == 1).await;
    echoes(&mut open).await;
}
