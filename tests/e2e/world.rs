//! What most sentences are about: a legacy and a new backend with a router before them.

use harness::{Answer, Backend, Router, Setup};

pub(crate) struct World {
    pub(crate) legacy: Backend,
    pub(crate) new: Backend,
    pub(crate) router: Router,
}

impl World {
    pub(crate) async fn start() -> Self {
        Self::with(|setup| setup).await
    }

    /// A world whose router file differs from the usual one.
    pub(crate) async fn with(change: impl FnOnce(Setup) -> Setup) -> Self {
        let (legacy, new) = (Backend::start("legacy").await, Backend::start("new").await);
        let router = change(Setup::new(legacy.address, new.address)).start().await;
        Self { legacy, new, router }
    }

    /// A GET on a new connection.
    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.router.connect().await.get(path).await
    }

    /// Who serves this user now, on a new connection.
    pub(crate) async fn side_of(&self, user: &str) -> String {
        self.router.connect().await.get_with("/", &format!("X-User-Id: {user}\r\n")).await.text()
    }

    /// Whether nothing has reached a backend so far.
    pub(crate) fn untouched(&self) -> bool {
        self.legacy.bytes().is_empty() && self.new.bytes().is_empty()
    }
}

/// Members of `parallel`, with the time for copies that a machine without a free core needs: whatever of it the test does not say itself.
///
/// A router may drop a copy that waited for long, which is no fault where many others run beside it.
pub(crate) fn patient(parallel: &str) -> String {
    let says = |key: &str| parallel.split([' ', ',', '{']).any(|word| word == key);
    let mut members = match parallel.split_once("budget: {") {
        Some((before, budget)) if !says("age:") => format!("{before}budget: {{age: 20s, {budget}"),
        Some(_) => parallel.to_owned(),
        None => format!("{parallel}, budget: {{age: 20s}}"),
    };
    for (key, time) in [("timeout:", "20s"), ("connect_timeout:", "10s")] {
        if !says(key) {
            members += &format!(", {key} {time}");
        }
    }
    members
}
