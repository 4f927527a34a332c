//! Which router of a fleet does what one of them does for all: a key that ends by itself.

use super::super::Redis;
use super::super::records::{LEASE, RELEASE};
use crate::migration::MigrationId;
use crate::store::StoreError;
use crate::store::ledger::{DUTY_MS_MAX, Duty};

impl Redis {
    fn duty(&self, migration: &MigrationId, duty: Duty) -> String {
        format!("{}:duty:{}", self.key_of("issues", migration), duty.name())
    }

    pub(super) async fn duty_taken(
        &self,
        migration: &MigrationId,
        duty: Duty,
        holder: &str,
        for_ms: u64,
    ) -> Result<bool, StoreError> {
        let mut call = LEASE.prepare_invoke();
        call.key(self.duty(migration, duty)).arg(holder).arg(for_ms.clamp(1, DUTY_MS_MAX)).arg(DUTY_MS_MAX);
        let taken: u8 = self.link.invoke(&call).await?;
        Ok(taken == 1)
    }

    pub(super) async fn duty_left(&self, migration: &MigrationId, duty: Duty, holder: &str) -> Result<(), StoreError> {
        let mut call = RELEASE.prepare_invoke();
        call.key(self.duty(migration, duty)).arg(holder);
        let _: u8 = self.link.invoke(&call).await?;
        Ok(())
    }
}
