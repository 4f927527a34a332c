//! How the fields of framing can be misspelt, and where a misspelt one can stand.

use super::{HIDDEN, Mutation, Verdict, chunked, post};

/// Lines that every reader takes for chunked.
const CHUNKED: &[&str] = &[
    "Transfer-Encoding: chunked",
    "transfer-encoding:chunked",
    "TRANSFER-ENCODING: CHUNKED",
    "tRaNsFeR-eNcOdInG: ChUnKeD",
    "Transfer-Encoding:\tchunked",
    "Transfer-Encoding:  \t chunked \t ",
];

/// Values behind `Transfer-Encoding: ` that some reader takes for chunked, or that are no coding of ours.
pub(in crate::suites) const CODINGS: &[&str] = &[
    "xchunked",
    "chunkedx",
    "chunk",
    "chunke",
    "chunked,",
    ",chunked",
    ",",
    "chunked, ",
    " , chunked",
    "chunked;",
    "chunked;a",
    "chunked;a=b",
    "chunked; q=0",
    "\"chunked\"",
    "'chunked'",
    "(chunked)",
    "<chunked>",
    "[chunked]",
    "{chunked}",
    "chunked/",
    "chunked\\",
    "\\chunked",
    "c\\hunked",
    "%63hunked",
    "=?UTF-8?B?Y2h1bmtlZA==?=",
    "&#99;hunked",
    ":chunked",
    ": chunked",
    "chunked:",
    "=chunked",
    "chunked=",
    "chunked=1",
    "chunked#",
    "chunked--",
    "*",
    "none",
    "0",
    "true",
    "",
    " ",
    "\t",
    "identity",
    "chunked, identity",
    "identity, chunked",
    "identity, chunked, identity",
    "chunked, chunked",
    "chunked chunked",
    "chunked\tchunked",
    "chunked identity",
    "identity chunked",
    "chun ked",
    "gzip",
    "gzip, chunked",
    "chunked, gzip",
    "deflate, chunked",
    "x-gzip",
    "compress",
    "br",
    "trailers",
    "trailers, chunked",
    "\0chunked",
    "chunked\0",
    "chu\0nked",
    "\x08chunked",
    "\x0bchunked",
    "chunked\x0b",
    "\x0cchunked",
    "chunked\x0c",
    "\x1bchunked",
    "\x1cchunked",
    "\x7fchunked",
    "chunked\x7f",
    "\rchunked",
    "chunked\r",
    "chu\rnked",
    "\nchunked",
    "chunked\n",
    "\n chunked",
    "\r\n chunked",
    "\r\n\tchunked",
    "\r\n \r\n chunked",
    "chunked\r\n , identity",
    "identity\r\n , chunked",
    "\u{85}chunked",
    "chunked\u{85}",
    "\u{a0}chunked",
    "chunked\u{a0}",
    "\u{ad}chunked",
    "\u{ff}chunked",
    "ch\u{96}nked",
    "chunked\u{ff}",
];

/// Whole lines that some reader takes for a Transfer-Encoding.
const ENCODINGS: &[&str] = &[
    "Transfer-Encoding : chunked",
    "Transfer-Encoding\t: chunked",
    " Transfer-Encoding: chunked",
    "\tTransfer-Encoding: chunked",
    "Transfer-Encoding",
    "Transfer-Encoding chunked",
    "Transfer-Encoding x: chunked",
    "Transfer-Encoding\0: chunked",
    "Transfer-Encoding\x0b: chunked",
    "Transfer-Encoding\x0c: chunked",
    "Transfer-Encoding\r: chunked",
    "Transfer-Encoding\n: chunked",
    "Transfer-Encoding\r\n: chunked",
    "Transfer-Encoding\n : chunked",
    "Transfer-Encoding\x7f: chunked",
    "Transfer-Encoding\u{85}: chunked",
    "Transfer-Encoding\u{a0}: chunked",
    "Transfer-Encoding\u{ad}: chunked",
    "\x01Transfer-Encoding: chunked",
    "\0Transfer-Encoding: chunked",
    "\x0bTransfer-Encoding: chunked",
    "\u{a0}Transfer-Encoding: chunked",
    "\u{ef}\u{bb}\u{bf}Transfer-Encoding: chunked",
    ":Transfer-Encoding: chunked",
    ": chunked",
    "Transfer Encoding: chunked",
    "Transfer- Encoding: chunked",
    "Transfer -Encoding: chunked",
    "Transfer\tEncoding: chunked",
    "Transfer_Encoding: chunked",
    "Transfer__Encoding: chunked",
    "Transfer--Encoding: chunked",
    "Transfer-_Encoding: chunked",
    "Transfer.Encoding: chunked",
    "Transfer+Encoding: chunked",
    "Transfer~Encoding: chunked",
    "Transfer|Encoding: chunked",
    "Transfer!Encoding: chunked",
    "Transfer*Encoding: chunked",
    "Transfer^Encoding: chunked",
    "Transfer`Encoding: chunked",
    "Transfer'Encoding: chunked",
    "Transfer$Encoding: chunked",
    "Transfer&Encoding: chunked",
    "Transfer#Encoding: chunked",
    "Transfer/Encoding: chunked",
    "Transfer\\Encoding: chunked",
    "Transfer\u{ad}Encoding: chunked",
    "Transfer%2DEncoding: chunked",
    "Transfer%20Encoding: chunked",
    "%54ransfer-Encoding: chunked",
    "Transfer-%45ncoding: chunked",
    "Transfer-Encodin%67: chunked",
    "-Transfer-Encoding: chunked",
    "Transfer-Encoding-: chunked",
    "_Transfer-Encoding: chunked",
    "Transfer-Encoding_: chunked",
    "'Transfer-Encoding': chunked",
    "\"Transfer-Encoding\": chunked",
    "Transf\u{82}r-Encoding: chunked",
    "Tra\rnsfer-Encoding: chunked",
    "Transfer\r\n-Encoding: chunked",
    "Transfer-\r\n Encoding: chunked",
    "X: y\rTransfer-Encoding: chunked",
    "X: y\nTransfer-Encoding: chunked",
    "X: y\n\nTransfer-Encoding: chunked",
    "X: y\r\n\rTransfer-Encoding: chunked",
    "X: y\r\n Transfer-Encoding: chunked",
    "X: y\r\n\tTransfer-Encoding: chunked",
    "X: y\0\r\nTransfer-Encoding: chunked",
    "X y: \r\nTransfer-Encoding: chunked",
    "Connection: Transfer-Encoding\r\nTransfer-Encoding: chunked",
    "Content-Encoding: chunked",
    "Content-Encoding: gzip, chunked",
];

/// Lines that are other fields to everybody.
const OTHER_ENCODINGS: &[&str] = &[
    "X-Transfer-Encoding: chunked",
    "Transfer-Encoding2: chunked",
    "TransferEncoding: chunked",
    "Transfer: Encoding: chunked",
    "Encoding: chunked",
    "Content-Transfer-Encoding: chunked",
    "TE: chunked",
    "Transfer-Coding: chunked",
    "Accept-Encoding: chunked",
];

/// A line alone, beside a length in front of or behind it, and beside a proper Transfer-Encoding.
///
/// The hidden request lies behind the body of whoever reads chunks, then behind that of whoever reads the length.
fn placed(line: &str) -> Vec<String> {
    let behind_chunks = format!("0\r\n\r\n{HIDDEN}");
    let behind_length = chunked(HIDDEN);
    let whole = format!("Content-Length: {}\r\n", behind_chunks.len());
    let first = "Content-Length: 4\r\n";
    let proper = "Transfer-Encoding: chunked\r\n";
    vec![
        post(&format!("{line}\r\n"), &behind_length),
        post(&format!("{line}\r\n"), &behind_chunks),
        post(&format!("{whole}{line}\r\n"), &behind_chunks),
        post(&format!("{line}\r\n{whole}"), &behind_chunks),
        post(&format!("{first}{line}\r\n"), &behind_length),
        post(&format!("{line}\r\n{first}"), &behind_length),
        post(&format!("{proper}{line}\r\n"), &behind_chunks),
        post(&format!("{line}\r\n{proper}"), &behind_chunks),
    ]
}

pub(super) fn encodings() -> Vec<Mutation> {
    let mut found = Vec::new();
    let named = CODINGS.iter().map(|coding| format!("Transfer-Encoding: {coding}"));
    for line in named.chain(ENCODINGS.iter().map(|line| (*line).to_owned())) {
        found.extend(placed(&line).into_iter().map(|text| Mutation::new("encoding", text, &Verdict::Refused)));
    }
    for line in CHUNKED {
        for (at, text) in placed(line).into_iter().enumerate() {
            let verdict = match at {
                0 => Verdict::Forwarded(HIDDEN.into()),
                1 => Verdict::Apart,
                _ => Verdict::Refused,
            };
            found.push(Mutation::new("encoding", text, &verdict));
        }
    }
    for line in OTHER_ENCODINGS {
        found.extend(placed(line).into_iter().map(|text| Mutation::new("encoding", text, &Verdict::Apart)));
    }
    found
}

/// Values behind `Content-Length: ` that some reader takes for 5, or for something else than another does.
pub(in crate::suites) const NUMBERS: &[&str] = &[
    "+5",
    "-5",
    "--5",
    "+-5",
    "-0",
    "+0",
    "0x5",
    "0X5",
    "0x05",
    "05h",
    "5h",
    "0b101",
    "0o5",
    "5_0",
    "0_5",
    "1e1",
    "5e0",
    "5.0",
    "5.",
    ".5",
    "5,",
    ",5",
    "5, 5",
    "5,5",
    "5 , 5",
    "0, 5",
    "5, 0",
    "5;",
    "5;a=b",
    "5 5",
    "5\t5",
    "0 5",
    "5 0",
    "1 000",
    "1'000",
    "1,000",
    "\"5\"",
    "'5'",
    "(5)",
    "5#",
    "5/",
    "5\\",
    "5:",
    ":5",
    "=5",
    "%35",
    "&#53;",
    "five",
    "5L",
    "5u",
    "NaN",
    "inf",
    "true",
    "",
    " ",
    "\t",
    "5\0",
    "\x005",
    "5\x08",
    "\x0b5",
    "5\x0b",
    "\x0c5",
    "5\x0c",
    "5\x7f",
    "\r5",
    "5\r",
    "\n5",
    "5\n",
    "\r\n 5",
    "5\r\n 0",
    "\u{a0}5",
    "5\u{a0}",
    "\u{85}5",
    "\u{b2}",
    "5\u{b9}",
    "9223372036854775808",
    "18446744073709551615",
    "18446744073709551616",
    "18446744073709551621",
    "99999999999999999999999999",
    "340282366920938463463374607431768211461",
];

/// Whole lines that some reader takes for a Content-Length.
const LENGTHS: &[&str] = &[
    "Content-Length : 5",
    "Content-Length\t: 5",
    " Content-Length: 5",
    "\tContent-Length: 5",
    "Content-Length",
    "Content-Length 5",
    "Content-Length x: 5",
    "Content-Length\0: 5",
    "Content-Length\x0b: 5",
    "Content-Length\r: 5",
    "Content-Length\n: 5",
    "Content-Length\u{a0}: 5",
    "\u{a0}Content-Length: 5",
    "\x01Content-Length: 5",
    ":Content-Length: 5",
    "Content Length: 5",
    "Content- Length: 5",
    "Content--Length: 5",
    "Content__Length: 5",
    "Content-_Length: 5",
    "Content.Length: 5",
    "Content+Length: 5",
    "Content~Length: 5",
    "Content/Length: 5",
    "Content\\Length: 5",
    "Content%2dLength: 5",
    "Content-%4cength: 5",
    "Content-Lengt%68: 5",
    "-Content-Length: 5",
    "Content-Length-: 5",
    "_Content-Length: 5",
    "Content_Length_: 5",
    "'Content-Length': 5",
    "X: y\rContent-Length: 5",
    "X: y\nContent-Length: 5",
    "X: y\r\n Content-Length: 5",
    "Content\r\n-Length: 5",
    "Content-\r\n Length: 5",
    "X y: \r\nContent-Length: 5",
    "Connection: Content-Length\r\nContent-Length: 5",
    "Content-Length: 5\r\nContent-Length: 6",
    "Content-Length: 5\r\nContent-Length: 05",
    "Content-Length: 0\r\nContent-Length: 5",
];

/// Lines that frame nothing: a name that is dropped, and other fields.
const OTHER_LENGTHS: &[&str] = &[
    "Content_Length: 5",
    "CONTENT_LENGTH: 5",
    "X-Content-Length: 5",
    "ContentLength: 5",
    "Content-Length2: 5",
    "Length: 5",
];

pub(super) fn lengths() -> Vec<Mutation> {
    let mut found = Vec::new();
    let named = NUMBERS.iter().map(|number| format!("Content-Length: {number}"));
    for line in named.chain(LENGTHS.iter().map(|line| (*line).to_owned())) {
        for (lines, body) in [
            (format!("{line}\r\n"), format!("hello{HIDDEN}")),
            (format!("{line}\r\nContent-Length: 0\r\n"), HIDDEN.to_owned()),
            (format!("Content-Length: 5\r\n{line}\r\n"), format!("hello{HIDDEN}")),
            (format!("Transfer-Encoding: chunked\r\n{line}\r\n"), chunked("hello")),
        ] {
            // Two equal lengths are one.
            if !lines.starts_with("Content-Length: 5\r\nConnection") {
                found.push(Mutation::new("length", post(&lines, &body), &Verdict::Refused));
            }
        }
    }
    for value in ["5", "05", "0000000000000000000000005", " 5", "5 ", "\t5\t", "5\r\nContent-Length: 5"] {
        let text = post(&format!("Content-Length: {value}\r\n"), "hello");
        found.push(Mutation::new("length", text, &Verdict::Forwarded("hello".into())));
    }
    for line in OTHER_LENGTHS {
        found.push(Mutation::new("length", post(&format!("{line}\r\n"), "hello"), &Verdict::Apart));
        let text = post(&format!("{line}\r\nContent-Length: {}\r\n", HIDDEN.len()), HIDDEN);
        found.push(Mutation::new("length", text, &Verdict::Forwarded(HIDDEN.into())));
    }
    found
}
