//! Why somebody was not signed in: as a page for the person, and as a line of the log for the operator.
//!
//! # Why two texts
//!
//! The person in the browser learns what happened and what to do. What a provider or a callback's query said is for the log, bounded
//! and escaped: anybody can send people here with a query of their own making, and this page must not speak with their voice.

use std::borrow::Cow;

use axum::http::header::{CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};

/// Of what came from elsewhere, in a line of the log.
const CAUSE_CHARS_MAX: usize = 300;

/// What a person reads, and does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// The callback belongs to no sign-in that this browser has begun here and not ended.
    NotBegun,
    /// The callback's query is not one.
    Garbled,
    /// The person or the provider said no.
    Denied,
    /// The provider takes the code no more.
    CodeRefused { cause: String },
    /// None of the groups has a role.
    NoRole { name: String },
    /// The provider, or the configuration, cannot work like this.
    Broken { cause: String },
    /// The answer is not what the provider must have signed for this sign-in.
    Untrusted { cause: String },
    /// The provider is away.
    Away { cause: String },
    /// The provider takes too long.
    Slow { cause: String },
    /// So many sign in at once that this one has to wait.
    TooMany { retry_after_seconds: u64 },
    /// This machine failed.
    Internal { cause: String },
}

impl Refusal {
    pub(super) const fn status(&self) -> StatusCode {
        match self {
            Self::NotBegun | Self::Garbled | Self::CodeRefused { .. } => StatusCode::BAD_REQUEST,
            Self::Denied | Self::NoRole { .. } => StatusCode::FORBIDDEN,
            Self::Broken { .. } | Self::Untrusted { .. } => StatusCode::BAD_GATEWAY,
            Self::Away { .. } => StatusCode::SERVICE_UNAVAILABLE,
            Self::Slow { .. } => StatusCode::GATEWAY_TIMEOUT,
            Self::TooMany { .. } => StatusCode::TOO_MANY_REQUESTS,
            Self::Internal { .. } => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// What happened and what to do, as sentences.
    fn sentences(&self) -> (&'static str, Cow<'static, str>) {
        match self {
            Self::NotBegun => (
                "This sign-in is over, or was begun elsewhere",
                "A sign-in ends after ten minutes, works once, and belongs to the browser and the router where it was begun. Begin again.".into(),
            ),
            Self::Garbled => (
                "The answer of the sign-in service is not understood",
                "It lacks what it must hold, or holds it twice. Begin again; if it happens again, tell whoever runs this router.".into(),
            ),
            Self::Denied => (
                "The sign-in service did not let you in",
                "Either you declined, or your account may not use this application there. Begin again, or ask whoever gives out access there.".into(),
            ),
            Self::CodeRefused { .. } => (
                "The sign-in service no longer accepts this sign-in",
                "Its code is used up or too old. Begin again.".into(),
            ),
            Self::NoRole { name } => (
                "You may not use this dashboard yet",
                format!("You are known as {name}, but none of your groups has a role here. Ask whoever runs this router to give one of your groups a role (admin.oidc.roles in its file), or to add you to a group that has one.").into(),
            ),
            Self::Broken { .. } => (
                "The sign-in service and this router do not work together",
                "This is a matter of configuration; the router's log says what is wrong. Until it is mended, sign in with a token.".into(),
            ),
            Self::Untrusted { .. } => (
                "The answer of the sign-in service is not trusted",
                "It is not one that the service has signed for this sign-in, so nobody was signed in; the router's log says why. Begin again; if it happens again, tell whoever runs this router, and sign in with a token.".into(),
            ),
            Self::Away { .. } => (
                "The sign-in service does not answer",
                "Try again in a few seconds. Until it is back, sign in with a token: the dashboard and the command line need no sign-in service for that.".into(),
            ),
            Self::Slow { .. } => (
                "The sign-in service takes too long to answer",
                "Try again in a few seconds. Until it is faster, sign in with a token: the dashboard and the command line need no sign-in service for that.".into(),
            ),
            Self::TooMany { retry_after_seconds } => (
                "Too many sign-ins at once",
                format!("Try again in {retry_after_seconds} s, or sign in with a token.").into(),
            ),
            Self::Internal { .. } => (
                "The router made a mistake",
                "Routing is not affected. Sign in with a token, and report this with the log around this moment.".into(),
            ),
        }
    }

    fn cause(&self) -> Option<&str> {
        match self {
            Self::CodeRefused { cause }
            | Self::Broken { cause }
            | Self::Untrusted { cause }
            | Self::Away { cause }
            | Self::Slow { cause }
            | Self::Internal { cause } => Some(cause),
            Self::NoRole { name } => Some(name),
            Self::NotBegun | Self::Garbled | Self::Denied | Self::TooMany { .. } => None,
        }
    }

    /// One line for whoever runs the router.
    pub(super) fn log(&self) {
        let (what, _) = self.sentences();
        let cause = self.cause().map(told);
        match self {
            Self::Broken { .. }
            | Self::Untrusted { .. }
            | Self::Away { .. }
            | Self::Slow { .. }
            | Self::Internal { .. } => {
                tracing::warn!(cause, "nobody was signed in by OpenID Connect: {what}");
            }
            Self::NoRole { .. }
            | Self::Denied
            | Self::CodeRefused { .. }
            | Self::NotBegun
            | Self::Garbled
            | Self::TooMany { .. } => {
                tracing::info!(cause, "nobody was signed in by OpenID Connect: {what}");
            }
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        self.log();
        let (what, then) = self.sentences();
        let page = format!(
            "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <meta name=\"color-scheme\" content=\"light dark\">\n<title>{what} - Crossfade</title>\n\
             <link rel=\"icon\" href=\"/ui/icon.svg\">\n<link rel=\"stylesheet\" href=\"/ui/style.css\">\n</head>\n<body>\n\
             <div class=\"page\">\n<main id=\"main\" class=\"narrow\">\n<h1>{what}</h1>\n\
             <p class=\"banner bad\" role=\"alert\">{}</p>\n<p><a class=\"button primary wide\" href=\"/auth/login\">Begin again</a></p>\n\
             <p><a class=\"button wide\" href=\"/\">To the dashboard</a></p>\n</main>\n</div>\n</body>\n</html>\n",
            escaped(&then)
        );
        let mut answer = (self.status(), [(CONTENT_TYPE, "text/html; charset=utf-8")], page).into_response();
        let wait = match self {
            Self::TooMany { retry_after_seconds } => Some(retry_after_seconds),
            Self::Away { .. } | Self::Slow { .. } => Some(super::provider::PAUSE.as_secs()),
            _ => None,
        };
        if let Some(seconds) = wait {
            answer.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        answer
    }
}

/// Text of somebody else's in a line of the log: bounded, and no line of its own.
pub(super) fn told(text: &str) -> String {
    let mut told: String = text.chars().take(CAUSE_CHARS_MAX).flat_map(char::escape_debug).collect();
    if text.chars().nth(CAUSE_CHARS_MAX).is_some() {
        told.push_str("...");
    }
    told
}

fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            other => safe.push(other),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn page(refusal: Refusal) -> String {
        let answer = refusal.into_response();
        assert_eq!(answer.headers()[CONTENT_TYPE], "text/html; charset=utf-8");
        let body = axum::body::to_bytes(answer.into_body(), 100_000).await.unwrap();
        String::from_utf8(body.to_vec()).unwrap()
    }

    #[tokio::test]
    async fn a_name_with_markup_is_text() {
        let page = page(Refusal::NoRole { name: "<script>alert('x')</script>&\"".into() }).await;
        assert!(page.contains("&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;&amp;&quot;"), "{page}");
        assert!(!page.contains("<script"), "{page}");
    }

    #[tokio::test]
    async fn what_others_said_is_not_on_the_page() {
        let cause = || "s3cret <b>".to_owned();
        for refusal in [
            Refusal::Broken { cause: cause() },
            Refusal::Untrusted { cause: cause() },
            Refusal::CodeRefused { cause: cause() },
            Refusal::Away { cause: cause() },
            Refusal::Slow { cause: cause() },
            Refusal::Internal { cause: cause() },
        ] {
            let page = page(refusal).await;
            assert!(!page.contains("s3cret") && page.contains("/auth/login"), "{page}");
        }
    }

    #[test]
    fn a_cause_cannot_forge_a_line() {
        assert_eq!(told("a\nERROR forged \u{1b}[0m"), "a\\nERROR forged \\u{1b}[0m");
        assert!(told(&"x".repeat(10_000)).len() < 310);
    }
}
