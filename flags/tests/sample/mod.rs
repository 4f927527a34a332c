//! Snapshots and requests of the size an operator has, shared by a test and a benchmark.

use std::borrow::Cow;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use flags::key::{self, Claims, Request};
use flags::migration::Initial;
use flags::route::{Found, Lookup, Route, Target};
use flags::rule::{AnyOf, Condition, Rule};
use flags::snapshot::{Definitions, Local, MigrationIndex, Snapshot};
use flags::state::{Document, Pin, Pins};
use flags::store::{Loaded, Stored};
use flags::{BasisPoints, Decision, Facts, Migration, MigrationId, Mode, Revision, Side, decide};

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

/// One migration in a mode at half of the traffic.
pub(crate) fn alone(mode: Mode) -> Snapshot {
    let migration = migration("m");
    let loaded = Loaded {
        revision: Revision(1),
        migrations: [stored(&migration, mode, Pins::new())].into(),
        ..Loaded::default()
    };
    build(vec![migration], &loaded)
}

/// A migration with 10 rules, 10,000 pins and a prerequisite, none of which decides.
pub(crate) fn laden() -> Snapshot {
    let condition = |n| {
        let any_of = AnyOf::Values(vec![format!("group-{n}"), format!("staff-{n}")]);
        Condition { source: "header:x-user-id".parse().expect("a valid source"), any_of }
    };
    let rules = (0..10).map(|n| Rule { conditions: vec![condition(n)], serve: Side::New }).collect();
    let pin = Pin { side: Side::New, reason: "tester".into(), actor: "ann".into(), until: None };
    let pins = (0..10_000).map(|n| (format!("{n:036}"), pin.clone())).collect();
    let required = migration("r");
    let migration = Migration { rules, requires: vec![required.id.clone()], ..migration("m") };
    let migrations = [stored(&migration, Mode::Gradual, pins), stored(&required, Mode::NewOnly, Pins::new())].into();
    build(vec![migration, required], &Loaded { revision: Revision(1), migrations, ..Loaded::default() })
}

pub(crate) fn definitions(migrations: Vec<Migration>) -> Arc<Definitions> {
    Arc::new(Definitions::build(migrations, Vec::new(), None, "hash".into()).expect("valid definitions"))
}

fn build(migrations: Vec<Migration>, loaded: &Loaded) -> Snapshot {
    Snapshot::build(definitions(migrations), loaded, Local::default(), None)
}

pub(crate) fn migration(name: &str) -> Migration {
    Migration::new(MigrationId::new(name).expect("a valid id"), "typescript", "python")
}

pub(crate) fn stored(migration: &Migration, mode: Mode, pins: Pins) -> (MigrationId, Stored) {
    let share = BasisPoints::from_percent(50.0).expect("50 % is a share");
    let document = Document { mode, share, revision: Revision(1), ..Document::initial(migration) };
    (migration.id.clone(), Stored::State { document, pins })
}

/// The first migration of a snapshot, asked for a key that was extracted before.
pub(crate) fn decide_first(snapshot: &Snapshot, request: &Get, key: &[u8]) -> Decision {
    let (migration, now) = (MigrationIndex(0), 1_800_000_000);
    decide(snapshot, &Facts { migration, request, key: Some(key), now, chance: 7 })
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
