//! One request through everything that the router computes for it, without a socket: what guards against decay count.
//!
//! # Why it is in the library
//!
//! Instructions and allocations of a whole served request include a runtime, system calls and the pace of a machine. What a
//! change of ours makes dearer is this path: a head is parsed, routed, keyed, decided and written, its answer likewise, and
//! the outcome is counted. It calls what [`Call`](super::Call) calls, in the same order; `benches/guard` counts its
//! instructions, `tests/allocations.rs` its allocations. Nothing of it is in the binary `crossfade`.
//!
//! Not here: bodies, connections, time-outs, and the choice of an endpoint.

use std::net::{IpAddr, Ipv4Addr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use arc_swap::ArcSwap;
use flags::snapshot::{Local, Snapshot};
use flags::store::Loaded;
use metrics::mismatch::Mismatches;
use metrics::observe::Observer;

use super::place::{Destination, KeyBody, Looked, look};
use super::{Exchange, write};
use crate::access::Access;
use crate::attempts::Subject;
use crate::config::Config;
use crate::error::CODES;
use crate::h1::head::Version;
use crate::h1::write::{Onward, Relayed};
use crate::headers::{self, Peer};
use crate::issues::intake::Desk;
use crate::mirror::comparer::Comparer;
use crate::occupancy::Occupancy;
use crate::worker::{Catalog, Generation, Parts, Worker};

/// A worker and a caller that are never connected to anything.
#[derive(Debug)]
pub struct PurePath {
    worker: Rc<Worker>,
    peer: Peer,
    exchange: Exchange,
    to_upstream: Vec<u8>,
    to_caller: Vec<u8>,
}

/// What one pass wrote.
#[derive(Clone, Copy, Debug)]
pub struct Passed<'a> {
    pub to_upstream: &'a [u8],
    pub to_caller: &'a [u8],
}

impl PurePath {
    /// A worker that serves this file from its initial state. `None` when a worker cannot be made of it.
    pub fn new(config: Config) -> Option<Self> {
        let generation = Arc::new(Generation::new(&config, None));
        let snapshot = Snapshot::build(Arc::new(config.definitions), &Loaded::default(), Local::default(), None);
        let catalog = Arc::new(Catalog::default());
        catalog.insert(snapshot.generation(), Arc::clone(&generation));
        let snapshots = Arc::new(ArcSwap::from_pointee(snapshot));
        let (occupancy, _) = Occupancy::new(1);
        let observer = Observer::new(CODES).ok()?;
        let comparer = Comparer::closed(Arc::new(Mismatches::new(Arc::clone(&observer), [0; 32])));
        let desk = Desk::new().0;
        let parts = Parts { snapshots, catalog, draining: Arc::default(), desk, occupancy, workers: 1, comparer };
        let worker = Worker::new(parts, observer.shard(), 0, 1)?;
        let peer = Peer::new(IpAddr::V4(Ipv4Addr::LOCALHOST), &generation.trusted_proxies);
        let (to_upstream, to_caller) = (Vec::with_capacity(4096), Vec::with_capacity(4096));
        Some(Self { worker, peer, exchange: Exchange::default(), to_upstream, to_caller })
    }

    /// Takes a request of a migration to its upstream's connection and the head of its answer back to the caller.
    ///
    /// `None` when either head is refused or incomplete, or when the request is not a migration's.
    pub fn pass(&mut self, request: &[u8], answer: &[u8]) -> Option<Passed<'_>> {
        let Self { worker, peer, exchange, to_upstream, to_caller } = self;
        to_upstream.clear();
        to_caller.clear();
        let limits = worker.tables().head_limits;
        let length = exchange.request.parse(request, &limits).ok()??;
        exchange.request.bytes.clear();
        exchange.request.bytes.extend_from_slice(&request[..length]);
        // Once for what a request reads again when it is sent: the clock is not ours to measure.
        let now = Instant::now();
        let mut access = Access::begin(now, worker.identity());
        let head = &exchange.request;
        let looked = worker
            .with_view(|snapshot, tables| look(worker, peer, snapshot, tables, head, KeyBody::Unread, worker.die()));
        let Looked::Placed(place) = looked.ok()? else { return None };
        let Destination::Migration(at, decision) = &place.to else { return None };
        access.decided(&place.tables, *at, *decision);
        let cells = Arc::clone(&place.tables.migration(*at).cells);
        let subject = Subject { cells, side: decision.serve, group: place.group };
        access.attempt = Some(worker.attempts.begin(subject, now));
        let upstream = place.upstream();

        exchange.additions.clear();
        headers::forwarded(&mut exchange.additions, head, peer, access.identity);
        exchange.additions.extend_from_slice(place.tables.migration(*at).stamp(decision.serve));
        let onward = Onward {
            default_host: &place.tables.generation.default_host,
            trusted: peer.trusted,
            upgrade: place.upgrade(head),
            expect: head.expects_continue,
            trailers: head.takes_trailers(),
        };
        write::begin_request(to_upstream, head, &onward);
        to_upstream.extend_from_slice(&exchange.additions);
        write::end_request(to_upstream, head.framing, &onward);
        drop(upstream);

        let length = exchange.answer.parse(answer, head.method() == b"HEAD", &limits).ok()??;
        exchange.answer.bytes.clear();
        exchange.answer.bytes.extend_from_slice(&answer[..length]);
        let bodiless_length = exchange.answer.bodiless_length(head.method() == b"HEAD");
        let framing = write::relay_framing(exchange.answer.framing, head.version);
        let close = head.version == Version::Http10 || head.persistence.close;
        write::begin_response(to_caller, &exchange.answer, bodiless_length);
        write::end_response(to_caller, Relayed { framing, close });
        let ended = access.end();
        access.settle(Some(Ok(exchange.answer.status)), ended);
        access.finish(worker, exchange.answer.status, head, peer, false);
        Some(Passed { to_upstream, to_caller })
    }
}
