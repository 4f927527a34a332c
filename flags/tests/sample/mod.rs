//! Snapshots and requests of the size an operator has, shared by a test and a benchmark.

use std::borrow::Cow;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use flags::key::{self, Claims, Request};
use flags::migration::Initial;
use flags::route::{Found, Lookup, Route, Target};
use flags::snapshot::{Definitions, Local, Snapshot};
use flags::store::Loaded;
use flags::{BasisPoints, Decision, Facts, Migration, MigrationId, Mode, decide};

const ROUTES_MAX: usize = 1_000;

/// As many migrations, each with a route of its own, all gradual at 50 % by a header.
pub(crate) fn snapshot(count: usize) -> Snapshot {
    let share = BasisPoints::from_percent(50.0).expect("50 % is a share");
    let migrations = (0..count).map(|n| {
        let id = MigrationId::new(&format!("m{n}")).expect("a valid id");
        let initial = Initial { mode: Mode::Gradual, share };
        let key = ["cookie:uid", "header:x-user-id"].map(|source| source.parse().expect("a valid source")).into();
        Migration { key, initial, ..Migration::new(id, "typescript", "python") }
    });
    let migrations: Vec<_> = migrations.collect();
    let routes = migrations.iter().enumerate().map(|(n, migration)| Route {
        host: None,
        path: format!("/api/r{n}/{{id}}").parse().expect("a valid template"),
        methods: vec!["GET".into(), "PUT".into()],
        headers: Vec::new(),
        target: Target::Migration(migration.id.clone()),
    });
    let routes = routes.collect();
    let definitions = Definitions::build(migrations, routes, None, "hash".into()).expect("valid definitions");
    Snapshot::build(Arc::new(definitions), &Loaded::default(), Local::default(), None)
}

/// A request as the data plane offers it: slices of what came.
pub(crate) struct Get {
    path: Vec<u8>,
    user: Vec<u8>,
}

impl Get {
    pub(crate) fn of(number: usize) -> Self {
        Self {
            path: format!("/api/r{}/items", number % ROUTES_MAX).into_bytes(),
            user: format!("user-{number}").into_bytes(),
        }
    }
}

impl Lookup for Get {
    fn host(&self) -> &[u8] {
        b"api.example.com"
    }

    fn path(&self) -> &[u8] {
        &self.path
    }

    fn method(&self) -> &[u8] {
        b"GET"
    }

    fn header_is(&self, _: &str, _: &str) -> bool {
        false
    }
}

impl Request for Get {
    fn method(&self) -> &[u8] {
        b"GET"
    }

    fn header(&self, name: &str) -> Option<&[u8]> {
        (name == "x-user-id").then_some(&self.user)
    }

    fn headers<'a>(&'a self, name: &str, each: &mut dyn FnMut(&'a [u8])) {
        if let Some(value) = self.header(name) {
            each(value);
        }
    }

    fn path_variable(&self, _: &str) -> Option<Cow<'_, [u8]>> {
        None
    }

    fn query(&self) -> Option<&[u8]> {
        None
    }

    fn body(&self) -> Option<&[u8]> {
        None
    }

    fn client_ip(&self) -> IpAddr {
        Ipv4Addr::LOCALHOST.into()
    }
}

/// What the data plane does between a head and an upstream.
pub(crate) fn route_and_decide(snapshot: &Snapshot, request: &Get) -> Option<Decision> {
    let Found::Route(route) = snapshot.routes().find(request) else { return None };
    let migration = snapshot.routes().migration(route)?;
    let now = 1_800_000_000;
    let claims = Claims { verifier: snapshot.verifier(), now };
    let key = key::extract(&snapshot.migration(migration).key, request, claims);
    let facts = Facts { migration, request, key: key.as_deref(), now, chance: 7 };
    Some(decide(snapshot, &facts))
}
