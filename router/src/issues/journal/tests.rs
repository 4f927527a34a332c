//! A journal on a real disk: what it holds after it was closed, cut, damaged or filled.

use flags::ledger::{Delivery, DeliveryId, IssueId};
use sha2::{Digest as _, Sha256};

use super::*;

fn entry(number: usize) -> Entry {
    let body = format!("{{\"number\":{number}}}").into_bytes();
    let delivery = Delivery {
        id: DeliveryId::new(&format!("d-{number}")).unwrap(),
        issue: IssueId::new("octo/hello#1").unwrap(),
        action: "opened".into(),
        body_sha256: Sha256::digest(&body).into(),
        headers: vec![("X-GitHub-Event".into(), "issues".into())],
        body,
    };
    Entry { key: "1".into(), delivery }
}

async fn all(journal: &Journal) -> Vec<Entry> {
    journal.seal().await;
    let mut entries = Vec::new();
    for segment in journal.sealed() {
        entries.extend(journal.read(segment.number).await.unwrap());
    }
    entries
}

fn open(folder: &Path) -> (Journal, Recovered) {
    // The thread of one that was dropped may still hold nothing but its file, and the lock goes with the journal.
    Journal::open(folder, 1 << 20).unwrap()
}

fn segment(folder: &Path) -> PathBuf {
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|own| own == "segment"));
    files.sort();
    files.pop().unwrap()
}

#[tokio::test]
async fn what_was_answered_for_is_there_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let entries: Vec<Entry> = (0..50).map(entry).collect();
    {
        let (journal, recovered) = open(folder.path());
        assert_eq!(recovered, Recovered::default());
        assert!(journal.is_sent());
        let appended = futures_util::future::join_all(entries.iter().map(|entry| journal.append(entry))).await;
        assert!(appended.iter().all(Result::is_ok));
        assert!(!journal.is_sent());
        assert!(matches!(Journal::open(folder.path(), 1 << 20), Err(Unusable::Locked(_))));
    }
    let (journal, recovered) = open(folder.path());
    assert_eq!((recovered.entries, recovered.torn, recovered.damaged.len()), (50, 0, 0));
    assert_eq!(all(&journal).await, entries);
    for segment in journal.sealed() {
        journal.set_sent(segment.number, Some(Instant::now()));
    }
    assert!(journal.is_sent());
    journal.distrust();
    assert!(!journal.is_sent());
    for segment in journal.sealed() {
        journal.remove(segment.number).await.unwrap();
    }
    assert_eq!((journal.bytes(), journal.is_sent()), (0, true));
    drop(journal);
    assert_eq!(open(folder.path()).1, Recovered::default());
}

#[tokio::test]
async fn a_torn_end_is_cut_off_at_every_byte() {
    let folder = tempfile::tempdir().unwrap();
    let (journal, _) = open(folder.path());
    for number in 0..3 {
        journal.append(&entry(number)).await.unwrap();
    }
    journal.seal().await;
    drop(journal);
    let whole = std::fs::read(segment(folder.path())).unwrap();
    let before_last = whole.len() - frame::frame(&entry(2).encode()).len();
    for cut in before_last..whole.len() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(segments::path(folder.path(), 7), &whole[..cut]).unwrap();
        let (journal, recovered) = open(folder.path());
        assert_eq!((recovered.entries, recovered.torn), (2, (cut - before_last) as u64), "cut at {cut}");
        assert_eq!(all(&journal).await, [entry(0), entry(1)]);
        journal.append(&entry(9)).await.unwrap();
        assert_eq!(all(&journal).await, [entry(0), entry(1), entry(9)]);
    }
}

#[tokio::test]
async fn a_damaged_middle_is_kept_aside_and_told() {
    let folder = tempfile::tempdir().unwrap();
    let (journal, _) = open(folder.path());
    for number in 0..3 {
        journal.append(&entry(number)).await.unwrap();
    }
    drop(journal);
    let path = segment(folder.path());
    let mut bytes = std::fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&path, &bytes).unwrap();
    let (journal, recovered) = open(folder.path());
    assert_eq!((recovered.entries, recovered.damaged.len()), (2, 1));
    assert_eq!(std::fs::read(&recovered.damaged[0]).unwrap(), bytes);
    assert_eq!(all(&journal).await, [entry(0), entry(2)]);
    drop(journal);
    assert_eq!(open(folder.path()).1.damaged, Vec::<PathBuf>::new(), "told once");
}

#[tokio::test]
async fn a_full_journal_refuses_and_keeps_what_it_has() {
    let folder = tempfile::tempdir().unwrap();
    let length = frame::frame(&entry(0).encode()).len() as u64;
    let (journal, _) = Journal::open(folder.path(), 2 * length).unwrap();
    journal.append(&entry(0)).await.unwrap();
    journal.append(&entry(1)).await.unwrap();
    assert!(matches!(journal.append(&entry(2)).await, Err(NotKept::Full)));
    assert_eq!(all(&journal).await, [entry(0), entry(1)]);
    journal.remove(journal.sealed()[0].number).await.unwrap();
    journal.append(&entry(2)).await.unwrap();
}

#[tokio::test]
async fn a_disk_that_takes_nothing_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let (journal, _) = open(folder.path());
    // A folder where the next segment belongs cannot be written to.
    std::fs::create_dir(segments::path(folder.path(), 1)).unwrap();
    assert!(matches!(journal.append(&entry(0)).await, Err(NotKept::Disk(_))));
    assert_eq!((journal.bytes(), journal.is_sent()), (0, true));
    std::fs::remove_dir(segments::path(folder.path(), 1)).unwrap();
    journal.append(&entry(1)).await.unwrap();
    assert_eq!(all(&journal).await, [entry(1)]);
}
