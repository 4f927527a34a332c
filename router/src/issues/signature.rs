//! Whether a webhook was sent by somebody who has the secret.
//!
//! # Why over the bytes
//!
//! The signature covers the body as it was sent. So it is checked before anything is parsed: what a stranger sends meets no
//! parser, and the body goes on byte for byte, so that the system behind can check it once more. Comparing takes the same
//! time whatever differs. A caller learns nothing of why a signature is not good; counters tell the operator.
//!
//! Sources: GitHub's "Validating webhook deliveries", Standard Webhooks 1.0.0. Not supported: signatures by public keys.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use metrics::observe::Unsigned;
use sha2::Sha256;

use super::payload::Fields;
use crate::config::issues::{Scheme, Signature};

/// How far the time of a signed message may be from ours, either way, in seconds.
const TOLERANCE_SECONDS: u64 = 300;

/// Signatures that one message may carry, for secrets that are being changed.
const SIGNATURES_MAX: usize = 16;

/// Checks a body by the fields that came with it; `now` in seconds since 1970.
pub(crate) fn verify(signature: &Signature, fields: &Fields, body: &[u8], now: i64) -> Result<(), Unsigned> {
    match signature.scheme {
        Scheme::HmacSha256Hex => hexadecimal(signature, fields, body),
        Scheme::StandardWebhooks => standard(signature, fields, body, now),
        Scheme::Unsigned => Ok(()),
    }
}

fn hexadecimal(signature: &Signature, fields: &Fields, body: &[u8]) -> Result<(), Unsigned> {
    let text = fields.only(&signature.header).map_err(|()| Unsigned::Malformed)?.ok_or(Unsigned::Missing)?;
    let digits = text.strip_prefix(signature.prefix.as_str()).ok_or(Unsigned::Malformed)?;
    let claimed = unhex(digits).ok_or(Unsigned::Malformed)?;
    any(signature, &[body], &[claimed])
}

fn standard(signature: &Signature, fields: &Fields, body: &[u8], now: i64) -> Result<(), Unsigned> {
    let field = |name| fields.only(name).map_err(|()| Unsigned::Malformed)?.ok_or(Unsigned::Missing);
    let (id, time, text) = (field("webhook-id")?, field("webhook-timestamp")?, field("webhook-signature")?);
    let sent: i64 = time.parse().map_err(|_| Unsigned::Malformed)?;
    let mut claimed = Vec::new();
    for part in text.split(' ').take(SIGNATURES_MAX) {
        // Another version is of another kind of key, and not ours to judge.
        let Some(base64) = part.strip_prefix("v1,") else { continue };
        claimed.push(STANDARD.decode(base64).map_err(|_| Unsigned::Malformed)?);
    }
    if claimed.is_empty() {
        return Err(Unsigned::Malformed);
    }
    any(signature, &[id.as_bytes(), b".", time.as_bytes(), b".", body], &claimed)?;
    if now.abs_diff(sent) > TOLERANCE_SECONDS { Err(Unsigned::Stale) } else { Ok(()) }
}

/// Whether any secret has made any of the signatures.
fn any(signature: &Signature, parts: &[&[u8]], claimed: &[Vec<u8>]) -> Result<(), Unsigned> {
    for secret in &signature.secrets {
        // A key of any length is one for this algorithm.
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret.value.bytes()) else { continue };
        for part in parts {
            mac.update(part);
        }
        if claimed.iter().any(|claimed| mac.clone().verify_slice(claimed).is_ok()) {
            return Ok(());
        }
    }
    Err(Unsigned::Wrong)
}

fn unhex(digits: &str) -> Option<Vec<u8>> {
    if digits.len() != 64 || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    (0..32).map(|at| u8::from_str_radix(&digits[2 * at..2 * at + 2], 16).ok()).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::config::notify::{Held, Secret};

    fn github(secrets: &[&str]) -> Signature {
        let secrets = secrets.iter().map(|own| Held { value: Secret::new(own.as_bytes()), file: None }).collect();
        Signature {
            scheme: Scheme::HmacSha256Hex,
            header: "x-hub-signature-256".into(),
            prefix: "sha256=".into(),
            secrets,
        }
    }

    #[track_caller]
    fn check(signature: &Signature, fields: &[(&str, &str)], body: &str, expected: Result<(), Unsigned>) {
        assert_eq!(verify(signature, &Fields::of(fields), body.as_bytes(), 1_614_265_330), expected, "{fields:?}");
    }

    /// GitHub's own example.
    const SECRET: &str = "It's a Secret to Everybody";
    const DIGITS: &str = "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";

    #[test]
    fn the_signature_is_that_of_github() {
        let one = github(&[SECRET]);
        let field = format!("sha256={DIGITS}");
        check(&one, &[("X-Hub-Signature-256", &field)], "Hello, World!", Ok(()));
        check(&one, &[("x-hub-signature-256", &field)], "Hello, World", Err(Unsigned::Wrong));
        check(&github(&["another secret", SECRET]), &[("X-Hub-Signature-256", &field)], "Hello, World!", Ok(()));
        check(&github(&["another secret"]), &[("X-Hub-Signature-256", &field)], "Hello, World!", Err(Unsigned::Wrong));
        check(&one, &[], "Hello, World!", Err(Unsigned::Missing));
        check(&one, &[("X-Hub-Signature", &field)], "Hello, World!", Err(Unsigned::Missing));
        for bad in
            ["", "sha256=", DIGITS, "sha1=aa", "sha256=zz", &format!("sha256={}", &DIGITS[2..]), &format!("{field}00")]
        {
            check(&one, &[("X-Hub-Signature-256", bad)], "Hello, World!", Err(Unsigned::Malformed));
        }
        let twice = [("X-Hub-Signature-256", field.as_str()), ("X-Hub-Signature-256", field.as_str())];
        check(&one, &twice, "Hello, World!", Err(Unsigned::Malformed));
    }

    #[test]
    fn a_standard_webhook_is_signed_with_its_id_and_time() {
        let secret = STANDARD.decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let secrets = vec![Held { value: Secret::new(secret), file: None }];
        let own = Signature { scheme: Scheme::StandardWebhooks, header: String::new(), prefix: String::new(), secrets };
        let good = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
        let body = r#"{"test": 2432232314}"#;
        let fields = |id: &'static str, time: &'static str, signature: &'static str| {
            [("webhook-id", id), ("webhook-timestamp", time), ("webhook-signature", signature)]
        };
        let id = "msg_p5jXN8AQM9LWM0D4loKWxJek";
        check(&own, &fields(id, "1614265330", good), body, Ok(()));
        check(
            &own,
            &fields(id, "1614265330", "v1a,abc v1,AAAA v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="),
            body,
            Ok(()),
        );
        check(&own, &fields("msg_other", "1614265330", good), body, Err(Unsigned::Wrong));
        check(&own, &fields(id, "1614265331", good), body, Err(Unsigned::Wrong));
        check(&own, &fields(id, "soon", good), body, Err(Unsigned::Malformed));
        check(&own, &fields(id, "1614265330", "v1,%"), body, Err(Unsigned::Malformed));
        check(&own, &fields(id, "1614265330", "v2,AAAA"), body, Err(Unsigned::Malformed));
        check(&own, &fields(id, "1614265330", good)[..2], body, Err(Unsigned::Missing));
        let all = Fields::of(&fields(id, "1614265330", good));
        assert_eq!(verify(&own, &all, body.as_bytes(), 1_614_265_330 + 301), Err(Unsigned::Stale));
        assert_eq!(verify(&own, &all, body.as_bytes(), 1_614_265_330 - 300), Ok(()));
    }

    proptest! {
        /// Nothing but the body that was signed is believed.
        #[test]
        fn a_body_that_was_changed_is_not_believed(body: Vec<u8>, at: prop::sample::Index, flip in 1..=255u8) {
            let one = github(&["0123456789"]);
            let mut mac = Hmac::<Sha256>::new_from_slice(b"0123456789").unwrap();
            mac.update(&body);
            let digits: String = mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
            let fields = Fields::of(&[("x-hub-signature-256", &format!("sha256={digits}"))]);
            prop_assert_eq!(verify(&one, &fields, &body, 0), Ok(()));
            let mut changed = body.clone();
            changed.push(0);
            let place = at.index(changed.len());
            changed[place] ^= flip;
            prop_assert_eq!(verify(&one, &fields, &changed, 0), Err(Unsigned::Wrong));
        }
    }
}
