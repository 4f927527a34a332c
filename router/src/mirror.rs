//! A copy of a safe request to the other side: bounded, detached, and never in the way of the caller.
//!
//! The copy is made from bytes that the worker already holds and handed to a task of its own; nothing here is awaited by
//! the request that it copies. What has no room is dropped and counted. The answer is read, within limits, and thrown away.
//!
//! What the other side does with a copy is an attempt of that side like any other, and meets what the serving side did. So a
//! copy gets the time-outs that a caller would get, and one retry where an idle connection turns out to be closed.
//!
//! Not here: comparing the answers, and mirroring requests that have a body or that may change something.

use std::future::poll_fn;
use std::rc::Rc;
use std::task::Poll;
use std::time::{Duration, Instant};

use flags::{MigrationIndex, Side};
use metrics::events::MirrorDropped;
use metrics::observe::MirrorDrop;
use metrics::outcome::Failure;

use crate::attempts::{Attempt, Meeting, Subject};
use crate::body::{Filled, Inbound, Outbound};
use crate::buffers::BUFFER_BYTES;
use crate::forward;
use crate::h1::conn::Conn;
use crate::h1::framing::Framing;
use crate::h1::head::{RequestHead, ResponseHead};
use crate::h1::write::{self, Onward};
use crate::headers::{self, Peer};
use crate::timer::Timer;
use crate::upstream::{Purpose, Upstream};
use crate::worker::{Tables, Worker};

/// Copies in flight of the whole router.
const IN_FLIGHT_MAX: usize = 256;

/// A copy takes at most as long as its side may to connect and begin to answer, and this for the rest.
const REST_TIMEOUT: Duration = Duration::from_secs(2);

/// More of an answer is not read; its connection closes instead.
const ANSWER_BYTES_MAX: u64 = 1024 * 1024;

/// Sends a copy to the side of `subject` and tells where its outcome will be met, or counts why not.
pub(crate) fn send(
    worker: &Rc<Worker>,
    peer: &Peer,
    tables: &Rc<Tables>,
    at: MigrationIndex,
    subject: Subject,
    head: &RequestHead,
) -> Option<Rc<Meeting>> {
    let (migration, side) = (tables.migration(at), subject.side);
    // An upgrade is a conversation, not a request; a body would have to be held for two readers.
    if head.upgrade.is_some() || head.framing != Framing::None {
        return None;
    }
    let dropped = |why| {
        // The snapshot may be newer than the decision, and its file shorter.
        worker.with_view(|snapshot, _| match snapshot.definitions().migrations().get(at.0) {
            Some(own) => MirrorDropped { migration: &own.id, why }.emit(&migration.cells),
            None => migration.cells.mirror_dropped(why),
        });
    };
    if worker.mirrors.get() >= worker.share(IN_FLIGHT_MAX) {
        dropped(MirrorDrop::Busy);
        return None;
    }
    if worker.draining.is_on() {
        dropped(MirrorDrop::Draining);
        return None;
    }
    migration.cells.mirrored(side);
    let copy = Copy {
        bytes: rendered(worker, peer, tables, at, side, head),
        to_head: head.method() == b"HEAD",
        in_flight: InFlight::new(Rc::clone(worker)),
    };
    let meeting = Rc::<Meeting>::default();
    let mut attempt = worker.attempts.begin(subject, Instant::now());
    attempt.meet(Some(Rc::clone(&meeting)));
    let (worker, tables) = (Rc::clone(worker), Rc::clone(tables));
    tokio::task::spawn_local(async move {
        let upstream = Rc::clone(&tables.upstreams[tables.migration(at).upstream(side)]);
        let settings = &upstream.state.settings;
        let patience = settings.connect_timeout + settings.first_byte_timeout + REST_TIMEOUT;
        let answered = tokio::time::timeout(patience, exchange(&worker, &upstream, &tables, &copy, &attempt)).await;
        let answer = answered.unwrap_or(Err(Failure::Timeout));
        tables.migration(at).cells.mirror_finished(side, answer.is_ok());
        attempt.end(answer, Instant::now());
        drop(copy.in_flight);
    });
    Some(meeting)
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

/// What the side did with the copy.
async fn exchange(
    worker: &Rc<Worker>,
    upstream: &Upstream,
    tables: &Tables,
    copy: &Copy,
    attempt: &Attempt,
) -> Result<u16, Failure> {
    let in_flight = upstream.enter(worker.chance(), None).ok_or(Failure::NoEndpoint)?;
    let endpoint = Rc::clone(&in_flight.endpoint);
    let mut answer = ResponseHead::default();
    let idle = endpoint.take_idle(Purpose::Mirror, Instant::now());
    let was_idle = idle.is_some();
    let connect = async || {
        let mut timer = Timer::new(upstream.state.settings.connect_timeout);
        let connected = forward::connect(worker, upstream, &in_flight, &mut timer).await;
        connected.map_err(|error| error.failure().unwrap_or(Failure::Connect))
    };
    let mut conn = match idle {
        Some(conn) => conn,
        None => connect().await?,
    };
    let mut asked = ask(&mut conn, tables, copy, &mut answer).await;
    let was_closed = asked == Err(Failure::Reset) || asked.is_ok() && forward::is_for_silence(&answer);
    if was_idle && was_closed {
        // Only what may be repeated is copied.
        conn = connect().await?;
        asked = ask(&mut conn, tables, copy, &mut answer).await;
    }
    asked?;
    let head = Instant::now();
    let mut seen = 0;
    poll_fn(|cx| {
        while let Filled::Data = std::task::ready!(conn.poll_fill(cx)).map_err(|_| Failure::Truncated)? {
            let bytes = conn.data().len();
            conn.consume(bytes);
            seen += bytes as u64;
            if seen > BUFFER_BYTES as u64 {
                attempt.stop(head);
            }
            if seen > ANSWER_BYTES_MAX {
                break;
            }
        }
        Poll::Ready(Ok::<(), Failure>(()))
    })
    .await?;
    if conn.has_received() {
        endpoint.keep(conn, Purpose::Mirror, &answer, Instant::now());
    }
    Ok(answer.status)
}

/// Sends the copy and waits for the head of its answer.
async fn ask(conn: &mut Conn, tables: &Tables, copy: &Copy, answer: &mut ResponseHead) -> Result<(), Failure> {
    conn.begin_send(Framing::None).extend_from_slice(&copy.bytes);
    poll_fn(|cx| conn.poll_finish(cx, &[])).await.map_err(|_| Failure::Reset)?;
    poll_fn(|cx| {
        loop {
            if let Some(length) =
                answer.parse(conn.pending(), copy.to_head, &tables.head_limits).map_err(|_| Failure::Protocol)?
            {
                conn.take_head(length, &mut answer.bytes);
                if answer.is_interim() {
                    continue;
                }
                conn.begin_receive(answer.framing);
                // A copy asks for no upgrade.
                return Poll::Ready(if answer.status == 101 { Err(Failure::Protocol) } else { Ok(()) });
            }
            match std::task::ready!(conn.poll_read(cx)) {
                Ok(read) if read > 0 => {}
                Ok(_) | Err(_) => return Poll::Ready(Err(Failure::Reset)),
            }
        }
    })
    .await
}
