//! The guard of a migration: bounds that can work, or why they cannot.

use std::time::Duration;

use flags::Guard;
use flags::bucket::BasisPoints;

use super::super::errors::Problem;
use super::super::file;
use super::super::read::At;
use super::super::units::Percent;
use super::Building;
use super::migrations::{switch, word_or_default};

const DURATION_LIMIT_MIN: Duration = Duration::from_secs(1);
const DURATION_LIMIT_MAX: Duration = Duration::from_secs(3_600);

impl Building<'_> {
    pub(super) fn guard(&mut self, file: &file::Guard) -> Guard {
        let usual = Guard::default();
        let floor =
            "success of 0 % is never fallen below, of 100 % with the first failure: use 0.01 % to 99.99 %, such as 70%";
        let margin = "more than half of the requests may never fail unnoticed: use 0 to 50 %, such as 0.2%";
        let alpha = "the guard would roll back at the first failures, or never: use 0.01 % to 1 %, such as 0.1%";
        Guard {
            action: word_or_default(file.action.as_ref()),
            fast_path: switch(file.fast_path.as_ref(), usual.fast_path),
            success_floor: self.bound(file.success_floor.as_ref(), usual.success_floor, (1, 9_999), floor),
            mean_duration_limit: self.period(
                &file.mean_duration_limit,
                usual.mean_duration_limit,
                DURATION_LIMIT_MIN..=DURATION_LIMIT_MAX,
            ),
            margin: self.bound(file.margin.as_ref(), usual.margin, (0, 5_000), margin),
            alpha: self.bound(file.alpha.as_ref(), usual.alpha, (1, 100), alpha),
            quality_can_rollback: switch(file.quality_can_rollback.as_ref(), usual.quality_can_rollback),
            legacy: word_or_default(file.legacy.as_ref()),
        }
    }

    /// A share within bounds beyond which a guard cannot work.
    fn bound(
        &mut self,
        field: Option<&At<Percent>>,
        usual: BasisPoints,
        (low, high): (u16, u16),
        why: &str,
    ) -> BasisPoints {
        let Some(At { at, value: Some(Percent(percent)) }) = field else { return usual };
        match BasisPoints::from_percent(*percent) {
            Ok(share) if (low..=high).contains(&share.get()) => share,
            Ok(_) | Err(_) => {
                self.tell(Problem::new(at, format!("a guard with {percent} % here cannot work")).help(why));
                usual
            }
        }
    }
}
