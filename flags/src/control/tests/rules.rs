//! Rules of the comparison as state.

use super::*;
use crate::accepted::{AcceptedRule, InvalidRule};

fn accepted(path: &str) -> AcceptedRule {
    let kind = "\"shape\"".to_owned();
    let expires = Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC).date().tomorrow().unwrap();
    let id = AcceptedRule::id_of(None, path, &kind);
    AcceptedRule {
        id,
        path: path.into(),
        kind,
        route: None,
        owner: "ann".into(),
        reason: String::new(),
        expires,
        accepted: Timestamp::UNIX_EPOCH,
    }
}

#[tokio::test]
async fn rules_are_accepted_replaced_removed_and_undone_as_any_other_change() {
    let rig = rig().await;
    let rules = |rig: &Rig| {
        let snapshot = rig.watch.current();
        let rules = &snapshot.placed(snapshot.find(&id("m")).unwrap()).document.rules;
        rules.iter().map(|rule| format!("{} {}", rule.path, rule.reason)).collect::<Vec<_>>()
    };
    let accept = |path: &str| Ask::AcceptRule(accepted(path));
    let applied = rig.ask(accept("$.id")).await.unwrap();
    assert_eq!((applied.kind, applied.changed, applied.before), (ChangeKind::AcceptRule, true, applied.after));
    assert!(!rig.ask(accept("$.id")).await.unwrap().changed, "the same rule is no change");
    rig.ask(Ask::Mode(Mode::Parallel)).await.unwrap();
    assert_eq!(rules(&rig).len(), 1, "other changes keep rules");
    let newest = rig.entries().await;
    assert_eq!(
        newest[0].rule.as_ref().and_then(|change| change.after.clone()).map(|rule| rule.path),
        Some("$.id".into())
    );

    rig.ask(accept("$.at")).await.unwrap();
    rig.ask(Ask::Undo).await.unwrap();
    assert_eq!(rules(&rig).len(), 1);
    rig.ask(Ask::Undo).await.unwrap();
    assert_eq!(rules(&rig).len(), 2, "the undo of an undo does it again");
    let gone = accepted("$.id").id;
    let removed = rig.ask(Ask::RemoveRule { id: gone.clone() }).await.unwrap();
    assert_eq!(removed.rule.unwrap().before.unwrap().path, "$.id");
    assert!(matches!(
        rig.ask(Ask::RemoveRule { id: gone }).await,
        Err(ControlError::InvalidRule(InvalidRule::Unknown))
    ));
    rig.ask(Ask::Undo).await.unwrap();
    assert_eq!(rules(&rig).len(), 2);
    let long = AcceptedRule { path: "$".repeat(600), ..accepted("$.x") };
    assert!(matches!(rig.ask(Ask::AcceptRule(long)).await, Err(ControlError::InvalidRule(InvalidRule::Text("path")))));
    assert_eq!(broken_link(&rig.entries().await), None);

    // Rules move nobody, so that a freeze does not keep them.
    let (kind, actor) = (crate::freeze::FreezeKind::Freeze, "ann".to_owned());
    let freeze = Freeze { kind, lasts: None, actor, reason: "release".into(), dry_run: false };
    rig.control.freeze(&freeze).await.unwrap();
    rig.ask(accept("$.frozen")).await.unwrap();
    rig.ask(Ask::RollBack).await.unwrap();
    assert_eq!(rules(&rig).len(), 3, "a rollback keeps them");
}
