//! The files of a journal: their names, who may write them, and what a crash has left of them.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use super::frame::{frame, scan};
use super::{Recovered, Segment};

const EXTENSION: &str = "segment";

/// What an old run has left.
pub(super) struct Found {
    pub(super) sealed: Vec<Segment>,
    /// The number of the next segment.
    pub(super) next: u64,
    pub(super) recovered: Recovered,
}

pub(super) fn path(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("{number:012}.{EXTENSION}"))
}

/// Makes the folder and takes it for this process; none where another one has it.
pub(super) fn lock(folder: &Path) -> io::Result<Option<File>> {
    fs::create_dir_all(folder)?;
    let file = OpenOptions::new().create(true).truncate(false).write(true).open(folder.join("lock"))?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// Syncs the folder, so that a new name in it outlives a crash.
pub(super) fn sync(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Reads every segment, and mends those that are not whole.
pub(super) fn recover(folder: &Path) -> io::Result<Found> {
    let mut numbers = Vec::new();
    for file in fs::read_dir(folder)? {
        let path = file?.path();
        let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
        if path.extension().is_some_and(|own| own == EXTENSION)
            && let Ok(number) = stem.parse::<u64>()
        {
            numbers.push(number);
        }
    }
    numbers.sort_unstable();
    let mut found =
        Found { sealed: Vec::new(), next: numbers.last().map_or(1, |last| last + 1), recovered: Recovered::default() };
    for number in numbers {
        if let Some(segment) = mend(folder, number, &mut found.recovered)? {
            found.sealed.push(segment);
        }
    }
    Ok(found)
}

/// None where nothing is left of it.
fn mend(folder: &Path, number: u64, recovered: &mut Recovered) -> io::Result<Option<Segment>> {
    let path = path(folder, number);
    let bytes = fs::read(&path)?;
    let found = scan(&bytes);
    recovered.entries += found.entries.len() as u64;
    if let Some(torn) = found.torn {
        recovered.torn += (bytes.len() - torn) as u64;
    }
    if found.entries.is_empty() && found.damage.is_empty() {
        fs::remove_file(&path)?;
        return Ok(None);
    }
    if found.damage.is_empty() && found.torn.is_none() {
        return Ok(Some(Segment { number, bytes: bytes.len() as u64, sent: None }));
    }
    let whole: Vec<u8> = found.entries.iter().flat_map(|range| frame(&bytes[range.clone()])).collect();
    let mended = path.with_extension("mended");
    let mut file = File::create(&mended)?;
    file.write_all(&whole)?;
    file.sync_all()?;
    if !found.damage.is_empty() {
        let aside = path.with_extension("damaged");
        fs::rename(&path, &aside)?;
        recovered.damaged.push(aside);
    }
    fs::rename(&mended, &path)?;
    sync(folder)?;
    if found.entries.is_empty() {
        fs::remove_file(&path)?;
        return Ok(None);
    }
    Ok(Some(Segment { number, bytes: whole.len() as u64, sent: None }))
}
