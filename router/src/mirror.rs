//! A copy of a safe request to the other side: bounded, detached, and never in the way of the caller.
//!
//! The copy is made from bytes that the worker already holds and handed to a task of its own; nothing here is awaited by
//! the request that it copies. What has no room is dropped and counted. The answer is read, within limits, and thrown away.
//!
//! Not here: comparing the answers, and mirroring requests that have a body or that may change something.

use std::future::poll_fn;
use std::rc::Rc;
use std::task::Poll;
use std::time::{Duration, Instant};

use flags::{Decision, MigrationIndex, Side};
use metrics::events::MirrorDropped;
use metrics::observe::MirrorDrop;

use crate::body::{Filled, Inbound, Outbound};
use crate::error::ProxyError;
use crate::forward;
use crate::h1::framing::Framing;
use crate::h1::head::{RequestHead, ResponseHead};
use crate::h1::write::{self, Onward};
use crate::headers::{self, Peer};
use crate::timer::Timer;
use crate::upstream::{Purpose, Upstream};
use crate::worker::{Tables, Worker};

/// Copies in flight of the whole router.
const IN_FLIGHT_MAX: usize = 256;

/// A copy takes at most this long, connecting included.
const TOTAL_TIMEOUT: Duration = Duration::from_secs(2);

/// More of an answer is not read; its connection closes instead.
const ANSWER_BYTES_MAX: u64 = 1024 * 1024;

/// Sends a copy to the side that the decision names, or counts why not.
pub(crate) fn send(
    worker: &Rc<Worker>,
    peer: &Peer,
    tables: &Rc<Tables>,
    at: MigrationIndex,
    decision: &Decision,
    head: &RequestHead,
) {
    let Some(side) = decision.mirror else { return };
    let migration = tables.migration(at);
    // An upgrade is a conversation, not a request; a body would have to be held for two readers.
    if head.upgrade.is_some() || head.framing != Framing::None {
        return;
    }
    let dropped = |why| {
        // The snapshot may be newer than the decision, and its file shorter.
        worker.with_view(|snapshot, _| match snapshot.definitions().migrations().get(at.0) {
            Some(own) => MirrorDropped { migration: &own.id, why }.emit(&migration.cells),
            None => migration.cells.mirror_dropped(why),
        });
    };
    if worker.mirrors.get() >= worker.share(IN_FLIGHT_MAX) {
        return dropped(MirrorDrop::Busy);
    }
    if worker.draining.is_on() {
        return dropped(MirrorDrop::Draining);
    }
    migration.cells.mirrored(side);
    let copy = Copy {
        bytes: rendered(worker, peer, tables, at, side, head),
        to_head: head.method() == b"HEAD",
        in_flight: InFlight::new(Rc::clone(worker)),
    };
    let (worker, tables) = (Rc::clone(worker), Rc::clone(tables));
    tokio::task::spawn_local(async move {
        let upstream = Rc::clone(&tables.upstreams[tables.migration(at).upstream(side)]);
        let answered = tokio::time::timeout(TOTAL_TIMEOUT, exchange(&worker, &upstream, &tables, &copy)).await;
        tables.migration(at).cells.mirror_finished(side, matches!(answered, Ok(Ok(()))));
        drop(copy.in_flight);
    });
}

struct Copy {
    bytes: Vec<u8>,
    to_head: bool,
    in_flight: InFlight,
}

/// Counts a copy for as long as it is in flight.
struct InFlight(Rc<Worker>);

impl InFlight {
    fn new(worker: Rc<Worker>) -> Self {
        worker.mirrors.set(worker.mirrors.get() + 1);
        Self(worker)
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.mirrors.set(self.0.mirrors.get() - 1);
    }
}

/// The copy as it goes on the wire: the caller's request, marked.
fn rendered(
    worker: &Worker,
    peer: &Peer,
    tables: &Tables,
    at: MigrationIndex,
    side: Side,
    head: &RequestHead,
) -> Vec<u8> {
    let mut additions = Vec::with_capacity(512);
    let identity = worker.identity();
    headers::forwarded(&mut additions, head, peer, identity);
    additions.extend_from_slice(tables.migration(at).stamp(side));
    write::field(&mut additions, "Crossfade-Mirror", b"1");
    if head.get("idempotency-key").is_none() {
        write::field(&mut additions, "Idempotency-Key", &headers::hexadecimal(identity));
    }
    let onward =
        Onward { default_host: &tables.generation.default_host, trusted: peer.trusted, upgrade: None, expect: false };
    let mut bytes = Vec::with_capacity(head.bytes.len() + additions.len() + 64);
    write::begin_request(&mut bytes, head, &onward);
    bytes.extend_from_slice(&additions);
    write::end_request(&mut bytes, Framing::None, &onward);
    bytes
}

async fn exchange(worker: &Rc<Worker>, upstream: &Upstream, tables: &Tables, copy: &Copy) -> Result<(), ProxyError> {
    let in_flight = upstream.enter(worker.chance(), None).ok_or(ProxyError::NoEndpoint)?;
    let endpoint = Rc::clone(&in_flight.endpoint);
    let mut conn = match endpoint.take_idle(Purpose::Mirror, Instant::now()) {
        Some(conn) => conn,
        None => forward::connect(worker, upstream, &in_flight, &mut Timer::new(TOTAL_TIMEOUT)).await?,
    };
    conn.begin_send(Framing::None).extend_from_slice(&copy.bytes);
    poll_fn(|cx| conn.poll_finish(cx, &[])).await.map_err(ProxyError::Connect)?;
    let mut answer = ResponseHead::default();
    poll_fn(|cx| {
        loop {
            if let Some(length) =
                answer.parse(conn.pending(), copy.to_head, &tables.head_limits).map_err(ProxyError::BadAnswer)?
            {
                conn.take_head(length, &mut answer.bytes);
                if answer.is_interim() {
                    continue;
                }
                conn.begin_receive(answer.framing);
                return Poll::Ready(Ok(()));
            }
            match std::task::ready!(conn.poll_read(cx)) {
                Ok(read) if read > 0 => {}
                Ok(_) | Err(_) => return Poll::Ready(Err(ProxyError::Reset)),
            }
        }
    })
    .await?;
    let mut seen = 0;
    poll_fn(|cx| {
        while let Filled::Data = std::task::ready!(conn.poll_fill(cx)).map_err(|_| ProxyError::Reset)? {
            let bytes = conn.data().len();
            conn.consume(bytes);
            seen += bytes as u64;
            if seen > ANSWER_BYTES_MAX {
                break;
            }
        }
        Poll::Ready(Ok::<(), ProxyError>(()))
    })
    .await?;
    if conn.has_received() {
        endpoint.keep(conn, Purpose::Mirror, &answer, Instant::now());
    }
    Ok(())
}
