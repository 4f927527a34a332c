//! What differs in one way at one place of one route: how often, since when, whom it concerns, and a few examples.
//!
//! # What an example holds
//!
//! The method, the route's template and the request's id, by which a person finds the request in the log of a system; of each
//! value its type, length, shape and a keyed hash. A value itself is there only where the file allows its place. A path with
//! values, a query, a header that was not compared and a body are never there.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::callers::Callers;
use super::fold::cut_to;
use super::recent::Recent;
use crate::compare::{Difference, Fingerprint, Kind, Shown, Type, is_private};

/// Examples of a finding: a sample of all that were offered, each as likely as any other.
pub(super) const EXAMPLES_MAX: usize = 5;

/// Versions of new that are told of a finding; the rarest goes.
const VERSIONS_MAX: usize = 8;

/// Shapes of values that are told of a finding.
const SHAPES_MAX: usize = 8;

/// The longest name of a version or of a request, and the longest form of a value, in bytes.
pub const VERSION_BYTES_MAX: usize = 64;
const REQUEST_ID_BYTES_MAX: usize = 64;
const FORM_BYTES_MAX: usize = 160;

/// What follows the pattern of a noisy value whose shape is not legacy's.
const OF_SHAPE: &str = " (shape)";

/// What is told of a request besides its answers.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    pub route: &'a str,
    pub method: &'a str,
    pub id: &'a str,
    pub caller: Option<u64>,
    pub revision: u64,
    /// What new says of itself.
    pub version: Option<&'a str>,
    pub at: Timestamp,
}

/// As much of a value as is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Value {
    #[serde(rename = "type")]
    pub kind: Type,
    pub length: usize,
    /// A shape, or the value itself where `raw`.
    pub form: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hash: Option<String>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub raw: bool,
}

impl Value {
    fn of(shown: &Shown, raw: Option<&Shown>) -> Self {
        let (form, hash) = shown.parts();
        let form = cut_to(raw.map_or(form, |raw| &raw.form), FORM_BYTES_MAX);
        Self { kind: shown.kind, length: shown.length, form, hash: hash.map(str::to_owned), raw: raw.is_some() }
    }
}

/// One request in which it was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Example {
    pub at: Timestamp,
    pub method: String,
    pub request_id: String,
    pub revision: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub legacy: Option<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub new: Option<Value>,
}

/// Requests with one version of new.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OfVersion {
    pub requests: u64,
    pub first: Timestamp,
    pub latest: Timestamp,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    pub route: String,
    pub pattern: String,
    pub kind: Kind,
    /// Requests in which new had it.
    #[serde(default)]
    pub raw: u64,
    /// Requests of those that legacy was asked twice in which legacy had it with itself.
    #[serde(default)]
    pub noise: u64,
    /// Of `raw`, those in which both values look alike.
    #[serde(default)]
    pub alike: u64,
    /// How far legacy's own numbers were apart at most, in millionths; none where it had anything else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub own_apart: Option<u64>,
    /// `raw` and `noise` of the last hour.
    #[serde(default, skip_serializing_if = "Recent::is_empty")]
    pub(super) recent: Recent,
    pub first: Timestamp,
    pub latest: Timestamp,
    #[serde(default)]
    pub callers: Callers,
    /// The first and the latest revision of Crossfade's state.
    #[serde(default)]
    pub revisions: (u64, u64),
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub versions: BTreeMap<String, OfVersion>,
    /// What values that differ look like: of both sides, and of legacy alone where it differs from itself.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub shapes: BTreeSet<String>,
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub own_shapes: BTreeSet<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub examples: Vec<Example>,
}

impl Finding {
    pub(super) fn new(route: &str, pattern: &str, kind: Kind, at: Timestamp) -> Self {
        Self {
            route: route.to_owned(),
            pattern: pattern.to_owned(),
            kind,
            raw: 0,
            noise: 0,
            alike: 0,
            own_apart: None,
            recent: Recent::default(),
            first: at,
            latest: at,
            callers: Callers::default(),
            revisions: (0, 0),
            versions: BTreeMap::new(),
            shapes: BTreeSet::new(),
            own_shapes: BTreeSet::new(),
            examples: Vec::new(),
        }
    }

    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(&self.route, &self.pattern, self.kind)
    }

    /// Takes in one request; `die` gives a number below the one it is given.
    pub(super) fn found(
        &mut self,
        request: &Request<'_>,
        difference: &Difference,
        raw: Option<&Difference>,
        die: &mut dyn FnMut(u64) -> u64,
    ) {
        self.raw += 1;
        self.recent.add(request.at.as_second(), (1, 0));
        self.alike += u64::from(is_alike(difference));
        self.first = self.first.min(request.at);
        self.latest = self.latest.max(request.at);
        self.revisions = spanned(self.revisions, (request.revision, request.revision));
        if let Some(caller) = request.caller {
            self.callers.add(caller);
        }
        for shown in [&difference.legacy, &difference.new].into_iter().flatten() {
            remember(&mut self.shapes, &shown.outline());
        }
        let version = request.version.and_then(version);
        if let Some(version) = &version {
            let one = OfVersion { requests: 1, first: request.at, latest: request.at };
            count_version(&mut self.versions, version, one);
        }
        // Vitter's R: the n-th stays with the chance 5/n, and then in the place of any.
        let place = if self.raw <= EXAMPLES_MAX as u64 { self.examples.len() as u64 } else { die(self.raw) };
        let at = usize::try_from(place).unwrap_or(usize::MAX);
        if at >= EXAMPLES_MAX {
            return;
        }
        let example = example(request, version, difference, raw);
        match self.examples.get_mut(at) {
            Some(old) => *old = example,
            None => self.examples.push(example),
        }
    }

    /// Legacy had it with itself, in these shapes.
    pub(super) fn found_in_legacy(&mut self, own: &BTreeSet<String>, apart: Option<u64>, at: Timestamp) {
        self.own_apart = farther((self.noise, self.own_apart), (1, apart));
        self.noise += 1;
        self.recent.add(at.as_second(), (0, 1));
        self.latest = self.latest.max(at);
        own.iter().for_each(|shape| remember(&mut self.own_shapes, shape));
    }

    /// Whether legacy's own values are of one shape and new's is of another.
    pub(super) fn is_broken_by(&self, difference: &Difference) -> bool {
        let Some(new) = &difference.new else { return false };
        let is_like = self.own_shapes.contains(&new.outline()) || self.own_shapes.contains(&new.outline_of_digest());
        self.own_shapes.len() == 1 && difference.legacy.is_some() && !is_like
    }

    /// Adds what another router, or an earlier run of this one, found of the same.
    pub(super) fn merge(&mut self, other: &Self) {
        self.revisions = match (self.raw, other.raw) {
            (_, 0) => self.revisions,
            (0, _) => other.revisions,
            _ => spanned(self.revisions, other.revisions),
        };
        self.raw = self.raw.saturating_add(other.raw);
        self.own_apart = farther((self.noise, self.own_apart), (other.noise, other.own_apart));
        self.noise = self.noise.saturating_add(other.noise);
        self.alike = self.alike.saturating_add(other.alike);
        self.recent.merge(&other.recent);
        self.first = self.first.min(other.first);
        self.latest = self.latest.max(other.latest);
        self.callers.merge(&other.callers);
        other.versions.iter().for_each(|(version, more)| count_version(&mut self.versions, version, *more));
        other.shapes.iter().for_each(|shape| remember(&mut self.shapes, shape));
        other.own_shapes.iter().for_each(|shape| remember(&mut self.own_shapes, shape));
        self.examples.extend(other.examples.iter().cloned());
        self.examples.sort_by_key(|example| std::cmp::Reverse(example.at));
        self.examples.truncate(EXAMPLES_MAX);
    }

    /// Within what one is kept in; who wrote it may have been somebody else.
    pub(super) fn bounded(mut self) -> Self {
        self.route = cut_to(&self.route, super::findings::ROUTE_BYTES_MAX);
        self.pattern = super::fold::cut(&self.pattern);
        self.examples.truncate(EXAMPLES_MAX);
        self
    }
}

/// The pattern of a noisy value whose shape is not legacy's, which is a finding of its own.
pub(super) fn of_shape(pattern: &str) -> String {
    format!("{pattern}{OF_SHAPE}")
}

/// The pattern of the value, where a finding is about its shape.
pub fn without_shape(pattern: &str) -> Option<&str> {
    pattern.strip_suffix(OF_SHAPE)
}

fn example(request: &Request<'_>, version: Option<String>, shown: &Difference, raw: Option<&Difference>) -> Example {
    let value = |own: &Option<Shown>, raw: Option<&Shown>| own.as_ref().map(|own| Value::of(own, raw));
    Example {
        at: request.at,
        method: method(request.method).to_owned(),
        request_id: request_id(request.id),
        revision: request.revision,
        version,
        legacy: value(&shown.legacy, raw.and_then(|raw| raw.legacy.as_ref())),
        new: value(&shown.new, raw.and_then(|raw| raw.new.as_ref())),
    }
}

fn is_alike(difference: &Difference) -> bool {
    match (&difference.legacy, &difference.new) {
        (Some(a), Some(b)) => {
            let (a, b) = ([a.outline(), a.outline_of_digest()], [b.outline(), b.outline_of_digest()]);
            a[0] == b[0] || a[0] == b[1] || a[1] == b[0]
        }
        _ => false,
    }
}

/// The larger of both distances, each with how often there was one; none as soon as one is not known.
fn farther(a: (u64, Option<u64>), b: (u64, Option<u64>)) -> Option<u64> {
    match (a, b) {
        ((0, _), (_, own)) | ((_, own), (0, _)) => own,
        ((_, a), (_, b)) => a.zip(b).map(|(a, b)| a.max(b)),
    }
}

fn remember(shapes: &mut BTreeSet<String>, shape: &str) {
    if shapes.len() < SHAPES_MAX {
        shapes.insert(cut_to(shape, REQUEST_ID_BYTES_MAX));
    }
}

fn spanned(a: (u64, u64), b: (u64, u64)) -> (u64, u64) {
    if a == (0, 0) { b } else { (a.0.min(b.0), a.1.max(b.1)) }
}

fn count_version(versions: &mut BTreeMap<String, OfVersion>, version: &str, more: OfVersion) {
    if let Some(known) = versions.get_mut(version) {
        known.requests = known.requests.saturating_add(more.requests);
        known.first = known.first.min(more.first);
        known.latest = known.latest.max(more.latest);
        return;
    }
    if versions.len() >= VERSIONS_MAX {
        // What was there last is what people look for.
        let oldest = versions.iter().min_by_key(|(_, one)| one.latest).map(|(name, _)| name.clone());
        oldest.and_then(|name| versions.remove(&name));
    }
    versions.insert(version.to_owned(), more);
}

/// A version as it is kept; none where it may be something else.
fn version(text: &str) -> Option<String> {
    let text = text.trim();
    let is_one =
        !text.is_empty() && text.len() <= VERSION_BYTES_MAX && text.bytes().all(|byte| byte.is_ascii_graphic());
    (is_one && !is_private(text)).then(|| text.to_owned())
}

/// An id comes from whoever calls, so that it is kept only where it looks like one.
fn request_id(id: &str) -> String {
    let is_one = id.len() <= REQUEST_ID_BYTES_MAX
        && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte));
    if is_one && !is_private(id) { id.to_owned() } else { "redacted".to_owned() }
}

fn method(method: &str) -> &str {
    const KNOWN: [&str; 8] = ["GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE", "QUERY"];
    KNOWN.iter().find(|known| **known == method).copied().unwrap_or("OTHER")
}
