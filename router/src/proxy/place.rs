//! Where a request goes: route, key and decision, on one snapshot and without waiting.

use std::num::NonZeroU64;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use flags::decide::explain;
use flags::key::{Claims, extract};
use flags::route::{Found, Respond, RouteIndex, Target};
use flags::{Decision, Facts, MigrationIndex, Snapshot};
use metrics::mismatch::Mismatches;
use metrics::observe::Group;

use crate::config::issues::IssueRoute;
use crate::error::ProxyError;
use crate::h1::framing::Framing;
use crate::h1::head::RequestHead;
use crate::h1::refusal::Refusal;
use crate::headers::{self, Peer};
use crate::seen::Seen;
use crate::upstream::Upstream;
use crate::worker::{Tables, Worker};

/// Where a request goes, decided on one snapshot.
pub(crate) struct Place {
    pub(crate) tables: Rc<Tables>,
    pub(crate) route: RouteIndex,
    pub(crate) to: Destination,
    /// The die that was cast, should the decision have asked for one.
    pub(crate) chance: u32,
    /// The callers among whom this one is counted.
    pub(crate) group: Group,
    /// The hash of its key, where it is copied.
    pub(crate) caller: Option<NonZeroU64>,
}

pub(crate) enum Destination {
    Migration(MigrationIndex, Decision),
    /// To be kept and answered here, and to be sent on later.
    Issues(Arc<IssueRoute>),
    Upstream(usize),
    /// Boxed, because every place would be as large.
    Respond(Box<Respond>),
}

/// The body as far as placing a request knows it.
#[derive(Clone, Copy)]
pub(crate) enum KeyBody<'a> {
    Unread,
    /// Read, and `None` when it is too long to hold a key.
    Read(Option<&'a [u8]>),
}

pub(crate) enum Looked {
    Placed(Place),
    /// The key may lie in the body; it must arrive within pauses of this length.
    NeedsBody(Duration),
}

impl Place {
    /// The protocol to upgrade to, where the caller asks for one that the route allows.
    pub(crate) fn upgrade<'a>(&self, request: &'a RequestHead) -> Option<&'a [u8]> {
        let allowed = &self.tables.route(self.route).upgrades;
        let wanted = request.upgrade.map(|protocol| protocol.of(&request.bytes));
        wanted.filter(|protocol| allowed.iter().any(|own| own.as_bytes().eq_ignore_ascii_case(protocol)))
    }

    pub(super) fn upstream(&self) -> Rc<Upstream> {
        let at = match &self.to {
            Destination::Migration(at, decision) => self.tables.migration(*at).upstream(decision.serve),
            Destination::Upstream(at) => *at,
            Destination::Issues(_) | Destination::Respond(_) => 0,
        };
        Rc::clone(&self.tables.upstreams[at])
    }
}

/// Route, key and decision on one snapshot.
pub(crate) fn look(
    worker: &Worker,
    peer: &Peer,
    snapshot: &Snapshot,
    tables: &Rc<Tables>,
    head: &RequestHead,
    body: KeyBody<'_>,
    chance: u32,
) -> Result<Looked, ProxyError> {
    let default_host = &tables.generation.default_host;
    let mut seen = Seen { head, default_host, client: peer.ip, template: None, body: None };
    let route = match snapshot.routes().find(&seen) {
        Found::Route(route) => route,
        Found::Nothing => return Err(ProxyError::NoRoute),
        Found::Disagreement => return Err(Refusal::PathAmbiguous.into()),
    };
    let settings = tables.route(route);
    if let (Some(max), Framing::Length(length)) = (settings.body_max, head.framing)
        && length > max
    {
        return Err(Refusal::BodyTooLarge.into());
    }
    if let Some(issues) = &settings.issues {
        let (to, group) = (Destination::Issues(Arc::clone(issues)), Group::of(None, None, chance));
        return Ok(Looked::Placed(Place { tables: Rc::clone(tables), route, to, chance, group, caller: None }));
    }
    let mut caller = None;
    let (to, group) = match (snapshot.routes().migration(route), &snapshot.routes().get(route).target) {
        (Some(at), _) => {
            match body {
                KeyBody::Unread if tables.migration(at).reads_body => {
                    return Ok(Looked::NeedsBody(tables.generation.timeouts.body_idle));
                }
                KeyBody::Unread => {}
                KeyBody::Read(body) => seen.body = body,
            }
            seen.client = headers::client_ip(head, peer, &tables.generation.trusted_proxies);
            seen.template = Some(&snapshot.routes().get(route).path);
            let claims = Claims { verifier: snapshot.verifier(), now: worker.unix_seconds() };
            let key = extract(&snapshot.migration(at).key, &seen, claims);
            let facts =
                Facts { migration: at, request: &seen, key: key.as_deref(), now: worker.unix_seconds(), chance };
            // With the bucket in every mode, because callers are counted by it.
            let decision = explain(snapshot, &facts);
            if decision.mirror.is_some() {
                caller = key
                    .as_deref()
                    .and_then(|key| NonZeroU64::new(Mismatches::caller(&tables.generation.environment, key)));
            }
            (Destination::Migration(at, decision), Group::of(decision.bucket, key.as_deref(), chance))
        }
        (None, Target::Respond(respond)) => {
            (Destination::Respond(Box::new(respond.clone())), Group::of(None, None, chance))
        }
        (None, _) => {
            let upstream = settings.upstream.ok_or(ProxyError::NoRoute)?;
            (Destination::Upstream(upstream), Group::of(None, None, chance))
        }
    };
    Ok(Looked::Placed(Place { tables: Rc::clone(tables), route, to, chance, group, caller }))
}
