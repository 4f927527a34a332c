//! What people and their machines are told when a migration moves or is in trouble.
//!
//! # Why a trait here
//!
//! Whoever judges a migration must be able to tell about it without knowing how: [`Notify`] takes a [`Notice`] at once,
//! never fails and never waits, so a black hole at the other end cannot delay a rollback. The router implements it.
//!
//! An event has one [`Notice::id`] on every router of a fleet, so that receivers can tell that they hear of it twice.
//!
//! Not here: targets, formats, retries.

use std::fmt;

use flags::state::Position;
use flags::{MigrationId, Mode, Revision};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::events::MigrationChanged;

/// What has happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// New is worse: progress has stopped.
    Hold,
    /// A hold or a brake is over.
    Release,
    /// New is clearly worse: its share was reduced.
    Brake,
    /// Back to legacy, until a person acknowledges.
    Rollback,
    /// A person has acknowledged a rollback.
    Acknowledged,
    /// Nothing to judge by: progress has stopped.
    NoData,
    /// There is something to judge by again.
    Recovered,
    /// Both sides fail, so the cause is behind both.
    SharedDependency,
    /// Work on new takes longer than its limit.
    MeanDuration,
    /// A step of a plan waits for a person.
    AwaitingApproval,
    /// Any other change of mode or percentage.
    ModeChanged,
    /// Somebody tries whether notices arrive.
    Test,
}

/// How soon somebody must look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    Info,
    /// Within a working day.
    Ticket,
    /// Now.
    Page,
}

impl Severity {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Ticket => "ticket",
            Self::Page => "page",
        }
    }
}

impl Kind {
    pub const ALL: [Self; 12] = [
        Self::Hold,
        Self::Release,
        Self::Brake,
        Self::Rollback,
        Self::Acknowledged,
        Self::NoData,
        Self::Recovered,
        Self::SharedDependency,
        Self::MeanDuration,
        Self::AwaitingApproval,
        Self::ModeChanged,
        Self::Test,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Hold => "hold",
            Self::Release => "release",
            Self::Brake => "brake",
            Self::Rollback => "rollback",
            Self::Acknowledged => "acknowledged",
            Self::NoData => "no_data",
            Self::Recovered => "recovered",
            Self::SharedDependency => "shared_dependency",
            Self::MeanDuration => "mean_duration",
            Self::AwaitingApproval => "awaiting_approval",
            Self::ModeChanged => "mode_changed",
            Self::Test => "test",
        }
    }

    /// How soon somebody must look, where the notice knows no better.
    pub const fn severity(self) -> Severity {
        match self {
            Self::Rollback | Self::SharedDependency => Severity::Page,
            Self::Hold | Self::Brake | Self::NoData | Self::MeanDuration | Self::AwaitingApproval => Severity::Ticket,
            Self::Release | Self::Acknowledged | Self::Recovered | Self::ModeChanged | Self::Test => Severity::Info,
        }
    }

    /// Whether it goes on until something [ends](Self::ends) it.
    pub const fn lasts(self) -> bool {
        match self {
            Self::Hold
            | Self::Brake
            | Self::Rollback
            | Self::NoData
            | Self::SharedDependency
            | Self::MeanDuration
            | Self::AwaitingApproval => true,
            Self::Release | Self::Acknowledged | Self::Recovered | Self::ModeChanged | Self::Test => false,
        }
    }

    /// What is over with it, for receivers that keep something open meanwhile.
    pub const fn ends(self) -> &'static [Self] {
        match self {
            Self::Release => {
                &[Self::Hold, Self::Brake, Self::SharedDependency, Self::MeanDuration, Self::AwaitingApproval]
            }
            Self::Recovered => &[Self::NoData],
            // Everybody is on legacy then, so nothing of new can be held or waited for.
            Self::Acknowledged => &[
                Self::Rollback,
                Self::Hold,
                Self::Brake,
                Self::NoData,
                Self::SharedDependency,
                Self::MeanDuration,
                Self::AwaitingApproval,
            ],
            Self::Hold
            | Self::Brake
            | Self::Rollback
            | Self::NoData
            | Self::SharedDependency
            | Self::MeanDuration
            | Self::AwaitingApproval
            | Self::ModeChanged
            | Self::Test => &[],
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// One thing to tell.
#[derive(Clone, Debug, PartialEq)]
pub struct Notice {
    /// The same on every router, and for every further try; [`Notice::id_of`] makes one.
    pub id: String,
    pub migration: MigrationId,
    pub kind: Kind,
    pub severity: Severity,
    /// A few words.
    pub title: String,
    /// One sentence.
    pub text: String,
    pub time: Timestamp,
    pub revision: Revision,
    pub from: Position,
    pub to: Position,
    /// The name of a token, `guard` or `plan`.
    pub actor: String,
    /// What led to it: measures, counts, evidence.
    pub record: Value,
    /// Where a person sees more.
    pub dashboard_url: Option<String>,
}

impl Notice {
    /// The id of what happened to a migration at a revision.
    pub fn id_of(kind: Kind, migration: &MigrationId, revision: Revision) -> String {
        format!("{migration}/{kind}/{revision}")
    }

    /// What is told of a change, whoever made it.
    pub fn of_change(change: &MigrationChanged<'_>, time: Timestamp) -> Self {
        let MigrationChanged { migration, from, to, revision, actor, reason } = *change;
        let rolled_back = |position: Position| position.mode == Mode::EmergencyRollback;
        let (kind, title) = match (rolled_back(from), rolled_back(to)) {
            (false, true) => (Kind::Rollback, format!("{migration} was rolled back to legacy")),
            (true, false) => (Kind::Acknowledged, format!("The rollback of {migration} was acknowledged")),
            (true, true) | (false, false) => (Kind::ModeChanged, format!("{migration} was changed")),
        };
        let text = format!("{migration} went from {} to {} by {actor}: {reason}", place(from), place(to));
        Self {
            id: Self::id_of(kind, migration, revision),
            migration: migration.clone(),
            kind,
            severity: kind.severity(),
            title,
            text,
            time,
            revision,
            from,
            to,
            actor: actor.to_owned(),
            record: json!({ "reason": reason }),
            dashboard_url: None,
        }
    }
}

/// A position in the words of a sentence; the percentage acts in one mode only.
pub fn place(position: Position) -> String {
    match position.mode {
        Mode::Gradual => format!("{} at {} %", position.mode, position.share),
        Mode::LegacyOnly | Mode::Parallel | Mode::NewOnly | Mode::EmergencyRollback => position.mode.to_string(),
    }
}

/// Takes notices, to tell whoever wants to know.
pub trait Notify: Send + Sync + fmt::Debug {
    /// Returns at once; what cannot be taken is counted and dropped.
    fn notify(&self, notice: Notice);
}

#[cfg(test)]
mod tests {
    use flags::BasisPoints;

    use super::*;

    fn at(mode: Mode, percent: f64) -> Position {
        Position { mode, share: BasisPoints::from_percent(percent).unwrap() }
    }

    #[track_caller]
    fn check(from: Position, to: Position, kind: Kind, text: &str) {
        let migration = &MigrationId::new("shop").unwrap();
        let change = MigrationChanged { migration, from, to, revision: Revision(7), actor: "ann", reason: "why" };
        let notice = Notice::of_change(&change, Timestamp::UNIX_EPOCH);
        assert_eq!((notice.kind, notice.text.as_str()), (kind, text));
        assert_eq!(notice.id, format!("shop/{kind}/7"));
        assert_eq!(notice.severity, kind.severity());
    }

    #[test]
    fn a_change_is_told_by_what_it_means() {
        let (gradual, back) = (at(Mode::Gradual, 12.5), at(Mode::EmergencyRollback, 12.5));
        let legacy = at(Mode::LegacyOnly, 12.5);
        check(gradual, back, Kind::Rollback, "shop went from gradual at 12.5 % to emergency_rollback by ann: why");
        check(back, legacy, Kind::Acknowledged, "shop went from emergency_rollback to legacy_only by ann: why");
        check(
            gradual,
            at(Mode::Gradual, 25.0),
            Kind::ModeChanged,
            "shop went from gradual at 12.5 % to gradual at 25 % by ann: why",
        );
    }

    #[test]
    fn whatever_lasts_is_ended_by_something_and_only_that() {
        let ended = |kind: Kind| Kind::ALL.into_iter().filter(|other| other.ends().contains(&kind)).count();
        for kind in Kind::ALL {
            assert_eq!(kind.lasts(), ended(kind) > 0, "{kind}");
            assert!(kind.ends().is_empty() || !kind.lasts(), "{kind} lasts and ends something");
        }
    }

    #[test]
    fn only_what_needs_somebody_has_a_severity_above_info() {
        for kind in Kind::ALL {
            assert_eq!(kind.severity() > Severity::Info, kind.lasts(), "{kind}");
        }
    }
}
