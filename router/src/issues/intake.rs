//! From a webhook that a worker has read to the answer that its sender gets.
//!
//! # Why not on the worker
//!
//! Checking a signature over megabytes and waiting for a disk would hold up every other request of that thread. So a worker
//! hands a webhook over by a bounded queue and writes the answer that comes back; what the queue has no room for is
//! refused at once. Bodies that are being read share one budget, taken before they are read.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use flags::ledger::view::{QUARANTINED_BYTES_MAX, Quarantined};
use flags::ledger::{Accepted, Delivery};
use flags::{HashKind, MigrationId};
use metrics::observe::{Arrival as Came, Unsigned};
use sha2::{Digest as _, Sha256};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

use super::answer::{About, Said, Unaccepted};
use super::journal::Entry;
use super::office::{Kept, Office};
use super::payload::{self, Event, Fields, Read, Unreadable};
use super::signature;
use crate::config::issues::IssueRoute;

/// Webhooks that wait for their turn.
const WAITING_MAX: usize = 1_024;

/// Webhooks that are handled at once.
const HANDLED_MAX: usize = 256;

/// Bodies of webhooks that are held at once, in KiB.
const ROOM_KIB: usize = 256 << 10;

/// A larger body is checked and read where it holds nobody up.
const SMALL_BYTES: usize = 128 << 10;

/// A webhook as it came.
pub(crate) struct Arrival {
    pub(crate) route: Arc<IssueRoute>,
    pub(crate) source: IpAddr,
    pub(crate) fields: Fields,
    pub(crate) body: Vec<u8>,
    pub(crate) room: Room,
    pub(crate) reply: oneshot::Sender<Result<Said, Unaccepted>>,
}

impl std::fmt::Debug for Arrival {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Arrival").field("bytes", &self.body.len()).finish_non_exhaustive()
    }
}

/// A part of the budget for bodies, given back when dropped.
#[derive(Debug, Default)]
pub(crate) struct Room(Vec<OwnedSemaphorePermit>);

/// What workers know of the intake.
#[derive(Clone, Debug)]
pub(crate) struct Desk {
    queue: mpsc::Sender<Arrival>,
    room: Arc<Semaphore>,
}

impl Desk {
    pub(crate) fn new() -> (Self, mpsc::Receiver<Arrival>) {
        let (queue, waiting) = mpsc::channel(WAITING_MAX);
        (Self { queue, room: Arc::new(Semaphore::new(ROOM_KIB)) }, waiting)
    }

    /// Takes room for so many more bytes of a body.
    pub(crate) fn reserve(&self, room: &mut Room, bytes: u64) -> Result<(), Unaccepted> {
        let kib = u32::try_from(bytes.div_ceil(1_024).max(1)).map_err(|_| Unaccepted::NoRoom)?;
        let permit = Arc::clone(&self.room).try_acquire_many_owned(kib).map_err(|_| Unaccepted::NoRoom)?;
        room.0.push(permit);
        Ok(())
    }

    pub(crate) fn hand_over(&self, arrival: Arrival) -> Result<(), Unaccepted> {
        self.queue.try_send(arrival).map_err(|_| Unaccepted::NoRoom)
    }
}

/// The offices by migration; read for each webhook, written when a file is loaded.
#[derive(Clone, Debug, Default)]
pub(crate) struct Offices(Arc<Mutex<HashMap<MigrationId, Arc<Office>>>>);

impl Offices {
    pub(crate) fn get(&self, migration: &MigrationId) -> Option<Arc<Office>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(migration).map(Arc::clone)
    }

    pub(crate) fn insert(&self, office: Arc<Office>) {
        let migration = office.migration.clone();
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(migration, office);
    }
}

/// Handles what workers hand over, until they are gone.
pub(crate) async fn run(offices: Offices, mut waiting: mpsc::Receiver<Arrival>) {
    let places = Arc::new(Semaphore::new(HANDLED_MAX));
    while let Some(arrival) = waiting.recv().await {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        let office = offices.get(&arrival.route.migration);
        tokio::spawn(async move {
            let Arrival { route, source, fields, body, room, reply } = arrival;
            let answer = match office {
                Some(office) => office.receive(&route, source, fields, body).await,
                None => Err(Unaccepted::NoLedger),
            };
            // Whoever asked may be gone, and what was kept stays kept.
            let _ = reply.send(answer);
            drop((room, place));
        });
    }
}

/// What a body turned out to be, with the body.
struct Examined {
    fields: Fields,
    body: Vec<u8>,
    sha256: [u8; 32],
    read: Result<Read, Unreadable>,
}

/// Checks the signature and then reads. Nothing is parsed that was not signed.
fn examine(route: &IssueRoute, hash: HashKind, now: i64, fields: Fields, body: Vec<u8>) -> Result<Examined, Unsigned> {
    signature::verify(&route.signature, &fields, &body, now)?;
    let read = payload::read(route, hash, &fields, &body);
    let sha256 = Sha256::digest(&body).into();
    Ok(Examined { fields, body, sha256, read })
}

impl Office {
    async fn receive(
        &self,
        route: &Arc<IssueRoute>,
        source: IpAddr,
        fields: Fields,
        body: Vec<u8>,
    ) -> Result<Said, Unaccepted> {
        let slow = self.limiter.load().as_ref().as_ref().map_or(Ok(()), |limiter| limiter.admit(source));
        if let Err(seconds) = slow {
            self.told.came(Came::Refused);
            return Err(Unaccepted::TooFast { seconds });
        }
        let snapshot = self.snapshot();
        let hash = snapshot.find(&self.migration).map_or(HashKind::Bucket, |at| snapshot.migration(at).hash);
        drop(snapshot);
        let now = jiff::Timestamp::now().as_second();
        let examined = if body.len() <= SMALL_BYTES {
            examine(route, hash, now, fields, body)
        } else {
            let route = Arc::clone(route);
            let work = tokio::task::spawn_blocking(move || examine(&route, hash, now, fields, body));
            work.await.map_err(|_| Unaccepted::NoRoom)?
        };
        let examined = examined.map_err(|why| {
            self.told.unsigned(why);
            Unaccepted::Unsigned
        })?;
        let Examined { fields, body, sha256, read } = examined;
        match read {
            Ok(Read::Ping) => Ok(Said::pong()),
            Ok(Read::Ignored { action }) => {
                self.told.came(Came::Ignored);
                Ok(Said::ignored(action.as_deref()))
            }
            Ok(Read::Event(event)) => self.take_event(route, event, fields, body, sha256).await,
            Err(unreadable) => {
                self.quarantine(unreadable.name(), unreadable.words(), None, fields, &body).await;
                Err(Unaccepted::Unreadable(unreadable))
            }
        }
    }

    async fn take_event(
        &self,
        route: &IssueRoute,
        event: Event,
        fields: Fields,
        body: Vec<u8>,
        body_sha256: [u8; 32],
    ) -> Result<Said, Unaccepted> {
        let Event { delivery: id, issue, key, action, changed } = event;
        let mut fields = fields.bounded(route);
        changed.into_iter().for_each(|changed| fields.say("Crossfade-Changed", changed));
        let headers = fields.into_list();
        let entry = Entry { key, delivery: Delivery { id, issue, action, body_sha256, headers, body } };
        let kept = self.keep(&entry).await.map_err(|problem| {
            self.told.not_kept(&problem);
            Unaccepted::NoLedger
        })?;
        let about = About { delivery: &entry.delivery.id, issue: &entry.delivery.issue };
        let snapshot = self.snapshot();
        let Some(at) = snapshot.find(&self.migration) else { return Err(Unaccepted::NoLedger) };
        let (labels, mode) = (&snapshot.migration(at).labels, snapshot.effective_mode(at));
        match kept {
            Kept::Journal => {
                self.told.came(Came::Journalled);
                Ok(Said::journalled(labels, mode, about))
            }
            Kept::Ledger(Accepted::New(owners)) => {
                self.told.came(Came::Accepted);
                Ok(Said::routed(labels, mode, about, &owners))
            }
            Kept::Ledger(Accepted::Duplicate(owners)) => {
                self.told.came(Came::Duplicate);
                Ok(Said::duplicate(labels, mode, about, &owners))
            }
            Kept::Ledger(Accepted::SameBody) => {
                self.told.same_body(&entry.delivery.id);
                Ok(Said::duplicate(labels, mode, about, &[]))
            }
            Kept::Ledger(Accepted::Full(what)) => {
                self.told.full(what);
                Err(Unaccepted::NoRoom)
            }
            Kept::Ledger(Accepted::Conflict) => {
                self.conflict(entry).await;
                Err(Unaccepted::Conflict)
            }
        }
    }

    /// A delivery whose id was another one's.
    pub(crate) async fn conflict(&self, entry: Entry) {
        let Delivery { id, headers, body, .. } = entry.delivery;
        let words = "its id came before with another body";
        self.quarantine("conflict", words, Some(id.as_str()), Fields::from_list(headers), &body).await;
    }

    /// Keeps what cannot become a delivery for a person to look at; told in the log in any case.
    async fn quarantine(&self, reason: &str, detail: &str, delivery: Option<&str>, fields: Fields, body: &[u8]) {
        let delivery = delivery.or_else(|| fields.get("x-github-delivery")).or_else(|| fields.get("webhook-id"));
        let delivery = delivery.map(|id| id.chars().take(128).collect::<String>());
        self.told.quarantined(reason, detail, delivery.as_deref());
        let start = &body[..body.len().min(QUARANTINED_BYTES_MAX)];
        let what = Quarantined {
            id: String::new(),
            at_ms: 0,
            reason: reason.into(),
            detail: detail.into(),
            delivery,
            headers: fields.bounded(&self.route.load()).into_list(),
            body: String::from_utf8_lossy(start).into_owned(),
            body_bytes: body.len() as u64,
        };
        if let Err(error) = self.ledger().quarantine(&self.migration, &what).await {
            self.told.not_quarantined(&error);
        }
    }
}
