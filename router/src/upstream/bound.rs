//! A caller's own connection to an upstream that authenticates connections instead of requests.
//!
//! With NTLM and Negotiate (RFC 4559) a server knows a user by the connection on which they signed in, whatever the requests
//! behind that say. So such a connection goes to nobody else: it stays with the caller's connection, serves its requests to
//! that endpoint, and ends with it. A sign-in takes several requests on one connection, which works that way, too.
//!
//! One for each connection of a caller, the newest. A router keeps it for as long as the caller stays, because closing it would
//! sign the user out. A file that is read again makes new endpoints, so users sign in again then, as they do when their side
//! changes. A proxy before this one has to keep its callers apart as well.

use std::rc::Rc;

use super::{Endpoint, InFlight, Upstream};
use crate::h1::conn::Conn;
use crate::h1::head::{RequestHead, ResponseHead};

/// Where a caller's connection keeps its own one to an upstream.
pub(crate) type Own = Option<Box<Bound>>;

#[derive(Debug)]
pub(crate) struct Bound {
    conn: Box<Conn>,
    endpoint: Rc<Endpoint>,
}

impl Bound {
    /// Takes the caller's own connection, if it leads to an endpoint of this upstream and nothing has happened on it.
    pub(crate) fn take(own: &mut Own, upstream: &Upstream) -> Option<(InFlight, Option<Box<Conn>>)> {
        let leads_there = |bound: &mut Box<Self>| upstream.endpoints.iter().any(|own| Rc::ptr_eq(own, &bound.endpoint));
        let Self { conn, endpoint } = *own.take_if(leads_there)?;
        let is_usable = endpoint.state.is_up() && !conn.is_disturbed();
        is_usable.then(|| {
            endpoint.cells.reused();
            (InFlight::new(endpoint), Some(conn))
        })
    }

    /// Keeps a connection for this caller alone, if its last exchange ended with this answer and without doubt.
    pub(crate) fn keep(own: &mut Own, mut conn: Box<Conn>, endpoint: &Rc<Endpoint>, answer: &ResponseHead) {
        conn.release();
        if answer.reusable && !answer.announces_absent_body() && conn.pending().is_empty() {
            conn.is_bound = true;
            *own = Some(Box::new(Self { conn, endpoint: Rc::clone(endpoint) }));
        }
    }
}

/// Whether the request brings credentials that are its connection's from then on.
pub(crate) fn signs_in(request: &RequestHead) -> bool {
    request.all("authorization").any(is_by_connection)
}

/// Whether the answer asks for such credentials.
pub(crate) fn asks_to_sign_in(answer: &ResponseHead) -> bool {
    let is_challenge = |name: &[u8]| name.eq_ignore_ascii_case(b"www-authenticate");
    let mut challenges = answer.fields.iter().filter(|field| is_challenge(field.name.of(&answer.bytes)));
    answer.status == 401
        && challenges.any(|field| field.value.of(&answer.bytes).split(|byte| *byte == b',').any(is_by_connection))
}

fn is_by_connection(credentials: &[u8]) -> bool {
    let scheme = credentials.trim_ascii().split(|byte| *byte == b' ').next().unwrap_or_default();
    scheme.eq_ignore_ascii_case(b"ntlm") || scheme.eq_ignore_ascii_case(b"negotiate")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::h1::head::HeadLimits;

    #[track_caller]
    fn check(fields: &str, signs: bool) {
        let limits = HeadLimits { bytes: 1 << 16, fields: 100, target: 1 << 13 };
        let mut request = RequestHead::default();
        let text = format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
        request.parse(text.as_bytes(), &limits).unwrap().unwrap();
        request.bytes = text.into_bytes();
        assert_eq!(signs_in(&request), signs, "{fields}");
        for (status, asks) in [("401 Unauthorized", signs), ("200 OK", false)] {
            let mut answer = ResponseHead::default();
            let text = format!("HTTP/1.1 {status}\r\n{}\r\n", fields.replace("Authorization", "WWW-Authenticate"));
            answer.parse(text.as_bytes(), false, &limits).unwrap().unwrap();
            answer.bytes = text.into_bytes();
            assert_eq!(asks_to_sign_in(&answer), asks, "{status} {fields}");
        }
    }

    #[test]
    fn only_schemes_of_connections_bind_one() {
        check("Authorization: NTLM TlRMTVNTUAABAAAA\r\n", true);
        check("Authorization: negotiate YII=\r\n", true);
        check("Authorization: Negotiate\r\n", true);
        check("Authorization: Basic a\r\nAuthorization: NTLM b\r\n", true);
        check("Authorization: Basic bnRsbTpuZWdvdGlhdGU=\r\n", false);
        check("Authorization: Bearer ntlm\r\n", false);
        check("Authorization: NTLMX a\r\n", false);
        check("X: NTLM\r\n", false);
        check("", false);
    }

    #[test]
    fn one_challenge_of_several_is_enough() {
        let head = "HTTP/1.1 401 No\r\nWWW-Authenticate: Basic realm=\"a\"\r\nWWW-Authenticate: Bearer, NTLM\r\n\r\n";
        let mut answer = ResponseHead::default();
        answer.parse(head.as_bytes(), false, &HeadLimits { bytes: 999, fields: 9, target: 9 }).unwrap().unwrap();
        answer.bytes = head.into();
        assert!(asks_to_sign_in(&answer));
    }
}
