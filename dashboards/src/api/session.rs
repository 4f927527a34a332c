//! Signing in with a browser, and who is signed in.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::SET_COOKIE;
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use metrics::events::SessionEvicted;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::request::{Admin, Holder, Identity, JsonBody, PathPart, denied};
use crate::Shared;
use crate::auth::{Denied, Role};
use crate::problem::{Code, Problem};
use crate::session::{By, Session, set_cookie};

/// What a page needs before anybody signed in.
#[derive(Serialize, ToSchema)]
#[schema(as = SignIn)]
pub(crate) struct SignInView {
    /// The fleet's name.
    environment: String,
    /// The router that answers.
    replica: String,
    version: &'static str,
    /// Sign-in with OpenID Connect, where it is configured.
    oidc: Option<OidcView>,
}

impl SignInView {
    pub(crate) fn of(shared: &Shared) -> Self {
        Self {
            environment: shared.environment.clone(),
            replica: shared.replica.clone(),
            version: env!("CARGO_PKG_VERSION"),
            oidc: shared.oidc().map(|(label, url)| OidcView { label, url: url.into() }),
        }
    }
}

#[derive(Serialize, ToSchema)]
pub(crate) struct OidcView {
    label: String,
    /// Where it begins.
    url: String,
}

/// How to sign in here. Needs no token.
#[utoipa::path(get, path = "/sign-in", tag = "access", security(()), responses((status = 200, body = SignInView)))]
pub(crate) async fn sign_in(State(shared): State<Shared>) -> Json<SignInView> {
    Json(SignInView::of(&shared))
}

/// Whoever asks.
#[derive(Serialize, ToSchema)]
#[schema(as = Session)]
pub(crate) struct WhoView {
    name: String,
    #[schema(value_type = String)]
    role: Role,
    /// `session` or `token`.
    by: &'static str,
    /// When the session ends unless it is used; absent for a token.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    expires: Option<Timestamp>,
}

impl WhoView {
    pub(crate) fn of(identity: Identity) -> Self {
        let Identity { name, role, session } = identity;
        let by = if session.is_some() { "session" } else { "token" };
        Self { name, role, by, expires: session.map(|own| own.expires()) }
    }
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SignInBody {
    token: String,
}

/// Begins a session for the holder of a token; the answer sets a cookie that stands for it.
///
/// Browsers keep it on https and on loopback only.
#[utoipa::path(
    post, path = "/session", tag = "access", security(()), request_body = SignInBody,
    responses((status = 200, body = WhoView, headers(("Set-Cookie" = String, description = "the session"))))
)]
pub(crate) async fn begin(
    State(shared): State<Shared>,
    JsonBody(body): JsonBody<SignInBody>,
) -> Result<Response, Problem> {
    let token = shared.access.recognise(body.token.trim().as_bytes()).map_err(|why| {
        // Those beyond the budget of attempts are told alike and would only fill the log.
        if why == Denied::Unknown {
            tracing::warn!(
                "nobody was signed in to the dashboard: the token that was given is not one of this router's"
            );
        }
        denied(why)
    })?;
    begin_for(&shared, &token.name, token.role, By::Token).map(|(cookie, session)| {
        let who = WhoView::of(Identity::of(session));
        ([(SET_COOKIE, cookie)], Json(who)).into_response()
    })
}

/// Begins a session, however somebody proved who they are. Answers the cookie that stands for it.
pub(crate) fn begin_for(shared: &Shared, name: &str, role: Role, by: By) -> Result<(String, Session), Problem> {
    let begun = shared.sessions.begin(name, role, by, Timestamp::now());
    let (secret, session, evicted) = begun.map_err(|error| {
        let detail = format!("this machine gives no random numbers ({error}): use a token with the command line");
        Problem::new(Code::Internal, detail)
    })?;
    for ended in evicted {
        SessionEvicted { name: &ended.name, session: &ended.id }.emit(&shared.observer);
    }
    tracing::info!(name, %role, by = by.name(), session = session.id, "somebody signed in to the dashboard");
    Ok((set_cookie(Some(&secret)), session))
}

/// Who the caller is.
#[utoipa::path(get, path = "/session", tag = "access", responses((status = 200, body = WhoView)))]
pub(crate) async fn who(identity: Identity) -> Json<WhoView> {
    Json(WhoView::of(identity))
}

/// Ends the caller's session.
#[utoipa::path(delete, path = "/session", tag = "access", responses((status = 204, description = "Signed out")))]
pub(crate) async fn end(State(shared): State<Shared>, identity: Result<Identity, Problem>) -> Response {
    // Whoever is not signed in has what they want.
    if let Some(session) = identity.ok().and_then(|own| own.session) {
        shared.sessions.end(&session.id);
        tracing::info!(name = session.name, session = session.id, "somebody signed out of the dashboard");
    }
    (StatusCode::NO_CONTENT, [(SET_COOKIE, set_cookie(None))]).into_response()
}

/// One token of the file, without its secret.
#[derive(Serialize, ToSchema)]
#[schema(as = Token)]
pub(crate) struct TokenView {
    name: String,
    #[schema(value_type = String)]
    role: Role,
    /// Browsers that are signed in with it on this router.
    sessions: usize,
}

#[derive(Serialize, ToSchema)]
#[schema(as = Tokens)]
pub(crate) struct TokensView {
    /// In the order of the file.
    tokens: Vec<TokenView>,
}

/// The tokens that this router takes.
#[utoipa::path(get, path = "/tokens", tag = "access", responses((status = 200, body = TokensView)))]
pub(crate) async fn tokens(State(shared): State<Shared>, _: Admin) -> Json<TokensView> {
    let sessions = shared.sessions.all(Timestamp::now());
    let sessions_of = |name: &str| sessions.iter().filter(|own| own.by == By::Token && own.name == name).count();
    let token = |own: &crate::auth::Token| TokenView {
        sessions: sessions_of(&own.name),
        name: own.name.clone(),
        role: own.role,
    };
    Json(TokensView { tokens: shared.tokens.iter().map(token).collect() })
}

/// A browser that is signed in.
#[derive(Serialize, ToSchema)]
#[schema(as = BrowserSession)]
pub(crate) struct SessionView {
    /// To revoke it by.
    id: String,
    name: String,
    #[schema(value_type = String)]
    role: Role,
    /// `token` or `oidc`.
    by: &'static str,
    #[schema(value_type = String, format = DateTime)]
    created: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    last_used: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    expires: Timestamp,
    /// Whether it is the caller's.
    current: bool,
}

#[derive(Serialize, ToSchema)]
#[schema(as = BrowserSessions)]
pub(crate) struct SessionsView {
    /// Newest first.
    sessions: Vec<SessionView>,
}

/// Who is signed in on this router.
#[utoipa::path(get, path = "/sessions", tag = "access", responses((status = 200, body = SessionsView)))]
pub(crate) async fn sessions(State(shared): State<Shared>, _: Admin, identity: Identity) -> Json<SessionsView> {
    let current = identity.session.map(|own| own.id);
    let session = |own: Session| SessionView {
        expires: own.expires(),
        current: current.as_ref() == Some(&own.id),
        id: own.id,
        name: own.name,
        role: own.role,
        by: own.by.name(),
        created: own.created,
        last_used: own.last_used,
    };
    Json(SessionsView { sessions: shared.sessions.all(Timestamp::now()).into_iter().map(session).collect() })
}

/// Ends somebody's session.
#[utoipa::path(
    delete, path = "/sessions/{id}", tag = "access", params(("id" = String, Path)),
    responses((status = 204, description = "Ended"))
)]
pub(crate) async fn revoke(
    State(shared): State<Shared>,
    Holder(name): Admin,
    PathPart(id): PathPart<String>,
) -> Result<StatusCode, Problem> {
    if !shared.sessions.end(&id) {
        return Err(Problem::new(Code::NotFound, "there is no such session any more: it ended or was revoked before"));
    }
    tracing::info!(session = id, by = name, "a session was revoked");
    Ok(StatusCode::NO_CONTENT)
}
