//! An operator who asks one router for a change and writes down what it said.

use std::net::SocketAddr;

use serde_json::{Value, json};

use crate::client::Client;
use crate::history::{Ask, Change, Told};
use crate::http::Answer;
use crate::load::Clock;
use crate::setup::MIGRATION;

/// One change to ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Errand {
    pub router: usize,
    pub ask: Ask,
    /// Whether to go ahead although a router has not confirmed the change before.
    pub force: bool,
    /// Of this change alone.
    pub reason: String,
}

impl Errand {
    /// Asks the admin side at this address, and waits for what it says.
    pub async fn run(self, admin: SocketAddr, clock: Clock) -> Change {
        let began = clock.now();
        let (method, path, body) = self.call();
        // In a task of its own: an answer that never comes is an answer too.
        let called = tokio::spawn(async move {
            let mut client = Client::try_connect(admin).await.map_err(|error| error.to_string())?;
            let lines = format!(
                "Host: {admin}\r\nAuthorization: Bearer admin-secret\r\nContent-Type: application/json\r\nContent-Length: {}\r\n",
                body.len()
            );
            client.send(format!("{method} /api/v1/migrations/{MIGRATION}{path} HTTP/1.1\r\n{lines}\r\n{body}")).await;
            client.answer_or_end(method).await.ok_or_else(|| "the connection ended without an answer".to_owned())
        });
        let answer = match called.await {
            Ok(Ok(answer)) => told(&answer),
            Ok(Err(error)) => Told::Unknown(error),
            Err(_) => Told::Unknown("no answer in time".into()),
        };
        let Self { reason, router, ask, .. } = self;
        Change { reason, router, ask, began, ended: clock.now(), answer }
    }

    fn call(&self) -> (&'static str, String, String) {
        let mut body = json!({"reason": self.reason});
        let (method, path) = match &self.ask {
            Ask::Mode(mode) => {
                body["mode"] = mode.name().into();
                ("PUT", "/mode".to_owned())
            }
            Ask::Rollout(share) => {
                body["percent"] = (f64::from(*share) / 100.0).into();
                ("PUT", "/rollout".to_owned())
            }
            Ask::Pin(key, side) => {
                body["side"] = side.name().into();
                ("PUT", format!("/pins/{key}"))
            }
            Ask::Unpin(key) => ("DELETE", format!("/pins/{key}")),
            Ask::RollBack => ("POST", "/rollback".to_owned()),
            Ask::Acknowledge(to) => {
                body["to"] = to.name().into();
                ("POST", "/acknowledge".to_owned())
            }
            Ask::Undo => ("POST", "/undo".to_owned()),
        };
        let may_be_forced = matches!(self.ask, Ask::Mode(_) | Ask::Rollout(_) | Ask::Pin(..));
        if self.force && may_be_forced {
            body["force"] = true.into();
        }
        (method, path, body.to_string())
    }
}

fn told(answer: &Answer) -> Told {
    let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    let code = body["code"].as_str().unwrap_or_default();
    match (answer.status(), body["revision"].as_u64()) {
        (200, Some(revision)) if body["changed"] == true => Told::Made(revision),
        (200, Some(revision)) => Told::Already(revision),
        (202, _) => Told::HereOnly,
        // The router says itself that it does not know.
        (503 | 504, _) if matches!(code, "timed_out" | "outcome_unknown") => Told::Unknown(code.into()),
        (400..=599, _) if !code.is_empty() => Told::Refused(format!("{} {code}", answer.status())),
        _ => Told::Unknown(format!("{answer:?}")),
    }
}
