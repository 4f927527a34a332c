//! Routes: what they match, what they lead to, and what goes beyond matching.

use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::sync::Arc;

use flags::route::{HostPattern, PathTemplate, Respond, Route, Target};
use flags::{KeySource, MigrationId};
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::fmt::rfc2822::{DateTimeParser, DateTimePrinter};
use jiff::tz::TimeZone;

use super::super::RouteSettings;
use super::super::errors::{Problem, quoted};
use super::super::file;
use super::super::issues::IssueRoute;
use super::super::read::{At, Entries, Many};
use super::super::units::Size;
use super::migrations::{Migrations, switch};
use super::{Building, upstreams};

const ROUTES_MAX: usize = 20_000;
const METHODS_MAX: usize = 64;
const HEADERS_MAX: usize = 16;
const UPGRADES_MAX: usize = 16;
const BODY_BYTES_MAX: usize = 64 << 10;
const LOCATION_BYTES_MAX: usize = 2 << 10;

/// What a route leads to, with what goes beyond its name.
struct Led {
    target: Target,
    upstream: Option<usize>,
    issues: Option<Arc<IssueRoute>>,
}

impl Led {
    const fn to(target: Target) -> Self {
        Self { target, upstream: None, issues: None }
    }
}

/// A route with the place where the file defines it.
pub(super) struct Placed {
    pub(super) at: Range<usize>,
    pub(super) route: Route,
    pub(super) settings: RouteSettings,
}

impl Building<'_> {
    pub(super) fn routes(
        &mut self,
        field: Option<At<Vec<At<file::Route>>>>,
        migrations: &Migrations,
        upstreams: &upstreams::Names,
    ) -> Vec<Placed> {
        let Some(At { at, value: Some(list) }) = field else {
            return Vec::new();
        };
        self.bounded(&at, &list, "routes", ROUTES_MAX);
        let mut routes = Vec::new();
        for At { at, value } in list {
            let Some(file) = value else { continue };
            routes.extend(self.route(at, file, migrations, upstreams));
        }
        routes
    }

    fn route(
        &mut self,
        at: Range<usize>,
        file: file::Route,
        migrations: &Migrations,
        upstreams: &upstreams::Names,
    ) -> Option<Placed> {
        let target = self.target(&at, &file, migrations, upstreams);
        let host = file.host.as_ref().and_then(|host| self.pattern::<HostPattern>(host));
        let path = match &file.path {
            Some(path) => self.pattern::<PathTemplate>(path),
            None => {
                self.missing(&at, "path", "write a path, or `path: /**` for every path");
                None
            }
        };
        let methods = self.methods(file.methods);
        let headers = self.headers(file.headers);
        let upgrades = self.upgrades(file.upgrades);
        let body_max = file.body_max.and_then(|size| size.value).map(|Size(bytes)| bytes);
        let half_close = switch(file.half_close.as_ref(), false);
        let place = file.path.map_or(at, |path| path.at);
        let Led { target, upstream, issues } = target?;
        let settings = RouteSettings { body_max, upgrades, half_close, upstream, issues };
        Some(Placed { at: place, route: Route { host, path: path?, methods, headers, target }, settings })
    }

    fn target(
        &mut self,
        at: &Range<usize>,
        file: &file::Route,
        migrations: &Migrations,
        upstreams: &upstreams::Names,
    ) -> Option<Led> {
        let named = [
            ("migration", file.migration.as_ref().map(|field| &field.at)),
            ("upstream", file.upstream.as_ref().map(|field| &field.at)),
            ("respond", file.respond.as_ref().map(|field| &field.at)),
            ("issues", file.issues.as_ref().map(|field| &field.at)),
        ];
        let mut given = named.into_iter().filter_map(|(key, at)| Some((key, at?)));
        match (given.next(), given.next()) {
            (None, _) => {
                let problem = Problem::new(at, "this route leads nowhere");
                self.tell(problem.help("add one of `migration`, `upstream`, `respond`, `issues`"));
                return None;
            }
            (Some((first, first_at)), Some((second, second_at))) => {
                let message = format!("a route leads to one target, and this one has `{first}` and `{second}`");
                self.tell(Problem::new(second_at, message).also(first_at, "the first target"));
                return None;
            }
            (Some(_), None) => {}
        }
        if let Some(field) = &file.migration {
            let text = field.get()?;
            self.known_migration(&field.at, text, &migrations.ids);
            let found = &migrations.list[*migrations.index.get(text)?];
            return Some(Led::to(Target::Migration(found.id.clone())));
        }
        if let Some(field) = &file.upstream {
            let text = field.get()?;
            self.known_upstream(&field.at, text, upstreams);
            let index = (*upstreams.get(text)?)?;
            return Some(Led { upstream: Some(index), ..Led::to(Target::Upstream(text.clone())) });
        }
        if let Some(field) = &file.issues {
            if let Some(own) = &file.body_max {
                let message = "a route that receives issues has its limit under `issues`";
                self.tell(Problem::new(&own.at, message).help("write `body_max` there"));
            }
            let issues = self.issues(field, file.path.as_ref(), migrations)?;
            return Some(Led {
                issues: Some(Arc::clone(&issues)),
                ..Led::to(Target::Issues(issues.migration.clone()))
            });
        }
        let respond = file.respond.as_ref()?;
        self.respond(&respond.at, respond.get()?).map(|respond| Led::to(Target::Respond(respond)))
    }

    fn respond(&mut self, at: &Range<usize>, file: &file::Respond) -> Option<Respond> {
        let sunset = file.sunset.as_ref().and_then(|sunset| self.sunset(sunset));
        if let Some(At { at, value: Some(location) }) = &file.location {
            let visible = location.bytes().all(|byte| byte.is_ascii_graphic());
            if location.is_empty() || location.len() > LOCATION_BYTES_MAX || !visible {
                let message = format!("{} is not a location: use a URL without white space", quoted(location));
                self.tell(Problem::new(at, message));
            }
        }
        if let Some(At { at, value: Some(body) }) = &file.body
            && body.len() > BODY_BYTES_MAX
        {
            self.tell(Problem::new(at, format!("a local answer has at most {} of body", Size(BODY_BYTES_MAX as u64))));
        }
        let Some(status) = &file.status else {
            self.missing(at, "status", "write a status, such as `status: 410`");
            return None;
        };
        let code = *status.get()?;
        if !(200..=599).contains(&code) {
            self.tell(Problem::new(&status.at, format!("{code} is not a final status: use 200 to 599")));
        }
        let text = |field: &Option<At<String>>| field.as_ref().and_then(At::get).cloned();
        Some(Respond {
            status: code,
            sunset,
            location: text(&file.location),
            body: text(&file.body).unwrap_or_default(),
        })
    }

    /// A date of the file as the HTTP date that goes out.
    fn sunset(&mut self, field: &At<String>) -> Option<String> {
        let text = field.get()?;
        let date = text.parse::<Date>().ok().filter(|_| text.len() == "2026-12-31".len());
        let midnight = date.and_then(|date| date.to_zoned(TimeZone::UTC).ok()).map(|zoned| zoned.timestamp());
        let http_date = || DateTimeParser::new().parse_timestamp(text).ok();
        let instant = midnight.or_else(|| text.parse::<Timestamp>().ok()).or_else(http_date);
        let printed = instant.and_then(|at| DateTimePrinter::new().timestamp_to_rfc9110_string(&at).ok());
        if printed.is_none() {
            let message = format!("{} is not a date", quoted(text));
            self.tell(Problem::new(&field.at, message).help("write 2026-12-31 or 2026-12-31T12:00:00Z"));
        }
        printed
    }

    pub(super) fn pattern<T: std::str::FromStr<Err: std::fmt::Display>>(&mut self, field: &At<String>) -> Option<T> {
        let text = field.get()?;
        text.parse().map_err(|error: T::Err| self.tell(Problem::new(&field.at, error.to_string()))).ok()
    }

    pub(super) fn methods(&mut self, field: Option<At<Many<At<String>>>>) -> Vec<String> {
        let Some(At { at, value: Some(Many(list)) }) = field else {
            return Vec::new();
        };
        if list.is_empty() {
            self.tell(Problem::new(&at, "no method would match").help("leave the key out to match any method"));
        }
        self.bounded(&at, &list, "methods", METHODS_MAX);
        let mut methods: Vec<String> = Vec::new();
        for item in list {
            let Some(method) = item.value else { continue };
            let upper = method.to_ascii_uppercase();
            if method.is_empty() || !method.bytes().all(is_token_byte) {
                self.tell(Problem::new(&item.at, format!("{} is not a method", quoted(&method))));
            } else if method != upper {
                let message = format!("{} would match no request: methods are compared byte for byte", quoted(&method));
                self.tell(Problem::new(&item.at, message).help(format!("did you mean `{upper}`?")));
            } else if matches!(method.as_str(), "CONNECT" | "TRACE") {
                self.tell(Problem::new(&item.at, format!("{method} is answered with 405 and never routed")));
            } else if methods.contains(&method) {
                self.tell(Problem::new(&item.at, format!("the method {method} stands here twice")));
            }
            methods.push(method);
        }
        methods
    }

    fn headers(&mut self, field: Option<At<Entries<String>>>) -> Vec<(String, String)> {
        let Some(At { at, value: Some(Entries(entries)) }) = field else {
            return Vec::new();
        };
        self.bounded(&at, &entries, "headers", HEADERS_MAX);
        let mut headers: Vec<(String, String)> = Vec::new();
        for (name, value) in entries {
            let (Some(text), Some(wanted)) = (name.value, value.value) else { continue };
            let lower = text.to_ascii_lowercase();
            if text.is_empty() || !text.bytes().all(is_token_byte) {
                self.tell(Problem::new(&name.at, format!("{} is not the name of a field", quoted(&text))));
            }
            if headers.iter().any(|(known, _)| *known == lower) {
                self.tell(Problem::new(&name.at, format!("the field {} stands here twice", quoted(&text))));
            }
            if wanted.trim() != wanted || wanted.is_empty() || wanted.contains(char::is_control) {
                let message = format!("{} cannot be the value of a field: no request would match", quoted(&wanted));
                self.tell(Problem::new(&value.at, message));
            }
            headers.push((lower, wanted));
        }
        headers
    }

    fn upgrades(&mut self, field: Option<At<Vec<At<String>>>>) -> Vec<String> {
        let Some(At { at, value: Some(list) }) = field else {
            return vec!["websocket".into()];
        };
        self.bounded(&at, &list, "upgrades", UPGRADES_MAX);
        let mut upgrades = Vec::new();
        for item in list {
            let Some(text) = item.value else { continue };
            let lower = text.to_ascii_lowercase();
            if lower.is_empty() || !lower.bytes().all(|byte| is_token_byte(byte) || byte == b'/') {
                self.tell(Problem::new(&item.at, format!("{} is not the name of a protocol", quoted(&text))));
            } else if lower == "h2c" {
                self.tell(Problem::new(&item.at, "an upgrade to h2c would carry requests past the router"));
            }
            upgrades.push(lower);
        }
        upgrades
    }

    /// A delivery must find back to the one way it came.
    pub(super) fn one_ledger_each(&mut self, routes: &[Placed]) {
        let (mut migrations, mut journals) = (HashSet::new(), HashSet::new());
        for (at, issues) in routes.iter().filter_map(|placed| Some((&placed.at, placed.settings.issues.as_ref()?))) {
            if !migrations.insert(&issues.migration) {
                let message = format!("a second route receives the issues of {}", issues.migration);
                self.tell(Problem::new(at, message).help("use one route a migration"));
            } else if !journals.insert(&issues.journal) {
                let message = "this route would write to the journal of another one";
                self.tell(Problem::new(at, message).help("give each its own `journal`"));
            }
        }
    }

    /// A key from a variable that no route has would silently be missing for ever.
    pub(super) fn key_variables(&mut self, migrations: &Migrations, routes: &[Placed]) {
        if migrations.path_variables.is_empty() {
            return;
        }
        let mut templates: HashMap<&MigrationId, Vec<&PathTemplate>> = HashMap::new();
        for placed in routes {
            if let Target::Migration(id) = &placed.route.target {
                templates.entry(id).or_default().push(&placed.route.path);
            }
        }
        for (index, name, at) in &migrations.path_variables {
            let Some(migration) = migrations.list.get(*index) else { continue };
            let own = templates.get(&migration.id).map_or(&[][..], Vec::as_slice);
            if !own.iter().any(|template| template.has_variable(name)) {
                let source = KeySource::Path(name.clone());
                let message =
                    format!("no route of {} has the variable of {}", migration.id, quoted(&source.to_string()));
                let help = format!("name it in a path, such as `path: /api/{{{name}}}`, or use another source");
                self.tell(Problem::new(at, message).help(help));
            }
        }
    }
}

/// RFC 9110 section 5.6.2.
fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}
