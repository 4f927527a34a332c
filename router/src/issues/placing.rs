//! Who is to get an issue that nobody owns yet: the decision of the migration, as the ledger takes it.

use flags::decide::explain;
use flags::ledger::{Placed, Placement};
use flags::{Facts, Mode, Reason, Snapshot};

use super::payload::{Fields, Kept};
use crate::config::issues::IssueRoute;

/// Decides on one snapshot; none where the migration is not in the file any more.
///
/// In mode parallel both get a record of their own only where the one that does not serve has declared that it then changes
/// nothing: two systems that act on one issue are what all of this is there to prevent.
pub(crate) fn placement(
    snapshot: &Snapshot,
    route: &IssueRoute,
    (fields, body): (&Fields, &[u8]),
    key: &str,
    now: i64,
) -> Option<Placement> {
    let at = snapshot.find(&route.migration)?;
    let request = Kept { fields, body };
    let facts = Facts { migration: at, request: &request, key: Some(key.as_bytes()), now, chance: 0 };
    let decision = explain(snapshot, &facts);
    let (migration, placed) = (snapshot.migration(at), snapshot.placed(at));
    let mode = snapshot.effective_mode(at);
    let watches = route.target(migration.parallel.serve.other()).dry_run;
    let sampled = decision.bucket.is_none_or(|bucket| migration.parallel.share.admits(bucket));
    let both = mode == Mode::Parallel && decision.reason == Reason::Mode && watches && sampled;
    Some(Placement {
        to: if both { Placed::Both } else { Placed::One(decision.serve) },
        mode,
        share: placed.document.share,
        bucket: decision.bucket,
        revision: snapshot.revision().0,
    })
}
