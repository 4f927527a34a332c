//! Webhooks as GitHub sends them.

use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Value, json};
use sha2::Sha256;

use super::PATH;

pub(crate) const SECRET: &str = "It's a Secret to Everybody";

/// One webhook, to be changed as a test needs it.
#[derive(Clone, Debug)]
pub(crate) struct Hook {
    pub(crate) delivery: String,
    pub(crate) event: String,
    pub(crate) body: Vec<u8>,
    pub(crate) content_type: String,
    /// None: no field; otherwise instead of the right one.
    pub(crate) signature: Option<Option<String>>,
}

/// The HMAC of a body in hexadecimal.
pub(crate) fn digits(body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
    mac.update(body);
    mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Hook {
    /// What happened to an issue of octo-org/hello-world.
    pub(crate) fn new(delivery: &str, action: &str, number: u64) -> Self {
        let user = json!({ "login": "octocat", "id": 1, "type": "User", "site_admin": false });
        let more = match action {
            "labeled" => json!({ "label": { "id": 7, "name": "agent", "color": "f29513" } }),
            "assigned" => json!({ "assignee": user }),
            "edited" => json!({ "changes": { "title": { "from": "Fuond" } } }),
            _ => json!({}),
        };
        let mut body = json!({
            "action": action,
            "issue": {
                "id": 1, "number": number, "title": format!("Found in {delivery}"), "user": user, "state": "open",
                "labels": [], "assignees": [], "created_at": "2026-11-20T18:02:45Z",
                "updated_at": "2026-11-20T18:02:45Z", "body": "It \u{1f41b} crawls.",
            },
            "repository": { "id": 2, "name": "hello-world", "full_name": "octo-org/hello-world", "private": false },
            "sender": user,
        });
        if let Value::Object(more) = more {
            more.into_iter().for_each(|(key, value)| body[key] = value);
        }
        Self::of(delivery, serde_json::to_vec_pretty(&body).unwrap())
    }

    pub(crate) fn of(delivery: &str, body: impl Into<Vec<u8>>) -> Self {
        Self {
            delivery: delivery.into(),
            event: "issues".into(),
            body: body.into(),
            content_type: "application/json".into(),
            signature: Some(None),
        }
    }

    pub(crate) fn head(&self) -> String {
        let signature = match &self.signature {
            None => String::new(),
            Some(own) => {
                let right = || format!("sha256={}", digits(&self.body));
                format!("X-Hub-Signature-256: {}\r\n", own.clone().unwrap_or_else(right))
            }
        };
        format!(
            "POST {PATH} HTTP/1.1\r\nHost: hooks.test\r\nUser-Agent: GitHub-Hookshot/044aadd\r\nAccept: */*\r\n\
             Content-Type: {}\r\nX-GitHub-Delivery: {}\r\nX-GitHub-Event: {}\r\n{signature}",
            self.content_type, self.delivery, self.event,
        )
    }

    pub(crate) fn request(&self) -> Vec<u8> {
        let mut request = format!("{}Content-Length: {}\r\n\r\n", self.head(), self.body.len()).into_bytes();
        request.extend_from_slice(&self.body);
        request
    }
}
