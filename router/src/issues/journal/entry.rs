//! One delivery as bytes: its length of names, its names as JSON, its body as it came.

use flags::ledger::{Delivery, DeliveryId, IssueId};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// A delivery that the journal keeps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// What its issue is placed by.
    pub(crate) key: String,
    pub(crate) delivery: Delivery,
}

#[derive(Serialize, Deserialize)]
struct Names {
    id: DeliveryId,
    issue: IssueId,
    key: String,
    action: String,
    headers: Vec<(String, String)>,
}

impl Entry {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let Delivery { id, issue, action, headers, body, .. } = &self.delivery;
        let (id, issue, key, action) = (id.clone(), issue.clone(), self.key.clone(), action.clone());
        let names = Names { id, issue, key, action, headers: headers.clone() };
        // Plain texts are JSON, whatever they hold.
        let names = serde_json::to_vec(&names).unwrap_or_default();
        let mut out = Vec::with_capacity(4 + names.len() + body.len());
        out.extend_from_slice(&u32::try_from(names.len()).unwrap_or(u32::MAX).to_le_bytes());
        out.extend_from_slice(&names);
        out.extend_from_slice(body);
        out
    }

    /// None where the bytes are of another version.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let (length, rest) = bytes.split_first_chunk::<4>()?;
        let (names, body) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
        let Names { id, issue, key, action, headers } = serde_json::from_slice(names).ok()?;
        let (body, body_sha256) = (body.to_vec(), Sha256::digest(body).into());
        Some(Self { key, delivery: Delivery { id, issue, action, body_sha256, headers, body } })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn an_entry_reads_back(id in "[!-~]{1,40}", issue in "[!-~]{1,40}", text: String, body: Vec<u8>) {
            let delivery = Delivery {
                id: DeliveryId::new(&id).unwrap(),
                issue: IssueId::new(&issue).unwrap(),
                action: text.clone(),
                body_sha256: Sha256::digest(&body).into(),
                headers: vec![("X-A".into(), text.clone())],
                body,
            };
            let entry = Entry { key: text, delivery };
            prop_assert_eq!(Entry::decode(&entry.encode()), Some(entry));
        }

        #[test]
        fn no_bytes_are_a_panic(bytes: Vec<u8>) {
            let _ = Entry::decode(&bytes);
        }
    }
}
