//! What the comparison of answers begins with, and what a file tells it.

use std::io;
use std::sync::Arc;

use flags::{Definitions, MigrationId};
use metrics::mismatch::{CompareSettings, Mismatches};
use metrics::observe::Observer;

use crate::config::{Config, Mirroring};

/// What is known of mismatches: nothing yet, with a secret that this process alone has.
pub(super) fn start(observer: &Arc<Observer>, config: &Config) -> io::Result<Arc<Mismatches>> {
    let mut secret = [0; 32];
    getrandom::fill(&mut secret).map_err(io::Error::other)?;
    let mismatches = Mismatches::new(Arc::clone(observer), secret);
    mismatches.configure(settings(&config.definitions, config.mirroring.clone()));
    Ok(Arc::new(mismatches))
}

/// How the answers of each migration of a file are compared.
pub(super) fn settings(definitions: &Definitions, mirroring: Vec<Mirroring>) -> Vec<(MigrationId, CompareSettings)> {
    let ids = definitions.migrations().iter().map(|migration| migration.id.clone());
    let of = |own: Mirroring| CompareSettings {
        rules: own.rules,
        raw_paths: own.raw_paths,
        version_header: own.version_header,
        ..CompareSettings::default()
    };
    ids.zip(mirroring.into_iter().map(of)).collect()
}
