//! "Why did this user get that side": a decision for a request that nobody sent.
//!
//! The same `decide` answers as for traffic, on the facts that the query gives. A path is matched
//! like traffic's, so that variables of the route's template are keys here too.

use std::borrow::Cow;
use std::net::{IpAddr, Ipv4Addr};

use axum::Json;
use axum::extract::State;
use flags::decide::{Decision, Facts};
use flags::key::{self, Claims};
use flags::route::{Found, HostPattern, Lookup, PathTemplate, Route, RouteIndex, normal_form};
use flags::snapshot::{MigrationIndex, Snapshot};
use jiff::Timestamp;

use super::changes::{known, unknown};
use super::request::{Params, PathPart, Viewer};
use crate::Shared;
use crate::problem::{Code, Problem};
use crate::wire::DecisionView;

/// Parameters of a query that are looked at.
const PARAMETERS_MAX: usize = 64;

/// A request as somebody imagines it.
#[derive(Clone, Debug)]
pub(crate) struct Hypothetical {
    pub(crate) method: String,
    pub(crate) host: Option<String>,
    /// With the query, as in a request line.
    pub(crate) target: Option<String>,
    /// Names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) ip: IpAddr,
    /// Instead of the one the migration's sources find.
    pub(crate) key: Option<String>,
    /// Whose template names the variables of the path; set by [`Self::find_route`].
    route: Option<Route>,
}

impl Default for Hypothetical {
    fn default() -> Self {
        Self {
            method: "GET".into(),
            host: None,
            target: None,
            headers: Vec::new(),
            ip: Ipv4Addr::UNSPECIFIED.into(),
            key: None,
            route: None,
        }
    }
}

impl Hypothetical {
    /// Finds the route by which the request would come to this migration, or says why it would not.
    pub(crate) fn find_route(&mut self, snapshot: &Snapshot, at: MigrationIndex) -> Result<(), String> {
        if self.target.is_some() {
            self.route = Some(snapshot.routes().get(route(snapshot, at, self)?).clone());
        }
        Ok(())
    }

    fn path(&self) -> Option<&str> {
        self.target.as_deref().map(|target| target.split(['?', '#']).next().unwrap_or_default())
    }
}

impl key::Request for Hypothetical {
    fn method(&self) -> &[u8] {
        self.method.as_bytes()
    }

    fn header(&self, name: &str) -> Option<&[u8]> {
        self.headers.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_bytes())
    }

    fn headers<'a>(&'a self, name: &str, each: &mut dyn FnMut(&'a [u8])) {
        self.headers.iter().filter(|(own, _)| own == name).for_each(|(_, value)| each(value.as_bytes()));
    }

    fn path_variable(&self, name: &str) -> Option<Cow<'_, [u8]>> {
        let route = self.route.as_ref()?;
        let path = normal_form(self.path()?.as_bytes());
        route.path.variable(&path, name).map(|value| Cow::Owned(value.to_vec()))
    }

    fn query(&self) -> Option<&[u8]> {
        self.target.as_deref()?.split_once('?').map(|(_, query)| query.as_bytes())
    }

    fn body(&self) -> Option<&[u8]> {
        None
    }

    fn client_ip(&self) -> IpAddr {
        self.ip
    }

    fn template(&self) -> Option<&PathTemplate> {
        self.route.as_ref().map(|route| &route.path)
    }
}

/// A request at a host, for the route table.
struct At<'a> {
    host: &'a str,
    request: &'a Hypothetical,
}

impl Lookup for At<'_> {
    fn host(&self) -> &[u8] {
        self.host.as_bytes()
    }

    fn path(&self) -> &[u8] {
        self.request.path().unwrap_or("/").as_bytes()
    }

    fn method(&self) -> &[u8] {
        self.request.method.as_bytes()
    }

    fn header_is(&self, name: &str, value: &str) -> bool {
        self.request.headers.iter().any(|(own, sent)| own == name && sent == value)
    }
}

/// Decides for one migration, as traffic would be.
pub(crate) fn decide(snapshot: &Snapshot, at: MigrationIndex, request: &Hypothetical) -> (Decision, Option<Vec<u8>>) {
    let now = Timestamp::now().as_second();
    let claims = Claims { verifier: snapshot.verifier(), now };
    let key = match &request.key {
        Some(key) => Some(Cow::Borrowed(key.as_bytes())),
        None => key::extract(&snapshot.migration(at).key, request, claims),
    };
    let facts = Facts { migration: at, request, key: key.as_deref(), now, chance: chance() };
    (flags::decide::explain(snapshot, &facts), key.map(Cow::into_owned))
}

/// Even enough for a decision that nobody is served by.
fn chance() -> u32 {
    use std::hash::{BuildHasher as _, RandomState};
    let random = RandomState::new().hash_one(0);
    u32::try_from(random >> 32).unwrap_or_default()
}

/// Why a request would be served as it would.
#[utoipa::path(
    get, path = "/migrations/{id}/decision", tag = "migrations",
    params(
        ("id" = String, Path),
        ("key" = Option<String>, Query, description = "the sticky key, instead of the one the sources find"),
        ("method" = Option<String>, Query, description = "GET unless said"),
        ("host" = Option<String>, Query),
        ("path" = Option<String>, Query, description = "may have a query of its own"),
        ("header" = Option<Vec<String>>, Query, description = "NAME:VALUE, any number of times"),
        ("ip" = Option<String>, Query, description = "the client's address"),
    ),
    responses((status = 200, body = DecisionView))
)]
pub(crate) async fn explain(
    State(shared): State<Shared>,
    _: Viewer,
    PathPart(id): PathPart<String>,
    Params(params): Params<Vec<(String, String)>>,
) -> Result<Json<DecisionView>, Problem> {
    let id = known(&shared, &id)?;
    let mut request = asked(params)?;
    let snapshot = shared.watch.current();
    let at = snapshot.find(&id).ok_or_else(|| unknown(id.as_str()))?;
    let note = request.find_route(&snapshot, at).err();
    let (decision, key) = decide(&snapshot, at, &request);
    let template = request.route.as_ref().map(|route| route.path.to_string());
    Ok(Json(DecisionView::new(&decision, key.as_deref(), template, note)))
}

fn asked(params: Vec<(String, String)>) -> Result<Hypothetical, Problem> {
    let bad = |detail: String| Problem::new(Code::BadQuery, detail);
    if params.len() > PARAMETERS_MAX {
        return Err(bad(format!("at most {PARAMETERS_MAX} parameters are looked at")));
    }
    let mut request = Hypothetical::default();
    for (name, value) in params {
        match name.as_str() {
            "key" => request.key = Some(value).filter(|key| !key.is_empty()),
            "method" => request.method = value,
            "host" => request.host = Some(value),
            "path" if value.starts_with('/') => request.target = Some(value),
            "path" => return Err(bad("\"path\" starts with '/'".into())),
            "header" => {
                let (name, value) = value.split_once(':').ok_or_else(|| bad("send \"header\" as NAME:VALUE".into()))?;
                request.headers.push((name.trim().to_ascii_lowercase(), value.trim().into()));
            }
            "ip" => {
                request.ip = value.parse().map_err(|_| bad("\"ip\" is an address such as 192.0.2.7".into()))?;
            }
            other => {
                let shown: String = other.chars().take(80).collect();
                let known = "key, method, host, path, header and ip";
                return Err(bad(format!(
                    "\"{}\" is not a parameter of this call, which knows {known}",
                    shown.escape_debug()
                )));
            }
        }
    }
    Ok(request)
}

/// The route of this migration that the request meets. Without a host, that of any of its routes will do.
fn route(snapshot: &Snapshot, at: MigrationIndex, request: &Hypothetical) -> Result<RouteIndex, String> {
    let table = snapshot.routes();
    let header = request.headers.iter().find(|(name, _)| name == "host").map(|(_, value)| value.clone());
    let hosts = match request.host.clone().or(header) {
        Some(host) => vec![without_port(&host).to_owned()],
        None => std::iter::once(String::new()).chain(table.iter().filter_map(example_host)).collect(),
    };
    let mut elsewhere = false;
    for host in &hosts {
        match table.find(&At { host, request }) {
            Found::Route(route) if table.migration(route) == Some(at) => return Ok(route),
            Found::Route(_) => elsewhere = true,
            Found::Disagreement => {
                return Err(
                    "traffic with this path is refused: its raw and its normal form lead to different routes".into()
                );
            }
            Found::Nothing => {}
        }
    }
    Err(if elsewhere {
        "this path leads elsewhere, so such a request does not reach this migration".into()
    } else {
        "no route matches this path, so such a request is answered 404".into()
    })
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    }
}

fn example_host(route: &Route) -> Option<String> {
    match route.host.as_ref()? {
        HostPattern::Exact(name) => Some(name.clone()),
        HostPattern::Subdomains(suffix) => Some(format!("example{suffix}")),
    }
}
