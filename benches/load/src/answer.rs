//! One answer of HTTP/1.1 as far as a load must understand it: its status, its length, and whether its connection stays.

const HEAD_BYTES_MAX: usize = 64 * 1024;

pub struct Answer {
    pub status: u16,
    /// Where the body begins; it ends where what was received does.
    pub body: usize,
    pub keep: bool,
}

pub enum Received {
    More,
    Whole(Answer),
    Broken(String),
}

/// Judges what has arrived of one answer.
pub fn judge(received: &[u8]) -> Received {
    let Some(head) = received.windows(4).position(|four| four == b"\r\n\r\n") else {
        return if received.len() > HEAD_BYTES_MAX {
            Received::Broken("an endless head".into())
        } else {
            Received::More
        };
    };
    let text = String::from_utf8_lossy(&received[..head]);
    let mut lines = text.split("\r\n");
    let Some(status) = lines.next().unwrap_or_default().split(' ').nth(1).and_then(|code| code.parse().ok()) else {
        return Received::Broken(format!("no status: {text}"));
    };
    let (mut length, mut keep) = (None, true);
    for (name, value) in lines.filter_map(|line| line.split_once(':')) {
        if name.eq_ignore_ascii_case("content-length") {
            length = value.trim().parse::<usize>().ok();
        } else if name.eq_ignore_ascii_case("connection") {
            keep = !value.trim().eq_ignore_ascii_case("close");
        }
    }
    let body = head + 4;
    match length.map(|length| body + length) {
        None => Received::Broken(format!("no length: {text}")),
        Some(whole) if received.len() < whole => Received::More,
        Some(whole) if received.len() == whole => Received::Whole(Answer { status, body, keep }),
        Some(_) => Received::Broken("more than one answer to one request".into()),
    }
}
