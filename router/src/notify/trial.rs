//! One try of a test notice at each target, for an operator who wants to know before the night does.

use flags::bucket::BasisPoints;
use flags::state::Position;
use flags::{MigrationId, Mode, Revision};
use futures_util::future::join_all;
use jiff::Timestamp;
use metrics::notice::{Kind, Notice};
use serde_json::json;

use super::message::messages;
use super::retry::Undelivered;
use super::sender::Sender;
use crate::config::notify::{NotifyTarget, names};

/// What happened at one target.
#[derive(Debug)]
pub(crate) struct Trial {
    pub(crate) target: String,
    /// Scheme and host.
    pub(crate) address: String,
    pub(crate) problem: Option<String>,
}

/// Tries all targets at the same time, whatever they want to be told of; each takes ten seconds at most for a request.
pub(crate) async fn attempt_all(targets: &[NotifyTarget], environment: &str, migration: &MigrationId) -> Vec<Trial> {
    let notice = &notice(migration, Timestamp::now());
    let attempts = names(targets).into_iter().zip(targets).map(|(name, target)| async move {
        let problem = attempt(target, notice, environment).await.err().map(|problem| problem.to_string());
        Trial { target: name, address: target.channel.url().origin(), problem }
    });
    join_all(attempts).await
}

async fn attempt(target: &NotifyTarget, notice: &Notice, environment: &str) -> Result<(), Undelivered> {
    let by_tls = target.channel.url().uri().scheme_str() == Some("https");
    let sender = Sender::new(target.authorities.as_ref(), by_tls)?;
    for message in messages(&target.channel, notice, environment) {
        sender.send(&message).await?;
    }
    Ok(())
}

fn notice(migration: &MigrationId, now: Timestamp) -> Notice {
    let position = Position { mode: Mode::LegacyOnly, share: BasisPoints::ZERO };
    Notice {
        // Each test is an event of its own, which a receiver must not take for the one before.
        id: format!("{migration}/{}/{now}", Kind::Test),
        migration: migration.clone(),
        kind: Kind::Test,
        severity: Kind::Test.severity(),
        title: "A test of Crossfade".into(),
        text: "Somebody tries whether notices of Crossfade arrive here; nothing has happened.".into(),
        time: now,
        revision: Revision::ZERO,
        from: position,
        to: position,
        actor: "crossfade notify test".into(),
        record: json!({}),
        dashboard_url: None,
    }
}
