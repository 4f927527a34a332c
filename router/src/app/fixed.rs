//! What a reload does not change: parts of the file that are read once, because sockets, threads and the store hang on
//! them. An operator who edits one must be told, or the file says one thing and the router does another.

use crate::config::{Config, StoreConfig};

/// The parts by their keys, as something that can be compared and is never shown.
#[derive(Eq, PartialEq)]
pub(super) struct Fixed([(&'static str, String); 10]);

impl Fixed {
    pub(super) fn of(config: &Config) -> Self {
        Self([
            ("environment", config.environment.clone()),
            ("snapshot", format!("{:?}", config.snapshot)),
            ("workers", config.workers.to_string()),
            ("kill_file", format!("{:?}", config.kill_file)),
            ("listen", format!("{:?}", config.listen)),
            ("admin.address", config.admin.address.to_string()),
            ("admin.tokens", format!("{:?}", config.admin.tokens)),
            ("admin.oidc", oidc(config)),
            ("store", store(&config.store)),
            ("log.format", format!("{:?}", config.log.format)),
        ])
    }

    /// The keys at which another file says something else.
    pub(super) fn differing<'a>(&'a self, other: &'a Self) -> impl Iterator<Item = &'static str> + 'a {
        self.0.iter().zip(&other.0).filter(|(own, other)| own != other).map(|((key, _), _)| *key)
    }
}

/// With what it is shown without, and with the address that the provider sends people back to.
fn oidc(config: &Config) -> String {
    let Some(own) = &config.admin.oidc else { return String::new() };
    let secret = own.client_secret.as_ref().map(|held| held.value.bytes());
    format!("{own:?} {secret:?} {:?}", config.admin.url)
}

/// Another password is another store, although both are shown alike.
fn store(store: &StoreConfig) -> String {
    match store {
        StoreConfig::Embedded(path) => format!("{path:?}"),
        StoreConfig::Redis { options, ca_file } => format!("{:x} {ca_file:?}", options.address.fingerprint()),
    }
}
