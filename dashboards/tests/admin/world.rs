//! One router's admin side, and requests to it.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Request, StatusCode};
use dashboards::auth::{Role, Token};
use dashboards::health::{EndpointHealth, Observed, Readiness, UpstreamHealth};
use dashboards::reconcile::{Found, Lost, NotAsked, Reconcile};
use dashboards::{Health, State};
use flags::control::{Ask, Change, Control};
use flags::freeze::FreezeEntry;
use flags::ledger::IssueId;
use flags::migration::{Labels, MigrationId};
use flags::route::{Route, Target};
use flags::snapshot::Definitions;
use flags::state::{Heartbeat, HistoryEntry};
use flags::store::embedded::Embedded;
use flags::store::records::outcome::{Cohort, Outcome, Recorded};
use flags::store::records::{FindingsWrite, Judged, JudgedStatus, JudgedWrite, Minute, RecordError, Records};
use flags::store::{Ledger, Loaded, Page, Pulse, Restored, Store, StoreError, Write};
use flags::tally::{Row, Slot, SlotCounts, Tally};
use flags::watch::{Background, Watch, WatchOptions};
use flags::{Migration, Mode, Revision};
use http_body_util::BodyExt as _;
use jiff::Timestamp;
use metrics::mismatch::{Kept, Mismatches, Pair};
use metrics::observe::Observer;
use metrics::status::Board;
use serde_json::Value;
use tempfile::TempDir;
use tower::ServiceExt as _;

use crate::schema::{promised, violation};

/// A store that can be taken away.
pub(crate) struct Removable {
    inner: Embedded,
    pub(crate) gone: AtomicBool,
}

impl Removable {
    fn here(&self) -> Result<&Embedded, StoreError> {
        if self.gone.load(Ordering::SeqCst) {
            Err(StoreError::unavailable("it was taken away"))
        } else {
            Ok(&self.inner)
        }
    }
}

#[async_trait]
impl Store for Removable {
    fn ledger(&self) -> &dyn Ledger {
        self.inner.ledger()
    }

    async fn load(&self) -> Result<Loaded, StoreError> {
        self.here()?.load().await
    }

    async fn replace(&self, expected: Revision, write: Write) -> Result<Revision, StoreError> {
        self.here()?.replace(expected, write).await
    }

    async fn restore(
        &self,
        expected: Revision,
        restored: Vec<Restored>,
        freeze: Option<FreezeEntry>,
    ) -> Result<Revision, StoreError> {
        self.here()?.restore(expected, restored, freeze).await
    }

    async fn freeze(&self, expected: Revision, entry: FreezeEntry) -> Result<Revision, StoreError> {
        self.here()?.freeze(expected, entry).await
    }

    async fn freezes(&self) -> Result<Vec<FreezeEntry>, StoreError> {
        self.here()?.freezes().await
    }

    async fn changed(&self, seen: Revision) -> Result<(), StoreError> {
        self.here()?.changed(seen).await
    }

    async fn history(&self, migration: &MigrationId, page: Page) -> Result<Vec<HistoryEntry>, StoreError> {
        self.here()?.history(migration, page).await
    }

    async fn beat(&self, heartbeat: &Heartbeat, counted: &[Row]) -> Result<Pulse, StoreError> {
        self.here()?.beat(heartbeat, counted).await
    }

    async fn counts(
        &self,
        migration: &MigrationId,
        slots: RangeInclusive<Slot>,
    ) -> Result<Vec<SlotCounts>, StoreError> {
        self.here()?.counts(migration, slots).await
    }

    async fn leave(&self, replica: &str) -> Result<(), StoreError> {
        self.here()?.leave(replica).await
    }

    async fn replicas(&self) -> Result<Vec<Heartbeat>, StoreError> {
        self.here()?.replicas().await
    }
}

#[async_trait]
impl Records for Removable {
    async fn counts_of(
        &self,
        migrations: &[MigrationId],
        slots: RangeInclusive<Slot>,
    ) -> Result<Vec<(MigrationId, Vec<SlotCounts>)>, StoreError> {
        self.here()?.counts_of(migrations, slots).await
    }

    async fn lease(&self, holder: &str, for_ms: u64) -> Result<bool, RecordError> {
        self.here()?.lease(holder, for_ms).await
    }

    async fn release(&self, holder: &str) -> Result<(), StoreError> {
        self.here()?.release(holder).await
    }

    async fn judged(&self) -> Result<BTreeMap<MigrationId, Judged>, StoreError> {
        self.here()?.judged().await
    }

    async fn judged_status(&self) -> Result<BTreeMap<MigrationId, JudgedStatus>, StoreError> {
        self.here()?.judged_status().await
    }

    async fn put_judged(&self, writes: Vec<JudgedWrite>) -> Result<Vec<bool>, RecordError> {
        self.here()?.put_judged(writes).await
    }

    async fn put_minutes(&self, minutes: Vec<Minute>) -> Result<(), RecordError> {
        self.here()?.put_minutes(minutes).await
    }

    async fn minutes(
        &self,
        migration: &MigrationId,
        minutes: RangeInclusive<u64>,
    ) -> Result<Vec<(u64, String)>, StoreError> {
        self.here()?.minutes(migration, minutes).await
    }

    async fn put_findings(&self, write: FindingsWrite) -> Result<bool, RecordError> {
        self.here()?.put_findings(write).await
    }

    async fn findings(&self, migration: &MigrationId) -> Result<BTreeMap<String, String>, StoreError> {
        self.here()?.findings(migration).await
    }

    async fn record_outcome(&self, migration: &MigrationId, outcome: Outcome) -> Result<Recorded, RecordError> {
        self.here()?.record_outcome(migration, outcome).await
    }

    async fn cohorts(&self, migration: &MigrationId) -> Result<Vec<Cohort>, StoreError> {
        self.here()?.cohorts(migration).await
    }
}

/// A data plane as a test wants it.
pub(crate) struct Plane(pub(crate) Mutex<Readiness>);

#[async_trait]
impl Reconcile for Plane {
    async fn ask(&self, _: &MigrationId, dry_run: bool) -> Result<Found, NotAsked> {
        let answered = (!dry_run).then_some(202);
        let lost = Lost {
            repository: "octo/hello".into(),
            delivery: "d-1".into(),
            action: Some("opened".into()),
            tried: Timestamp::UNIX_EPOCH,
            status: 503,
            answered,
        };
        Ok(Found { lost: vec![lost], unknown: vec![IssueId::of("octo/hello", "7").unwrap()], more: false })
    }
}

impl Health for Plane {
    fn readiness(&self) -> Readiness {
        *self.0.lock().unwrap()
    }

    fn upstreams(&self) -> Vec<UpstreamHealth> {
        let endpoint = |url: &str, healthy, problem: Option<&str>| EndpointHealth {
            url: url.into(),
            healthy,
            problem: problem.map(Into::into),
        };
        vec![
            UpstreamHealth {
                name: "typescript".into(),
                endpoints: vec![endpoint("http://127.0.0.1:3001", true, None)],
            },
            UpstreamHealth {
                name: "python".into(),
                endpoints: vec![
                    endpoint("http://127.0.0.1:3002", false, Some("refused <b>the</b> connection")),
                    endpoint("http://127.0.0.1:3003", true, None),
                ],
            },
        ]
    }

    fn observed(&self, migration: &MigrationId) -> Option<Observed> {
        (migration.as_str() == "agents").then_some(Observed { window_seconds: 60, legacy: 3, new: 1 })
    }
}

pub(crate) struct World {
    pub(crate) app: Router,
    pub(crate) control: Arc<Control>,
    pub(crate) watch: Arc<Watch>,
    pub(crate) store: Arc<Removable>,
    pub(crate) plane: Arc<Plane>,
    pub(crate) observer: Arc<Observer>,
    pub(crate) board: Arc<Board>,
    pub(crate) mismatches: Arc<Mismatches>,
    _background: Background,
    _folder: TempDir,
}

/// An answer, read to its end.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl Answer {
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error} in {self:?}"))
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map(|value| value.to_str().unwrap()).unwrap_or_default()
    }

    /// Asserts a problem with this status and code, complete in every member.
    #[track_caller]
    pub(crate) fn is_problem(&self, status: u16, code: &str) {
        let body = self.json();
        assert_eq!((self.status.as_u16(), body["code"].as_str()), (status, Some(code)), "{self:?}");
        assert_eq!(self.header("content-type"), "application/problem+json", "{self:?}");
        assert_eq!(body["status"], status, "{self:?}");
        assert_eq!(body["type"], format!("urn:crossfade:problem:{code}"));
        assert!(!body["title"].as_str().unwrap().is_empty(), "{self:?}");
        assert!(body["detail"].as_str().unwrap().len() > 15, "{self:?}");
    }
}

/// The file of these tests.
fn definitions() -> Definitions {
    let id = |text| MigrationId::new(text).unwrap();
    let mut agents = Migration::new(id("agents"), "typescript", "python");
    agents.labels = Labels { legacy: "TypeScript".into(), new: "Python <3>".into() };
    agents.key = ["header:x-user-id", "path:id", "query:account"].map(|source| source.parse().unwrap()).into();
    agents.default = true;
    let mut reports = Migration::new(id("reports"), "typescript", "python");
    reports.hash = flags::HashKind::Modulo;
    let route = |path: &str, target| Route {
        host: None,
        path: path.parse().unwrap(),
        methods: Vec::new(),
        headers: Vec::new(),
        target,
    };
    let mut by_host = route("/agents/{id}/log", Target::Migration(id("agents")));
    by_host.host = Some("*.example.com".parse().unwrap());
    let mut solo = route("/solo/{id}", Target::Migration(id("agents")));
    solo.host = Some("solo.example.org".parse().unwrap());
    let routes = vec![
        solo,
        route("/agents/{id}/**", Target::Migration(id("agents"))),
        route("/reports/**", Target::Migration(id("reports"))),
        by_host,
    ];
    Definitions::build(vec![agents, reports], routes, None, "hash".into()).unwrap()
}

impl World {
    pub(crate) async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let inner = Embedded::open(folder.path().join("store.redb")).await.unwrap();
        let store = Arc::new(Removable { inner, gone: AtomicBool::new(false) });
        let options = WatchOptions::new("router-1", folder.path().join("saved"));
        let (watch, background) = Watch::start(store.clone(), definitions(), options).await;
        let control = Arc::new(Control::new(Arc::clone(&watch)));
        let plane = Arc::new(Plane(Mutex::new(Readiness { listening: true, draining: false })));
        let board = Arc::<Board>::default();
        let observer = Observer::new(&[]).unwrap();
        observer.declare_migrations(&["agents", "reports"].map(|id| MigrationId::new(id).unwrap()));
        let mismatches = Arc::new(Mismatches::new(Arc::clone(&observer), [7; 32]));
        observer.issues().declare(&[MigrationId::new("agents").unwrap()].into());
        let app = dashboards::app(State {
            control: Arc::clone(&control),
            watch: Arc::clone(&watch),
            health: plane.clone(),
            observer: Arc::clone(&observer),
            board: Arc::clone(&board),
            mismatches: Arc::clone(&mismatches),
            reconcile: plane.clone(),
            gather: Arc::new(|| Ok("# TYPE crossfade_up gauge\ncrossfade_up 1\n".into())),
            replica: "router-1".into(),
            environment: "test".into(),
            tokens: Role::ALL.map(|role| Token::of_secret(role.name(), role, role.name())).to_vec(),
            #[cfg(feature = "oidc")]
            oidc: None,
            address: "127.0.0.1:9900".parse().unwrap(),
            public_host: Some("crossfade.example.org".into()),
        });
        Self {
            app,
            control,
            watch,
            store,
            plane,
            observer,
            board,
            mismatches,
            _background: background,
            _folder: folder,
        }
    }

    pub(crate) async fn send(&self, request: Request<Body>) -> Answer {
        let response = self.app.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        Answer { status: parts.status, headers: parts.headers, text: String::from_utf8(bytes.to_vec()).unwrap() }
    }

    /// What a viewer reads at a path, once it is as it should be.
    pub(crate) async fn read_until(&self, path: &str, is_so: impl Fn(&Value) -> bool) -> Value {
        let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
        loop {
            let seen = self.call("viewer", "GET", path, "").await.json();
            if is_so(&seen) {
                return seen;
            }
            assert!(tokio::time::Instant::now() < deadline, "{seen}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// A request with the token of this role; the secrets are the roles' names.
    pub(crate) async fn call(&self, role: &str, method: &str, path: &str, body: &str) -> Answer {
        let answer = self.send(request(role, method, path, body).body(Body::from(body.to_owned())).unwrap()).await;
        if path.starts_with("/api/v1/") {
            self.keeps_its_promise(method, path, &answer).await;
        }
        answer
    }

    /// Asserts that an answer is what the API's own document says.
    async fn keeps_its_promise(&self, method: &str, path: &str, answer: &Answer) {
        let document =
            self.send(request("", "GET", "/api/v1/openapi.json", "").body(Body::empty()).unwrap()).await.json();
        let Some(response) = promised(&document, method, path, answer.status.as_u16()) else { return };
        for (kind, content) in response["content"].as_object().into_iter().flatten() {
            assert_eq!(answer.header("content-type"), kind, "{method} {path}: {answer:?}");
            assert_eq!(violation(&document, &content["schema"], &answer.json()), None, "{method} {path}");
        }
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.call("viewer", "GET", path, "").await
    }

    /// Changes the state without the API.
    pub(crate) async fn given(&self, ask: Ask) {
        let agents = MigrationId::new("agents").unwrap();
        self.control.apply(&agents, Change::new(ask, "given", "given")).await.unwrap();
    }

    /// Everything the store holds, for "nothing written".
    pub(crate) async fn stored(&self) -> Loaded {
        self.store.inner.load().await.unwrap()
    }

    pub(crate) async fn mode(&self) -> Mode {
        let agents = MigrationId::new("agents").unwrap();
        match self.stored().await.migrations.get(&agents) {
            Some(flags::store::Stored::State { document, .. }) => document.mode,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn take_the_store_away(&self) {
        self.store.gone.store(true, Ordering::SeqCst);
    }

    /// Another router says that it serves from this revision.
    pub(crate) async fn another_router_is_at(&self, revision: u64) {
        let heartbeat = Heartbeat {
            replica: "router-2".into(),
            revision: Revision(revision),
            config_hash: "hash".into(),
            version: "0".into(),
            time: Timestamp::now(),
            draining: false,
        };
        self.store.inner.beat(&heartbeat, &[]).await.unwrap();
    }

    /// Another router says what it counted on new in a slot.
    pub(crate) async fn another_router_counts(&self, replica: &str, slot: Slot, text: &str) {
        let mut tally = Tally::default();
        for (name, count) in text.split(' ').filter_map(|word| word.split_once('=')) {
            tally.add(name, count.parse().unwrap());
        }
        let heartbeat = Heartbeat {
            replica: replica.into(),
            revision: Revision(0),
            config_hash: "hash".into(),
            version: "0".into(),
            time: Timestamp::now(),
            draining: false,
        };
        let migration = MigrationId::new("agents").unwrap();
        let row = Row { migration, slot, side: flags::Side::New, tally };
        self.store.inner.beat(&heartbeat, &[row]).await.unwrap();
    }

    /// Compares so many pairs of answers of this router, of which every fifth has a second one of legacy.
    pub(crate) fn compares(
        &self,
        mismatches: &Mismatches,
        requests: std::ops::Range<u64>,
        make: impl Fn(u64) -> [String; 3],
    ) {
        let migration = MigrationId::new("agents").unwrap();
        let cells = mismatches.route(&migration, "/agents/{id}/**");
        for n in requests {
            let [legacy, new, again] = make(n);
            let kept = |body: &str| Kept {
                status: 200,
                headers: vec![("content-type".into(), "application/json".into())],
                body: body.as_bytes().to_vec(),
                ..Kept::default()
            };
            cells.eligible();
            mismatches.compare(&Pair {
                migration: migration.clone(),
                route: "/agents/{id}/**".into(),
                method: "GET".into(),
                caller: Some(Mismatches::caller("test", &(n % 30).to_be_bytes())),
                request_id: format!("r-{n}"),
                tokens: Vec::new(),
                revision: 3,
                at: Timestamp::now(),
                legacy: kept(&legacy),
                new: kept(&new),
                again: (n % 5 == 0).then(|| kept(&again)),
            });
        }
    }

    /// Waits for a condition; fails after a time that no machine needs.
    pub(crate) async fn until(&self, what: &str, condition: impl Fn(&Watch) -> bool) {
        let mut swaps = self.watch.subscribe();
        let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
        while !condition(&self.watch) {
            assert!(tokio::time::Instant::now() < deadline, "{what} did not come");
            let _ = tokio::time::timeout(Duration::from_millis(50), swaps.changed()).await;
        }
    }
}

pub(crate) fn request(role: &str, method: &str, path: &str, body: &str) -> axum::http::request::Builder {
    let mut builder = Request::builder().method(method).uri(path);
    if !role.is_empty() {
        builder = builder.header("authorization", format!("Bearer {role}"));
    }
    if !body.is_empty() {
        builder = builder.header("content-type", "application/json").header("content-length", body.len());
    }
    builder
}
