//! Verifies bearer tokens for keys and rules that must not be forged.
//!
//! An unverified claim may place a request, because the worst a forger achieves is another side.
//! A rule that grants something needs a verified one; the file is refused otherwise.
//!
//! Not here: fetching key sets from an issuer. A key set comes from a file and is reloaded with it.

use std::collections::HashMap;

use jsonwebtoken::jwk::{AlgorithmParameters, JwkSet};
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde_json::{Map, Value};
use thiserror::Error;

/// Clocks of issuers may be off by this many seconds.
const LEEWAY_SECONDS: i64 = 60;

/// Checks signature and validity period of a token.
#[derive(Clone)]
pub struct JwtVerifier {
    keys: HashMap<Option<String>, (DecodingKey, Vec<Algorithm>)>,
}

/// Why key material of the file cannot verify anything.
#[derive(Debug, Error)]
pub enum InvalidKeys {
    #[error("the key set is not a JSON Web Key Set (RFC 7517)")]
    NotAKeySet(#[source] serde_json::Error),
    #[error("the key set holds no usable key")]
    Empty,
    #[error("the secret is empty")]
    EmptySecret,
    #[error("a key of the set cannot be used")]
    UnusableKey(#[source] jsonwebtoken::errors::Error),
}

impl std::fmt::Debug for JwtVerifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("JwtVerifier").field("key_count", &self.keys.len()).finish()
    }
}

impl JwtVerifier {
    /// One shared secret, HS256, HS384 or HS512.
    pub fn from_secret(secret: &[u8]) -> Result<Self, InvalidKeys> {
        if secret.is_empty() {
            return Err(InvalidKeys::EmptySecret);
        }
        let algorithms = vec![Algorithm::HS256, Algorithm::HS384, Algorithm::HS512];
        Ok(Self { keys: HashMap::from([(None, (DecodingKey::from_secret(secret), algorithms))]) })
    }

    /// A JSON Web Key Set; a token chooses its key by `kid`, or needs none if there is one key.
    pub fn from_jwks(text: &[u8]) -> Result<Self, InvalidKeys> {
        let set: JwkSet = serde_json::from_slice(text).map_err(InvalidKeys::NotAKeySet)?;
        let single = set.keys.len() == 1;
        let mut keys = HashMap::new();
        for jwk in &set.keys {
            let algorithms = match &jwk.algorithm {
                AlgorithmParameters::RSA(_) => {
                    vec![Algorithm::RS256, Algorithm::RS384, Algorithm::RS512, Algorithm::PS256]
                }
                AlgorithmParameters::EllipticCurve(_) => vec![Algorithm::ES256, Algorithm::ES384],
                AlgorithmParameters::OctetKeyPair(_) => vec![Algorithm::EdDSA],
                AlgorithmParameters::OctetKey(_) => vec![Algorithm::HS256, Algorithm::HS384, Algorithm::HS512],
                #[allow(
                    unreachable_patterns,
                    reason = "the enum may grow in the library; a new kind is not used unseen"
                )]
                _ => continue,
            };
            let key = DecodingKey::from_jwk(jwk).map_err(InvalidKeys::UnusableKey)?;
            if single {
                keys.insert(None, (key.clone(), algorithms.clone()));
            }
            if let Some(id) = &jwk.common.key_id {
                keys.insert(Some(id.clone()), (key, algorithms));
            }
        }
        if keys.is_empty() { Err(InvalidKeys::Empty) } else { Ok(Self { keys }) }
    }

    /// The claims of a token that is signed by a known key and valid at `now` (Unix seconds).
    pub(crate) fn claims(&self, token: &str, now: i64) -> Option<Map<String, Value>> {
        let header = jsonwebtoken::decode_header(token).ok()?;
        let (key, algorithms) = self.keys.get(&header.kid).or_else(|| self.keys.get(&None))?;
        if !algorithms.contains(&header.alg) {
            return None;
        }
        let mut validation = Validation::new(header.alg);
        // The period is judged below, against the clock that was passed in.
        validation.validate_exp = false;
        validation.validate_aud = false;
        validation.required_spec_claims.clear();
        let claims = jsonwebtoken::decode::<Map<String, Value>>(token, key, &validation).ok()?.claims;
        let time = |name: &str| claims.get(name).and_then(Value::as_f64);
        #[allow(clippy::cast_precision_loss, reason = "seconds since 1970 are far below 2^53")]
        let (early, late) = ((now - LEEWAY_SECONDS) as f64, (now + LEEWAY_SECONDS) as f64);
        let in_period = time("exp").is_none_or(|exp| exp > early) && time("nbf").is_none_or(|nbf| nbf <= late);
        in_period.then_some(claims)
    }
}

#[cfg(test)]
mod tests {
    use jsonwebtoken::{EncodingKey, Header, encode};
    use serde_json::json;

    use super::*;

    fn token(secret: &[u8], claims: &Value) -> String {
        encode(&Header::default(), claims, &EncodingKey::from_secret(secret)).unwrap()
    }

    #[track_caller]
    fn check(secret: &[u8], claims: &Value, now: i64, valid: bool) {
        let verifier = JwtVerifier::from_secret(b"right").unwrap();
        assert_eq!(verifier.claims(&token(secret, claims), now).is_some(), valid, "{claims} at {now}");
    }

    #[test]
    fn only_a_signed_token_in_its_period_counts() {
        check(b"right", &json!({"sub": "u"}), 1_000, true);
        check(b"wrong", &json!({"sub": "u"}), 1_000, false);
        check(b"right", &json!({"sub": "u", "exp": 1_000}), 1_030, true);
        check(b"right", &json!({"sub": "u", "exp": 1_000}), 1_061, false);
        check(b"right", &json!({"sub": "u", "nbf": 2_000}), 1_000, false);
    }

    #[test]
    fn an_unsigned_token_is_nobody() {
        let verifier = JwtVerifier::from_secret(b"right").unwrap();
        assert!(verifier.claims("eyJhbGciOiJub25lIn0.eyJzdWIiOiJ1c2VyLTEifQ.", 0).is_none());
        assert!(JwtVerifier::from_secret(b"").is_err());
        assert!(JwtVerifier::from_jwks(b"{\"keys\":[]}").is_err());
    }
}
