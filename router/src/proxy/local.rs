//! What this router itself says in an answer: whole local answers, and who served.

use flags::route::Respond;

use crate::access::Access;
use crate::error::reason_phrase;
use crate::h1::framing::Framing;
use crate::h1::write::{self, Relayed};

/// Tells who served and why, where the file asks for it.
pub(super) fn expose(out: &mut Vec<u8>, access: &Access) {
    if let Some(decision) = access.decision() {
        let side = access.side().unwrap_or(decision.serve);
        write::field(out, "Crossfade-Side", side.name().as_bytes());
        if access.fallback.is_some() {
            write::field(out, "Crossfade-Fallback", b"1");
        }
        write::field(out, "Crossfade-Reason", decision.reason.name().as_bytes());
    }
    if let (Some(sent), Some(first)) = (access.sent, access.first_byte) {
        let timing = format!("upstream;dur={:.1}", (first - sent).as_secs_f64() * 1000.0);
        write::field(out, "Server-Timing", timing.as_bytes());
    }
}

/// Writes the answer that a route of the file gives by itself.
pub(super) fn write_local(out: &mut Vec<u8>, respond: &Respond, head_only: bool, close: bool) {
    write::status_line(out, respond.status, reason_phrase(respond.status).as_bytes());
    if let Some(sunset) = &respond.sunset {
        write::field(out, "Sunset", sunset.as_bytes());
    }
    if let Some(location) = &respond.location {
        write::field(out, "Location", location.as_bytes());
    }
    let bodiless = matches!(respond.status, 204 | 304);
    if !bodiless {
        write::field(out, "Content-Type", b"text/plain; charset=utf-8");
    }
    let framing = if bodiless { Framing::None } else { Framing::Length(respond.body.len() as u64) };
    write::end_response(out, Relayed { framing, close });
    if !head_only && !bodiless {
        out.extend_from_slice(respond.body.as_bytes());
    }
}
