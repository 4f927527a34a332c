//! A POST of JSON signed as Standard Webhooks 1.0.0 says, with a shared secret (`v1`).
//!
//! The id is the same on every router and for every try, so a receiver that keeps it hears of an event once. It is a hash,
//! because neither it nor the time may hold a full stop, which the signature joins them by.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use jiff::Timestamp;
use metrics::notice::Notice;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::message::record;
use crate::config::notify::Secret;

/// How the requests of one notice are signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Signature {
    id: String,
    secret: Secret,
}

impl Signature {
    pub(super) fn new(secret: &Secret, notice: &Notice, environment: &str) -> Self {
        let digest = Sha256::digest(format!("{environment}/{}", notice.id));
        let hexadecimal = digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect::<String>();
        Self { id: format!("msg_{hexadecimal}"), secret: secret.clone() }
    }

    /// The header fields of a try at this instant.
    pub(super) fn fields(&self, body: &[u8], now: Timestamp) -> [(&'static str, String); 3] {
        let time = now.as_second().to_string();
        let signature = sign(self.secret.bytes(), &self.id, &time, body);
        [("webhook-id", self.id.clone()), ("webhook-timestamp", time), ("webhook-signature", signature)]
    }
}

fn sign(secret: &[u8], id: &str, time: &str, body: &[u8]) -> String {
    // A key of any length is one for this algorithm.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret) else { return String::new() };
    for part in [id.as_bytes(), b".", time.as_bytes(), b".", body] {
        mac.update(part);
    }
    format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
}

pub(super) fn body(notice: &Notice, environment: &str) -> Value {
    let place =
        |position: flags::state::Position| json!({ "mode": position.mode, "percent": position.share.percent() });
    json!({
        "type": format!("migration.{}", notice.kind),
        "timestamp": notice.time.to_string(),
        "data": {
            "id": notice.id,
            "environment": environment,
            "migration": notice.migration,
            "kind": notice.kind.name(),
            "severity": notice.severity.name(),
            "title": notice.title,
            "text": notice.text,
            "revision": notice.revision,
            "from": place(notice.from),
            "to": place(notice.to),
            "actor": notice.actor,
            "record": record(notice),
            "dashboard_url": notice.dashboard_url,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the reference implementations.
    #[test]
    fn the_signature_is_that_of_the_standard() {
        let secret = STANDARD.decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let body = br#"{"test": 2432232314}"#;
        let signature = sign(&secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", body);
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }
}
