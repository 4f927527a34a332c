//! How issues, deliveries and records are called.
//!
//! Names are other people's texts: bounded, without control characters, and otherwise taken as they are.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::{DELIVERY_BYTES_MAX, ISSUE_BYTES_MAX};
use crate::migration::Side;

/// The issue an event is about: `repository#number`, or any other text by which events are ordered.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct IssueId(Arc<str>);

/// The stable name of one event: the key by which a system tells that it has had it before.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DeliveryId(Arc<str>);

/// A text that names neither an issue nor a delivery.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{what} has 1 to {max} bytes, none of them a control character; this one has {bytes}")]
pub struct InvalidName {
    pub what: &'static str,
    pub bytes: usize,
    pub max: usize,
}

fn name(what: &'static str, text: &str, max: usize) -> Result<Arc<str>, InvalidName> {
    let is_text = !text.is_empty() && text.len() <= max && !text.chars().any(char::is_control);
    if is_text { Ok(text.into()) } else { Err(InvalidName { what, bytes: text.len(), max }) }
}

impl IssueId {
    pub fn new(text: &str) -> Result<Self, InvalidName> {
        name("the name of an issue", text, ISSUE_BYTES_MAX).map(Self)
    }

    /// `owner/repo` and `123` are `owner/repo#123`.
    pub fn of(repository: &str, number: &str) -> Result<Self, InvalidName> {
        Self::new(&format!("{repository}#{number}"))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What stands before the last `#`, if there is one.
    pub fn repository(&self) -> Option<&str> {
        self.0.rsplit_once('#').map(|(repository, _)| repository)
    }

    /// What stands behind the last `#`, or all of it.
    pub fn number(&self) -> &str {
        self.0.rsplit_once('#').map_or(&self.0, |(_, number)| number)
    }
}

impl DeliveryId {
    pub fn new(text: &str) -> Result<Self, InvalidName> {
        name("the id of a delivery", text, DELIVERY_BYTES_MAX).map(Self)
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for IssueId {
    type Error = InvalidName;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::new(&text)
    }
}

impl TryFrom<String> for DeliveryId {
    type Error = InvalidName;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::new(&text)
    }
}

impl From<IssueId> for String {
    fn from(id: IssueId) -> Self {
        id.0.as_ref().into()
    }
}

impl From<DeliveryId> for String {
    fn from(id: DeliveryId) -> Self {
        id.0.as_ref().into()
    }
}

impl fmt::Display for IssueId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for DeliveryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Which record of an issue: it has one, or in parallel mode one for each side, of which neither knows the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Lane {
    /// The one record of an issue that one system works on.
    Only,
    /// Legacy's part in parallel mode.
    Legacy,
    /// New's part in parallel mode.
    New,
}

impl Lane {
    pub const ALL: [Self; 3] = [Self::Only, Self::Legacy, Self::New];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Only => "only",
            Self::Legacy => "legacy",
            Self::New => "new",
        }
    }

    pub const fn of(side: Side) -> Self {
        match side {
            Side::Legacy => Self::Legacy,
            Side::New => Self::New,
        }
    }

    /// Whose it is for ever, in parallel mode.
    pub const fn side(self) -> Option<Side> {
        match self {
            Self::Only => None,
            Self::Legacy => Some(Side::Legacy),
            Self::New => Some(Side::New),
        }
    }

    const fn mark(self) -> char {
        match self {
            Self::Only => 'o',
            Self::Legacy => 'l',
            Self::New => 'n',
        }
    }
}

/// One record of the ledger: an issue, and which of its records.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct IssueLane {
    pub issue: IssueId,
    pub lane: Lane,
}

impl IssueLane {
    /// As it is stored: `o:owner/repo#1`.
    pub fn to_text(&self) -> String {
        format!("{}:{}", self.lane.mark(), self.issue)
    }

    pub fn parse(text: &str) -> Option<Self> {
        let (mark, issue) = text.split_once(':')?;
        let lane = Lane::ALL.into_iter().find(|lane| mark.chars().eq([lane.mark()]))?;
        Some(Self { issue: IssueId::new(issue).ok()?, lane })
    }
}
