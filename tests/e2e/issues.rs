//! Issues that arrive as webhooks: each is kept, goes to the one system that owns it, in order, and none is lost.

mod agents;
mod chaos;
mod commands;
mod hook;
mod keeping;
mod receiving;
mod reconciling;
mod sending;
mod signing;
mod tending;

use harness::{Answer, Backend, RedisServer, Router, Setup, wait_until};
use hook::Hook;

/// A router with one route for GitHub's webhooks, in front of two systems.
pub(crate) struct Hooks {
    pub(crate) legacy: Backend,
    pub(crate) new: Backend,
    pub(crate) router: Router,
}

pub(crate) const PATH: &str = "/webhooks/github";

/// A file whose migration places by the number of an issue, as the story does.
pub(crate) fn setup(legacy: &Backend, new: &Backend, members: &str) -> Setup {
    let lines = "key: json:/issue/number\nhash: modulo";
    let secret = hook::SECRET;
    let route = format!(
        "- path: {PATH}\n  issues: {{migration: shop, secret: \"{secret}\", actions: [opened, edited, labeled, assigned]{members}}}"
    );
    Setup::new(legacy.address, new.address).with_migration(lines).with_routes(&route)
}

impl Hooks {
    pub(crate) async fn start() -> Self {
        Self::with("", |setup| setup).await
    }

    /// With further members of `issues`, each after a comma, and another file.
    pub(crate) async fn with(members: &str, change: impl FnOnce(Setup) -> Setup) -> Self {
        let (legacy, new) = (Backend::start("legacy").await, Backend::start("new").await);
        let router = change(setup(&legacy, &new, members)).start().await;
        Self { legacy, new, router }
    }

    /// In front of the same systems and on this Redis.
    pub(crate) async fn on(redis: &RedisServer, members: &str) -> Self {
        Self::with(members, |setup| setup.with_redis(&redis.url())).await
    }

    pub(crate) async fn send(&self, hook: &Hook) -> Answer {
        self.router.exchange(hook.request()).await
    }

    /// Sends one that must be routed; answers the body.
    pub(crate) async fn route(&self, hook: &Hook) -> serde_json::Value {
        let answer = self.send(hook).await;
        assert_eq!(answer.status(), 202, "{}", answer.text());
        serde_json::from_str(&answer.text()).unwrap()
    }

    /// The ids of deliveries that a system got, in their order.
    pub(crate) fn got(system: &Backend) -> Vec<String> {
        system.seen_at(PATH).iter().filter_map(|seen| seen.head.value("idempotency-key")).collect()
    }

    pub(crate) async fn arrives(system: &Backend, ids: &[&str]) {
        wait_until(&format!("{ids:?} arrive"), || Self::got(system).len() >= ids.len()).await;
        assert_eq!(Self::got(system), ids);
    }
}
