//! A client that sends exactly the bytes it is given.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::http::{Answer, BodyReader, Framing, Head};
use crate::within;

/// One connection to the router. Every wait has the deadline of the harness.
#[derive(Debug)]
pub struct Client {
    /// What requests that this client writes itself say in their Host field.
    pub host: String,
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Client {
    pub async fn connect(address: SocketAddr) -> Self {
        match Self::try_connect(address).await {
            Ok(client) => client,
            Err(error) => panic!("{address} does not take a connection: {error}"),
        }
    }

    /// A connection, or why none was made.
    pub async fn try_connect(address: SocketAddr) -> std::io::Result<Self> {
        let stream = within("a connection is made", TcpStream::connect(address)).await?;
        let _ = stream.set_nodelay(true);
        Ok(Self { host: "shop.test".into(), stream, buffer: Vec::new() })
    }

    pub fn local_address(&self) -> SocketAddr {
        self.stream.local_addr().expect("a connected socket has an address")
    }

    /// Sends bytes; a peer that has closed meanwhile shows when its answer is read.
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let _ = within("bytes are sent", self.stream.write_all(bytes.as_ref())).await;
    }

    /// Sends bytes and says whether the peer still took them.
    pub async fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        within("bytes are sent", self.stream.write_all(bytes.as_ref())).await.is_ok()
    }

    /// Sends these bytes one by one, each followed by a pause.
    pub async fn drip(&mut self, bytes: &[u8], pause: Duration) {
        for byte in bytes {
            self.send([*byte]).await;
            tokio::time::sleep(pause).await;
        }
    }

    /// [`Self::discard`] in pieces, each followed by a pause.
    pub async fn discard_slowly(&mut self, bytes: u64, piece: u64, pause: Duration) -> bool {
        let mut left = bytes;
        while left > 0 && self.discard(piece.min(left)).await {
            left -= piece.min(left);
            tokio::time::sleep(pause).await;
        }
        left == 0
    }

    /// Sends these bytes over and over, at most so many times, until something comes back.
    pub async fn send_until_answered(&mut self, bytes: &[u8], times: u64) {
        let (reading, mut writing) = self.stream.split();
        let sending = async {
            for _ in 0..times {
                if writing.write_all(bytes).await.is_err() {
                    break;
                }
            }
        };
        let answered = async {
            tokio::select! {
                _ = reading.readable() => {}
                () = sending => {}
            }
        };
        within("the peer takes everything or answers", answered).await;
    }

    /// Sends these bytes over and over until the peer takes no more of them because it has closed.
    pub async fn send_until_refused(&mut self, bytes: &[u8]) {
        while self.try_send(bytes).await {}
    }

    /// Ends our direction of the connection.
    pub async fn shut_down_writing(&mut self) {
        let _ = within("the connection is half closed", self.stream.shutdown()).await;
    }

    /// Sends a bodyless GET and reads its answer.
    pub async fn get(&mut self, path: &str) -> Answer {
        self.request("GET", path, "", "").await
    }

    /// Sends a GET with further header lines, each ending in CRLF.
    pub async fn get_with(&mut self, path: &str, lines: &str) -> Answer {
        self.request("GET", path, lines, "").await
    }

    /// Sends a request with header lines (each ending in CRLF) and a body, and reads its answer.
    pub async fn request(&mut self, method: &str, path: &str, lines: &str, body: &str) -> Answer {
        let length = if body.is_empty() { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
        let host = &self.host;
        let request = format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\n{lines}{length}\r\n{body}");
        self.send(request).await;
        self.answer_to(method).await
    }

    /// Reads one response to anything but a HEAD.
    pub async fn answer(&mut self) -> Answer {
        self.answer_to("GET").await
    }

    /// Reads one response, with the interim ones before it.
    ///
    /// # Panics
    ///
    /// When the connection ends before a head.
    pub async fn answer_to(&mut self, method: &str) -> Answer {
        let answer = self.answer_or_end(method).await;
        answer.unwrap_or_else(|| {
            let rest = String::from_utf8_lossy(&self.buffer);
            panic!("the connection closed without an answer; there came {rest:?}")
        })
    }

    /// Reads one response; none when the connection ends before its head.
    pub async fn answer_or_end(&mut self, method: &str) -> Option<Answer> {
        let mut interim = Vec::new();
        let head = loop {
            let head = self.head().await?;
            if head.status() >= 200 || head.status() == 101 {
                break head;
            }
            interim.push(head);
        };
        let mut reader = BodyReader::new(Framing::of_response(&head, method));
        let (mut body, mut whole) = (Vec::new(), true);
        loop {
            reader.feed(&mut self.buffer, &mut |bytes| body.extend_from_slice(bytes));
            if reader.is_done() {
                break;
            }
            if !self.fill().await {
                whole = reader.ends_with_close();
                break;
            }
        }
        Some(Answer { head, body, trailers: reader.trailers, interim, whole })
    }

    /// Reads a head; none when the connection ends first.
    pub async fn head(&mut self) -> Option<Head> {
        loop {
            if let Some(head) = Head::take(&mut self.buffer) {
                return Some(head);
            }
            if !self.fill().await {
                return None;
            }
        }
    }

    /// Looks at the next head without taking it; none when the connection ends first.
    pub async fn peek_head(&mut self) -> Option<Head> {
        loop {
            if let Some(head) = Head::take(&mut self.buffer.clone()) {
                return Some(head);
            }
            if !self.fill().await {
                return None;
            }
        }
    }

    /// Reads until these bytes have come, and gives everything up to and with them.
    ///
    /// # Panics
    ///
    /// When the connection ends first.
    pub async fn until(&mut self, marker: &[u8]) -> Vec<u8> {
        match self.until_or_end(marker).await {
            Some(bytes) => bytes,
            None => panic!("the connection ended; there came {:?}", String::from_utf8_lossy(&self.buffer)),
        }
    }

    /// The same; none when the connection ends first.
    pub async fn until_or_end(&mut self, marker: &[u8]) -> Option<Vec<u8>> {
        loop {
            if let Some(at) = self.buffer.windows(marker.len()).position(|window| window == marker) {
                return Some(self.buffer.drain(..at + marker.len()).collect());
            }
            if !self.fill().await {
                return None;
            }
        }
    }

    /// Reads and drops the rest of a body of this length; says whether it all came.
    pub async fn discard(&mut self, bytes: u64) -> bool {
        let mut left = bytes;
        loop {
            let n = usize::try_from(left).unwrap_or(usize::MAX).min(self.buffer.len());
            self.buffer.drain(..n);
            left -= n as u64;
            if left == 0 {
                return true;
            }
            if !self.fill().await {
                return false;
            }
        }
    }

    /// Reads to the end of the connection and gives what came.
    pub async fn rest(&mut self) -> Vec<u8> {
        while self.fill().await {}
        std::mem::take(&mut self.buffer)
    }

    /// Whether the peer closes without sending anything more.
    pub async fn closes(&mut self) -> bool {
        self.rest().await.is_empty()
    }

    /// Reads and drops everything; whether the end of it was a close and not a reset.
    pub async fn ends_cleanly(&mut self) -> bool {
        let mut piece = vec![0; 64 * 1024];
        loop {
            match within("the peer closes", self.stream.read(&mut piece)).await {
                Ok(0) => return true,
                Ok(_) => {}
                Err(_) => return false,
            }
        }
    }

    /// Whether the peer closes without sending anything more, and without a reset.
    pub async fn closes_cleanly(&mut self) -> bool {
        let mut piece = [0; 1];
        self.buffer.is_empty() && matches!(within("the peer closes", self.stream.read(&mut piece)).await, Ok(0))
    }

    /// Reads more; false at the end of the stream, clean or not.
    async fn fill(&mut self) -> bool {
        let mut piece = vec![0; 64 * 1024];
        let n = within("the peer answers or closes", self.stream.read(&mut piece)).await.unwrap_or(0);
        self.buffer.extend_from_slice(&piece[..n]);
        n > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::{Backend, Step, answers, response};
    use crate::wait_until;

    #[tokio::test]
    async fn a_backend_and_a_client_understand_each_other() {
        let backend = Backend::start("legacy").await;
        let mut client = Client::connect(backend.address).await;
        let answer = client.request("POST", "/a", "X-A: 1\r\n", "body").await;
        assert_eq!((answer.status(), answer.text().as_str(), answer.whole), (200, "legacy", true));
        let seen = backend.only("/a").await;
        assert_eq!((seen.text().as_str(), seen.head.value("x-a").as_deref()), ("body", Some("1")));

        backend.on("/cut", answers("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort"));
        backend.on("/gone", [Step::Reset]);
        backend.once("/once", answers(response("418 Once", "")));
        assert_eq!((client.get("/once").await.status(), client.get("/once").await.status()), (418, 200));
        client.send("GET /gone HTTP/1.1\r\n\r\n").await;
        assert!(client.closes().await);
        wait_until("it is counted as closed", || backend.open() == 0).await;
        backend
            .on("/cut", [Step::ReadBody, Step::send("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort"), Step::Close]);
        assert!(!Client::connect(backend.address).await.get("/cut").await.whole);
    }

    #[tokio::test]
    async fn a_stopped_backend_refuses_and_comes_back() {
        let mut backend = Backend::start("legacy").await;
        let address = backend.address;
        assert_eq!(Client::connect(address).await.get("/").await.status(), 200);
        backend.stop().await;
        crate::wait_for("connections are refused", || async {
            TcpStream::connect(address).await.is_err().then_some(())
        })
        .await;
        backend.restart().await;
        assert_eq!(Client::connect(address).await.get("/").await.status(), 200);
    }
}
