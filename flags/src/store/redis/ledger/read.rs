//! What the script of the ledger answers, read part by part.

use redis::Value;
use serde::{Deserialize, Serialize};

use crate::ledger::rules::{Parked, Record, State};
use crate::ledger::view::{DeadLetter, Listed, ShownLane, Totals};
use crate::ledger::{Claim, Claimed, Delivery, DeliveryId, Fence, IssueId, IssueLane, Lane, Ownership, Standing};
use crate::migration::Side;
use crate::store::StoreError;

/// An event's headers, beside its body.
#[derive(Serialize, Deserialize)]
pub(super) struct Meta {
    pub(super) issue: IssueId,
    pub(super) action: String,
    pub(super) sha256: [u8; 32],
    pub(super) headers: Vec<(String, String)>,
}

pub(super) fn misread(what: &str) -> StoreError {
    StoreError::corrupt(format!("the ledger of issues in Redis answers what no router reads: {what}"))
}

pub(super) fn of(parts: &[Value], at: usize) -> Result<&Value, StoreError> {
    parts.get(at).ok_or_else(|| misread("less than was asked for"))
}

pub(super) fn parts(value: &Value) -> Result<&[Value], StoreError> {
    match value {
        Value::Array(parts) => Ok(parts),
        other => Err(misread(&format!("{other:?} for a list"))),
    }
}

pub(super) fn text(value: &Value) -> Result<&str, StoreError> {
    match value {
        Value::BulkString(text) => std::str::from_utf8(text).map_err(StoreError::corrupt),
        Value::SimpleString(text) => Ok(text),
        other => Err(misread(&format!("{other:?} for a text"))),
    }
}

pub(super) fn number(value: &Value) -> Result<u64, StoreError> {
    match value {
        Value::Int(number) => u64::try_from(*number).map_err(StoreError::corrupt),
        // Scores are told as floating numbers, ours without a fraction.
        _ => text(value)?.parse().map_err(StoreError::corrupt),
    }
}

pub(super) fn side(value: &Value) -> Result<Side, StoreError> {
    let name = text(value)?;
    Side::ALL.into_iter().find(|side| side.name() == name).ok_or_else(|| misread(name))
}

pub(super) fn lane(value: &Value) -> Result<Lane, StoreError> {
    let mark = text(value)?;
    Lane::ALL.into_iter().find(|lane| lane.name().starts_with(mark)).ok_or_else(|| misread(mark))
}

fn place(value: &Value) -> Result<IssueLane, StoreError> {
    let name = text(value)?;
    IssueLane::parse(name).ok_or_else(|| misread(name))
}

fn letter(value: &Value) -> Result<DeadLetter, StoreError> {
    let one = parts(value)?;
    let kind = text(of(one, 2)?)?;
    Ok(DeadLetter {
        at: place(of(one, 0)?)?,
        owner: side(of(one, 4)?)?,
        delivery: DeliveryId::new(text(of(one, 1)?)?).map_err(StoreError::corrupt)?,
        why: Parked::ALL.into_iter().find(|known| known.name() == kind).ok_or_else(|| misread(kind))?,
        since_ms: number(of(one, 3)?)?,
    })
}

pub(super) fn letters(value: &Value) -> Result<Vec<DeadLetter>, StoreError> {
    parts(value)?.iter().map(letter).collect()
}

pub(super) fn listed(value: &Value) -> Result<Listed, StoreError> {
    let one = parts(value)?;
    let record: Record = serde_json::from_str(text(of(one, 1)?)?).map_err(StoreError::corrupt)?;
    let oldest_ms = match text(of(one, 2)?)? {
        "" => None,
        text => Some(text.parse().map_err(StoreError::corrupt)?),
    };
    Ok(Listed { at: place(of(one, 0)?)?, record, oldest_ms })
}

pub(super) fn shown(value: &Value) -> Result<ShownLane, StoreError> {
    let both = parts(value)?;
    let id = |value: &Value| DeliveryId::new(text(value)?).map_err(StoreError::corrupt);
    let waiting = parts(of(both, 1)?)?.iter().map(id).collect::<Result<_, _>>()?;
    Ok(ShownLane { listed: listed(of(both, 0)?)?, waiting })
}

pub(super) fn totals(answer: &[Value]) -> Result<Totals, StoreError> {
    let mut totals = Totals::default();
    for pair in parts(of(answer, 0)?)?.chunks_exact(2) {
        let count = text(&pair[1])?.parse::<i64>().map_or(0, |count| u64::try_from(count).unwrap_or_default());
        let name = text(&pair[0])?;
        if name == "waiting" {
            totals.waiting = count;
        } else if let Some((owner, state)) = name.split_once(':') {
            let owner = Side::ALL.into_iter().find(|side| side.name() == owner);
            let state = State::ALL.into_iter().find(|known| known.name() == state);
            if let (Some(owner), Some(state), 1..) = (owner, state, count) {
                totals.records.push((state, owner, count));
            }
        }
    }
    totals.records.sort_unstable();
    let oldest = text(of(answer, 1)?)?;
    totals.oldest_ms = if oldest.is_empty() { None } else { Some(oldest.parse().map_err(StoreError::corrupt)?) };
    totals.dead = number(of(answer, 2)?)?;
    totals.quarantined = number(of(answer, 3)?)?;
    totals.leased = number(of(answer, 4)?)?;
    totals.lapsed = number(of(answer, 5)?)?;
    totals.now_ms = number(of(answer, 6)?)?;
    Ok(totals)
}

pub(super) fn owners(value: &Value) -> Result<Vec<Ownership>, StoreError> {
    let one = |value: &Value| {
        let Standing { lane, owner, epoch, .. } = standing(value, 0)?;
        Ok(Ownership { lane, owner, epoch })
    };
    parts(value)?.iter().map(one).collect()
}

pub(super) fn standing(value: &Value, generation: u64) -> Result<Standing, StoreError> {
    let one = parts(value)?;
    let lane = lane(of(one, 0)?)?;
    Ok(Standing { lane, owner: side(of(one, 1)?)?, epoch: number(of(one, 2)?)?, generation })
}

pub(super) fn claimed(value: &Value, generation: u64) -> Result<Claimed, StoreError> {
    let one = parts(value)?;
    let at = IssueLane::parse(text(of(one, 0)?)?).ok_or_else(|| misread("the name of a record"))?;
    let meta: Meta = serde_json::from_str(text(of(one, 6)?)?).map_err(StoreError::corrupt)?;
    let Value::BulkString(body) = of(one, 7)? else { return Err(misread("a body")) };
    let Meta { issue, action, sha256, headers } = meta;
    let id = DeliveryId::new(text(of(one, 5)?)?).map_err(StoreError::corrupt)?;
    let delivery = Delivery { id, issue, action, body_sha256: sha256, headers, body: body.clone() };
    let attempt = u32::try_from(number(of(one, 4)?)?).unwrap_or(u32::MAX);
    Ok(Claimed {
        claim: Claim { at, token: number(of(one, 3)?)? },
        owner: side(of(one, 1)?)?,
        fence: Fence { generation, epoch: number(of(one, 2)?)? },
        attempt,
        delivery,
        received_ms: number(of(one, 8)?)?,
    })
}
