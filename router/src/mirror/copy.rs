//! The copy as it goes on the wire: the caller's request without its conditions, marked, with a body that is known whole.
//!
//! It carries the request id and the trace of the request that it is a copy of, so that logs of both sides can be joined, and an
//! `Idempotency-Key`: the caller's, or one made of the request id. `Host` stays as it came.
//!
//! Not here: trailers, which a body of known length cannot have, and `TE`, because those of its answer are not compared.

use std::rc::Rc;

use flags::Side;
use flags::decide::is_safe;

use super::tee::Body;
use crate::h1::framing::Framing;
use crate::h1::head::{Field, RequestHead};
use crate::h1::write::{self, Onward};
use crate::headers::{self, Identity, Peer};
use crate::upstream::signs_in;
use crate::worker::MigrationTable;

/// What compares with something that the caller has. A copy's answer must be whole to be compared.
const CONDITIONS: [&[u8]; 5] =
    [b"if-match", b"if-none-match", b"if-modified-since", b"if-unmodified-since", b"if-range"];

/// A request that can be sent at any time.
#[derive(Debug)]
pub(crate) struct Copy {
    pub(crate) head: Vec<u8>,
    pub(crate) framing: Framing,
    pub(crate) body: Option<Rc<Body>>,
    pub(crate) to_head: bool,
    /// It changes nothing, so that it may be sent again.
    pub(crate) is_safe: bool,
    /// Its connection serves nothing after it: it may have been left with a body unread, or signed in.
    pub(crate) is_last: bool,
}

fn is_condition(name: &[u8]) -> bool {
    matches!(name, [b'i' | b'I', b'f' | b'F', b'-', ..]) && CONDITIONS.iter().any(|own| own.eq_ignore_ascii_case(name))
}

/// Whether the answer may depend on what the caller has already.
pub(crate) fn is_conditional(head: &RequestHead) -> bool {
    head.fields.iter().any(|field| is_condition(field.name.of(&head.bytes)))
}

/// Whether a copy of such a request means anything: not of a conversation, and not of a body that waits to be asked for.
pub(crate) fn can_be_copied(head: &RequestHead) -> bool {
    let mentions_events =
        |accept: &[u8]| accept.to_ascii_lowercase().windows(17).any(|part| part == b"text/event-stream");
    head.upgrade.is_none() && !head.expects_continue && !head.all("accept").any(mentions_events)
}

/// The copy for a side.
pub(crate) fn rendered(
    head: &RequestHead,
    body: Option<Rc<Body>>,
    peer: &Peer,
    identity: Identity,
    default_host: &str,
    (migration, side): (&MigrationTable, Side),
) -> Copy {
    let framing = match (&body, head.framing) {
        (_, Framing::None) => Framing::None,
        (None, _) => Framing::Length(0),
        (Some(body), _) => Framing::Length(body.bytes.len() as u64),
    };
    let onward = Onward { default_host, trusted: peer.trusted, upgrade: None, expect: false, trailers: false };
    let mut bytes = Vec::with_capacity(head.bytes.len() + 512);
    let is_kept = |field: &Field| !is_condition(field.name.of(&head.bytes));
    write::begin_request_of(&mut bytes, head, &onward, is_kept);
    headers::forwarded(&mut bytes, head, peer, identity);
    bytes.extend_from_slice(migration.stamp(side));
    write::field(&mut bytes, "Crossfade-Mirror", b"1");
    if head.get("idempotency-key").is_none() {
        let made = headers::hexadecimal(identity);
        write::field(&mut bytes, "Idempotency-Key", headers::request_id(head).unwrap_or(&made));
    }
    write::end_request(&mut bytes, framing, &onward);
    let is_last = head.has_unusual_body() || signs_in(head);
    Copy { head: bytes, framing, body, to_head: head.method() == b"HEAD", is_safe: is_safe(head.method()), is_last }
}
