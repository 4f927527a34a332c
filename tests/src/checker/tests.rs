use super::*;
use crate::history::{Pins, Position, Served};

/// A good run: four changes on two routers, each followed by a request on both; the last one a rollback and its way out.
fn good() -> History {
    let keys = vec!["ann".to_owned(), "bob".to_owned()];
    let asks = [Ask::Mode(Mode::NewOnly), Ask::Pin("ann".into(), Side::Legacy), Ask::RollBack];
    let mut history = History { routers: 2, keys, ..History::default() };
    let mut entries = Vec::new();
    for (ask, revision) in asks.into_iter().chain([Ask::Acknowledge(Mode::Parallel)]).zip(1..) {
        let mode = match revision {
            1 | 2 => Mode::NewOnly,
            3 => Mode::EmergencyRollback,
            _ => Mode::Parallel,
        };
        let pin = if let Ask::Pin(key, side) = &ask { Some((key.clone(), Some(*side))) } else { None };
        let reason = format!("change {revision}");
        entries.push(Entry {
            revision,
            reason: reason.clone(),
            after: Position { mode, share: 0 },
            pin,
            restored: None,
        });
        let (began, ended) = (revision * 100, revision * 100 + 10);
        history.changes.push(Change { reason, router: 0, ask, began, ended, answer: Told::Made(revision) });
        for (router, key) in [(0, "ann"), (1, "bob")] {
            let is_new = revision < 3 && !(key == "ann" && revision == 2);
            let side = if is_new { Side::New } else { Side::Legacy };
            history.requests.push(request(router, key, ended + 10, side, revision));
        }
    }
    history.line = Line { entries };
    for router in 0..2 {
        history.settled.extend(["ann", "bob"].map(|key| request(router, key, 1_000, Side::Legacy, 4)));
    }
    history
}

fn request(router: usize, key: &str, began: Moment, side: Side, revision: u64) -> Request {
    let outcome = Ok(Served { side, revision, rolled_back: revision == 3 });
    Request { router, key: key.into(), began, ended: began + 5, outcome }
}

/// Adds a change that wrote nothing.
fn also(history: &mut History, ask: Ask, at: Moment, answer: Told) {
    let reason = format!("change at {at}");
    history.changes.push(Change { reason, router: 1, ask, began: at, ended: at + 1, answer });
}

/// What is found once a good history was spoilt, or bent in a way that is good too.
#[track_caller]
fn check_found(what: &str, spoil: impl FnOnce(&mut History), expected: &[Rule]) {
    let mut history = good();
    spoil(&mut history);
    let found = check(&history);
    let mut rules: Vec<Rule> = found.iter().map(|violation| violation.rule).collect();
    rules.dedup();
    assert_eq!(rules, expected, "{what}: {found:#?}");
}

#[test]
fn a_good_run_is_good() {
    check_found("as it is", |_| {}, &[]);
    check_found("a router may be behind", |history| history.requests.push(request(1, "bob", 312, Side::New, 2)), &[]);
    check_found(
        "a change of which nothing is known",
        |h| also(h, Ask::Mode(Mode::Gradual), 150, Told::Unknown("cut".into())),
        &[],
    );
    check_found(
        "a change that was refused",
        |h| also(h, Ask::Mode(Mode::Gradual), 150, Told::Refused("503".into())),
        &[],
    );
    check_found("a change that was so already", |h| also(h, Ask::Mode(Mode::NewOnly), 250, Told::Already(2)), &[]);
    let overlapping = |history: &mut History| {
        // Answered late, so that it may have been decided before what was acknowledged meanwhile.
        history.requests.push(Request { ended: 500, ..request(0, "bob", 105, Side::Legacy, 0) });
    };
    check_found("a slow request", overlapping, &[]);
}

#[test]
fn failures_and_wrong_sides_are_found() {
    let fails = |history: &mut History| history.requests[0].outcome = Err("502".into());
    check_found("a request fails", fails, &[Rule::Served]);
    let unasked = |history: &mut History| history.requests.push(request(1, "bob", 0, Side::New, 1));
    check_found("a change is served before it was asked for", unasked, &[Rule::Known]);
    let invented = |history: &mut History| history.requests.push(request(1, "bob", 450, Side::New, 9));
    check_found("nobody wrote the revision", invented, &[Rule::Forward, Rule::Known]);
    let elsewhere = |history: &mut History| history.requests.push(request(1, "ann", 225, Side::New, 2));
    check_found("a pinned key is elsewhere", elsewhere, &[Rule::Side]);
    let disagrees = |history: &mut History| history.requests.push(request(1, "bob", 225, Side::Legacy, 2));
    check_found("two routers disagree at one revision", disagrees, &[Rule::Side]);
    let backwards = |history: &mut History| history.requests.push(request(1, "bob", 250, Side::New, 1));
    check_found("a router goes back", backwards, &[Rule::Forward]);
}

#[test]
fn lost_and_unasked_changes_are_found() {
    let loses = |history: &mut History| {
        history.line.entries.pop();
        history.requests.retain(|request| request.outcome.as_ref().is_ok_and(|served| served.revision != 4));
        history.settled =
            ["ann", "bob"].iter().flat_map(|key| [0, 1].map(|r| request(r, key, 1_000, Side::Legacy, 3))).collect();
    };
    check_found("an acknowledged change is gone", loses, &[Rule::Kept]);
    let tells = |history: &mut History| {
        loses(history);
        history.reported.push(4);
    };
    check_found("an acknowledged change is gone and reported", tells, &[]);
    let twice = |history: &mut History| history.line.entries[1].reason = "change 1".into();
    check_found("one change twice, and another not at all", twice, &[Rule::Kept]);
    let renumbered = |history: &mut History| history.changes[1].answer = Told::Made(1);
    check_found("a wrong revision was told", renumbered, &[Rule::Kept]);
    let other = |history: &mut History| history.changes[0].ask = Ask::Rollout(10);
    check_found("something else was written", other, &[Rule::Kept]);
    let refused = |history: &mut History| history.changes[1].answer = Told::Refused("503".into());
    check_found("a refused change was written", refused, &[Rule::Refused]);
    let unasked = |history: &mut History| history.line.entries[1].reason = "whose?".into();
    check_found("nobody asked for it", unasked, &[Rule::Kept, Rule::OneLine]);
    let gap = |history: &mut History| {
        history.line.entries.remove(1);
        history.requests.retain(|request| request.outcome.as_ref().is_ok_and(|served| served.revision != 2));
        history.changes[1].answer = Told::Unknown("cut".into());
    };
    check_found("the audit has a gap", gap, &[Rule::OneLine]);
}

#[test]
fn a_fork_excuses_what_was_reported_and_nothing_else() {
    // Revisions 3 and 4 were lost, reported, and another change got the number 3.
    let forks = |history: &mut History| {
        history.line.entries.truncate(2);
        let after = Position { mode: Mode::Gradual, share: 0 };
        history.line.entries.push(Entry { revision: 3, reason: "again".into(), after, pin: None, restored: None });
        let (began, answer) = (600, Told::Made(3));
        let ask = Ask::Mode(Mode::Gradual);
        history.changes.push(Change { reason: "again".into(), router: 0, ask, began, ended: 610, answer });
        history.settled.clear();
        for router in 0..2 {
            history.settled.extend(["ann", "bob"].map(|key| request(router, key, 1_000, Side::Legacy, 3)));
        }
        history.requests.retain(|request| request.outcome.as_ref().is_ok_and(|served| served.revision != 4));
    };
    let reported = |history: &mut History| {
        forks(history);
        history.reported.push(4);
    };
    check_found("a fork that nobody reported", forks, &[Rule::Known, Rule::Kept, Rule::RealTime, Rule::Rollback]);
    check_found("a fork that was reported", reported, &[]);
    let older = |history: &mut History| {
        reported(history);
        history.line.entries.remove(0);
    };
    check_found("an older change is gone too", older, &[Rule::Known, Rule::Kept]);
    let here = |history: &mut History| {
        reported(history);
        history.changes[2].answer = Told::HereOnly;
    };
    check_found("a rollback that only its router has is not excused", here, &[Rule::Known, Rule::Rollback]);
}

#[test]
fn changes_out_of_order_are_found() {
    let late = |history: &mut History| history.changes[0].began = 225;
    check_found(
        "asked for after the next one was acknowledged",
        |h| {
            late(h);
            h.changes[0].ended = 226
        },
        &[Rule::Known, Rule::RealTime],
    );
    check_found(
        "what is so already is older than what was told",
        |h| also(h, Ask::Mode(Mode::NewOnly), 250, Told::Already(1)),
        &[Rule::RealTime],
    );
}

#[test]
fn lost_rollbacks_are_found() {
    let here = |at| move |history: &mut History| also(history, Ask::RollBack, at, Told::HereOnly);
    check_found("it was rolled back by another one then", here(305), &[]);
    check_found("what was acknowledged before is not it", here(450), &[Rule::Rollback]);
    let holds = |history: &mut History| {
        here(220)(history);
        let outcome = Ok(Served { side: Side::Legacy, revision: 2, rolled_back: true });
        history.requests.retain(|request| request.router != 1 || request.began < 220);
        history.requests.push(Request { outcome, ..request(1, "bob", 225, Side::Legacy, 2) });
    };
    check_found("it holds on its router at once", holds, &[]);
    let elsewhere = |history: &mut History| {
        holds(history);
        for request in history.requests.iter_mut().filter(|request| request.began == 225) {
            request.router = 0;
        }
    };
    check_found("it holds where nobody asked for it", elsewhere, &[Rule::Side]);
    let ignored = |history: &mut History| {
        here(220)(history);
        history.requests.push(request(1, "bob", 230, Side::New, 2));
    };
    check_found("its router goes on serving new", ignored, &[Rule::Rollback]);
}

#[test]
fn a_fleet_that_does_not_settle_is_found() {
    let lags = |history: &mut History| history.settled[3] = request(1, "bob", 1_000, Side::Legacy, 3);
    check_found("a router is behind for good", lags, &[Rule::Forward, Rule::Settled]);
    check_found("a router was not asked", |history| drop(history.settled.pop()), &[Rule::Settled]);
    let wrong = |history: &mut History| history.settled[3] = request(1, "bob", 1_000, Side::New, 4);
    check_found("a key is on the wrong side for good", wrong, &[Rule::Side, Rule::Settled]);
}

/// A store that lost its state after revision 4, and got it back as revision 6.
fn reseeded(mode: Mode) -> impl FnOnce(&mut History) {
    move |history| {
        let old = std::mem::take(&mut history.line);
        history.lost.push(old);
        let entry = Entry {
            revision: 6,
            reason: "reseed".into(),
            after: Position { mode, share: 0 },
            pin: None,
            restored: Some(Pins::from([("ann".to_owned(), Side::Legacy)])),
        };
        history.line = Line { entries: vec![entry] };
        history.settled =
            ["ann", "bob"].iter().flat_map(|key| [0, 1].map(|r| request(r, key, 1_000, Side::Legacy, 6))).collect();
    }
}

#[test]
fn a_state_that_was_written_back_is_not_lost() {
    check_found("it is the last one", reseeded(Mode::Parallel), &[]);
    check_found("it is an older one", reseeded(Mode::LegacyOnly), &[Rule::Kept]);
    let told = |history: &mut History| {
        reseeded(Mode::LegacyOnly)(history);
        history.reported.push(4);
    };
    check_found("it is an older one, and that was told", told, &[]);
}
