//! The scrape: shards summed once and written as families.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Weak};
use std::time::Instant;

use flags::ledger::Answer;
use flags::ledger::rules::State as IssueState;
use flags::ledger::view::Totals as IssueTotals;
use flags::{Mode, Reason, Side};
use jiff::Timestamp;
use prometheus::core::{Collector, Desc};
use prometheus::proto::{Bucket, Counter, Gauge, Histogram, LabelPair, Metric, MetricFamily, MetricType};

use super::cells::{Fallback, MirrorDrop, TunnelEnd};
use super::histogram::{ADDED, BucketTotals, DURATION};
use super::issues::{self, Arrival, IssueCells, Turn};
use super::notifications::Delivery;
use super::process::{OutcomeResult, ProcessTotals};
use super::totals::{EndpointTotals, WorkerTotals};
use super::webhooks::{Reconciled, Unsigned};
use super::{EndpointName, InUse, MigrationTotals, Observer, lock};
use crate::events::{GuardActed, SignInLimit};
use crate::families::{self, Family, Kind};
use crate::guard::Measure;
use crate::mismatch::{Compared, ComparisonTotals, Standing, Totals};
use crate::outcome::{Attempted, CodeClass, Failure};
use crate::status::{Board, State};

/// All families as one collector, so that one scrape reads each cell once.
#[derive(Debug)]
pub(super) struct Exposition {
    /// Weak, because the observer owns the registry that owns this.
    observer: Weak<Observer>,
    descriptions: Vec<Desc>,
}

impl Exposition {
    pub(super) fn of(observer: &Arc<Observer>) -> Result<Self, prometheus::Error> {
        let describe = |family: &&Family| {
            let labels = family.labels.iter().copied().map(String::from).collect();
            Desc::new(family.name.into(), family.help.into(), labels, HashMap::new())
        };
        let descriptions = families::ALL.iter().map(describe).collect::<Result<_, _>>()?;
        Ok(Self { observer: Arc::downgrade(observer), descriptions })
    }
}

impl Collector for Exposition {
    fn desc(&self) -> Vec<&Desc> {
        self.descriptions.iter().collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let Some(observer) = self.observer.upgrade() else { return Vec::new() };
        let mut page = Page::default();
        page.migrations(&observer);
        page.copies(&observer);
        page.findings(&observer);
        page.upstreams(&observer);
        page.worker(&observer);
        page.process(&observer.process.read(Instant::now()));
        page.guards(observer.board(), &observer.process.read(Instant::now()));
        page.issues(observer.issues());
        page.notifications(observer.as_ref());
        page.webhooks(observer.as_ref());
        page.finish()
    }
}

const fn turn_family(turn: Turn) -> &'static Family {
    match turn {
        Turn::Handoff => &families::ISSUES_HANDOFFS,
        Turn::Fenced => &families::ISSUES_FENCED,
        Turn::SplitBrain => &families::ISSUES_SPLIT_BRAIN,
        Turn::Parked => &families::ISSUES_PARKED,
        Turn::Replayed => &families::ISSUES_REPLAYED,
        Turn::Discarded => &families::ISSUES_DISCARDED,
    }
}

/// What one scrape has written so far.
#[derive(Debug, Default)]
struct Page(BTreeMap<&'static str, (&'static Family, Vec<Metric>)>);

impl Page {
    fn push(&mut self, family: &'static Family, values: &[&str], set: impl FnOnce(&mut Metric)) {
        let label = |(name, value): (&&str, &&str)| {
            let mut pair = LabelPair::default();
            pair.set_name((*name).into());
            pair.set_value((*value).into());
            pair
        };
        debug_assert_eq!(family.labels.len(), values.len(), "{}", family.name);
        let mut metric = Metric::from_label(family.labels.iter().zip(values).map(label).collect());
        set(&mut metric);
        self.0.entry(family.name).or_insert_with(|| (family, Vec::new())).1.push(metric);
    }

    fn counter(&mut self, family: &'static Family, values: &[&str], value: u64) {
        let mut counter = Counter::default();
        counter.set_value(value as f64);
        self.push(family, values, |metric| metric.set_counter(counter));
    }

    fn gauge(&mut self, family: &'static Family, values: &[&str], value: f64) {
        let mut gauge = Gauge::default();
        gauge.set_value(value);
        self.push(family, values, |metric| metric.set_gauge(gauge));
    }

    fn histogram(&mut self, family: &'static Family, values: &[&str], bounds_us: &[u64], totals: &BucketTotals) {
        let mut cumulative = 0;
        let mut buckets = Vec::with_capacity(bounds_us.len());
        // Read without stopping the writers: the count is that of the buckets, so they always agree.
        for (bound, count) in bounds_us.iter().zip(&totals.counts) {
            cumulative += count;
            let mut bucket = Bucket::default();
            bucket.set_upper_bound(*bound as f64 / 1e6);
            bucket.set_cumulative_count(cumulative);
            buckets.push(bucket);
        }
        let mut histogram = Histogram::default();
        histogram.set_bucket(buckets);
        histogram.set_sample_count(totals.counts.iter().sum());
        histogram.set_sample_sum(totals.sum_us as f64 / 1e6);
        self.push(family, values, |metric| metric.set_histogram(histogram));
    }

    fn migrations(&mut self, observer: &Observer) {
        for (id, totals) in observer.totals() {
            let name = id.as_str();
            self.migration(name, &totals);
            self.comparisons(name, &totals.comparisons);
            let observed = observer.observed_ratio(&id).unwrap_or(f64::NAN);
            self.gauge(&families::OBSERVED_RATIO, &[name], observed);
        }
    }

    fn migration(&mut self, id: &str, totals: &MigrationTotals) {
        for side in Side::ALL {
            let seen = totals.side(side);
            let side = side.name();
            for reason in Reason::ALL {
                let value = seen.decisions[reason as usize];
                self.counter(&families::DECISIONS, &[id, side, reason.name()], value);
            }
            for class in CodeClass::ALL {
                self.counter(&families::REQUESTS, &[id, side, class.name()], seen.requests(class));
            }
            for result in Attempted::ALL {
                let value = seen.attempts().result(result);
                self.counter(&families::ATTEMPTS, &[id, side, result.name()], value);
            }
            for failure in Failure::ALL {
                self.counter(&families::FAILURES, &[id, side, failure.name()], seen.failures(failure));
            }
            self.counter(&families::MIRRORS, &[id, side], seen.mirrored);
            self.counter(&families::MIRRORS_FINISHED, &[id, side, "answered"], seen.mirror_finished);
            self.counter(&families::MIRRORS_FINISHED, &[id, side, "failed"], seen.mirror_failed);
            self.histogram(&families::REQUEST_DURATION, &[id, side], &DURATION.bounds_us, &seen.duration);
            self.histogram(&families::ADDED_LATENCY, &[id, side], &ADDED.bounds_us, &seen.added);
        }
        for result in Fallback::ALL {
            self.counter(&families::FALLBACKS, &[id, result.name()], totals.fallbacks(result));
        }
        for drop in MirrorDrop::ALL {
            let value = totals.mirrors_dropped[drop as usize];
            self.counter(&families::MIRRORS_DROPPED, &[id, drop.name()], value);
        }
        self.counter(&families::MIRROR_BREAKER_OPENED, &[id], totals.mirror_breaker_opened);
    }

    fn comparisons(&mut self, id: &str, totals: &ComparisonTotals) {
        for result in Compared::ALL {
            self.counter(&families::COMPARISONS, &[id, result.name()], totals.result(result));
        }
        self.counter(&families::COMPARISONS, &[id, "not_compared"], totals.not_compared());
        for (reason, value) in totals.by_reason() {
            self.counter(&families::COMPARISONS_NOT_MADE, &[id, reason], value);
        }
        let coverage = Totals::from(totals).coverage().unwrap_or(f64::NAN);
        self.gauge(&families::COMPARISON_COVERAGE, &[id], coverage);
    }

    fn copies(&mut self, observer: &Observer) {
        let in_use = observer.copies.get().map(|copies| copies.in_use()).unwrap_or_default();
        for id in lock(&observer.resident.migrations).keys() {
            let InUse { bytes, in_flight } =
                in_use.iter().find(|(own, _)| own == id).map(|(_, own)| *own).unwrap_or_default();
            self.gauge(&families::MIRRORS_IN_FLIGHT, &[id.as_str()], in_flight as f64);
            self.gauge(&families::MIRROR_BUDGET, &[id.as_str()], bytes as f64);
        }
    }

    fn findings(&mut self, observer: &Observer) {
        let known = observer.mismatches().map(|mismatches| mismatches.by_standing()).unwrap_or_default();
        for id in lock(&observer.resident.migrations).keys() {
            let counts = known.get(id).copied().unwrap_or_default();
            for standing in Standing::ALL {
                let value = counts[standing as usize] as f64;
                self.gauge(&families::MISMATCH_FINDINGS, &[id.as_str(), standing.name()], value);
            }
        }
    }

    fn upstreams(&mut self, observer: &Observer) {
        let mut totals = BTreeMap::<EndpointName, EndpointTotals>::new();
        for shard in observer.all_shards() {
            for (name, cells) in lock(&shard.upstreams).iter() {
                totals.entry(name.clone()).or_default().add(cells);
            }
        }
        for ((upstream, endpoint), totals) in &totals {
            let names = [upstream.as_str(), endpoint.as_str()];
            let [upstream, endpoint] = names;
            self.gauge(&families::UPSTREAM_UP, &names, if totals.down { 0.0 } else { 1.0 });
            self.counter(&families::UPSTREAM_CONNECTIONS, &[upstream, endpoint, "new"], totals.connected);
            self.counter(&families::UPSTREAM_CONNECTIONS, &[upstream, endpoint, "reused"], totals.reused);
            self.counter(&families::UPSTREAM_CONNECT_FAILURES, &names, totals.connect_failed);
            self.gauge(&families::UPSTREAM_IN_FLIGHT, &names, open(totals.started, totals.finished));
            self.counter(&families::UPSTREAM_EJECTIONS, &names, totals.ejected);
            self.counter(&families::UPSTREAM_SHED, &names, totals.shed);
        }
    }

    fn worker(&mut self, observer: &Observer) {
        let mut totals = WorkerTotals { refused: vec![0; observer.refusal_codes.len()], ..WorkerTotals::default() };
        for shard in observer.all_shards() {
            totals.add(&shard.worker);
        }
        for (number, shard) in lock(&observer.shards).iter().enumerate() {
            // The one that closes is read first, so that the difference is never less than nothing.
            let (closed, opened) = (shard.worker.connections_closed.get(), shard.worker.connections_opened.get());
            self.gauge(&families::WORKER_CONNECTIONS, &[&number.to_string()], open(opened, closed));
        }
        self.counter(&families::CONNECTIONS_HANDED_OVER, &[], totals.handed_over);
        self.counter(&families::CONNECTION_LIMIT_REACHED, &[], totals.limit_reached);
        self.counter(&families::CONNECTIONS_OPENED, &[], totals.connections_opened);
        self.gauge(&families::CONNECTIONS, &[], open(totals.connections_opened, totals.connections_closed));
        let closed = totals.tunnels_closed.iter().sum();
        self.gauge(&families::TUNNELS, &[], open(totals.tunnels_opened, closed));
        for end in TunnelEnd::ALL {
            self.counter(&families::TUNNELS_CLOSED, &[end.name()], totals.tunnels_closed[end as usize]);
        }
        for (code, value) in observer.refusal_codes.iter().zip(&totals.refused) {
            self.counter(&families::REFUSED, &[code], *value);
        }
        for class in CodeClass::ALL {
            self.counter(&families::OTHER_REQUESTS, &[class.name()], totals.other[class as usize]);
            self.counter(&families::UNROUTED, &[class.name()], totals.unrouted[class as usize]);
        }
        self.histogram(&families::OTHER_DURATION, &[], &DURATION.bounds_us, &totals.other_duration);
        self.counter(&families::ACCESS_LOG_DROPPED, &[], totals.access_log_dropped);
    }

    fn process(&mut self, totals: &ProcessTotals) {
        let yes = |is: bool| if is { 1.0 } else { 0.0 };
        for (id, standing) in &totals.standings {
            let id = id.as_str();
            for mode in Mode::ALL {
                self.gauge(&families::MODE_INFO, &[id, mode.name()], yes(mode == standing.mode));
            }
            self.gauge(&families::ROLLOUT_RATIO, &[id], f64::from(standing.share.get()) / 10_000.0);
            for (action, value) in GuardActed::ACTIONS.into_iter().zip(standing.thresholds) {
                self.gauge(&families::GUARD_THRESHOLD, &[id, action], value);
            }
            self.gauge(&families::MIGRATION_PROBLEM, &[id], yes(standing.problem));
        }
        for (id, value) in &totals.rollbacks {
            self.counter(&families::ROLLBACKS, &[id.as_str()], *value);
        }
        self.gauge(&families::REPLICA_REVISION, &[], totals.replica_revision as f64);
        self.gauge(&families::KILLED, &[], yes(totals.killed));
        self.gauge(&families::DRAINING, &[], yes(totals.draining));
        self.gauge(&families::STORE_UP, &[], yes(totals.store_up));
        self.gauge(&families::STORE_REVISION, &[], totals.store_revision as f64);
        self.gauge(&families::STORE_STALENESS, &[], totals.store_staleness.as_secs_f64());
        self.counter(&families::STORE_ERRORS, &[], totals.store_errors);
        self.counter(&families::STORE_REVISION_WENT_BACK, &[], totals.revision_went_back);
        self.gauge(&families::STORE_STATE_LOST, &[], yes(totals.store_disbelieved));
        self.counter(&families::STORE_WRITES_LOST, &[], totals.writes_lost);
        self.counter(&families::STORE_COUNTS_LOST, &[], totals.counts_lost);
        self.counter(&families::STORE_DOCUMENTS_REFUSED, &[], totals.documents_refused);
        for (result, value) in ["taken", "refused"].into_iter().zip(totals.reloads) {
            self.counter(&families::CONFIG_RELOADS, &[result], value);
        }
        self.gauge(&families::CONFIG_LAST_RELOAD, &[], totals.reloaded_seconds as f64);
        self.gauge(&families::CONFIG_INFO, &[&totals.config_hash], 1.0);
        self.counter(&families::ADMIN_STREAMS_REFUSED, &[], totals.streams_refused);
        self.counter(&families::ADMIN_SESSIONS_EVICTED, &[], totals.sessions_evicted);
        for (limit, value) in SignInLimit::ALL.into_iter().zip(totals.sign_ins_dropped) {
            self.counter(&families::ADMIN_OIDC_DROPPED, &[limit.name()], value);
        }
        self.gauge(&families::BUILD_INFO, &[env!("CARGO_PKG_VERSION")], 1.0);
    }

    fn issues(&mut self, cells: &IssueCells) {
        for (id, counts) in cells.read() {
            let id = id.as_str();
            for (arrival, value) in Arrival::ALL.into_iter().zip(counts.arrivals) {
                self.counter(&families::ISSUES_ARRIVED, &[id, arrival.name()], value);
            }
            for side in Side::ALL {
                for (answer, value) in Answer::ALL.into_iter().zip(counts.answers[side as usize]) {
                    self.counter(&families::ISSUES_ANSWERS, &[id, side.name(), answer.name()], value);
                }
                for turn in Turn::ALL {
                    let value = counts.turns[side as usize][turn as usize];
                    self.counter(turn_family(turn), &[id, side.name()], value);
                }
            }
            // Without a word of the store nobody knows how the ledger stands.
            if let Some(totals) = &counts.standing {
                self.ledger(id, totals);
            }
        }
    }

    fn ledger(&mut self, id: &str, totals: &IssueTotals) {
        for side in Side::ALL {
            for state in IssueState::ALL {
                let value = issues::records(totals, state, side) as f64;
                self.gauge(&families::ISSUES, &[id, side.name(), state.name()], value);
            }
        }
        let oldest = totals.oldest_ms.map_or(0, |oldest| totals.now_ms.saturating_sub(oldest));
        self.gauge(&families::ISSUES_EVENTS_WAITING, &[id], totals.waiting as f64);
        self.gauge(&families::ISSUES_OLDEST_WAITING, &[id], oldest as f64 / 1_000.0);
        self.gauge(&families::ISSUES_DEAD_LETTERS, &[id], totals.dead as f64);
        self.gauge(&families::ISSUES_QUARANTINED, &[id], totals.quarantined as f64);
        self.gauge(&families::ISSUES_LEASES, &[id, "held"], totals.leased as f64);
        self.gauge(&families::ISSUES_LEASES, &[id, "lapsed"], totals.lapsed as f64);
    }

    /// What the guards say; of a migration that nobody has judged yet, that it runs.
    fn guards(&mut self, board: &Board, totals: &ProcessTotals) {
        let now = Timestamp::now();
        self.counter(&families::GUARD_FAILURES, &[], totals.guard_failures);
        for (id, outcomes) in &totals.outcomes {
            for (result, value) in OutcomeResult::ALL.into_iter().zip(outcomes) {
                self.counter(&families::OUTCOMES, &[id.as_str(), result.name()], *value);
            }
        }
        for (id, acts) in &totals.guard_acts {
            let status = board.get(id).unwrap_or_default();
            let is_guarded = totals.standings.get(id).is_some_and(|standing| standing.is_guarded);
            let id = id.as_str();
            for state in State::ALL {
                let value = if state == status.state { 1.0 } else { 0.0 };
                self.gauge(&families::GUARD_STATE, &[id, state.name()], value);
            }
            for measure in Measure::ALL.map(Measure::name).into_iter().chain(["all"]) {
                let value = status.evidence.get(measure).copied().unwrap_or(1.0);
                self.gauge(&families::GUARD_EVIDENCE, &[id, measure], value);
            }
            if is_guarded {
                let age = status.judged.map_or(f64::NAN, |judged| now.duration_since(judged).as_secs_f64());
                self.gauge(&families::GUARD_JUDGED, &[id], age);
            }
            for (action, value) in GuardActed::ACTIONS.into_iter().zip(acts) {
                self.counter(&families::GUARD_ACTIONS, &[id, action], *value);
            }
        }
    }

    fn notifications(&mut self, observer: &Observer) {
        for (target, cells) in observer.notifications.all() {
            for delivery in Delivery::ALL {
                self.counter(&families::NOTIFICATIONS, &[&target, delivery.name()], cells.get(delivery));
            }
        }
    }

    fn webhooks(&mut self, observer: &Observer) {
        for (id, cells) in observer.webhooks.all() {
            let id = id.as_str();
            for why in Unsigned::ALL {
                self.counter(&families::ISSUES_UNSIGNED, &[id, why.name()], cells.get(why));
            }
            for what in Reconciled::ALL {
                self.counter(&families::ISSUES_RECONCILED, &[id, what.name()], cells.of(what));
            }
            self.counter(&families::ISSUES_JOURNAL_FAILURES, &[id], cells.journal_failures());
            #[allow(clippy::cast_precision_loss, reason = "a journal has no exabytes")]
            self.gauge(&families::ISSUES_JOURNAL_BYTES, &[id], cells.journal_bytes() as f64);
            self.gauge(&families::ISSUES_JOURNAL_ALONE, &[id], f64::from(u8::from(cells.is_alone())));
            self.gauge(&families::ISSUES_HELD, &[id], f64::from(u8::from(cells.is_held())));
        }
    }

    fn finish(self) -> Vec<MetricFamily> {
        let write = |(family, metrics): (&'static Family, Vec<Metric>)| {
            let mut written = MetricFamily::default();
            written.set_name(family.name.into());
            written.set_help(family.help.into());
            written.set_field_type(match family.kind {
                Kind::Counter => MetricType::COUNTER,
                Kind::Gauge => MetricType::GAUGE,
                Kind::Histogram => MetricType::HISTOGRAM,
            });
            written.set_metric(metrics);
            written
        };
        self.0.into_values().map(write).collect()
    }
}

/// What is open now; the two are read one after the other, so that the difference may lag but is
/// never less than nothing.
fn open(started: u64, finished: u64) -> f64 {
    started.saturating_sub(finished) as f64
}
