use flags::BasisPoints;

use super::*;

/// The start of a minute.
const START: u64 = 3_600_000_000;

/// Slots of a recording: so many alike, one stretch after the other.
struct Written {
    slots: Vec<SlotCounts>,
    positions: Vec<(u64, Position, &'static str)>,
}

fn position(mode: Mode, percent: f64) -> Position {
    Position { mode, share: BasisPoints::from_percent(percent).unwrap() }
}

impl Written {
    /// Gradual at this percentage from the start on.
    fn new(percent: f64) -> Self {
        Self { slots: Vec::new(), positions: vec![(0, position(Mode::Gradual, percent), "ann")] }
    }

    fn then(mut self, times: usize, legacy: &str, new: &str) -> Self {
        use flags::tally::Tally;
        for _ in 0..times {
            let slot = Slot(START + self.slots.len() as u64);
            self.slots.push(SlotCounts { slot, legacy: Tally::parse(legacy), new: Tally::parse(new) });
        }
        self
    }

    /// From the next slot on it stands so.
    fn changed(mut self, mode: Mode, percent: f64, actor: &'static str) -> Self {
        self.positions.push((self.slots.len() as u64, position(mode, percent), actor));
        self
    }

    fn text(&self) -> String {
        let counts =
            |side: &flags::tally::Tally| side.iter().map(|(name, count)| (name.to_owned(), json!(count))).collect();
        let slots = self.slots.iter().map(|slot| {
            json!({"slot": slot.slot.0, "legacy": Value::Object(counts(&slot.legacy)), "new": Value::Object(counts(&slot.new))})
        });
        let positions = self.positions.iter().map(|(at, position, actor)| {
            json!({"time": start_of(Slot(START + at)), "mode": position.mode, "percent": position.share.percent(), "actor": actor})
        });
        let (slots, positions): (Vec<_>, Vec<_>) = (slots.collect(), positions.collect());
        json!({"migration": "shop", "slots": slots, "positions": positions}).to_string()
    }

    fn play(&self) -> Replay {
        self.play_with(|_| {})
    }

    fn play_with(&self, set: impl FnOnce(&mut Migration)) -> Replay {
        let recording = Recording::parse(&self.text()).unwrap();
        let mut definition = recording.definition().unwrap();
        set(&mut definition);
        replay(&recording, &definition, None)
    }
}

fn done(replay: &Replay) -> Vec<&'static str> {
    replay.decisions.iter().map(|decision| decision.does).collect()
}

const SOUND: (&str, &str) = ("ok=90", "ok=10 kmany=1");
/// Bad enough to be rolled back, and not so bad that a brake would come too late to be made.
const BROKEN: (&str, &str) = ("ok=90", "ok=6 failed=4 kmany=1 g1=2 g2=1 g3=1");

fn broken() -> Written {
    Written::new(10.0).then(60, SOUND.0, SOUND.1).then(40, BROKEN.0, BROKEN.1)
}

#[test]
fn a_sound_system_is_left_alone() {
    let replay = Written::new(10.0).then(600, SOUND.0, SOUND.1).play();
    assert_eq!((replay.outcome, done(&replay), replay.slots), ("running", vec![], 600));
    assert_eq!(replay.requests, 6_000.0);
    assert!(replay.evidence["all"] < 1.0 && replay.safety > 20.0, "{replay:?}");
}

#[test]
fn a_broken_one_is_braked_and_rolled_back_and_that_is_the_end() {
    let replay = broken().play();
    assert_eq!(replay.outcome, "rolled_back");
    let did = done(&replay);
    assert!(did == ["hold", "brake", "rollback"] || did == ["brake", "rollback"], "{did:?}");
    let last = replay.decisions.last().unwrap();
    assert_eq!(last.to, Some(position(Mode::EmergencyRollback, 10.0)));
    assert!(last.why.contains("on new") && last.record["action"]["do"] == "roll_back", "{last:?}");
    assert_eq!(replay.decisions[did.len() - 2].to, Some(position(Mode::Gradual, 5.0)));
    assert!(replay.slots < 80 && replay.evidence["all"] >= 1_000.0, "{replay:?}");
}

#[test]
fn the_same_recording_gives_the_same_answer() {
    let (once, again) = (broken().play(), broken().play());
    assert_eq!(once, again);
    assert_eq!(serde_json::to_string(&once).unwrap(), serde_json::to_string(&again).unwrap());
}

#[test]
fn other_settings_give_another_answer() {
    let held = broken().play_with(|own| own.reversible = false);
    assert_eq!((held.outcome, held.decisions.last().unwrap().does), ("held", "hold"));
    let few = |own: &mut Migration| own.guard.margin = BasisPoints::new(5_000).unwrap();
    let slightly = Written::new(50.0).then(60, "ok=50", "ok=50 kmany=1").then(
        200,
        "ok=50",
        "ok=45 failed=5 kmany=1 g1=2 g2=2 g3=1",
    );
    assert_eq!(slightly.play().outcome, "rolled_back");
    assert_eq!(slightly.play_with(few).outcome, "running");
}

#[test]
fn where_it_stood_can_be_said_instead_of_recorded() {
    let recording = Recording::parse(&broken().text()).unwrap();
    let definition = recording.definition().unwrap();
    let of = |mode, percent| replay(&recording, &definition, Some(position(mode, percent)));
    assert_eq!(of(Mode::Gradual, 50.0).outcome, "rolled_back");
    assert_eq!(of(Mode::LegacyOnly, 0.0).outcome, "running");
    assert_eq!(of(Mode::Parallel, 0.0).outcome, "held", "copies move nobody");
}

#[test]
fn what_somebody_else_did_is_followed() {
    let replay = Written::new(10.0)
        .then(60, SOUND.0, SOUND.1)
        .then(4, BROKEN.0, BROKEN.1)
        .changed(Mode::EmergencyRollback, 10.0, "bert")
        .then(60, "ok=100", "")
        .play();
    assert_eq!((replay.outcome, replay.state), ("braked", "running"), "it was braked before");
    let last = replay.decisions.last().unwrap();
    assert_eq!((last.does, last.why.as_str()), ("changed", "by bert"));
    assert_eq!(last.time, start_of(Slot(START + 64)));
    assert!(replay.evidence.is_empty(), "evidence is of a stretch of exposure: {replay:?}");
}

#[test]
fn who_goes_back_and_on_within_a_half_second_begins_anew() {
    let again = |mode| {
        let written = Written::new(10.0).then(60, SOUND.0, SOUND.1).then(4, BROKEN.0, BROKEN.1);
        let written = written.changed(mode, 10.0, "bert").changed(Mode::Gradual, 10.0, "bert");
        written.then(1, SOUND.0, SOUND.1).play().evidence["all"]
    };
    assert!(again(Mode::LegacyOnly) < 10.0 && again(Mode::NewOnly) > 10.0, "{}", again(Mode::NewOnly));
}

#[test]
fn half_seconds_in_which_nothing_was_counted_pass_too() {
    let mut silent = Written::new(10.0).then(10, SOUND.0, SOUND.1).then(1_300, "", "").then(1, "ok=1", "");
    silent.slots.retain(|slot| !slot.legacy.is_empty());
    let replay = silent.play();
    assert_eq!((replay.outcome, done(&replay), replay.slots), ("no_data", vec!["no_data"], 1_311));
}

#[test]
fn what_is_late_is_learnt_minute_by_minute() {
    let slow = Written::new(50.0).then(300, "ok=50 h100=50", "ok=50 h100=50 kmany=1 k1=1 k2=1 k3=1").then(
        300,
        "ok=50 h100=50",
        "ok=50 h130=50 kmany=1",
    );
    let replay = slow.play();
    assert_eq!(replay.outcome, "rolled_back");
    assert!(replay.decisions.last().unwrap().record["measure"].as_str().unwrap().starts_with("latency"), "{replay:?}");
    let both = Written::new(50.0).then(300, "ok=50 h100=50", "ok=50 h100=50 kmany=1").then(
        300,
        "ok=50 h130=50",
        "ok=50 h130=50 kmany=1",
    );
    assert_eq!(both.play().outcome, "running");
}

/// Recorded of a router whose new system began to answer 500. That release braked first, and rolled back half a second later, when
/// callers had met four failures more: a block may say more now.
#[test]
fn a_real_run_is_judged_again() {
    let recording = Recording::parse(include_str!("../golden/rolled-back.json")).unwrap();
    let replay = replay(&recording, &recording.definition().unwrap(), None);
    let guard: Vec<_> = replay.decisions.iter().filter(|decision| decision.does != "changed").collect();
    let rollback = "rolled back to legacy, because requests fail more often on new than on legacy: in the last 10 s 23 of 104 on new and 0 of 306 on legacy were bad, evidence 52076.0.";
    assert_eq!(guard.iter().map(|decision| decision.does).collect::<Vec<_>>(), ["hold", "rollback"]);
    assert_eq!(guard[1].why, rollback);
    let told = serde_json::to_value(guard[1]).unwrap();
    assert_eq!(told["to"], json!({"mode": "emergency_rollback", "percent": 25.0}));
    assert_eq!((replay.outcome, replay.requests), ("rolled_back", 104.0));
}
