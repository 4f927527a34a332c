//! What an operator may choose about a guard, each within the bounds in which its promise holds.

use thiserror::Error;

use crate::sequential::Margin;

/// Why a value was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Error)]
pub enum SettingsError {
    #[error(
        "a success floor of {0} can never or always be missed; write a percentage above 0 % and below 100 %, such as 70%"
    )]
    SuccessFloor(f64),
    #[error(
        "a margin of {0} points is not between 0 and 50; write the difference that nobody would mind, such as 0.2%"
    )]
    Margin(f64),
    #[error("a mean duration of {0} s is no limit; write a duration above zero, such as 600s")]
    MeanDurationLimit(f64),
    #[error(
        "an alpha of {0} is not between 0.000001 and 0.05; write the chance of a false rollback that you accept, such as 0.001"
    )]
    Alpha(f64),
}

/// A guard's settings; a value of this type is usable as it stands.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GuardSettings {
    success_floor: f64,
    mean_duration_limit_seconds: f64,
    margin: f64,
    alpha: f64,
    quality_can_rollback: bool,
    reversible: bool,
}

impl Default for GuardSettings {
    fn default() -> Self {
        Self {
            success_floor: 0.70,
            mean_duration_limit_seconds: 600.0,
            margin: 0.002,
            alpha: 0.001,
            quality_can_rollback: false,
            reversible: true,
        }
    }
}

impl GuardSettings {
    /// The share of good answers below which new is bad whatever legacy does.
    pub fn with_success_floor(self, success_floor: f64) -> Result<Self, SettingsError> {
        let is_possible = success_floor > 0.0 && success_floor < 1.0;
        if is_possible { Ok(Self { success_floor, ..self }) } else { Err(SettingsError::SuccessFloor(success_floor)) }
    }

    pub fn with_mean_duration_limit_seconds(self, limit: f64) -> Result<Self, SettingsError> {
        let is_possible = limit > 0.0 && limit.is_finite();
        let with = Self { mean_duration_limit_seconds: limit, ..self };
        if is_possible { Ok(with) } else { Err(SettingsError::MeanDurationLimit(limit)) }
    }

    /// The difference of failure rates below which nobody cares; a tenth of legacy's rate if that is more.
    pub fn with_margin(self, margin: f64) -> Result<Self, SettingsError> {
        let is_possible = (0.0..=0.5).contains(&margin);
        if is_possible { Ok(Self { margin, ..self }) } else { Err(SettingsError::Margin(margin * 100.0)) }
    }

    /// The chance that a sound migration is ever rolled back.
    pub fn with_alpha(self, alpha: f64) -> Result<Self, SettingsError> {
        let is_possible = (1e-6..=0.05).contains(&alpha);
        if is_possible { Ok(Self { alpha, ..self }) } else { Err(SettingsError::Alpha(alpha)) }
    }

    #[must_use]
    pub const fn with_quality_can_rollback(self, quality_can_rollback: bool) -> Self {
        Self { quality_can_rollback, ..self }
    }

    /// Whether the way back is open; once writes have diverged, every automatic rollback becomes a hold.
    #[must_use]
    pub const fn with_reversible(self, reversible: bool) -> Self {
        Self { reversible, ..self }
    }

    pub const fn success_floor(&self) -> f64 {
        self.success_floor
    }

    /// The rate of failure that the floor still accepts.
    pub(crate) fn floor_rate(&self) -> f64 {
        1.0 - self.success_floor
    }

    pub const fn mean_duration_limit_seconds(&self) -> f64 {
        self.mean_duration_limit_seconds
    }

    pub const fn margin(&self) -> Margin {
        Margin::at_least(self.margin)
    }

    pub const fn alpha(&self) -> f64 {
        self.alpha
    }

    pub const fn quality_can_rollback(&self) -> bool {
        self.quality_can_rollback
    }

    pub const fn reversible(&self) -> bool {
        self.reversible
    }
}
