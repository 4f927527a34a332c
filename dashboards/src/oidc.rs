//! Sign-in with OpenID Connect: authorization code with PKCE, and a role by group.
//!
//! # How it goes
//!
//! `GET /auth/login` sends the browser to the provider and keeps what belongs to this sign-in (`pending`). The provider sends it back to
//! `GET /auth/callback` with a code, which this router exchanges for a signed statement of who that is (`provider`). Name and role come
//! from what it says (`claims`), and a session begins as any other. The session's cookie is `SameSite=Strict`, and the way back from
//! the provider is of another site; so the callback leads on to `/`, whose page needs no cookie and shows it with each of its own calls.
//!
//! # What it must not do
//!
//! Get in the way. A provider that is away or slow costs those who sign in by it a page that says so; tokens work without it, and
//! only [`AT_ONCE`] requests may wait for it while the rest of the admin side answers. A person whose groups change keeps the
//! role until the session ends; an admin can end it.
//!
//! Not supported: signing out at the provider, refresh tokens, several providers.

mod claims;
mod http;
mod pending;
mod provider;
mod refusal;

use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{Query, State};
use axum::http::header::{LOCATION, SET_COOKIE};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{AppendHeaders, IntoResponse, Response};
use axum::routing::get;
use governor::clock::Clock as _;
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use metrics::Observer;
use metrics::events::{SignInDropped, SignInLimit};
use serde::Deserialize;
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::Shared;
use crate::api::session::begin_for;
use crate::auth::Role;
use crate::session::{By, cookie, random_secret};
use pending::{LIFE, Pending};
use provider::Provider;
use refusal::{Refusal, told};

/// Binds a sign-in to the browser that began it. Lax, because the provider sends the browser back.
const COOKIE_NAME: &str = "__Host-crossfade-login";

/// Sign-ins that may begin at once, and how many more each second brings; so with those that end.
const BURST: NonZeroU32 = NonZeroU32::new(60).unwrap();
const PER_SECOND: NonZeroU32 = NonZeroU32::new(5).unwrap();

/// Requests that may wait for the provider.
const AT_ONCE: usize = 16;

/// All that the provider is asked for one sign-in.
const ALL_MAX: Duration = Duration::from_secs(20);

/// A longer code or state is not one of ours.
const PARAMETER_BYTES_MAX: usize = 4_096;

/// What the file says of the provider and of those who come from there.
#[derive(Clone)]
pub struct Settings {
    /// Exactly as the provider calls itself.
    pub issuer: String,
    pub client_id: String,
    /// None: a public client, by PKCE alone.
    pub client_secret: Option<String>,
    /// What the button says.
    pub label: String,
    /// The dashboard as people reach it, without a slash at its end.
    pub url: String,
    pub scopes: Vec<String>,
    pub name_claim: Option<String>,
    pub groups_claim: String,
    /// Which role a group gives.
    pub roles: Vec<(String, Role)>,
    /// Who may have signed the provider's certificate; the system's authorities where none.
    pub roots: Option<Arc<rustls::RootCertStore>>,
}

impl Settings {
    fn redirect_url(&self) -> String {
        format!("{}/auth/callback", self.url)
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { issuer, client_id, url, .. } = self;
        f.debug_struct("Settings")
            .field("issuer", issuer)
            .field("client_id", client_id)
            .field("url", url)
            .finish_non_exhaustive()
    }
}

/// Sign-in by one provider.
#[derive(Debug)]
pub(crate) struct Oidc {
    settings: Arc<Settings>,
    provider: Provider,
    pending: Pending,
    places: Semaphore,
    begins: DefaultDirectRateLimiter,
    ends: DefaultDirectRateLimiter,
}

impl Oidc {
    pub(crate) fn new(settings: Settings) -> Self {
        let settings = Arc::new(settings);
        let limiter = || RateLimiter::direct(Quota::per_second(PER_SECOND).allow_burst(BURST));
        Self {
            provider: Provider::new(Arc::clone(&settings)),
            settings,
            pending: Pending::default(),
            places: Semaphore::new(AT_ONCE),
            begins: limiter(),
            ends: limiter(),
        }
    }

    pub(crate) fn label(&self) -> &str {
        &self.settings.label
    }

    fn place(&self, observer: &Observer) -> Result<SemaphorePermit<'_>, Refusal> {
        self.places.try_acquire().map_err(|_full| {
            SignInDropped { limit: SignInLimit::AtOnce }.emit(observer);
            Refusal::TooMany { retry_after_seconds: 2 }
        })
    }
}

/// Where a sign-in begins, for links.
pub(crate) const LOGIN: &str = "/auth/login";

pub(crate) fn router() -> Router<Shared> {
    Router::new().route(LOGIN, get(login)).route("/auth/callback", get(callback))
}

fn limited(shared: &Shared, limiter: &DefaultDirectRateLimiter) -> Result<(), Refusal> {
    limiter.check().map_err(|until| {
        SignInDropped { limit: SignInLimit::Pace }.emit(&shared.observer);
        let wait = until.wait_time_from(governor::clock::DefaultClock::default().now());
        Refusal::TooMany { retry_after_seconds: wait.as_secs() + 1 }
    })
}

async fn bounded<T>(work: impl Future<Output = Result<T, Refusal>>) -> Result<T, Refusal> {
    let slow = |_elapsed| Refusal::Slow { cause: format!("all of it took longer than {} s", ALL_MAX.as_secs()) };
    tokio::time::timeout(ALL_MAX, work).await.unwrap_or_else(|elapsed| Err(slow(elapsed)))
}

/// Sends a browser to the provider.
async fn login(State(shared): State<Shared>, headers: HeaderMap) -> Result<Response, Refusal> {
    let Some(own) = &shared.oidc else { return Err(Refusal::Garbled) };
    limited(&shared, &own.begins)?;
    let _place = own.place(&shared.observer)?;
    let (url, state, begun) = bounded(own.provider.begin()).await?;
    let now = Instant::now();
    let browser = match cookie(&headers, COOKIE_NAME).filter(|secret| own.pending.knows(secret, now)) {
        Some(secret) => secret,
        None => random_secret().map_err(|error| Refusal::Internal { cause: error.to_string() })?,
    };
    if own.pending.keep(&state, &browser, begun, now) {
        SignInDropped { limit: SignInLimit::Begun }.emit(&shared.observer);
    }
    Ok((StatusCode::SEE_OTHER, [(LOCATION, url.to_string()), (SET_COOKIE, set_cookie(Some(&browser)))]).into_response())
}

/// What a provider sends back; whatever else it adds is not read.
#[derive(Deserialize)]
struct Answer {
    state: String,
    code: Option<String>,
    error: Option<String>,
    error_description: Option<String>,
    iss: Option<String>,
}

/// Takes a browser back from the provider and begins its session.
async fn callback(State(shared): State<Shared>, headers: HeaderMap, uri: Uri) -> Result<Response, Refusal> {
    let Some(own) = &shared.oidc else { return Err(Refusal::Garbled) };
    limited(&shared, &own.ends)?;
    let Query(answer) = Query::<Answer>::try_from_uri(&uri).map_err(|_unreadable| Refusal::Garbled)?;
    if [Some(&answer.state), answer.code.as_ref()].into_iter().flatten().any(|text| text.len() > PARAMETER_BYTES_MAX) {
        return Err(Refusal::Garbled);
    }
    // Before it is used up, so that whoever finds no place can load the page again.
    let _place = own.place(&shared.observer)?;
    let browser = cookie(&headers, COOKIE_NAME).ok_or(Refusal::NotBegun)?;
    let begun = own.pending.take(&answer.state, &browser, Instant::now()).ok_or(Refusal::NotBegun)?;
    let code = code(answer, &own.settings.issuer)?;
    let claims = bounded(own.provider.claims(code, begun)).await?;
    let is_taken = |name: &str| shared.tokens.iter().any(|token| token.name.eq_ignore_ascii_case(name));
    let name = claims::name(&claims, own.settings.name_claim.as_deref(), is_taken);
    let name = name.ok_or_else(|| Refusal::Broken { cause: "it gives no name that could be shown".into() })?;
    let Some(role) = claims::role(&claims, &own.settings.groups_claim, &own.settings.roles) else {
        return Err(Refusal::NoRole { name });
    };
    let (session, _) = begin_for(&shared, &name, role, By::Oidc)
        .map_err(|problem| Refusal::Internal { cause: problem.detail().to_owned() })?;
    let cookies = AppendHeaders([(SET_COOKIE, session), (SET_COOKIE, set_cookie(None))]);
    Ok((StatusCode::SEE_OTHER, [(LOCATION, "/")], cookies).into_response())
}

/// The code of an answer that is one.
fn code(answer: Answer, issuer: &str) -> Result<String, Refusal> {
    // Another provider's answer has no business here (RFC 9207).
    if answer.iss.is_some_and(|iss| iss != issuer) {
        return Err(Refusal::Untrusted { cause: "another issuer answers".into() });
    }
    let Some(error) = answer.error else { return answer.code.ok_or(Refusal::Garbled) };
    let description = answer.error_description.unwrap_or_default();
    let cause = format!("the provider answers {} ({})", told(&error), told(&description));
    Err(match error.as_str() {
        "access_denied"
        | "consent_required"
        | "login_required"
        | "interaction_required"
        | "account_selection_required" => {
            tracing::info!("{cause}");
            Refusal::Denied
        }
        "server_error" | "temporarily_unavailable" => Refusal::Away { cause },
        _ => Refusal::Broken { cause },
    })
}

/// The field that has a browser keep the secret of its sign-ins, or forget it where there is none.
fn set_cookie(secret: Option<&str>) -> String {
    let age = secret.map_or(0, |_| LIFE.as_secs());
    format!("{COOKIE_NAME}={}; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age={age}", secret.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(query: &str) -> Option<Answer> {
        Query::try_from_uri(&format!("/auth/callback?{query}").parse().unwrap()).ok().map(|Query(answer)| answer)
    }

    #[track_caller]
    fn check(query: &str, expected: Result<&str, StatusCode>) {
        let code = answer(query).ok_or(Refusal::Garbled).and_then(|own| code(own, "https://login.example.com/"));
        assert_eq!(code.as_deref().map_err(|refusal| refusal.status()), expected, "{query}");
    }

    #[test]
    fn an_answer_is_a_code_or_a_reason() {
        check("state=s&code=c", Ok("c"));
        check("state=s&code=c&session_state=x&iss=https%3A%2F%2Flogin.example.com%2F", Ok("c"));
        check("state=s&code=c&iss=https%3A%2F%2Fevil.example", Err(StatusCode::BAD_GATEWAY));
        check("state=s&code=c&error=access_denied", Err(StatusCode::FORBIDDEN));
        check("state=s&error=server_error&error_description=%3Cb%3E", Err(StatusCode::SERVICE_UNAVAILABLE));
        check("state=s&error=invalid_scope", Err(StatusCode::BAD_GATEWAY));
        for garbled in ["", "state=s", "code=c", "state=s&state=t&code=c", "state=s&code=c&code=d"] {
            check(garbled, Err(StatusCode::BAD_REQUEST));
        }
    }

    #[test]
    fn settings_show_no_secret() {
        let settings = Settings {
            issuer: "https://login.example.com/".into(),
            client_id: "crossfade".into(),
            client_secret: Some("s3cret".into()),
            label: "Company".into(),
            url: "https://crossfade.example.com".into(),
            scopes: vec!["openid".into()],
            name_claim: None,
            groups_claim: "groups".into(),
            roles: Vec::new(),
            roots: None,
        };
        assert_eq!(settings.redirect_url(), "https://crossfade.example.com/auth/callback");
        assert!(!format!("{:?}", Oidc::new(settings)).contains("s3cret"));
    }
}
