//! Every metric name, label and help text.
//!
//! # Why in one place
//!
//! Names and labels are an interface: dashboards, alerts and recording rules of operators depend on
//! them, so a change must be seen as one. A test pins the whole exposition.
//!
//! Labels come from closed sets (migrations and endpoints of the file, and enums of the code);
//! never a path, a user or anything else that a caller can choose.

/// What Prometheus calls the type of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Counter,
    Gauge,
    Histogram,
}

/// One metric with all its series.
#[derive(Debug, PartialEq, Eq)]
pub struct Family {
    pub name: &'static str,
    pub kind: Kind,
    /// The labels, in the order in which the code gives their values.
    pub labels: &'static [&'static str],
    pub help: &'static str,
}

macro_rules! families {
    ($($constant:ident = $kind:ident $name:literal [$($label:literal),*] $help:literal;)*) => {
        $(pub const $constant: Family =
            Family { name: $name, kind: Kind::$kind, labels: &[$($label),*], help: $help };)*

        /// Every family, in the order of this file.
        pub const ALL: &[&Family] = &[$(&$constant),*];
    };
}

families! {
    REQUESTS = Counter "crossfade_requests_total" ["migration", "side", "code_class"]
        "Requests over, by the side that answered and the class of the status that the caller met.";
    REQUEST_DURATION = Histogram "crossfade_request_duration_seconds" ["migration", "side"]
        "Time from the request head until the answer was sent whole.";
    ADDED_LATENCY = Histogram "crossfade_added_latency_seconds" ["migration", "side"]
        "Time that a request spent in the router itself, not waiting for an upstream or its caller.";
    DECISIONS = Counter "crossfade_decisions_total" ["migration", "side", "reason"]
        "Requests decided, by side and by the first rule of precedence that applied.";
    FAILURES = Counter "crossfade_failures_total" ["migration", "side", "failure"]
        "Attempts at a side that gave no whole answer, whether or not a fallback saved the caller.";
    ATTEMPTS = Counter "crossfade_attempts_total" ["migration", "side", "result"]
        "First attempts at a side by what it did: ok below 400, refused with 4xx, failed with 5xx or without an answer.";
    FALLBACKS = Counter "crossfade_fallbacks_total" ["migration", "result"]
        "Requests that new failed: answered by legacy, failed by it too, or refused because legacy had no place free.";
    MIRRORS = Counter "crossfade_mirrors_total" ["migration", "side"]
        "Copies sent to a side, those included by which legacy is asked once more for what differs from itself.";
    MIRRORS_FINISHED = Counter "crossfade_mirrors_finished_total" ["migration", "side", "result"]
        "Copies that ended, answered or failed.";
    MIRRORS_DROPPED = Counter "crossfade_mirrors_dropped_total" ["migration", "reason"]
        "Copies that were not sent, or whose answer was not compared for lack of room, by reason.";
    MIRROR_BREAKER_OPENED = Counter "crossfade_mirror_breaker_opened_total" ["migration"]
        "How often copies were stopped because most of them got no answer.";
    MIRRORS_IN_FLIGHT = Gauge "crossfade_mirrors_in_flight" ["migration"]
        "Copies under way now, of which `parallel.budget.in_flight` are allowed.";
    MIRROR_BUDGET = Gauge "crossfade_mirror_budget_bytes" ["migration"]
        "Bodies that are kept for copies and comparisons now, of which `parallel.budget.memory` are allowed.";
    COMPARISONS = Counter "crossfade_comparisons_total" ["migration", "result"]
        "Requests that were to be compared by what both sides answered, by what became of them.";
    COMPARISONS_NOT_MADE = Counter "crossfade_comparisons_not_made_total" ["migration", "reason"]
        "Requests that were to be compared and were not, by reason.";
    COMPARISON_COVERAGE = Gauge "crossfade_comparison_coverage_ratio" ["migration"]
        "Share of requests to be compared that were, since the start of this router; NaN without any.";
    MISMATCH_FINDINGS = Gauge "crossfade_mismatch_findings" ["migration", "status"]
        "Places and ways in which answers differ on this router: counted, noise that legacy has with itself, with insufficient data, or gone since it counted.";
    MODE_INFO = Gauge "crossfade_mode_info" ["migration", "mode"]
        "1 for the mode in which this router serves the migration, 0 for the others.";
    ROLLOUT_RATIO = Gauge "crossfade_rollout_ratio" ["migration"]
        "Configured share of new, 0 to 1; acts in mode gradual.";
    OBSERVED_RATIO = Gauge "crossfade_observed_ratio" ["migration"]
        "Share of new among the decisions of about the last minute; NaN without any.";
    MIGRATION_PROBLEM = Gauge "crossfade_migration_problem" ["migration"]
        "1 while the stored state of the migration is not the one served from; the status says why.";
    ROLLBACKS = Counter "crossfade_rollbacks_total" ["migration"]
        "Entries into emergency_rollback that this router has followed.";
    GUARD_STATE = Gauge "crossfade_guard_state" ["migration", "state"]
        "1 for what the guard makes of the migration's progress, 0 for the others.";
    GUARD_EVIDENCE = Gauge "crossfade_guard_evidence" ["migration", "measure"]
        "E-value against new by measure, and their weighted mean as `all`: 1 says nothing, 20 holds, 100 brakes, 1/alpha rolls back.";
    GUARD_THRESHOLD = Gauge "crossfade_guard_threshold" ["migration", "action"]
        "Evidence at which the guard acts.";
    GUARD_JUDGED = Gauge "crossfade_guard_judged_seconds" ["migration"]
        "Age of the newest half second that was judged; NaN before the first, absent where the guard is off.";
    GUARD_ACTIONS = Counter "crossfade_guard_actions_total" ["migration", "action"]
        "What this router's guard has done by itself.";
    GUARD_FAILURES = Counter "crossfade_guard_failures_total" []
        "Times that a guard of this router could not do what it had decided, which it then tries again, or not read what was stored of it.";
    OUTCOMES = Counter "crossfade_outcomes_total" ["migration", "result"]
        "Reports about work that ended later which this router took, by what became of them.";
    ISSUES_ARRIVED = Counter "crossfade_issues_arrived_total" ["migration", "result"]
        "Webhooks about issues that came to this router, by what became of them.";
    ISSUES_ANSWERS = Counter "crossfade_issues_answers_total" ["migration", "side", "answer"]
        "Events that this router sent to a side, by the class of what it answered.";
    ISSUES_HANDOFFS = Counter "crossfade_issues_handoffs_total" ["migration", "side"]
        "Issues that this router saw become the side's after they were the other's.";
    ISSUES_FENCED = Counter "crossfade_issues_fenced_total" ["migration", "side"]
        "Reports of a side that were refused, because it does not own the issue at that epoch.";
    ISSUES_SPLIT_BRAIN = Counter "crossfade_issues_split_brain_total" ["migration", "side"]
        "Reports of a side about issues that the other side owns: two systems may work on one issue.";
    ISSUES_PARKED = Counter "crossfade_issues_parked_total" ["migration", "side"]
        "Events for a side that this router gave up, so that they wait for a person.";
    ISSUES_REPLAYED = Counter "crossfade_issues_replayed_total" ["migration", "side"]
        "Events for a side that people let be tried again by this router.";
    ISSUES_DISCARDED = Counter "crossfade_issues_discarded_total" ["migration", "side"]
        "Events for a side that people gave up by this router.";
    ISSUES = Gauge "crossfade_issues" ["migration", "side", "state"]
        "Issues in the ledger, by owner and state.";
    ISSUES_EVENTS_WAITING = Gauge "crossfade_issues_events_waiting" ["migration"]
        "Events that are kept and not yet delivered.";
    ISSUES_OLDEST_WAITING = Gauge "crossfade_issues_oldest_waiting_seconds" ["migration"]
        "How long the oldest of them waits; 0 without any.";
    ISSUES_DEAD_LETTERS = Gauge "crossfade_issues_dead_letters" ["migration"]
        "Events that wait for a person.";
    ISSUES_QUARANTINED = Gauge "crossfade_issues_quarantined" ["migration"]
        "What is in quarantine because it is no event about an issue.";
    ISSUES_LEASES = Gauge "crossfade_issues_leases" ["migration", "state"]
        "Issues that a system may be working on: held, or lapsed without a word of it.";
    OTHER_REQUESTS = Counter "crossfade_other_requests_total" ["code_class"]
        "Requests of routes without a migration.";
    OTHER_DURATION = Histogram "crossfade_other_request_duration_seconds" []
        "Time from the request head until the answer was sent whole, on routes without a migration.";
    UNROUTED = Counter "crossfade_unrouted_requests_total" ["code_class"]
        "Requests that no route takes.";
    REFUSED = Counter "crossfade_refused_requests_total" ["code"]
        "Requests that the router itself answered with an error, by its code.";
    CONNECTIONS = Gauge "crossfade_connections" []
        "Client connections that are open.";
    CONNECTIONS_OPENED = Counter "crossfade_connections_opened_total" []
        "Client connections accepted.";
    CONNECTIONS_HANDED_OVER = Counter "crossfade_connections_handed_over_total" []
        "Client connections that the worker which accepted them gave to one with fewer.";
    CONNECTION_LIMIT_REACHED = Counter "crossfade_connection_limit_reached_total" []
        "Times that a worker stopped accepting, because limits.connections are open.";
    WORKER_CONNECTIONS = Gauge "crossfade_worker_connections" ["worker"]
        "Client connections that are open, by the number of the worker that serves them.";
    TUNNELS = Gauge "crossfade_tunnels" []
        "Upgraded connections that are open.";
    TUNNELS_CLOSED = Counter "crossfade_tunnels_closed_total" ["reason"]
        "Upgraded connections that are over, by what ended them.";
    UPSTREAM_UP = Gauge "crossfade_upstream_up" ["upstream", "endpoint"]
        "1 while every worker sends requests to the endpoint, 0 while any holds it out.";
    UPSTREAM_CONNECTIONS = Counter "crossfade_upstream_connections_total" ["upstream", "endpoint", "state"]
        "Requests sent on a new or on a reused connection.";
    UPSTREAM_CONNECT_FAILURES = Counter "crossfade_upstream_connect_failures_total" ["upstream", "endpoint"]
        "Connections that could not be made.";
    UPSTREAM_IN_FLIGHT = Gauge "crossfade_upstream_in_flight" ["upstream", "endpoint"]
        "Requests under way to the endpoint, and open tunnels.";
    UPSTREAM_EJECTIONS = Counter "crossfade_upstream_ejections_total" ["upstream", "endpoint"]
        "Times that a worker took the endpoint out for its failures.";
    UPSTREAM_SHED = Counter "crossfade_upstream_shed_total" ["upstream", "endpoint"]
        "Requests refused because the admission limit was reached.";
    STORE_UP = Gauge "crossfade_store_up" []
        "1 while the last call of the store succeeded.";
    STORE_REVISION = Gauge "crossfade_store_revision" []
        "Revision of the store when it last answered.";
    STORE_STALENESS = Gauge "crossfade_store_staleness_seconds" []
        "Time since the store last answered, or since the start.";
    STORE_ERRORS = Counter "crossfade_store_errors_total" []
        "Calls of the store that failed.";
    STORE_REVISION_WENT_BACK = Counter "crossfade_store_revision_went_back_total" []
        "Times that the store was older than what this router had already served: it lost writes.";
    STORE_STATE_LOST = Gauge "crossfade_store_state_lost" []
        "1 while the store is older than what this router serves and is not believed; crossfade reseed writes the state back.";
    STORE_WRITES_LOST = Counter "crossfade_store_writes_lost_total" []
        "Migrations whose last change this router served and the store was found to have lost.";
    STORE_COUNTS_LOST = Counter "crossfade_store_counts_lost_total" []
        "Requests of this router that the fleet's counts lack, because the store was away for too long or the router was stopped.";
    STORE_DOCUMENTS_REFUSED = Counter "crossfade_store_documents_refused_total" []
        "Times that the stored state of a migration became unusable as it is; the last good one serves.";
    REPLICA_REVISION = Gauge "crossfade_replica_revision" []
        "Revision that this router serves from.";
    KILLED = Gauge "crossfade_killed" []
        "1 while the kill file sends everything to legacy.";
    DRAINING = Gauge "crossfade_draining" []
        "1 once the router finishes what is open and accepts nothing new.";
    CONFIG_RELOADS = Counter "crossfade_config_reloads_total" ["result"]
        "Files read, the first included, that were taken or refused.";
    CONFIG_LAST_RELOAD = Gauge "crossfade_config_last_reload_success_timestamp_seconds" []
        "When the last file was taken, in seconds since 1970.";
    CONFIG_INFO = Gauge "crossfade_config_info" ["hash"]
        "1, with the SHA-256 of the effective file.";
    NOTIFICATIONS = Counter "crossfade_notifications_total" ["target", "result"]
        "Notices by target of the file and what became of them; retried counts tries, the others notices.";
    ISSUES_UNSIGNED = Counter "crossfade_issues_unsigned_total" ["migration", "reason"]
        "Webhooks that this router did not believe, by what is wrong with their signature.";
    ISSUES_RECONCILED = Counter "crossfade_issues_reconciled_total" ["migration", "result"]
        "What came of asking the sender for webhooks that never arrived, by this router.";
    ISSUES_JOURNAL_FAILURES = Counter "crossfade_issues_journal_failures_total" ["migration"]
        "Times that this router could not write, read or clear its journal.";
    ISSUES_JOURNAL_BYTES = Gauge "crossfade_issues_journal_bytes" ["migration"]
        "What the journal of this router holds that the store may not have for good.";
    ISSUES_JOURNAL_ALONE = Gauge "crossfade_issues_journal_alone" ["migration"]
        "1 while webhooks go to the journal alone, because the store does not answer; nothing is sent on meanwhile.";
    ISSUES_HELD = Gauge "crossfade_issues_held" ["migration"]
        "1 while what this router has claimed is not sent, because no replica of the store follows.";
    ADMIN_STREAMS_REFUSED = Counter "crossfade_admin_streams_refused_total" []
        "Streams of events that were refused, because as many are open as may; such a page asks every two seconds instead.";
    ADMIN_SESSIONS_EVICTED = Counter "crossfade_admin_sessions_evicted_total" []
        "Sessions of browsers that ended early, because there were too many; whoever had one signs in again.";
    ADMIN_OIDC_DROPPED = Counter "crossfade_admin_oidc_dropped_total" ["limit"]
        "Sign-ins with OpenID Connect that were put off, or forgotten for newer ones, by the limit that they met.";
    BUILD_INFO = Gauge "crossfade_build_info" ["version"]
        "1, with the version of the router.";
    ACCESS_LOG_DROPPED = Counter "crossfade_access_log_dropped_total" []
        "Lines of the access log that were lost because it could not be written in time.";
}
