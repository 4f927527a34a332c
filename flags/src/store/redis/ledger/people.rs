//! What people read of the ledger in Redis and do to it: streams, events that wait for them, events that are sent once more.

use super::super::Redis;
use super::read::{letters, misread, number, of, parts, side, text};
use super::{json, person_json};
use crate::ledger::past::{Again, RESENT_MAX, Resent};
use crate::ledger::view::{Choice, PAGE_MAX, Touched};
use crate::ledger::{DeliveryId, IssueLane, QUEUE_MAX, WAITING_MAX};
use crate::migration::MigrationId;
use crate::mode::Mode;
use crate::store::StoreError;
use crate::store::ledger::{BODY_KEPT_S, LETTERS_MAX, Person};

/// An entry of a stream: its id, and its fields.
type Row = (String, Vec<(String, Vec<u8>)>);

impl Redis {
    pub(super) async fn stream(
        &self,
        migration: &MigrationId,
        name: &str,
        field: &str,
        limit: usize,
    ) -> Result<Vec<(String, String, u64)>, StoreError> {
        let mut command = redis::cmd("XREVRANGE");
        command.arg(format!("{}:{name}", self.key_of("issues", migration))).arg("+").arg("-").arg("COUNT").arg(limit);
        let rows: Vec<Row> = self.link.query(&command).await?;
        let row = |(id, fields): Row| {
            let at = id.split('-').next().and_then(|at| at.parse().ok()).unwrap_or_default();
            let text = fields.into_iter().find(|(name, _)| name == field).map(|(_, text)| text)?;
            Some((id, String::from_utf8_lossy(&text).into_owned(), at))
        };
        Ok(rows.into_iter().filter_map(row).collect())
    }

    pub(super) async fn touch(
        &self,
        migration: &MigrationId,
        how: &str,
        choice: &Choice,
        person: &Person,
        dry_run: bool,
    ) -> Result<Touched, StoreError> {
        let (issue, kind) = match choice {
            Choice::Issue(issue) => (issue.as_str(), ""),
            Choice::All(kind) => ("", kind.map_or("", |kind| kind.name())),
        };
        let (by, kept) = (person_json(person)?, BODY_KEPT_S.to_string());
        let (page, looked) = (PAGE_MAX.to_string(), LETTERS_MAX.to_string());
        let dry = if dry_run { "1" } else { "0" };
        let arguments = [how, issue, kind, &by, dry, &kept, &page, &looked].map(str::as_bytes);
        let answer = self.ledger_call(migration, "touch", &arguments).await?;
        Ok(Touched { letters: letters(of(&answer, 0)?)?, more: number(of(&answer, 1)?)? == 1 })
    }

    pub(super) async fn sent_again(
        &self,
        migration: &MigrationId,
        deliveries: &[DeliveryId],
        (mode, revision): (Mode, u64),
        person: &Person,
        dry_run: bool,
    ) -> Result<Vec<Again>, StoreError> {
        let deliveries = &deliveries[..deliveries.len().min(RESENT_MAX)];
        if deliveries.is_empty() {
            return Ok(Vec::new());
        }
        let (ids, by, revision) = (json(&deliveries)?, person_json(person)?, revision.to_string());
        let (waiting, queue) = (WAITING_MAX.to_string(), QUEUE_MAX.to_string());
        let dry = if dry_run { "1" } else { "0" };
        let arguments = [&ids, mode.name(), &revision, &by, dry, &waiting, &queue].map(str::as_bytes);
        let answer = self.ledger_call(migration, "resend", &arguments).await?;
        answer.iter().map(again).collect()
    }
}

fn again(value: &redis::Value) -> Result<Again, StoreError> {
    let one = parts(value)?;
    let (name, at) = (text(of(one, 1)?)?, text(of(one, 2)?)?);
    let had = match at {
        "" => None,
        at => Some((IssueLane::parse(at).ok_or_else(|| misread(at))?, side(of(one, 3)?)?)),
    };
    Ok(Again {
        delivery: DeliveryId::new(text(of(one, 0)?)?).map_err(StoreError::corrupt)?,
        resent: Resent::ALL.into_iter().find(|known| known.name() == name).ok_or_else(|| misread(name))?,
        had,
    })
}
