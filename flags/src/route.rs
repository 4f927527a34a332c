//! Matches a request to the route that belongs to it, by host, path template, method and fields.
//!
//! # Why precedence is an order and not the order of the file
//!
//! Files grow by appending, and a route that an earlier one shadows is found in an incident. So the
//! most specific route wins wherever it stands: host, then literal segments, then variables, then
//! `**`, then method and fields ([`Precedence`]). Two routes that are equally specific and could
//! both match are refused when the table is built.
//!
//! # Which path is matched
//!
//! Upstreams disagree on what `/a/../b`, `//` and `%2f` mean, so a rule that matches one reading
//! can be walked around by the other. Routes match the normal form of a path; where the raw form
//! finds another route the request is [`Found::Disagreement`] and must be refused. The bytes that
//! go on are never touched.
//!
//! Not here: regular expressions (unreadable precedence), and matching on the query or the body.

mod pattern;

use std::borrow::Cow;
use std::collections::HashMap;

use smallvec::SmallVec;
use thiserror::Error;

use self::pattern::{HOST_BYTES_MAX, Segment};
pub use self::pattern::{HostPattern, InvalidPattern, PathTemplate, normal_form};
use crate::migration::MigrationId;
use crate::snapshot::{DefinitionError, MigrationIndex};

/// The position of a route in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RouteIndex(pub usize);

/// A local answer: nothing is forwarded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Respond {
    pub status: u16,
    /// When the resource went or will go, as an HTTP date for the `Sunset` field (RFC 8594).
    pub sunset: Option<String>,
    /// Where it is now, for redirects.
    pub location: Option<String>,
    /// Plain text.
    pub body: String,
}

/// What a route leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    Migration(MigrationId),
    /// Webhooks whose issues a migration places; they are kept and sent on later.
    Issues(MigrationId),
    /// The name of an upstream that belongs to no migration.
    Upstream(String),
    Respond(Respond),
}

/// One route as the file writes it.
#[derive(Clone, Debug)]
pub struct Route {
    pub host: Option<HostPattern>,
    pub path: PathTemplate,
    /// Any method where empty; byte for byte otherwise.
    pub methods: Vec<String>,
    /// Fields that must have these values, names in lower case.
    pub headers: Vec<(String, String)>,
    pub target: Target,
}

/// How specific a route is: the greater wins.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Precedence {
    /// 2 for an exact host, 1 for `*.NAME`, 0 for any; then the longer pattern.
    host: (u8, usize),
    literals: usize,
    variables: usize,
    /// A template that ends is more specific than one with `**`.
    ends: bool,
    has_methods: bool,
    headers: usize,
}

/// Two routes that could both match one request and neither of which is more specific.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("this route and route number {} are equally specific and can match the same request: make one of them more specific", .first + 1)]
pub struct Ambiguous {
    pub first: usize,
    pub second: usize,
}

/// What a look-up needs of a request.
pub trait Lookup {
    /// Host without port, in any case.
    fn host(&self) -> &[u8];
    /// The path as it came, without the query.
    fn path(&self) -> &[u8];
    fn method(&self) -> &[u8];
    /// Whether the field with this lower-case name has this value.
    fn header_is(&self, name: &str, value: &str) -> bool;
}

/// The answer of a look-up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    Route(RouteIndex),
    Nothing,
    /// The raw and the normal form of the path lead to different routes: refuse with 400.
    Disagreement,
}

impl Route {
    pub fn precedence(&self) -> Precedence {
        let literals = self.path.segments.iter().filter(|s| matches!(s, Segment::Literal(_))).count();
        Precedence {
            host: match &self.host {
                Some(HostPattern::Exact(name)) => (2, name.len()),
                Some(HostPattern::Subdomains(suffix)) => (1, suffix.len()),
                None => (0, 0),
            },
            literals,
            variables: self.path.segments.len() - literals,
            ends: !self.path.rest,
            has_methods: !self.methods.is_empty(),
            headers: self.headers.len(),
        }
    }

    fn accepts(&self, request: &impl Lookup) -> bool {
        let method = request.method();
        (self.methods.is_empty() || self.methods.iter().any(|own| own.as_bytes() == method))
            && self.headers.iter().all(|(name, value)| request.header_is(name, value))
    }

    /// Whether one request could have a method and fields that both routes accept.
    fn overlaps(&self, other: &Self) -> bool {
        let any = self.methods.is_empty() || other.methods.is_empty();
        let share_method = any || self.methods.iter().any(|method| other.methods.contains(method));
        let contradict = |(name, value): &(String, String)| other.headers.iter().any(|(n, v)| n == name && v != value);
        share_method && !self.headers.iter().any(contradict)
    }
}

/// A table that only the file fills. Callers look things up in it but add nothing, so it needs no hash that resists them,
/// and every request passes through a few of these.
type Fixed<T> = HashMap<Box<[u8]>, T, foldhash::fast::FixedState>;

/// The nodes behind a node, by the text of their segment.
type Literals = HashMap<SmallVec<[u8; 16]>, u32, foldhash::fast::FixedState>;

/// A segment of the templates. Small, a table only where there are literals, and short texts and the first route where they
/// are looked for, because a request of one route of many finds none of its nodes in the cache.
#[derive(Debug, Default)]
struct Node {
    literals: Option<Box<Literals>>,
    variable: Option<u32>,
    routes: SmallVec<[Leaf; 1]>,
}

/// A route whose template is complete.
#[derive(Clone, Copy, Debug)]
struct Leaf {
    route: RouteIndex,
    /// It takes whatever comes behind, too.
    rest: bool,
}

impl Node {
    fn literal(&self, segment: &[u8]) -> Option<usize> {
        Some(*self.literals.as_ref()?.get(segment)? as usize)
    }

    fn variable(&self) -> Option<usize> {
        self.variable.map(|child| child as usize)
    }
}

/// The routes of one host pattern as a tree of segments; node 0 is the root.
#[derive(Debug)]
struct Tree {
    nodes: Vec<Node>,
}

impl Default for Tree {
    fn default() -> Self {
        Self { nodes: vec![Node::default()] }
    }
}

impl Tree {
    fn insert(&mut self, template: &PathTemplate, route: RouteIndex) {
        let mut at = 0;
        for segment in &template.segments {
            let known = match segment {
                Segment::Literal(text) => self.nodes[at].literal(text.as_bytes()),
                Segment::Variable(_) => self.nodes[at].variable(),
            };
            at = known.unwrap_or_else(|| {
                let new = self.nodes.len();
                self.nodes.push(Node::default());
                // A file of more segments is larger than a file may be.
                let child = u32::try_from(new).unwrap_or(u32::MAX);
                match segment {
                    Segment::Literal(text) => {
                        self.nodes[at].literals.get_or_insert_default().insert(text.as_bytes().into(), child);
                    }
                    Segment::Variable(_) => self.nodes[at].variable = Some(child),
                }
                new
            });
        }
        self.nodes[at].routes.push(Leaf { route, rest: template.rest });
    }

    /// Calls `each` with the routes whose template matches `path`, the part behind the first `/`.
    fn walk(&self, at: usize, path: Option<&[u8]>, each: &mut impl FnMut(RouteIndex)) {
        let node = &self.nodes[at];
        node.routes.iter().filter(|leaf| leaf.rest || path.is_none()).for_each(|leaf| each(leaf.route));
        let Some(path) = path else { return };
        let (segment, behind) = match memchr::memchr(b'/', path) {
            Some(slash) => (&path[..slash], Some(&path[slash + 1..])),
            None => (path, None),
        };
        if let Some(child) = node.literal(segment) {
            self.walk(child, behind, each);
        }
        if let Some(child) = node.variable()
            && !segment.is_empty()
        {
            self.walk(child, behind, each);
        }
    }

    /// The routes of equal shape that could match a path which `template` matches.
    fn rivals(&self, at: usize, segments: &[Segment], rest: bool, found: &mut Vec<RouteIndex>) {
        let node = &self.nodes[at];
        match segments.split_first() {
            None => found.extend(node.routes.iter().filter(|leaf| leaf.rest == rest).map(|leaf| leaf.route)),
            Some((Segment::Literal(text), behind)) => {
                for child in node.literal(text.as_bytes()).into_iter().chain(node.variable()) {
                    self.rivals(child, behind, rest, found);
                }
            }
            Some((Segment::Variable(_), behind)) => {
                let literals = node.literals.iter().flat_map(|literals| literals.values().map(|child| *child as usize));
                for child in literals.chain(node.variable()) {
                    self.rivals(child, behind, rest, found);
                }
            }
        }
    }
}

/// What a look-up needs of most routes, apart from the rest so that it lies together.
#[derive(Clone, Copy, Debug)]
struct Brief {
    migration: Option<MigrationIndex>,
    /// The place among all routes by precedence, 0 for the most specific.
    rank: usize,
    /// Takes any method and needs no field.
    accepts_all: bool,
}

/// All routes, indexed for look-ups that do not grow with their number.
#[derive(Debug, Default)]
pub struct RouteTable {
    routes: Vec<Route>,
    briefs: Vec<Brief>,
    exact: Fixed<Tree>,
    /// By suffix, the longest first.
    subdomains: Vec<(String, Tree)>,
    any_host: Tree,
}

impl RouteTable {
    pub(crate) fn build(
        routes: Vec<Route>,
        migrations: &HashMap<MigrationId, MigrationIndex>,
    ) -> Result<Self, Vec<DefinitionError>> {
        let mut table = Self::default();
        let mut errors = Vec::new();
        for (at, route) in routes.iter().enumerate() {
            let index = match &route.target {
                Target::Migration(id) | Target::Issues(id) => match migrations.get(id) {
                    Some(index) => Some(*index),
                    None => {
                        errors.push(DefinitionError::UnknownMigration { route: at, id: id.clone() });
                        None
                    }
                },
                Target::Upstream(_) | Target::Respond(_) => None,
            };
            let accepts_all = route.methods.is_empty() && route.headers.is_empty();
            table.briefs.push(Brief { migration: index, rank: 0, accepts_all });
            let precedence = route.precedence();
            let tree = table.tree(route.host.as_ref());
            let mut rivals = Vec::new();
            tree.rivals(0, &route.path.segments, route.path.rest, &mut rivals);
            tree.insert(&route.path, RouteIndex(at));
            let rival = rivals.iter().find(|r| routes[r.0].precedence() == precedence && routes[r.0].overlaps(route));
            if let Some(first) = rival {
                errors.push(Ambiguous { first: first.0, second: at }.into());
            }
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        table.subdomains.sort_by_key(|(suffix, _)| std::cmp::Reverse(suffix.len()));
        let mut order: Vec<(Precedence, usize)> =
            routes.iter().enumerate().map(|(at, r)| (r.precedence(), at)).collect();
        order.sort_by(|a, b| b.0.cmp(&a.0).then(a.1.cmp(&b.1)));
        for (rank, (_, at)) in order.into_iter().enumerate() {
            table.briefs[at].rank = rank;
        }
        table.routes = routes;
        Ok(table)
    }

    fn tree(&mut self, host: Option<&HostPattern>) -> &mut Tree {
        match host {
            None => &mut self.any_host,
            Some(HostPattern::Exact(name)) => self.exact.entry(name.as_bytes().into()).or_default(),
            Some(HostPattern::Subdomains(suffix)) => {
                let at = self.subdomains.iter().position(|(own, _)| own == suffix).unwrap_or_else(|| {
                    self.subdomains.push((suffix.clone(), Tree::default()));
                    self.subdomains.len() - 1
                });
                &mut self.subdomains[at].1
            }
        }
    }

    pub fn get(&self, index: RouteIndex) -> &Route {
        &self.routes[index.0]
    }

    pub fn migration(&self, index: RouteIndex) -> Option<MigrationIndex> {
        self.briefs[index.0].migration
    }

    pub fn iter(&self) -> impl Iterator<Item = &Route> {
        self.routes.iter()
    }

    /// The most specific route of a request.
    pub fn find(&self, request: &impl Lookup) -> Found {
        let raw = request.path();
        let by_raw = self.find_path(request, raw);
        let by_normal = match normal_form(raw) {
            Cow::Borrowed(_) => by_raw,
            Cow::Owned(normal) => self.find_path(request, &normal),
        };
        match (by_raw, by_normal) {
            (None, None) => Found::Nothing,
            (Some(raw), Some(normal)) if raw == normal => Found::Route(normal),
            (Some(_), _) | (_, Some(_)) => Found::Disagreement,
        }
    }

    fn find_path(&self, request: &impl Lookup, path: &[u8]) -> Option<RouteIndex> {
        // `*` of OPTIONS has no segments; only a route for every path takes it.
        let path = path.strip_prefix(b"/");
        let hosts_are_named = !self.exact.is_empty() || !self.subdomains.is_empty();
        let by_host = if hosts_are_named { self.find_host(request, path) } else { None };
        by_host.or_else(|| self.best(&self.any_host, path, request))
    }

    /// The most specific route among those that name the request's host.
    fn find_host(&self, request: &impl Lookup, path: Option<&[u8]>) -> Option<RouteIndex> {
        let mut lower = [0; HOST_BYTES_MAX];
        let host = request.host();
        let host = host.strip_suffix(b".").unwrap_or(host);
        let name = lower.get_mut(..host.len())?;
        name.copy_from_slice(host);
        name.make_ascii_lowercase();
        let exact = self.exact.get(&*name).and_then(|tree| self.best(tree, path, request));
        let ends = |suffix: &str| name.len() > suffix.len() && name.ends_with(suffix.as_bytes());
        let mut below = self.subdomains.iter().filter(|(suffix, _)| ends(suffix));
        exact.or_else(|| below.find_map(|(_, tree)| self.best(tree, path, request)))
    }

    fn best(&self, tree: &Tree, path: Option<&[u8]>, request: &impl Lookup) -> Option<RouteIndex> {
        let mut best: Option<RouteIndex> = None;
        tree.walk(0, path, &mut |route| {
            let brief = &self.briefs[route.0];
            let better = best.is_none_or(|known| brief.rank < self.briefs[known.0].rank);
            if better && (brief.accepts_all || self.routes[route.0].accepts(request)) {
                best = Some(route);
            }
        });
        best
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Debug)]
    struct Asked {
        host: &'static str,
        method: &'static str,
        path: String,
        headers: Vec<(&'static str, &'static str)>,
    }

    impl Lookup for Asked {
        fn host(&self) -> &[u8] {
            self.host.as_bytes()
        }
        fn path(&self) -> &[u8] {
            self.path.as_bytes()
        }
        fn method(&self) -> &[u8] {
            self.method.as_bytes()
        }
        fn header_is(&self, name: &str, value: &str) -> bool {
            self.headers.contains(&(name, value))
        }
    }

    /// `HOST PATH [METHODS] [name=value]`, `-` for any host.
    fn route(text: &str) -> Route {
        let mut words = text.split(' ');
        let host = words.next().filter(|host| *host != "-").map(|host| host.parse().unwrap());
        let path = words.next().unwrap().parse().unwrap();
        let (mut methods, mut headers) = (Vec::new(), Vec::new());
        for word in words {
            match word.split_once('=') {
                Some((name, value)) => headers.push((name.into(), value.into())),
                None => methods = word.split(',').map(String::from).collect(),
            }
        }
        Route { host, path, methods, headers, target: Target::Upstream(text.into()) }
    }

    fn table(routes: &[&str]) -> Result<RouteTable, Vec<DefinitionError>> {
        RouteTable::build(routes.iter().map(|text| route(text)).collect(), &HashMap::new())
    }

    const ROUTES: [&str; 12] = [
        "- /**",
        "- /api/{id}",
        "- /api/me",
        "- /api/{id}/**",
        "- /api/{id}/items/{item}",
        "- /api/{id} PUT,DELETE",
        "- /api/{id} GET x-beta=1",
        "api.example.com /**",
        "api.example.com /v1/",
        "*.example.com /api/**",
        "*.eu.example.com /api/**",
        "- /static/**",
    ];

    #[track_caller]
    fn check(
        host: &'static str,
        method: &'static str,
        path: &str,
        headers: &[(&'static str, &'static str)],
        expected: &str,
    ) {
        // The order of the file must not matter.
        let mut backwards = ROUTES;
        backwards.reverse();
        for routes in [ROUTES, backwards] {
            let table = table(&routes).unwrap();
            let asked = Asked { host, method, path: path.into(), headers: headers.to_vec() };
            let found = match table.find(&asked) {
                Found::Route(index) => routes[index.0],
                Found::Nothing => "nothing",
                Found::Disagreement => "disagreement",
            };
            assert_eq!(found, expected, "{asked:?}");
        }
    }

    #[test]
    fn the_most_specific_route_wins() {
        check("a", "GET", "/", &[], "- /**");
        check("a", "GET", "/api/me", &[], "- /api/me");
        check("a", "GET", "/api/7", &[], "- /api/{id}");
        check("a", "GET", "/api/7/", &[], "- /api/{id}/**");
        check("a", "GET", "/api/7/x", &[], "- /api/{id}/**");
        check("a", "GET", "/api/7/items/9", &[], "- /api/{id}/items/{item}");
        check("a", "GET", "/api/", &[], "- /**");
        check("a", "PUT", "/api/7", &[], "- /api/{id} PUT,DELETE");
        check("a", "put", "/api/7", &[], "- /api/{id}");
        check("a", "GET", "/api/7", &[("x-beta", "1")], "- /api/{id} GET x-beta=1");
        check("a", "GET", "/static", &[], "- /static/**");
        check("a", "GET", "/static/", &[], "- /static/**");
        check("a", "GET", "/statics", &[], "- /**");
    }

    #[test]
    fn the_host_outranks_the_path() {
        check("API.example.com", "GET", "/api/me", &[], "api.example.com /**");
        check("api.example.com.", "GET", "/v1/", &[], "api.example.com /v1/");
        check("api.example.com", "GET", "/v1", &[], "api.example.com /**");
        check("b.example.com", "GET", "/api/me", &[], "*.example.com /api/**");
        check("b.eu.example.com", "GET", "/api/me", &[], "*.eu.example.com /api/**");
        check("b.example.com", "GET", "/other", &[], "- /**");
        check("example.com", "GET", "/api/me", &[], "- /api/me");
    }

    #[test]
    fn a_path_that_can_be_read_two_ways_is_refused() {
        check("a", "GET", "/static/../api/me", &[], "disagreement");
        check("a", "GET", "/api%2fme", &[], "disagreement");
        check("a", "GET", "//api/me", &[], "disagreement");
        check("a", "GET", "/%73tatic/x", &[], "disagreement");
        // Odd, but both readings lead to one route.
        check("a", "GET", "/static/a%20b", &[], "- /static/**");
        check("a", "GET", "/static//x", &[], "- /static/**");
        check("a", "GET", "/static/./x", &[], "- /static/**");
        check("a", "GET", "/api/a%2eb", &[], "- /api/{id}");
    }

    #[track_caller]
    fn check_ambiguous(first: &str, second: &str, ambiguous: bool) {
        assert_eq!(table(&[first, second]).is_err(), ambiguous, "{first} and {second}");
    }

    #[test]
    fn equally_specific_routes_are_refused_only_if_both_can_match() {
        check_ambiguous("- /a/{x}", "- /a/{y}", true);
        check_ambiguous("- /a/{x}/c", "- /a/b/{y}", true);
        check_ambiguous("- /a/{x}/c", "- /b/{x}/c", false);
        check_ambiguous("- /a/**", "- /a/**", true);
        check_ambiguous("- /a/**", "- /a", false);
        check_ambiguous("- /a GET", "- /a PUT", false);
        check_ambiguous("- /a GET,PUT", "- /a PUT", true);
        check_ambiguous("- /a", "- /a PUT", false);
        check_ambiguous("- /a GET x=1", "- /a GET x=2", false);
        check_ambiguous("- /a GET x=1", "- /a GET y=2", true);
        check_ambiguous("h /a", "H. /a", true);
        check_ambiguous("h /a", "i /a", false);
    }

    #[track_caller]
    fn check_template(text: &str, valid: bool) {
        let parsed = text.parse::<PathTemplate>();
        assert_eq!(parsed.is_ok(), valid, "{text:?}");
        if let Ok(template) = parsed {
            assert_eq!(template.to_string(), text);
        }
    }

    #[test]
    fn templates_that_could_never_match_are_refused() {
        for text in ["/", "/**", "/a", "/a/", "/a/{id}/**", "/{a-b_1}/x"] {
            check_template(text, true);
        }
        for text in [
            "",
            "a",
            "/a//b",
            "/a/../b",
            "/./a",
            "/a%20b",
            "/{",
            "/{}",
            "/a{id}",
            "/{id}/{id}",
            "/**/a",
            "/a**",
            "/a b",
            "/*",
            "/a?b",
        ] {
            check_template(text, false);
        }
    }

    #[test]
    fn variables_are_read_from_the_path() {
        let template: PathTemplate = "/api/{id}/items/{item}/**".parse().unwrap();
        assert_eq!(template.variable(b"/api/7/items/x/y/z", "id"), Some(&b"7"[..]));
        assert_eq!(template.variable(b"/api/7/items/x/y/z", "item"), Some(&b"x"[..]));
        assert_eq!(template.variable(b"/api/7/items/x", "other"), None);
    }

    #[track_caller]
    fn check_normal(path: &str, expected: &str) {
        assert_eq!(normal_form(path.as_bytes()), expected.as_bytes(), "{path}");
    }

    #[test]
    fn the_normal_form_is_what_servers_come_to_read() {
        check_normal("/a/b", "/a/b");
        check_normal("/a/./b/../c", "/a/c");
        check_normal("/..", "/");
        check_normal("/../../a", "/a");
        check_normal("//a///b/", "/a/b/");
        check_normal("/a/..", "/");
        check_normal("/a/b/..", "/a/");
        check_normal("/a/b/.", "/a/b/");
        check_normal("/%61%2Fb", "/a/b");
        check_normal("/%2e%2e/a", "/a");
        check_normal("/a/.hidden", "/a/.hidden");
        check_normal("/a/%zz", "/a/%zz");
        check_normal("/a/..;x=1/b", "/b");
        check_normal("/a/%2e%2e;/b", "/b");
        check_normal("/a/.;/b", "/a/b");
        check_normal("/a;x=1/b;y", "/a;x=1/b;y");
        check_normal("/;x/a", "/;x/a");
        check_normal("/a\\..\\b", "/b");
        check_normal("/a%5c..%5Cb", "/b");
        check_normal("\\a\\b", "/a/b");
    }

    proptest! {
        #[test]
        fn a_normal_form_without_escapes_is_its_own(path in "/[a-c./;\\\\]{0,24}") {
            let once = normal_form(path.as_bytes()).into_owned();
            prop_assert_eq!(normal_form(&once).into_owned(), once);
        }

        /// A look-up agrees with trying every route by hand.
        #[test]
        fn the_tree_finds_what_a_list_would(path in "(/[ab]){1,4}/?", picks in prop::collection::vec((0..5usize, 0..5usize, 0..5usize, prop::bool::ANY), 1..8)) {
            let words = ["a", "b", "{x}", "{y}", "{z}"];
            let mut texts: Vec<String> = Vec::new();
            for (one, two, three, rest) in picks {
                let mut pieces = vec![words[one]];
                for word in [words[two], words[three]] {
                    if !pieces.contains(&word) { pieces.push(word); }
                }
                let text = format!("- /{}{}", pieces.join("/"), if rest { "/**" } else { "" });
                let mut with = texts.clone();
                with.push(text);
                let refs: Vec<&str> = with.iter().map(String::as_str).collect();
                if table(&refs).is_ok() { texts = with; }
            }
            let refs: Vec<&str> = texts.iter().map(String::as_str).collect();
            let table = table(&refs).unwrap();
            let by_hand = table.iter().enumerate().filter(|(_, route)| matches_by_hand(&route.path, &path)).max_by_key(|(_, route)| route.precedence()).map(|(at, _)| at);
            let asked = Asked { host: "h", method: "GET", path, headers: Vec::new() };
            let found = match table.find(&asked) { Found::Route(index) => Some(index.0), _ => None };
            prop_assert_eq!(found, by_hand, "{:?}", texts);
        }
    }

    fn matches_by_hand(template: &PathTemplate, path: &str) -> bool {
        let pieces: Vec<&str> = path[1..].split('/').collect();
        let fits = |(segment, piece): (&Segment, &&str)| match segment {
            Segment::Literal(text) => text == piece,
            Segment::Variable(_) => !piece.is_empty(),
        };
        let long_enough = if template.rest {
            pieces.len() >= template.segments.len()
        } else {
            pieces.len() == template.segments.len()
        };
        long_enough && template.segments.iter().zip(&pieces).all(fits)
    }
}
