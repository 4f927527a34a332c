//! A provider of OpenID Connect: found when it is first needed, asked, and not believed without proof.
//!
//! # Why found late
//!
//! A provider that is away must not keep a router from starting, and a router must not need it but for signing in. So its metadata is
//! read when the first person signs in, kept for [`KEPT`], and kept on when it cannot be read again. After a failure nobody
//! waits for another one: for [`PAUSE`] the same failure is told at once.
//!
//! # What an ID token must be
//!
//! Signed by a key of the provider's key set, with an algorithm that is not `none` and needs no shared secret; of this issuer, for this
//! client alone, not expired, with the nonce of this very sign-in. A key that is not known has the key set read again, not more
//! often than each [`KEYS_PAUSE`], so that tokens made up by a stranger do not become requests.
//!
//! Not supported: encrypted ID tokens, refresh, signing out at the provider.

use std::sync::Arc;
use std::time::{Duration, Instant};

use openidconnect::core::{
    CoreAuthDisplay, CoreAuthPrompt, CoreAuthenticationFlow, CoreClientAuthMethod, CoreErrorResponseType,
    CoreGenderClaim, CoreJsonWebKey, CoreJsonWebKeySet, CoreJweContentEncryptionAlgorithm, CoreJwsSigningAlgorithm,
    CoreProviderMetadata, CoreRevocableToken, CoreRevocationErrorResponse, CoreTokenIntrospectionResponse,
    CoreTokenType,
};
use openidconnect::url::Url;
use openidconnect::{
    AccessTokenHash, AdditionalClaims, AuthType, AuthorizationCode, ClaimsVerificationError, Client, ClientId,
    ClientSecret, CsrfToken, DiscoveryError, EmptyExtraTokenFields, EndpointMaybeSet, EndpointNotSet, EndpointSet,
    IdToken, IdTokenClaims, IdTokenFields, IssuerUrl, Nonce, OAuth2TokenResponse as _, PkceCodeChallenge, RedirectUrl,
    RequestTokenError, Scope, SignatureVerificationError, StandardErrorResponse, StandardTokenResponse,
    SubjectIdentifier, TokenResponse as _, UserInfoClaims, UserInfoError,
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tokio::sync::Mutex;

use super::Settings;
use super::claims::{Claims, claim};
use super::http::{Fetch, Unanswered, causes};
use super::pending::Begun;
use super::refusal::Refusal;

/// How long metadata is used before it is read again.
const KEPT: Duration = Duration::from_secs(3_600);

/// After a failure, how long nobody tries again.
pub(super) const PAUSE: Duration = Duration::from_secs(5);

/// At least between two readings of the key set.
const KEYS_PAUSE: Duration = Duration::from_secs(30);

/// Whatever a provider says beside what OpenID Connect names.
#[derive(Clone, Debug, Deserialize, Serialize)]
struct Others {
    #[serde(flatten)]
    all: Map<String, Value>,
}

impl AdditionalClaims for Others {}

type Token = IdToken<Others, CoreGenderClaim, CoreJweContentEncryptionAlgorithm, CoreJwsSigningAlgorithm>;
type TokenClaims = IdTokenClaims<Others, CoreGenderClaim>;
type Fields = IdTokenFields<
    Others,
    EmptyExtraTokenFields,
    CoreGenderClaim,
    CoreJweContentEncryptionAlgorithm,
    CoreJwsSigningAlgorithm,
>;
type Tokens = StandardTokenResponse<Fields, CoreTokenType>;
type Relying = Client<
    Others,
    CoreAuthDisplay,
    CoreGenderClaim,
    CoreJweContentEncryptionAlgorithm,
    CoreJsonWebKey,
    CoreAuthPrompt,
    StandardErrorResponse<CoreErrorResponseType>,
    Tokens,
    CoreTokenIntrospectionResponse,
    CoreRevocableToken,
    CoreRevocationErrorResponse,
    EndpointSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointMaybeSet,
    EndpointMaybeSet,
>;

/// What is known of the provider.
#[derive(Debug, Default)]
struct Known {
    fetch: Option<Arc<Fetch>>,
    metadata: Option<(Arc<CoreProviderMetadata>, Instant)>,
    failed: Option<(Refusal, Instant)>,
    keys_read: Option<Instant>,
}

#[derive(Debug)]
pub(super) struct Provider {
    settings: Arc<Settings>,
    /// Held while metadata is read, so that many who sign in at once ask once.
    known: Mutex<Known>,
}

impl Provider {
    pub(super) fn new(settings: Arc<Settings>) -> Self {
        Self { settings, known: Mutex::default() }
    }

    /// Where a browser begins, with what this router must remember: the state, and the rest.
    pub(super) async fn begin(&self) -> Result<(Url, String, Begun), Refusal> {
        let (fetch, metadata) = self.found().await?;
        let client = self.client(&metadata)?;
        if !client.auth_uri().as_str().parse().is_ok_and(|uri| fetch.is_safe(&uri)) {
            let cause = format!("its authorization endpoint {} is not https", client.auth_uri().as_str());
            return Err(Refusal::Broken { cause });
        }
        let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
        let scopes = self.settings.scopes.iter().filter(|scope| *scope != "openid").cloned().map(Scope::new);
        let (url, state, nonce) = client
            .authorize_url(CoreAuthenticationFlow::AuthorizationCode, CsrfToken::new_random, Nonce::new_random)
            .add_scopes(scopes)
            .set_pkce_challenge(challenge)
            .url();
        Ok((url, state.secret().clone(), Begun { nonce, verifier }))
    }

    /// What the provider says of whoever brings this code.
    pub(super) async fn claims(&self, code: String, begun: Begun) -> Result<Claims, Refusal> {
        let (fetch, metadata) = self.found().await?;
        let client = self.client(&metadata)?;
        let request = client.exchange_code(AuthorizationCode::new(code)).map_err(|error| broken(&error))?;
        let request = request.set_pkce_verifier(begun.verifier);
        let tokens = request.request_async(&*fetch).await.map_err(of_exchange)?;
        let token = tokens.id_token().ok_or_else(|| untrusted("there is no ID token in it"))?;
        let said = self.verified(&fetch, &client, token, &begun.nonce, &tokens).await?;
        let subject = said.subject().clone();
        let mut claims = flat(&said)?;
        if self.lacks(&claims) && client.user_info_url().is_some() {
            let more = user_info(&client, &fetch, &tokens, subject).await?;
            // What is signed stands.
            more.into_iter().for_each(|(key, value)| _ = claims.entry(key).or_insert(value));
        }
        Ok(claims)
    }

    /// Whether an ID token leaves out what many providers tell only when they are asked for it.
    fn lacks(&self, claims: &Claims) -> bool {
        let name = self.settings.name_claim.as_deref().unwrap_or("preferred_username");
        claim(claims, &self.settings.groups_claim).is_none() || claim(claims, name).is_none()
    }

    async fn verified(
        &self,
        fetch: &Fetch,
        client: &Relying,
        token: &Token,
        nonce: &Nonce,
        tokens: &Tokens,
    ) -> Result<TokenClaims, Refusal> {
        let first = judged(client, token, nonce, tokens);
        let Err(Unproven { refusal, by_key: true }) = first else { return first.map_err(|own| own.refusal) };
        let Some(renewed) = self.renewed(fetch).await? else { return Err(refusal) };
        judged(&self.client(&renewed)?, token, nonce, tokens).map_err(|own| own.refusal)
    }

    fn client(&self, metadata: &CoreProviderMetadata) -> Result<Relying, Refusal> {
        let own = &self.settings;
        let secret = own.client_secret.clone().map(ClientSecret::new);
        let redirect = RedirectUrl::new(own.redirect_url()).map_err(|error| broken(&error))?;
        let methods = metadata.token_endpoint_auth_methods_supported();
        let takes = |method| methods.is_none_or(|own| own.contains(&method));
        let by_header =
            takes(CoreClientAuthMethod::ClientSecretBasic) || !takes(CoreClientAuthMethod::ClientSecretPost);
        let auth = if by_header { AuthType::BasicAuth } else { AuthType::RequestBody };
        let client = Relying::from_provider_metadata(metadata.clone(), ClientId::new(own.client_id.clone()), secret);
        Ok(client.set_redirect_uri(redirect).set_auth_type(auth))
    }

    /// The metadata, read where it is not known or old.
    async fn found(&self) -> Result<(Arc<Fetch>, Arc<CoreProviderMetadata>), Refusal> {
        let mut known = self.known.lock().await;
        let fetch = match &known.fetch {
            Some(fetch) => Arc::clone(fetch),
            None => {
                let fetch = Fetch::new(&self.settings.issuer, self.settings.roots.as_ref());
                let fetch = Arc::new(fetch.map_err(|error| of_fetch(&error))?);
                Arc::clone(known.fetch.insert(fetch))
            }
        };
        let is_new = |at: &Instant, life| at.elapsed() < life;
        match (&known.metadata, &known.failed) {
            (Some((metadata, at)), _) if is_new(at, KEPT) => return Ok((fetch, Arc::clone(metadata))),
            (Some((metadata, _)), Some((_, at))) if is_new(at, PAUSE) => return Ok((fetch, Arc::clone(metadata))),
            (None, Some((refusal, at))) if is_new(at, PAUSE) => return Err(refusal.clone()),
            (Some(_) | None, _) => {}
        }
        let issuer = IssuerUrl::new(self.settings.issuer.clone()).map_err(|error| broken(&error))?;
        let read = CoreProviderMetadata::discover_async(issuer, &*fetch).await.map_err(of_discovery);
        let now = Instant::now();
        match (read, &known.metadata) {
            (Ok(metadata), _) => {
                let metadata = Arc::new(metadata);
                let known = &mut *known;
                (known.metadata, known.failed) = (Some((Arc::clone(&metadata), now)), None);
                tracing::info!(issuer = self.settings.issuer, "the provider of OpenID Connect was found");
                Ok((fetch, metadata))
            }
            (Err(refusal), Some((metadata, _))) => {
                let metadata = Arc::clone(metadata);
                refusal.log();
                known.failed = Some((refusal, now));
                Ok((fetch, metadata))
            }
            (Err(refusal), None) => {
                known.failed = Some((refusal.clone(), now));
                Err(refusal)
            }
        }
    }

    /// The metadata with the key set of now; none where it was read a moment ago.
    async fn renewed(&self, fetch: &Fetch) -> Result<Option<Arc<CoreProviderMetadata>>, Refusal> {
        let mut known = self.known.lock().await;
        let Some((metadata, at)) = known.metadata.clone() else { return Ok(None) };
        if known.keys_read.is_some_and(|at| at.elapsed() < KEYS_PAUSE) {
            return Ok(None);
        }
        known.keys_read = Some(Instant::now());
        let keys = CoreJsonWebKeySet::fetch_async(metadata.jwks_uri(), fetch).await.map_err(of_discovery)?;
        let metadata = Arc::new(CoreProviderMetadata::clone(&metadata).set_jwks(keys));
        known.metadata = Some((Arc::clone(&metadata), at));
        Ok(Some(metadata))
    }
}

/// Why a token is not believed, and whether that may be for a key that has changed.
#[derive(Debug)]
struct Unproven {
    refusal: Refusal,
    by_key: bool,
}

fn judged(client: &Relying, token: &Token, nonce: &Nonce, tokens: &Tokens) -> Result<TokenClaims, Unproven> {
    let verifier = client.id_token_verifier();
    // A provider's list may hold algorithms that prove nothing to a third party.
    let verifier = verifier.set_allowed_algs([
        CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha256,
        CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha384,
        CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha512,
        CoreJwsSigningAlgorithm::RsaSsaPssSha256,
        CoreJwsSigningAlgorithm::RsaSsaPssSha384,
        CoreJwsSigningAlgorithm::RsaSsaPssSha512,
        CoreJwsSigningAlgorithm::EcdsaP256Sha256,
        CoreJwsSigningAlgorithm::EcdsaP384Sha384,
        CoreJwsSigningAlgorithm::EdDsa,
    ]);
    let claims = token.claims(&verifier, nonce).map_err(|error| {
        use SignatureVerificationError::{AmbiguousKeyId, CryptoError, NoMatchingKey};
        let by_key = matches!(
            &error,
            ClaimsVerificationError::SignatureVerification(AmbiguousKeyId(_) | CryptoError(_) | NoMatchingKey)
        );
        Unproven { refusal: Refusal::Untrusted { cause: whole(&error) }, by_key }
    })?;
    let unproven = |cause: String| Unproven { refusal: Refusal::Untrusted { cause }, by_key: false };
    if let Some(expected) = claims.access_token_hash() {
        let key = token.signing_key(&verifier).map_err(|error| unproven(error.to_string()))?;
        let algorithm = token.signing_alg().map_err(|error| unproven(error.to_string()))?;
        let own = AccessTokenHash::from_token(tokens.access_token(), algorithm, key);
        if own.map_err(|error| unproven(error.to_string()))? != *expected {
            return Err(unproven("the access token beside the ID token is another one".into()));
        }
    }
    Ok(claims.clone())
}

async fn user_info(
    client: &Relying,
    fetch: &Fetch,
    tokens: &Tokens,
    subject: SubjectIdentifier,
) -> Result<Claims, Refusal> {
    let request = client.user_info(tokens.access_token().clone(), Some(subject)).map_err(|error| broken(&error))?;
    let said: Result<UserInfoClaims<Others, CoreGenderClaim>, _> = request.request_async(fetch).await;
    let said = said.map_err(|error| match error {
        UserInfoError::Request(error) => of_fetch(&error),
        UserInfoError::ClaimsVerification(error) => Refusal::Untrusted { cause: whole(&error) },
        other => broken(&other),
    })?;
    flat(&said)
}

/// Claims as the provider wrote them, without those that it left out.
fn flat(claims: &impl Serialize) -> Result<Claims, Refusal> {
    match serde_json::to_value(claims) {
        Ok(Value::Object(claims)) => Ok(claims.into_iter().filter(|(_, value)| !value.is_null()).collect()),
        Ok(_) => Err(untrusted("its claims are no object")),
        Err(error) => Err(Refusal::Untrusted { cause: error.to_string() }),
    }
}

fn untrusted(cause: &str) -> Refusal {
    Refusal::Untrusted { cause: cause.into() }
}

fn broken(error: &(dyn std::error::Error + 'static)) -> Refusal {
    Refusal::Broken { cause: whole(error) }
}

/// An error with what is below it.
fn whole(error: &(dyn std::error::Error + 'static)) -> String {
    match error.source() {
        Some(_) => format!("{error}: {}", causes(error)),
        None => error.to_string(),
    }
}

fn of_fetch(error: &Unanswered) -> Refusal {
    let cause = error.to_string();
    match error {
        Unanswered::TimedOut { .. } => Refusal::Slow { cause },
        Unanswered::Unreachable { .. } => Refusal::Away { cause },
        Unanswered::Tls(_) | Unanswered::Unsafe(_) | Unanswered::TooLarge { .. } => Refusal::Broken { cause },
    }
}

fn of_discovery(error: DiscoveryError<Unanswered>) -> Refusal {
    match error {
        DiscoveryError::Request(error) => of_fetch(&error),
        DiscoveryError::Response(status, _, cause) if status.is_server_error() => Refusal::Away { cause },
        other => broken(&other),
    }
}

/// The body of an answer is never told: a provider gone wrong may have put a token there.
fn of_exchange(error: RequestTokenError<Unanswered, StandardErrorResponse<CoreErrorResponseType>>) -> Refusal {
    match error {
        RequestTokenError::ServerResponse(said) => {
            let detail = said.error_description().map(|own| format!(": {own}")).unwrap_or_default();
            let cause = format!("the provider refused the code with {}{detail}", said.error().as_ref());
            match said.error() {
                CoreErrorResponseType::InvalidGrant => Refusal::CodeRefused { cause },
                _ => Refusal::Broken { cause },
            }
        }
        RequestTokenError::Request(error) => of_fetch(&error),
        RequestTokenError::Parse(error, _) => broken(&error),
        RequestTokenError::Other(cause) => Refusal::Broken { cause },
    }
}
