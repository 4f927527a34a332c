//! Signing in with a browser: the cookie, what it may do, and how it ends.

use axum::body::Body;
use serde_json::{Value, json};

use crate::world::{Answer, World, request};

/// A browser that keeps its cookie.
struct Browser<'a> {
    world: &'a World,
    cookie: String,
}

impl<'a> Browser<'a> {
    async fn sign_in(world: &'a World, token: &str) -> Self {
        let answer = world.call("", "POST", "/api/v1/session", &json!({ "token": token }).to_string()).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let field = answer.header("set-cookie").to_owned();
        let (cookie, attributes) = field.split_once("; ").unwrap();
        assert_eq!(attributes, "Path=/; Secure; HttpOnly; SameSite=Strict");
        assert!(cookie.starts_with("__Host-crossfade=") && !field.contains(token), "{field}");
        Self { world, cookie: cookie.into() }
    }

    async fn call_from(&self, site: &str, method: &str, path: &str, body: &str) -> Answer {
        let mut request = request("", method, path, body).header("cookie", &self.cookie);
        if !site.is_empty() {
            request = request.header("sec-fetch-site", site);
        }
        self.world.send(request.body(Body::from(body.to_owned())).unwrap()).await
    }

    async fn call(&self, method: &str, path: &str, body: &str) -> Answer {
        self.call_from("same-origin", method, path, body).await
    }

    async fn get(&self, path: &str) -> Value {
        let answer = self.call("GET", path, "").await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()
    }
}

const CHANGE: &str = r#"{"mode":"gradual","reason":"go"}"#;
const MODE: &str = "/api/v1/migrations/agents/mode";

#[tokio::test]
async fn a_session_has_the_rights_of_its_token_and_its_name_in_the_history() {
    let world = World::new().await;
    let viewer = Browser::sign_in(&world, "viewer").await;
    let who = viewer.get("/api/v1/session").await;
    assert_eq!((&who["name"], &who["role"], &who["by"]), (&json!("viewer"), &json!("viewer"), &json!("session")));
    viewer.call("PUT", MODE, CHANGE).await.is_problem(403, "forbidden");
    viewer.call("GET", "/api/v1/tokens", "").await.is_problem(403, "forbidden");
    let operator = Browser::sign_in(&world, "operator").await;
    assert_eq!(operator.call("PUT", MODE, CHANGE).await.status, 200);
    let history = operator.get("/api/v1/migrations/agents/history").await;
    assert_eq!(history["history"][0]["actor"], "operator");
}

#[tokio::test]
async fn a_page_brings_what_it_would_ask_for_to_whoever_is_signed_in_and_to_nobody_else() {
    let world = World::new().await;
    let bare = world.call("", "GET", "/", "").await;
    assert!(!bare.text.contains("id=\"begin\""));
    let operator = Browser::sign_in(&world, "operator").await;
    let change = r#"{"mode":"gradual","reason":"</script><script>alert(1)</script>"}"#;
    assert_eq!(operator.call("PUT", MODE, change).await.status, 200);
    for path in ["/", "/migrations/agents", "/migration/dashboard"] {
        let page = operator.call("GET", path, "").await;
        assert_eq!((page.status.as_u16(), page.header("cache-control"), page.header("etag")), (200, "no-store", ""));
        let (before, rest) = page.text.split_once("<script id=\"begin\" type=\"application/json\">").unwrap();
        let (begin, behind) = rest.split_once("</script>\n").unwrap();
        assert_eq!(format!("{before}{behind}"), bare.text, "{path}");
        assert!(!begin.contains('<'), "{begin}");
        let begin: Value = serde_json::from_str(begin).unwrap();
        let who = operator.get("/api/v1/session").await;
        assert_eq!((&begin["session"]["name"], &begin["session"]["role"]), (&who["name"], &who["role"]));
        assert_eq!(begin["door"], operator.get("/api/v1/sign-in").await);
        let migrations = begin["state"]["migrations"].as_array().unwrap();
        let agents = migrations.iter().find(|own| own["id"] == "agents").unwrap();
        let reason = "</script><script>alert(1)</script>";
        assert_eq!((&agents["mode"], &agents["last_change"]["reason"]), (&json!("gradual"), &json!(reason)));
    }
    operator.call("DELETE", "/api/v1/session", "").await;
    assert_eq!(operator.call("GET", "/", "").await.text, bare.text);
    // A token says who calls, and nothing of a browser.
    assert_eq!(world.call("operator", "GET", "/", "").await.text, bare.text);
}

#[tokio::test]
async fn a_change_by_cookie_comes_from_the_dashboard_alone() {
    let world = World::new().await;
    let browser = Browser::sign_in(&world, "operator").await;
    for site in ["", "none", "same-site", "cross-site"] {
        browser.call_from(site, "PUT", MODE, CHANGE).await.is_problem(403, "cross_site");
        browser.call_from(site, "POST", "/migration/rollback?reason=x", "").await;
    }
    assert_eq!(browser.get("/api/v1/migrations/agents").await["revision"], 0, "nothing was changed");
    // A page may look from anywhere that the browser sends the cookie from.
    assert_eq!(browser.call_from("none", "GET", "/api/v1/migrations", "").await.status, 200);
}

#[tokio::test]
async fn a_wrong_token_signs_nobody_in_and_guesses_run_out() {
    let world = World::new().await;
    let guess = || world.call("", "POST", "/api/v1/session", r#"{"token":"guess"}"#);
    let first = guess().await;
    first.is_problem(401, "unauthorized");
    assert_eq!(first.header("set-cookie"), "");
    let mut last = first;
    for _ in 0..100 {
        last = guess().await;
    }
    last.is_problem(429, "too_many_attempts");
    assert!(last.header("retry-after").parse::<u64>().is_ok_and(|seconds| seconds > 0), "{last:?}");
    Browser::sign_in(&world, "operator").await;
}

#[tokio::test]
async fn signing_out_ends_the_session_and_says_so_afterwards() {
    let world = World::new().await;
    let browser = Browser::sign_in(&world, "operator").await;
    let other = Browser::sign_in(&world, "operator").await;
    let out = browser.call("DELETE", "/api/v1/session", "").await;
    assert_eq!(out.status, 204);
    assert!(out.header("set-cookie").contains("Max-Age=0"), "{out:?}");
    let after = browser.call("GET", "/api/v1/migrations", "").await;
    after.is_problem(401, "unauthorized");
    assert!(after.text.contains("sign in again"), "{after:?}");
    assert_eq!(browser.call("DELETE", "/api/v1/session", "").await.status, 204);
    assert_eq!(other.call("GET", "/api/v1/migrations", "").await.status, 200, "the other browser is still signed in");
}

#[tokio::test]
async fn an_admin_sees_who_is_signed_in_and_ends_it() {
    let world = World::new().await;
    let browser = Browser::sign_in(&world, "operator").await;
    let admin = Browser::sign_in(&world, "admin").await;
    let tokens = admin.get("/api/v1/tokens").await;
    let operator = tokens["tokens"].as_array().unwrap().iter().find(|token| token["name"] == "operator").unwrap();
    assert_eq!((&operator["role"], &operator["sessions"]), (&json!("operator"), &json!(1)));
    assert!(!tokens.to_string().contains("sha256"), "{tokens}");
    let sessions = admin.get("/api/v1/sessions").await;
    let sessions = sessions["sessions"].as_array().unwrap();
    assert_eq!(sessions.len(), 2, "{sessions:?}");
    let of = |name: &str| sessions.iter().find(|own| own["name"] == name).unwrap();
    assert_eq!((&of("admin")["current"], &of("operator")["current"]), (&json!(true), &json!(false)));
    let path = format!("/api/v1/sessions/{}", of("operator")["id"].as_str().unwrap());
    browser.call("DELETE", &path, "").await.is_problem(403, "forbidden");
    assert_eq!(admin.call("DELETE", &path, "").await.status, 204);
    browser.call("GET", "/api/v1/migrations", "").await.is_problem(401, "unauthorized");
    admin.call("DELETE", &path, "").await.is_problem(404, "not_found");
}

#[tokio::test]
async fn a_token_goes_before_a_cookie() {
    let world = World::new().await;
    let browser = Browser::sign_in(&world, "viewer").await;
    let both = request("admin", "GET", "/api/v1/session", "").header("cookie", &browser.cookie);
    let who = world.send(both.body(Body::empty()).unwrap()).await.json();
    assert_eq!((&who["role"], &who["by"]), (&json!("admin"), &json!("token")));
    assert_eq!(world.call("", "GET", "/api/v1/sign-in", "").await.json()["oidc"], Value::Null);
}

#[tokio::test]
async fn a_session_that_ends_for_lack_of_room_is_counted() {
    let world = World::new().await;
    let first = Browser::sign_in(&world, "viewer").await;
    for _ in 0..20 {
        Browser::sign_in(&world, "viewer").await;
    }
    first.call("GET", "/api/v1/session", "").await.is_problem(401, "unauthorized");
    assert!(world.observer.gather().unwrap().contains("\ncrossfade_admin_sessions_evicted_total 1\n"));
}
