//! Ports behind which nobody serves, each in its own way.
//!
//! Not here: a host that drops packets, which takes rights that a test does not have.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};

/// A connection over loopback that takes longer than this is not being taken.
const FULL_AFTER: Duration = Duration::from_millis(200);

/// A port that answers nothing: connections are made by the kernel and never served.
#[derive(Debug)]
pub struct BlackHole {
    pub address: SocketAddr,
    _listener: std::net::TcpListener,
}

impl BlackHole {
    #[expect(clippy::new_without_default, reason = "it opens a port, which a default value should not")]
    pub fn new() -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        Self { address: listener.local_addr().expect("an address"), _listener: listener }
    }
}

/// A port that does not even take connections: its queue of them is full.
#[derive(Debug)]
pub struct FullBacklog {
    pub address: SocketAddr,
    _listener: TcpListener,
    _waiting: Vec<TcpStream>,
}

impl FullBacklog {
    pub async fn start() -> Self {
        let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
        socket.bind(([127, 0, 0, 1], 0).into()).expect("a free port");
        let listener = socket.listen(1).expect("it listens");
        let address = listener.local_addr().expect("an address");
        let mut waiting = Vec::new();
        // The kernel holds one or two more than it was told to.
        while let Ok(stream) = tokio::time::timeout(FULL_AFTER, TcpStream::connect(address)).await {
            waiting.push(stream.expect("nothing refuses a connection here"));
        }
        Self { address, _listener: listener, _waiting: waiting }
    }
}

/// A port on which nothing listens, so that connections are refused.
pub fn refused_address() -> SocketAddr {
    BlackHole::new().address
}
