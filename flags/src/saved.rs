//! The last good state on disk, for a start without the store.
//!
//! # Why a file of its own
//!
//! A router that restarts while the store is away must go on placing every key where it was. So
//! each swap leaves the state behind: written beside the old file, flushed, renamed over it, so
//! that a crash leaves one or the other. A checksum tells a torn or edited file from a good one;
//! such a file is refused with words, never half used.
//!
//! Not saved: definitions. The file of the operator is on the same disk.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};
use thiserror::Error;

use crate::freeze::FreezeEntry;
use crate::migration::MigrationId;
use crate::snapshot::{PinIndex, Snapshot};
use crate::state::{Document, Pins, Revision, hex};
use crate::watch::LocalRollback;

/// The version of the file's form.
const FORMAT: u16 = 1;

/// A file beyond this is not one of ours.
const BYTES_MAX: u64 = 1 << 30;

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Saved {
    pub revision: Revision,
    pub migrations: BTreeMap<MigrationId, SavedMigration>,
    /// The newest word on a freeze, so that it shows also without the store.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub freeze: Option<FreezeEntry>,
    /// What was rolled back here and is not stored yet: a restart must not undo it.
    #[serde(default)]
    pub local_rollbacks: Vec<LocalRollback>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SavedMigration {
    pub document: Document,
    pub pins: Pins,
}

/// Why a saved state cannot be used. Its caller starts without it.
#[derive(Debug, Error)]
pub enum SavedError {
    #[error("the saved snapshot {}: {source}", .path.display())]
    Io { path: PathBuf, source: io::Error },
    #[error(
        "the saved snapshot {} is damaged ({detail}) and not used; it is replaced after the next change, or remove it",
        .path.display()
    )]
    Damaged { path: PathBuf, detail: String },
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Envelope<'a> {
    format: u16,
    /// SHA-256 in hexadecimal over the bytes of `state`.
    sha256: String,
    #[serde(borrow)]
    state: &'a RawValue,
}

impl Saved {
    /// The state that `snapshot` serves from.
    pub fn of(snapshot: &Snapshot, local_rollbacks: Vec<LocalRollback>) -> Self {
        let known = snapshot.iter().filter(|(_, _, placed)| !placed.is_a_guess());
        let migrations = known.map(|(_, definition, placed)| {
            (definition.id.clone(), SavedMigration { document: placed.document.clone(), pins: pins(&placed.pins) })
        });
        let (revision, migrations) = (snapshot.revision(), migrations.collect());
        Self { revision, migrations, freeze: None, local_rollbacks }
    }

    /// Replaces the file at `path`. Blocks on the disk.
    pub fn write(&self, path: &Path) -> Result<(), SavedError> {
        let failed = |source| SavedError::Io { path: path.into(), source };
        let state = serde_json::value::to_raw_value(self).map_err(|error| failed(error.into()))?;
        let sha256 = hex(&Sha256::digest(state.get()));
        let envelope = Envelope { format: FORMAT, sha256, state: &state };
        let bytes = serde_json::to_vec(&envelope).map_err(|error| failed(error.into()))?;
        replace(path, &bytes).map_err(failed)
    }

    /// Reads the file at `path`; none if there is none. Blocks on the disk.
    pub fn read(path: &Path) -> Result<Option<Self>, SavedError> {
        let failed = |source| SavedError::Io { path: path.into(), source };
        let damaged = |detail: String| SavedError::Damaged { path: path.into(), detail };
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(error)),
        };
        let mut bytes = Vec::new();
        file.take(BYTES_MAX).read_to_end(&mut bytes).map_err(failed)?;
        let envelope: Envelope<'_> = serde_json::from_slice(&bytes).map_err(|error| damaged(error.to_string()))?;
        if envelope.format != FORMAT {
            return Err(damaged(format!("its format is {}, this version reads {FORMAT}", envelope.format)));
        }
        if hex(&Sha256::digest(envelope.state.get())) != envelope.sha256 {
            return Err(damaged("its checksum does not match its content".into()));
        }
        serde_json::from_str(envelope.state.get()).map(Some).map_err(|error| damaged(error.to_string()))
    }
}

/// Pins as they are stored.
pub(crate) fn pins(index: &PinIndex) -> Pins {
    let text = |key: &[u8]| String::from_utf8_lossy(key).into_owned();
    index.iter().map(|(key, pin)| (text(key), pin.clone())).collect()
}

/// Puts `bytes` at `path` so that a crash at any moment leaves the old or the new content.
fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let mut beside = path.as_os_str().to_owned();
    beside.push(".tmp");
    let mut file = File::create(&beside)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&beside, path)?;
    File::open(directory)?.sync_all()
}
