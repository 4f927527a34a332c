//! What is wrong in a file is told apart from a server that is away, names the setting and holds no
//! password.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::servers::{Certificates, Cluster, Sentinels, Server, free_port};
use super::*;

/// Whether a router should not start with such an address, unless it knows the state from before.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Is {
    Refused,
    Away,
}

async fn check(address: &str, expected: Is, words: &str) {
    check_with(address, None, expected, words).await;
}

async fn check_with(address: &str, authorities: Option<Authorities>, expected: Is, words: &str) {
    let address = Address::parse(address).unwrap();
    let store = Redis::open(RedisOptions { address: address.clone(), authorities }, "e");
    let error = store.load().await.unwrap_err();
    let is = match error {
        StoreError::Refused(_) => Is::Refused,
        StoreError::Unavailable(_) | StoreError::Unanswered(_) => Is::Away,
        StoreError::Conflict { .. } | StoreError::Corrupt(_) => panic!("{address}: {error}"),
    };
    let text = error.to_string();
    assert_eq!(is, expected, "{address}: {text}");
    assert!(text.contains(words) && text.contains("store.redis"), "{address}: {text}");
    assert!(!format!("{text} {error:?} {store:?}").contains("s3cret"), "{address}: {text}");
}

/// Answers whatever is said with the same bytes.
async fn speaking(bytes: &'static [u8]) -> (u16, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let task = tokio::spawn(async move {
        let mut open = tokio::task::JoinSet::new();
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            open.spawn(async move {
                let mut received = [0; 1024];
                while stream.read(&mut received).await.is_ok_and(|count| count > 0) {
                    let _ = stream.write_all(bytes).await;
                }
            });
        }
    });
    (port, task)
}

#[tokio::test]
async fn a_wrong_user_or_password_is_told_and_not_shown() {
    let users = ["--requirepass", "s3cret-right", "--user", "ann", "on", ">s3cret-anns", "~x", "+@all"];
    let Some(server) = Server::start(&users).await else { return };
    let port = server.port;
    let refused = "refuses the user or the password of `store.redis`";
    check(&format!("redis://:s3cret-wrong@127.0.0.1:{port}"), Is::Refused, refused).await;
    check(&format!("redis://nobody:s3cret-wrong@127.0.0.1:{port}"), Is::Refused, refused).await;
    check(&format!("redis://127.0.0.1:{port}"), Is::Refused, refused).await;
    check(&format!("redis://ann:s3cret-anns@127.0.0.1:{port}"), Is::Refused, "grant it as README.md says").await;
    open(&format!("redis://:s3cret-right@127.0.0.1:{port}")).load().await.unwrap();
}

#[tokio::test]
async fn a_server_that_asks_for_no_password_is_told_so() {
    let Some(server) = Server::start(&[]).await else { return };
    let address = format!("redis://:s3cret@127.0.0.1:{}", server.port);
    check(&address, Is::Refused, "without any password configured").await;
}

#[tokio::test]
async fn a_database_that_is_not_there_is_told_so() {
    let Some(server) = Server::start(&[]).await else { return };
    check(&format!("{}/16", server.address()), Is::Refused, "has no database 16").await;
}

#[tokio::test]
async fn what_is_not_redis_is_told_so() {
    for bytes in [
        &b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n"[..],
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"\x00\x01\x02garbage",
    ] {
        let (port, task) = speaking(bytes).await;
        check(&format!("redis://:s3cret@127.0.0.1:{port}"), Is::Refused, "is not Redis").await;
        task.abort();
    }
}

#[tokio::test]
async fn nobody_there_is_away_and_no_reason_not_to_start() {
    let port = free_port();
    check(&format!("redis://127.0.0.1:{port}"), Is::Away, &port.to_string()).await;
    check(&format!("redis+sentinel://127.0.0.1:{port}/main"), Is::Away, &port.to_string()).await;
    check(&format!("redis+cluster://127.0.0.1:{port}"), Is::Away, &port.to_string()).await;
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    check(&format!("redis://{}", silent.local_addr().unwrap()), Is::Away, "in time").await;
}

#[tokio::test]
async fn a_server_that_cannot_serve_now_is_away_and_says_why() {
    for (bytes, words) in [
        (&b"-LOADING Redis is loading the dataset in memory\r\n"[..], "is still loading its data"),
        (b"-BUSY Redis is busy running a script\r\n", "busy with somebody's script"),
        (b"-CLUSTERDOWN The cluster is down\r\n", "see CLUSTER INFO"),
        (b"-MISCONF Redis is configured to save RDB snapshots\r\n", "its log and its disk"),
        (b"-OOM command not allowed when used memory > 'maxmemory'\r\n", "raise its maxmemory"),
        (b"-ERR max number of clients reached\r\n", "max number of clients"),
    ] {
        let (port, task) = speaking(bytes).await;
        check(&format!("redis://127.0.0.1:{port}"), Is::Away, words).await;
        task.abort();
    }
}

/// Without a name server nobody can tell whether a name is wrong, so both answers are right.
#[tokio::test]
async fn a_name_without_an_address_is_told_so() {
    let error = open("redis://crossfade.invalid").load().await.unwrap_err().to_string();
    assert!(error.contains("crossfade.invalid:6379") && error.contains("store.redis"), "{error}");
    assert!(error.contains("has no address") || error.contains("cannot be resolved"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tls_where_none_is_spoken_and_the_reverse_are_told_apart() {
    let Some(plain) = Server::start(&[]).await else { return };
    for kind in ["rediss", "rediss+cluster"] {
        check(&format!("{kind}://127.0.0.1:{}", plain.port), Is::Refused, "does not speak TLS").await;
    }

    let Some(certificates) = Certificates::make().await else { return };
    let arguments = certificates.arguments();
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    let Some(server) = Server::start(&arguments).await else { return };
    check(&format!("redis://127.0.0.1:{}", server.port), Is::Refused, "speaks TLS only").await;
    check(&format!("rediss://127.0.0.1:{}", server.port), Is::Refused, "`store.ca_file`").await;
    let authorities = Authorities::from_pem(std::fs::read(certificates.path("ca.crt")).unwrap()).unwrap();
    let other = format!("rediss://127.0.0.2:{}", server.port);
    let door = TcpListener::bind(("127.0.0.2", server.port)).await.unwrap();
    let to = server.port;
    let relay = tokio::spawn(async move {
        loop {
            let (mut near, _) = door.accept().await.unwrap();
            let mut far = tokio::net::TcpStream::connect(("127.0.0.1", to)).await.unwrap();
            let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
        }
    });
    check_with(&other, Some(authorities), Is::Refused, "is of another name").await;
    relay.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_kind_of_server_than_the_address_says_is_told() {
    let Some(single) = Server::start(&[]).await else { return };
    let place = format!("127.0.0.1:{}", single.port);
    check(&format!("redis+cluster://{place}"), Is::Refused, "is not part of a Cluster").await;
    check(&format!("redis+sentinel://{place}/main"), Is::Refused, "is Redis and not its Sentinel").await;

    let Some(cluster) = Cluster::start().await else { return };
    for server in &cluster.servers {
        check(&server.address(), Is::Refused, "redis+cluster://").await;
    }
    let Some(all) = Sentinels::start().await else { return };
    check(&all.sentinels[0].address(), Is::Refused, "redis+sentinel://").await;
    let unknown = all.address().replace("/main", "/other");
    check(&unknown, Is::Refused, "know no service \"other\"").await;
}
