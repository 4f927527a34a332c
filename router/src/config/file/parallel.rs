//! The mode `parallel` in the file: what is copied, how much of it, and how answers are compared.

use flags::Side;
use schemars::JsonSchema;
use serde::Deserialize;

use super::{Span, Switch, Text};
use crate::config::read::{At, Many};
use crate::config::rules::Written;
use crate::config::units::{OneOf, Percent, Size};

/// How the mode `parallel` serves, what it copies and how it compares.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Parallel {
    pub(in crate::config) serve: Option<At<OneOf<Side>>>,
    /// The share of requests that is copied.
    pub(in crate::config) percent: Option<At<Percent>>,
    /// GET, HEAD and OPTIONS, or some of them.
    pub(in crate::config) methods: Option<At<Vec<At<String>>>>,
    /// What changes something and is copied all the same, once the serving side has answered 2xx.
    pub(in crate::config) writes: Option<At<Vec<At<Write>>>>,
    /// The share of copied GET, HEAD and OPTIONS that legacy is asked a second time, 0 to 20 %: what it differs in from itself.
    pub(in crate::config) noise: Option<At<Percent>>,
    /// A request with a larger body is not copied.
    pub(in crate::config) request_max: Option<At<Size>>,
    /// What a copy may take as a whole.
    pub(in crate::config) timeout: Span,
    /// What connecting for a copy may take.
    pub(in crate::config) connect_timeout: Span,
    pub(in crate::config) budget: Option<At<Budget>>,
    pub(in crate::config) compare: Option<At<Compare>>,
}

/// What the copies of this migration may use; what does not fit is not copied, and counted.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Budget {
    /// Bodies that are kept, of requests and answers, until they are compared.
    pub(in crate::config) memory: Option<At<Size>>,
    /// Copies under way at once.
    pub(in crate::config) in_flight: Option<At<u64>>,
    /// A copy that waits longer than this is not sent.
    pub(in crate::config) age: Span,
}

/// One route whose writes are copied. Either the other side declares that a copy changes nothing there, or somebody says why
/// doing it twice is right.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Write {
    /// The path of a route of this migration, to the letter.
    #[schemars(required)]
    pub(in crate::config) path: Text,
    #[schemars(required)]
    pub(in crate::config) methods: Option<At<Many<At<String>>>>,
    /// The other side changes nothing for a request that carries `Crossfade-Mirror: 1`.
    pub(in crate::config) dry_run: Switch,
    pub(in crate::config) override_reason: Text,
}

/// How the answers of both sides are compared.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Compare {
    /// What is known to differ and may.
    pub(in crate::config) rules: Option<At<Vec<At<Written>>>>,
    /// Paths whose values may be shown; of all others only type, length and shape are.
    pub(in crate::config) raw_paths: Option<At<Vec<At<String>>>>,
    /// The field in which new's answers name its version.
    pub(in crate::config) version_header: Text,
}
