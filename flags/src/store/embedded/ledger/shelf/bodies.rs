//! Headers and bodies of events: kept while somebody has to get them, and a day besides.

use redb::{Error, ReadableTable};
use serde::{Deserialize, Serialize};

use super::{Shelf, decode, encode, is_known};
use crate::ledger::book::{Custody, Kept};
use crate::ledger::{Delivery, DeliveryId, IssueId, Lane};
use crate::migration::Side;
use crate::store::ledger::BODY_KEPT_S;

/// What goes with one new delivery at most: more than comes, so that all goes in the end.
const FORGOTTEN_MAX: usize = 8;

/// An event's headers, beside its body.
#[derive(Serialize, Deserialize)]
struct Meta {
    issue: IssueId,
    action: String,
    sha256: [u8; 32],
    headers: Vec<(String, String)>,
    received_ms: u64,
    /// Records that are not done with it.
    left: u32,
    /// To whom it was delivered, in each record.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    had: Vec<(Lane, Side)>,
    /// When it goes, where none is left; 0 in those of earlier versions.
    #[serde(default)]
    going_ms: u64,
}

impl Meta {
    fn custody(&self) -> Custody {
        Custody { issue: self.issue.clone(), left: self.left, had: self.had.clone() }
    }
}

impl Shelf<'_, '_> {
    fn meta(&self, delivery: &DeliveryId) -> Result<Option<Meta>, Error> {
        let meta = self.tables.metas.get((self.id, delivery.as_str()))?;
        meta.map(|meta| decode(meta.value())).transpose()
    }

    fn put_meta(&mut self, delivery: &DeliveryId, meta: &Meta) -> Result<(), Error> {
        self.tables.is_changed = true;
        self.tables.metas.insert((self.id, delivery.as_str()), encode(meta)?.as_slice())?;
        Ok(())
    }

    pub(super) fn put_body(&mut self, delivery: &Delivery, copies: u32, now_ms: u64) -> Result<(), Error> {
        let Delivery { id, issue, action, body_sha256, headers, body } = delivery;
        let meta = Meta {
            issue: issue.clone(),
            action: action.clone(),
            sha256: *body_sha256,
            headers: headers.clone(),
            received_ms: now_ms,
            left: copies,
            had: Vec::new(),
            going_ms: 0,
        };
        self.put_meta(id, &meta)?;
        self.tables.bodies.insert((self.id, id.as_str()), body.as_slice())?;
        Ok(())
    }

    pub(super) fn body(&self, delivery: &DeliveryId) -> Result<Option<Kept>, Error> {
        let Some(meta) = self.meta(delivery)? else { return Ok(None) };
        let Some(body) = self.tables.bodies.get((self.id, delivery.as_str()))? else { return Ok(None) };
        let (id, body, custody) = (delivery.clone(), body.value().to_vec(), meta.custody());
        let Meta { issue, action, sha256, headers, received_ms, .. } = meta;
        let delivery = Delivery { id, issue, action, body_sha256: sha256, headers, body };
        Ok(Some(Kept { delivery, received_ms, custody }))
    }

    pub(super) fn let_body_go(
        &mut self,
        delivery: &DeliveryId,
        had: Option<(Lane, Side)>,
        now_ms: u64,
    ) -> Result<(), Error> {
        let Some(mut meta) = self.meta(delivery)? else { return Ok(()) };
        let mut custody = meta.custody();
        had.into_iter().for_each(|(lane, side)| custody.give(lane, side));
        (meta.left, meta.had) = (meta.left.saturating_sub(1), custody.had);
        if meta.left == 0 {
            meta.going_ms = now_ms + BODY_KEPT_S * 1_000;
            self.tables.going.insert((meta.going_ms, self.id, delivery.as_str()), ())?;
        }
        self.put_meta(delivery, &meta)
    }

    pub(super) fn custody_of(&self, delivery: &DeliveryId, now_ms: u64) -> Result<Option<Custody>, Error> {
        let meta = self.meta(delivery)?;
        let is_gone = |meta: &Meta| meta.left == 0 && meta.going_ms <= now_ms;
        Ok(meta.filter(|meta| !is_gone(meta)).map(|meta| meta.custody()))
    }

    pub(super) fn keep_body_again(&mut self, delivery: &DeliveryId, copies: u32) -> Result<(), Error> {
        let Some(mut meta) = self.meta(delivery)? else { return Ok(()) };
        // What was to go at that time finds it kept.
        meta.left = copies;
        self.put_meta(delivery, &meta)
    }

    /// Drops what is too old, a little at a time.
    pub(super) fn forget(&mut self, now_ms: u64) -> Result<(), Error> {
        for _ in 0..FORGOTTEN_MAX {
            let first = self.tables.going.first()?.map(|(key, _)| key.value().0 <= now_ms);
            if first != Some(true) {
                break;
            }
            let Some((key, _)) = self.tables.going.pop_first()? else { break };
            let (going_ms, id, delivery) = key.value();
            let meta = self.tables.metas.get((id, delivery))?.map(|meta| decode::<Meta>(meta.value())).transpose()?;
            // One that was sent once more goes later, or not yet.
            if meta.is_none_or(|meta| meta.left == 0 && meta.going_ms <= going_ms) {
                self.tables.metas.remove((id, delivery))?;
                self.tables.bodies.remove((id, delivery))?;
            }
        }
        for _ in 0..FORGOTTEN_MAX {
            let first = self.tables.seen_in.first()?.map(|(key, _)| is_known(key.value().0, now_ms));
            if first != Some(false) {
                break;
            }
            let Some((key, _)) = self.tables.seen_in.pop_first()? else { break };
            let (_, id, field) = key.value();
            self.tables.seen.remove((id, field))?;
        }
        Ok(())
    }
}
