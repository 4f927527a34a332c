//! Routes: patterns print as they were read, and a look-up finds what trying every route finds.

use flags::Definitions;
use flags::route::{
    Found, HostPattern, Lookup, PathTemplate, Respond, Route, RouteIndex, RouteTable, Target, normal_form,
};

/// A request, as far as routes look at it.
struct Asked<'a> {
    method: &'a [u8],
    host: &'a [u8],
    path: &'a [u8],
}

impl Lookup for Asked<'_> {
    fn host(&self) -> &[u8] {
        self.host
    }

    fn path(&self) -> &[u8] {
        self.path
    }

    fn method(&self) -> &[u8] {
        self.method
    }

    fn header_is(&self, name: &str, value: &str) -> bool {
        name == "x-a" && value == "1"
    }
}

/// Holds routes and requests against every invariant. A line is `HOST PATH [METHOD] [name=value]` with `-` for any host;
/// behind an empty line, `METHOD HOST PATH`.
pub fn routes(input: &[u8]) {
    let at = input.windows(2).position(|pair| pair == b"\n\n").unwrap_or(input.len());
    let (written, asked) = input.split_at(at);
    let written = String::from_utf8_lossy(written);
    let routes: Vec<Route> = written.lines().take(24).filter_map(route).collect();
    for route in &routes {
        check_patterns(route);
    }
    let Ok(definitions) = Definitions::build(Vec::new(), routes, None, String::new()) else { return };
    for line in asked.split(|byte| *byte == b'\n').take(24) {
        let mut words = line.splitn(3, |byte| *byte == b' ');
        if let (Some(method), Some(host), Some(path)) = (words.next(), words.next(), words.next()) {
            check_normal(path);
            check_found(definitions.routes(), &Asked { method, host, path });
        }
    }
}

fn route(line: &str) -> Option<Route> {
    let mut words = line.split(' ');
    let host = match words.next()? {
        "-" => None,
        host => Some(host.parse().ok()?),
    };
    let path = words.next()?.parse().ok()?;
    let (mut methods, mut headers) = (Vec::new(), Vec::new());
    for word in words.filter(|word| !word.is_empty()) {
        match word.split_once('=') {
            Some((name, value)) => headers.push((name.to_owned(), value.to_owned())),
            None => methods.push(word.to_owned()),
        }
    }
    let respond = Respond { status: 204, sunset: None, location: None, body: String::new() };
    Some(Route { host, path, methods, headers, target: Target::Respond(respond) })
}

/// A pattern is read back from what it prints.
fn check_patterns(route: &Route) {
    let path = route.path.to_string();
    assert_eq!(path.parse::<PathTemplate>().as_ref(), Ok(&route.path), "{path}");
    if let Some(host) = &route.host {
        let text = host.to_string();
        assert_eq!(text.parse::<HostPattern>().as_ref(), Ok(host), "{text}");
    }
}

/// A normal form has nothing left that servers resolve, and is its own unless it holds what looks escaped twice.
fn check_normal(path: &[u8]) {
    let normal = normal_form(path);
    if !path.starts_with(b"/") {
        return;
    }
    assert!(normal.starts_with(b"/"), "{} became {}", path.escape_ascii(), normal.escape_ascii());
    let segments: Vec<&[u8]> = normal[1..].split(|byte| *byte == b'/').collect();
    let last = segments.len() - 1;
    for (at, segment) in segments.iter().enumerate() {
        let resolved = !matches!(*segment, b"." | b"..") && (at == last || !segment.is_empty());
        assert!(resolved, "{} became {}", path.escape_ascii(), normal.escape_ascii());
    }
    if !normal.contains(&b'%') {
        assert_eq!(normal_form(&normal), normal, "{}", path.escape_ascii());
    }
}

/// The table answers what trying every route answers, for the raw path and for the normal one.
fn check_found(table: &RouteTable, asked: &Asked<'_>) {
    let raw = best(table, asked, asked.path);
    let normal = best(table, asked, &normal_form(asked.path));
    let expected = match (raw, normal) {
        (None, None) => Found::Nothing,
        (Some(raw), Some(normal)) if raw == normal => Found::Route(raw),
        _ => Found::Disagreement,
    };
    let (host, path) = (asked.host.escape_ascii(), asked.path.escape_ascii());
    assert_eq!(table.find(asked), expected, "{host} {path} in {:?}", table.iter().collect::<Vec<_>>());
}

/// The first of the most specific host among the routes that match, most specific first.
fn best(table: &RouteTable, asked: &Asked<'_>, path: &[u8]) -> Option<RouteIndex> {
    let matching = table.iter().enumerate().filter(|(_, route)| {
        let method = route.methods.is_empty() || route.methods.iter().any(|own| own.as_bytes() == asked.method);
        let fields = route.headers.iter().all(|(name, value)| asked.header_is(name, value));
        method && fields && host_matches(route.host.as_ref(), asked.host) && path_matches(&route.path.to_string(), path)
    });
    // Of equally specific ones, which cannot both match but by their place, the first.
    let best = matching.min_by(|(a, first), (b, second)| second.precedence().cmp(&first.precedence()).then(a.cmp(b)));
    best.map(|(at, _)| RouteIndex(at))
}

fn host_matches(pattern: Option<&HostPattern>, host: &[u8]) -> bool {
    let host = host.strip_suffix(b".").unwrap_or(host).to_ascii_lowercase();
    match pattern {
        None => true,
        Some(_) if host.len() > 255 => false,
        Some(HostPattern::Exact(name)) => name.as_bytes() == host,
        Some(HostPattern::Subdomains(suffix)) => host.len() > suffix.len() && host.ends_with(suffix.as_bytes()),
    }
}

fn path_matches(template: &str, path: &[u8]) -> bool {
    let Some(path) = path.strip_prefix(b"/") else { return template == "/**" };
    let (template, rest) = match template.strip_suffix("/**") {
        Some(before) => (before, true),
        None => (template, false),
    };
    let wanted: Vec<&str> = template.split('/').skip(1).collect();
    let given: Vec<&[u8]> = path.split(|byte| *byte == b'/').collect();
    let long_enough = if rest { given.len() >= wanted.len() } else { given.len() == wanted.len() };
    let fits = |(wanted, given): (&&str, &&[u8])| {
        if wanted.starts_with('{') { !given.is_empty() } else { wanted.as_bytes() == *given }
    };
    long_enough && wanted.iter().zip(&given).all(fits)
}
