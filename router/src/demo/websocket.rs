//! A WebSocket echo (RFC 6455) by hand: the accept key and the frames of the sample systems.
//!
//! # Why by hand
//!
//! The router only tunnels, so no part of it needs a WebSocket library. The echo is a page of code
//! and keeps one dependency out of the binary.
//!
//! Frames are echoed one by one, so a message in fragments comes back in the same fragments. Not
//! here: extensions, subprotocols, and checks of UTF-8, which an echo does not need.

use std::io;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha1_smol::Sha1;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// RFC 6455 section 1.3.
const GUID: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// The largest frame that is echoed; a larger one ends the connection with code 1009.
pub const FRAME_BYTES_MAX: u64 = 1 << 20;

/// A connection that says nothing for this long is closed.
const IDLE_MAX: Duration = Duration::from_secs(600);

const OPCODE_CLOSE: u8 = 0x8;
const OPCODE_PING: u8 = 0x9;
const OPCODE_PONG: u8 = 0xa;
const PROTOCOL_ERROR: u16 = 1002;
const TOO_LARGE: u16 = 1009;

/// `Sec-WebSocket-Accept` for a client's `Sec-WebSocket-Key`.
pub fn accept_key(key: &[u8]) -> String {
    let mut hash = Sha1::new();
    hash.update(key);
    hash.update(GUID.as_bytes());
    STANDARD.encode(hash.digest().bytes())
}

/// One frame of a client, its payload unmasked.
#[derive(Debug, PartialEq, Eq)]
struct Frame {
    last: bool,
    opcode: u8,
    payload: Vec<u8>,
}

/// Why a client's bytes are no frame that can be echoed: the code to close with.
#[derive(Debug, PartialEq, Eq)]
struct Bad(u16);

/// Echoes every frame until the client closes, errs or falls silent.
pub async fn echo(mut stream: impl AsyncRead + AsyncWrite + Unpin) -> io::Result<()> {
    loop {
        let Ok(read) = tokio::time::timeout(IDLE_MAX, read_frame(&mut stream)).await else {
            return Ok(());
        };
        match read? {
            Err(Bad(code)) => return write_frame(&mut stream, true, OPCODE_CLOSE, &code.to_be_bytes()).await,
            Ok(Frame { opcode: OPCODE_CLOSE, payload, .. }) => {
                return write_frame(&mut stream, true, OPCODE_CLOSE, &payload).await;
            }
            Ok(Frame { opcode: OPCODE_PING, payload, .. }) => {
                write_frame(&mut stream, true, OPCODE_PONG, &payload).await?;
            }
            Ok(Frame { opcode: OPCODE_PONG, .. }) => {}
            Ok(Frame { last, opcode, payload }) => write_frame(&mut stream, last, opcode, &payload).await?,
        }
    }
}

async fn read_frame(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Result<Frame, Bad>> {
    let [first, second] = { [stream.read_u8().await?, stream.read_u8().await?] };
    let (last, opcode) = (first & 0x80 != 0, first & 0x0f);
    let is_control = opcode >= OPCODE_CLOSE;
    let length = match second & 0x7f {
        126 => u64::from(stream.read_u16().await?),
        127 => stream.read_u64().await?,
        short => u64::from(short),
    };
    let masked = second & 0x80 != 0;
    let known = matches!(opcode, 0x0..=0x2 | OPCODE_CLOSE..=OPCODE_PONG);
    if first & 0x70 != 0 || !masked || !known || is_control && (length > 125 || !last) {
        return Ok(Err(Bad(PROTOCOL_ERROR)));
    }
    if length > FRAME_BYTES_MAX {
        return Ok(Err(Bad(TOO_LARGE)));
    }
    let mut mask = [0; 4];
    stream.read_exact(&mut mask).await?;
    let mut payload = vec![0; usize::try_from(length).unwrap_or_default()];
    stream.read_exact(&mut payload).await?;
    for (at, byte) in payload.iter_mut().enumerate() {
        *byte ^= mask[at % 4];
    }
    Ok(Ok(Frame { last, opcode, payload }))
}

/// Writes one frame without a mask, as a server must.
async fn write_frame(stream: &mut (impl AsyncWrite + Unpin), last: bool, opcode: u8, payload: &[u8]) -> io::Result<()> {
    let mut frame = Vec::with_capacity(payload.len() + 10);
    frame.push(u8::from(last) << 7 | opcode);
    match payload.len() {
        short @ 0..=125 => frame.push(short as u8),
        middle @ 126..=0xffff => {
            frame.push(126);
            frame.extend_from_slice(&(middle as u16).to_be_bytes());
        }
        long => {
            frame.push(127);
            frame.extend_from_slice(&(long as u64).to_be_bytes());
        }
    }
    frame.extend_from_slice(payload);
    stream.write_all(&frame).await?;
    stream.flush().await
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A frame as a client writes it.
    fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
        let mask = [0x11, 0x22, 0x33, 0x44];
        let mut frame = vec![first];
        match payload.len() {
            short @ 0..=125 => frame.push(0x80 | short as u8),
            middle @ 126..=0xffff => {
                frame.push(0x80 | 126);
                frame.extend_from_slice(&(middle as u16).to_be_bytes());
            }
            long => {
                frame.push(0x80 | 127);
                frame.extend_from_slice(&(long as u64).to_be_bytes());
            }
        }
        frame.extend_from_slice(&mask);
        frame.extend(payload.iter().enumerate().map(|(at, byte)| byte ^ mask[at % 4]));
        frame
    }

    /// What the echo answers to these bytes, after which the client sends nothing more.
    #[track_caller]
    fn check(sent: &[u8], expected: &[u8]) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let answered = runtime.block_on(async {
            let (mut client, server) = tokio::io::duplex(4 << 20);
            client.write_all(sent).await.unwrap();
            client.shutdown().await.unwrap();
            let _ends_with_the_stream = echo(server).await;
            let mut answered = Vec::new();
            client.read_to_end(&mut answered).await.unwrap();
            answered
        });
        assert_eq!(answered, expected);
    }

    #[test]
    fn the_accept_key_is_that_of_the_standard() {
        assert_eq!(accept_key(b"dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[test]
    fn a_text_comes_back_unmasked() {
        check(&masked(0x81, b"hello"), b"\x81\x05hello");
    }

    #[test]
    fn every_form_of_the_length_comes_back() {
        check(&masked(0x82, &[7; 126]), &[&[0x82, 126, 0, 126][..], &[7; 126]].concat());
        check(&masked(0x82, &[7; 70_000]), &[&[0x82, 127, 0, 0, 0, 0, 0, 1, 0x11, 0x70][..], &[7; 70_000]].concat());
    }

    #[test]
    fn fragments_come_back_as_fragments() {
        let sent = [masked(0x01, b"ab"), masked(0x80, b"c")].concat();
        check(&sent, b"\x01\x02ab\x80\x01c");
    }

    #[test]
    fn a_ping_is_answered_and_a_pong_is_not() {
        let sent = [masked(0x8a, b"late"), masked(0x89, b"now")].concat();
        check(&sent, b"\x8a\x03now");
    }

    #[test]
    fn a_close_is_answered_with_its_code_and_ends() {
        let sent = [masked(0x88, &1000_u16.to_be_bytes()), masked(0x81, b"after")].concat();
        check(&sent, &[0x88, 2, 0x03, 0xe8]);
    }

    #[test]
    fn what_breaks_the_protocol_closes_with_its_code() {
        let protocol_error = [0x88, 2, 0x03, 0xea];
        check(b"\x81\x05hello", &protocol_error);
        check(&masked(0xc1, b"compressed"), &protocol_error);
        check(&masked(0x83, b"unknown"), &protocol_error);
        check(&masked(0x09, b"ping in parts"), &protocol_error);
        let mut large = vec![0x82, 0xff];
        large.extend_from_slice(&(FRAME_BYTES_MAX + 1).to_be_bytes());
        check(&large, &[0x88, 2, 0x03, 0xf1]);
    }
}
