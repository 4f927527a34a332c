//! Other readers of the same bytes: what is accepted is read alike by `hyper` and `httparse`, and what only they accept is known.
//!
//! # Why both ways
//!
//! Two readers that take one message differently are how requests are smuggled. So whatever the router accepts must mean the same
//! to them, field by field and byte by byte. Where the router refuses what `hyper` takes, the reason must stand in a short list:
//! a new kind of strictness is a decision and not an accident.

#![allow(clippy::unwrap_used, reason = "the helpers of a test fail as the test itself does")]

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::header::HeaderMap;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::RngSeed;
use router::h1::framing::{ChunkDecoder, ChunkError, Framing, Step};
use router::h1::head::{Field, HeadLimits, RequestHead, ResponseHead, Version};
use router::h1::refusal::{BadAnswer, Refusal};
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
use tokio::runtime::Runtime;

const LIMITS: HeadLimits = HeadLimits { bytes: 65_536, fields: 100, target: 8_192 };

/// More than any exchange here writes, so that nobody waits for a reader.
const PIPE_BYTES: usize = 1 << 20;

/// What this router refuses and `hyper` takes, on purpose: who might read it otherwise.
const STRICTER: [(Refusal, &str); 18] = [
    (Refusal::RequestLine, "several empty lines before a request, or one that is a bare line feed"),
    (Refusal::LineEnd, "a bare line feed ends a line for some and not for others"),
    (Refusal::HostMissing, "which site is asked for is left to guessing"),
    (Refusal::HostDuplicate, "some take the first, some the last"),
    (Refusal::HostInvalid, "what is no host is one for whoever cuts at another character"),
    (Refusal::HostMismatch, "some route by the target, some by the field"),
    (Refusal::Target, "a target that is neither path nor URL"),
    (Refusal::TargetCharacter, "a fragment or %00, where C ends a text"),
    (Refusal::LengthAndEncoding, "the oldest way to smuggle"),
    (Refusal::LengthDiffers, "equal numbers that are written differently"),
    (Refusal::EncodingUnknown, "a coding before chunked, which an upstream may not know"),
    (Refusal::Chunk, "an extension that is none, white space around a size: what some skip and others do not"),
    (Refusal::Trailer, "a bare line feed among the trailer fields"),
    (Refusal::BodyUnexpected, "a body where most methods have none, which many an origin leaves unread"),
    (Refusal::EncodingInvalid, "chunked twice, or with something beside it"),
    (Refusal::FieldDisguised, "a name that becomes a framing one where `_` is read as `-`"),
    (Refusal::Method, "CONNECT and TRACE are not for a proxy in front of applications"),
    (Refusal::Expectation, "nobody here can meet it"),
];

/// What `hyper` refuses and this router takes: characters of the target that RFC 3986 wants encoded. They go on byte for byte, and
/// every reader that takes them agrees.
fn is_looser(read: &Read) -> bool {
    !read.target.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-._~:/?[]@!$&'()*+,;=%".contains(byte))
}

/// One message as somebody reads it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Read {
    /// The method of a request, the status of an answer.
    first: String,
    /// Path and query.
    target: Vec<u8>,
    authority: Vec<u8>,
    version: &'static str,
    /// By lower-case name, because `hyper` keeps the order only among fields of one name.
    fields: BTreeMap<String, Vec<Vec<u8>>>,
    /// None where it did not come to its end.
    body: Option<Vec<u8>>,
}

/// What ended a reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stop<R> {
    /// The bytes did.
    Bytes,
    /// No request follows on this connection.
    Over,
    Refused(R),
}

fn fields(fields: &[Field], head: &[u8]) -> BTreeMap<String, Vec<Vec<u8>>> {
    let mut grouped: BTreeMap<String, Vec<Vec<u8>>> = BTreeMap::new();
    for field in fields {
        let name = String::from_utf8_lossy(field.name.of(head)).to_ascii_lowercase();
        grouped.entry(name).or_default().push(field.value.of(head).to_vec());
    }
    once(grouped)
}

fn map_fields(map: &HeaderMap) -> BTreeMap<String, Vec<Vec<u8>>> {
    let values = |name| map.get_all(name).iter().map(|value| value.as_bytes().to_vec()).collect();
    once(map.keys().map(|name| (name.as_str().to_owned(), values(name))).collect())
}

/// Equal lengths count once, and `hyper` shows some of them so.
fn once(mut fields: BTreeMap<String, Vec<Vec<u8>>>) -> BTreeMap<String, Vec<Vec<u8>>> {
    if let Some(lengths) = fields.get_mut("content-length") {
        lengths.dedup();
    }
    fields
}

/// The body at the start of `input` and its length there; none where it is cut off.
fn body(framing: Framing, mut decoder: ChunkDecoder, input: &[u8]) -> Result<Option<(Vec<u8>, usize)>, ChunkError> {
    match framing {
        Framing::None => Ok(Some((Vec::new(), 0))),
        Framing::UntilClose => Ok(Some((input.to_vec(), input.len()))),
        Framing::Length(length) => {
            let length = usize::try_from(length).unwrap();
            Ok(input.get(..length).map(|body| (body.to_vec(), length)))
        }
        Framing::Chunked => {
            let (mut data, mut at) = (Vec::new(), 0);
            loop {
                match decoder.step(&input[at..])? {
                    Step::More { .. } => return Ok(None),
                    Step::Data { skip, len } => {
                        data.extend_from_slice(&input[at + skip..at + skip + len]);
                        at += skip + len;
                        decoder.took(len);
                    }
                    Step::End { skip } => return Ok(Some((data, at + skip))),
                }
            }
        }
    }
}

/// A URL may have no path before its query.
fn from_root(target: &[u8]) -> Vec<u8> {
    if target.starts_with(b"?") { [b"/", target].concat() } else { target.to_vec() }
}

/// The requests that this router reads, what ended it, and what was left then.
fn requests(mut input: &[u8]) -> (Vec<Read>, Stop<Refusal>, &[u8]) {
    let mut reads = Vec::new();
    loop {
        let mut head = RequestHead::default();
        let length = match head.parse(input, &LIMITS) {
            Ok(Some(length)) => length,
            Ok(None) => return (reads, Stop::Bytes, input),
            Err(refusal) => return (reads, Stop::Refused(refusal), input),
        };
        head.bytes = input[..length].to_vec();
        check_httparse(&head);
        input = &input[length..];
        let mut read = Read {
            first: String::from_utf8_lossy(head.method()).into_owned(),
            target: from_root(head.target()),
            authority: head.authority().to_ascii_lowercase(),
            version: if head.version == Version::Http10 { "HTTP/1.0" } else { "HTTP/1.1" },
            fields: fields(&head.fields, &head.bytes),
            body: None,
        };
        let found = body(head.framing, ChunkDecoder::default(), input);
        read.body = found.clone().ok().flatten().map(|(body, _)| body);
        reads.push(read);
        match found {
            Err(ChunkError::Chunk) => return (reads, Stop::Refused(Refusal::Chunk), input),
            Err(ChunkError::Trailer) => return (reads, Stop::Refused(Refusal::Trailer), input),
            Ok(None) => return (reads, Stop::Bytes, input),
            Ok(Some((_, length))) => input = &input[length..],
        }
        if head.version == Version::Http10 || head.persistence.close || head.upgrade.is_some() {
            return (reads, Stop::Over, input);
        }
    }
}

/// `httparse` sees the same parts in the same order, byte for byte.
fn check_httparse(head: &RequestHead) {
    let mut table = [httparse::EMPTY_HEADER; 100];
    let mut request = httparse::Request::new(&mut table);
    let parsed = request.parse(&head.bytes).unwrap();
    assert_eq!(parsed, httparse::Status::Complete(head.bytes.len()));
    assert_eq!(request.method.unwrap().as_bytes(), head.method());
    assert!(request.path.unwrap().as_bytes().ends_with(head.target.of(&head.bytes)));
    assert_eq!(request.version == Some(1), head.version == Version::Http11);
    let theirs = request.headers.iter().map(|field| (field.name.as_bytes(), field.value));
    let ours = head.fields.iter().map(|field| (field.name.of(&head.bytes), field.value.of(&head.bytes)));
    assert!(ours.eq(theirs), "{}", head.bytes.escape_ascii());
}

async fn collect(body: Incoming) -> Option<Vec<u8>> {
    body.collect().await.ok().map(|body| body.to_bytes().to_vec())
}

/// The requests that `hyper` reads.
async fn requests_by_hyper(input: &[u8]) -> Vec<Read> {
    let (mut caller, server) = duplex(PIPE_BYTES);
    caller.write_all(input).await.unwrap();
    caller.shutdown().await.unwrap();
    let reads: Arc<Mutex<Vec<Read>>> = Arc::default();
    let service = service_fn(|request: hyper::Request<Incoming>| {
        let reads = Arc::clone(&reads);
        async move {
            let (parts, body) = request.into_parts();
            let host = parts.headers.get("host").map(|host| host.as_bytes().to_vec());
            let authority = parts.uri.authority().map(|authority| authority.as_str().as_bytes().to_vec());
            reads.lock().unwrap().push(Read {
                first: parts.method.to_string(),
                target: from_root(parts.uri.path_and_query().map_or(b"", |path| path.as_str().as_bytes())),
                authority: authority.or(host).unwrap_or_default().to_ascii_lowercase(),
                version: if parts.version == hyper::Version::HTTP_10 { "HTTP/1.0" } else { "HTTP/1.1" },
                fields: map_fields(&parts.headers),
                body: None,
            });
            let body = collect(body).await;
            reads.lock().unwrap().last_mut().unwrap().body = body;
            Ok::<_, Infallible>(hyper::Response::new(Empty::<Bytes>::new()))
        }
    });
    let connection =
        hyper::server::conn::http1::Builder::new().half_close(true).serve_connection(TokioIo::new(server), service);
    // How it ends is told by what was read.
    let _ = connection.await;
    std::mem::take(&mut *reads.lock().unwrap())
}

/// Holds a stream of requests against both readers.
fn check_requests(runtime: &Runtime, input: &[u8]) {
    let (ours, stop, rest) = requests(input);
    let theirs = runtime.block_on(requests_by_hyper(input));
    let text = input.escape_ascii();
    for (at, own) in ours.iter().enumerate() {
        let Some(other) = theirs.get(at) else {
            assert!(is_looser(own), "only this router takes request {at} of {text}: {own:?}");
            return;
        };
        if let (None, Stop::Refused(refusal)) = (&own.body, stop) {
            check_known(refusal, rest, other, input);
            return;
        }
        assert_eq!(other, own, "request {at} of {text}");
    }
    let further = theirs.get(ours.len());
    match (stop, further) {
        (Stop::Refused(refusal), Some(read)) => check_known(refusal, rest, read, input),
        (Stop::Bytes, Some(read)) => panic!("hyper does not wait for the rest of {text}: {read:?}"),
        (Stop::Refused(_) | Stop::Over | Stop::Bytes, _) => {}
    }
}

/// What only `hyper` takes is refused for a reason of the list.
fn check_known(refusal: Refusal, rest: &[u8], read: &Read, input: &[u8]) {
    // Of what is wrong with a request line, only this is taken elsewhere.
    let empty_lines = rest.starts_with(b"\r") || rest.starts_with(b"\n");
    let listed =
        STRICTER.iter().any(|(known, _)| *known == refusal) && (refusal != Refusal::RequestLine || empty_lines);
    let known = read.body.is_none() || listed;
    assert!(known, "only hyper takes {read:?} of {}, refused for {refusal:?}", input.escape_ascii());
}

/// The answer that this router reads at the start of `input`, interim ones passed over.
fn answer(mut input: &[u8], to_head: bool) -> Result<Option<Read>, BadAnswer> {
    loop {
        let mut head = ResponseHead::default();
        let Some(length) = head.parse(input, to_head, &LIMITS)? else { return Ok(None) };
        head.bytes = input[..length].to_vec();
        input = &input[length..];
        if head.is_interim() {
            continue;
        }
        let body = body(head.framing, ChunkDecoder::of_answer(), input);
        return Ok(Some(Read {
            first: head.status.to_string(),
            version: if head.version == Version::Http10 { "HTTP/1.0" } else { "HTTP/1.1" },
            fields: fields(&head.fields, &head.bytes),
            body: body.map_err(|_| BadAnswer::Chunk)?.map(|(body, _)| body),
            ..Read::default()
        }));
    }
}

async fn answer_by_hyper(input: &[u8], to_head: bool) -> Option<Read> {
    let (client, mut server) = duplex(PIPE_BYTES);
    // As a proxy must (RFC 9112 section 5.1).
    let mut builder = hyper::client::conn::http1::Builder::new();
    builder.allow_spaces_after_header_name_in_responses(true);
    let (mut sender, connection) = builder.handshake(TokioIo::new(client)).await.unwrap();
    let method = if to_head { "HEAD" } else { "GET" };
    let request =
        hyper::Request::builder().method(method).uri("/").header("host", "a").body(Empty::<Bytes>::new()).unwrap();
    let exchange = async {
        let (parts, body) = sender.send_request(request).await.ok()?.into_parts();
        let version = if parts.version == hyper::Version::HTTP_10 { "HTTP/1.0" } else { "HTTP/1.1" };
        let body = collect(body).await;
        let first = parts.status.as_u16().to_string();
        Some(Read { first, version, fields: map_fields(&parts.headers), body, ..Read::default() })
    };
    let answering = async {
        let mut asked = Vec::new();
        while !asked.ends_with(b"\r\n\r\n") && server.read_buf(&mut asked).await.unwrap() > 0 {}
        server.write_all(input).await.unwrap();
        server.shutdown().await.unwrap();
    };
    let (read, (), _) = tokio::join!(exchange, answering, connection);
    read
}

/// What this router refuses in an answer and `hyper` takes.
const STRICTER_ANSWERS: [(BadAnswer, &str); 3] = [
    (BadAnswer::Encoding, "a last coding other than chunked, which hyper reads to the end of the connection"),
    (BadAnswer::Length, "lengths that differ or are no number beside an encoding, or where no body follows"),
    (BadAnswer::Chunk, "as in requests"),
];

fn check_answer(runtime: &Runtime, input: &[u8], to_head: bool) {
    let theirs = runtime.block_on(answer_by_hyper(input, to_head));
    let text = input.escape_ascii();
    match (answer(input, to_head), theirs) {
        // After a 101 the connection is no longer HTTP.
        (Ok(Some(own)), _) if own.first == "101" => {}
        (Ok(Some(own)), Some(other)) => assert_eq!(other, own, "the answer {text}"),
        (Ok(Some(own)), None) => panic!("only this router takes the answer {text}: {own:?}"),
        (Ok(None), Some(other)) => panic!("hyper does not wait for the rest of {text}: {other:?}"),
        (Err(bad), Some(other)) if other.body.is_some() => {
            let known = STRICTER_ANSWERS.iter().any(|(known, _)| *known == bad);
            assert!(known, "only hyper takes {other:?} of {text}, which is bad: {bad:?}");
        }
        (Ok(None) | Err(_), _) => {}
    }
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// The files below a folder that is there; of one that is not, none, and that is said.
fn files(folder: &Path) -> Vec<Vec<u8>> {
    let (mut folders, mut found) = (vec![folder.to_owned()], Vec::new());
    while let Some(folder) = folders.pop() {
        let Ok(entries) = fs::read_dir(&folder) else {
            eprintln!("SKIP: {} is not there, so what it holds is not read by others", folder.display());
            continue;
        };
        for path in entries.map(|entry| entry.unwrap().path()) {
            if path.is_dir() { folders.push(path) } else { found.push(fs::read(path).unwrap()) }
        }
    }
    found
}

#[test]
fn the_seeds_of_the_fuzz_targets_are_read_alike() {
    let runtime = runtime();
    for target in ["request_head", "exchange"] {
        let seeds = files(&root().join("fuzz/seeds").join(target));
        assert!(seeds.len() >= 3, "{target} has {} seeds", seeds.len());
        seeds.iter().for_each(|seed| check_requests(&runtime, seed));
    }
    for seed in files(&root().join("fuzz/seeds/response_head")) {
        for to_head in [false, true] {
            check_answer(&runtime, &seed, to_head);
        }
    }
}

/// The messages in llhttp's Markdown, with `\r`, `\n` and the like as it writes them.
fn llhttp(folder: &str) -> Vec<Vec<u8>> {
    let texts = files(&root().join("../shared/suites/llhttp/test").join(folder));
    let texts: Vec<String> = texts.iter().map(|text| String::from_utf8_lossy(text).into_owned()).collect();
    let blocks =
        texts.iter().flat_map(|text| text.split("```http\n").skip(1).filter_map(|rest| rest.split_once("\n```")));
    blocks.map(|(block, _)| message(block)).collect()
}

/// Lines that end with a backslash go on; the ends of the others are CRLF; escapes are what they say.
fn message(block: &str) -> Vec<u8> {
    let text = block.replace("\\\n", "").replace('\n', "\r\n");
    let text = text.replace("\\r", "\r").replace("\\n", "\n").replace("\\t", "\t").replace("\\f", "\x0c");
    let mut bytes = Vec::new();
    let mut rest = &text[..];
    while let Some((before, behind)) = rest.split_once("\\x") {
        bytes.extend_from_slice(before.as_bytes());
        match behind.get(..2).and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) => bytes.push(byte),
            None => break,
        }
        rest = &behind[2..];
    }
    bytes.extend_from_slice(rest.as_bytes());
    bytes
}

#[test]
fn the_messages_of_a_public_suite_are_read_alike() {
    let runtime = runtime();
    for message in llhttp("request") {
        check_requests(&runtime, &message);
    }
    for message in llhttp("response") {
        check_answer(&runtime, &message, false);
    }
}

/// Bytes that a failure shows readably.
struct Message(Vec<u8>);

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.escape_ascii())
    }
}

/// One of these, the first as often as all others together.
fn mostly(usual: &'static str, others: &'static [&'static str]) -> BoxedStrategy<String> {
    prop_oneof![2 => Just(usual), 1 => select(others)].prop_map(str::to_owned).boxed()
}

/// Field lines that mean something, and some that are nearly right.
const LINES: [&str; 36] = [
    "Accept: */*",
    "X-A:b",
    "X-A:\t c \t",
    "Empty:",
    "X-A: \u{e9}",
    "Cookie: a=b; c=d",
    "User-Agent: x",
    "Connection: close",
    "Connection: keep-alive",
    "Connection: X-A, x-b",
    "Connection: Upgrade",
    "Upgrade: websocket",
    "Expect: 100-continue",
    "Expect: x",
    "TE: trailers",
    "Trailer: X-Sum",
    "Host: b",
    "Host:",
    "Keep-Alive: 5",
    "Transfer-Encoding: gzip",
    "Transfer-Encoding: chunked",
    "Transfer-Encoding: chunked, chunked",
    "Transfer-Encoding: identity",
    "Content-Length: 3",
    "Content-Length: 03",
    "Content-Length: +3",
    "Content-Length: 3, 3",
    "Content-Length: ",
    "Content_Length: 3",
    "X A: b",
    "X-A : b",
    " folded",
    ": b",
    "X-A",
    "X-A: a\0b",
    "X-A: a\u{7f}",
];

fn lines() -> BoxedStrategy<String> {
    let line = prop_oneof![
        3 => select(&LINES[..]).prop_map(str::to_owned),
        1 => ("[A-Za-z0-9_-]{1,12}", "[ -~]{0,16}").prop_map(|(name, value)| format!("{name}: {value}")),
    ];
    let eol = prop_oneof![30 => Just("\r\n"), 1 => Just("\n")];
    prop::collection::vec((line, eol), 0..4)
        .prop_map(|lines| lines.into_iter().map(|(line, eol)| line + eol).collect())
        .boxed()
}

/// Framing lines and the body behind them, which mostly fit.
fn framed() -> BoxedStrategy<(String, String)> {
    let chunk = ("[ -~]{1,20}", select(&["", ";a", ";a=b", "; a=\"b\"", ";", " ", "\t ;a = b "][..]));
    let chunks = prop::collection::vec(chunk, 0..3).prop_map(|chunks| {
        chunks
            .into_iter()
            .map(|(data, extension)| format!("{:x}{extension}\r\n{data}\r\n", data.len()))
            .collect::<String>()
    });
    let end = mostly(
        "0\r\n\r\n",
        &["0\r\nX-Sum: 1\r\n\r\n", "00;a\r\nHost: x\r\nY:z\r\n\r\n", "0\r\n", "0\n\n", "0\r\nX Y: 1\r\n\r\n"],
    );
    let chunked = (chunks, end).prop_map(|(chunks, end)| ("Transfer-Encoding: chunked\r\n".to_owned(), chunks + &end));
    let sized = "[ -~\r\n]{0,24}".prop_map(|body| (format!("Content-Length: {}\r\n", body.len()), body));
    prop_oneof![Just((String::new(), String::new())), chunked, sized].boxed()
}

fn request() -> BoxedStrategy<String> {
    let method =
        mostly("POST", &["GET", "HEAD", "PUT", "OPTIONS", "DELETE", "get", "M-SEARCH", "CONNECT", "TRACE", "P(T", ""]);
    let target = mostly(
        "/a/b?c=d",
        &[
            "/",
            "http://a/x",
            "http://a:80?q",
            "https://A",
            "http://b/",
            "*",
            "//a",
            "/a;b=c/%2f",
            "/#b",
            "/%00",
            "/\"{}|^`<>\\",
            "/a b",
            "a",
            "?q",
            "/\u{e9}",
        ],
    );
    let version =
        mostly("HTTP/1.1\r\n", &["HTTP/1.0\r\n", "HTTP/1.2\r\n", "http/1.1\r\n", "HTTP/1.1 \r\n", "HTTP/1.1\n"]);
    let host = mostly("Host: a\r\n", &["", "host: A:80\r\n", "Host: [::1]\r\n", "Host: a b\r\n", "Host: u@a\r\n"]);
    (method, target, version, host, lines(), framed(), any::<bool>())
        .prop_map(|(method, target, version, host, lines, (framing, body), framing_first)| {
            let fields = if framing_first { format!("{framing}{lines}") } else { format!("{lines}{framing}") };
            format!("{method} {target} {version}{host}{fields}\r\n{body}")
        })
        .boxed()
}

fn response() -> BoxedStrategy<String> {
    let line = mostly(
        "HTTP/1.1 200 OK\r\n",
        &[
            "HTTP/1.1 404 \r\n",
            "HTTP/1.1 200\r\n",
            "HTTP/1.0 200 OK\r\n",
            "HTTP/1.1 204 No\r\n",
            "HTTP/1.1 304 Not\r\n",
            "HTTP/1.1 103 Early\r\n\r\nHTTP/1.1 201 Then\r\n",
            "HTTP/1.1 200 \u{e9}\r\n",
            "HTTP/1.1 099 No\r\n",
            "HTTP/1.1 999 Odd\r\n",
            "HTTP/1.1 200 OK\n",
            "HTTP/2.0 200 OK\r\n",
            "http/1.1 200 OK\r\n",
            "HTTP/1.1  200 OK\r\n",
        ],
    );
    (line, lines(), framed())
        .prop_map(|(line, lines, (framing, body))| format!("{line}{lines}{framing}\r\n{body}"))
        .boxed()
}

/// A text as it is, or with one byte changed, left out or put in.
fn damaged(text: impl Strategy<Value = String>) -> impl Strategy<Value = Message> {
    let byte = prop_oneof![select(&b"\r\n\0 \t:;,/=?#%\"\\0"[..]), any::<u8>()];
    (text, 0..6u8, any::<prop::sample::Index>(), byte).prop_map(|(text, kind, at, byte)| {
        let mut bytes = text.into_bytes();
        let at = at.index(bytes.len());
        match kind {
            0 => bytes[at] = byte,
            1 => bytes.insert(at, byte),
            2 => drop(bytes.remove(at)),
            _ => {}
        }
        Message(bytes)
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, rng_seed: RngSeed::Fixed(3), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn requests_are_read_alike(input in damaged(prop::collection::vec(request(), 1..3).prop_map(|requests| requests.concat()))) {
        check_requests(&runtime(), &input.0);
    }

    #[test]
    fn answers_are_read_alike(input in damaged(response()), to_head: bool) {
        check_answer(&runtime(), &input.0, to_head);
    }
}
