//! What a fleet has counted, as it is read: slot by slot, of one migration or of many.
//!
//! # Why in parts
//!
//! A quarter of an hour of a large fleet with all its histograms is more than one answer should hold, and Redis does
//! nothing else while it collects one. So a script ends when it has read its fill and says where to go on; what is
//! asked twice a second is one part.

use std::ops::RangeInclusive;
use std::sync::LazyLock;

use redis::Script;

use super::Redis;
use super::scripts::REPLICAS_MAX;
use crate::migration::{MigrationId, Side};
use crate::store::StoreError;
use crate::tally::{KEPT_SLOTS, ROW_BYTES_MAX, Slot, SlotCounts, Tally};

/// Routers whose counts of one slot are read, on two sides each, and what counts beside them.
const FIELDS_MAX: usize = 2 * (REPLICAS_MAX + 1);

/// A row and the name of who counted it.
const FIELD_BYTES_MAX: usize = ROW_BYTES_MAX + 512;

/// What one part reads, about.
const PART_BYTES: usize = 4 * 1024 * 1024;

/// What a look at a slot costs of it, whether or not anything was counted: a part of nothing but looks is 8,192 of them,
/// which takes Redis some 10 ms.
const LOOK_BYTES: usize = 512;

/// Where nothing was counted it asks for 64 slots at once: a fleet at rest has many such, and all its routers one Redis.
///
/// Answers what was counted from one slot to another, and at which migration and slot to go on (0: all is read).
/// Its key is the prefix of all counts. Its arguments: the slots, the limits of fields and bytes, what a part and a
/// look may cost, where to begin, and the migrations.
static COUNTS: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
        local first, last = tonumber(ARGV[1]), tonumber(ARGV[2])
        local fields_max, field_max = tonumber(ARGV[3]), tonumber(ARGV[4])
        local left, look = tonumber(ARGV[5]), tonumber(ARGV[6])
        local at, slot = tonumber(ARGV[7]), tonumber(ARGV[8])
        local found = {}
        local function key(slot)
            return KEYS[1] .. ARGV[8 + at] .. string.format(':%d', slot)
        end
        local function read(slot)
            local count = redis.pcall('HLEN', key(slot))
            if type(count) ~= 'number' or count == 0 or count > fields_max then return end
            local fields, kept = redis.call('HGETALL', key(slot)), {}
            for i = 1, #fields, 2 do
                local bytes = #fields[i] + #fields[i + 1]
                if bytes <= field_max then
                    kept[#kept + 1] = {fields[i], fields[i + 1]}
                    left = left - bytes
                end
            end
            found[#found + 1] = {at, slot, kept}
        end
        while ARGV[8 + at] do
            local asked = slot
            while slot <= last do
                if left <= 0 then return {at, slot, found} end
                local ahead = {}
                if slot >= asked then
                    for next = slot, math.min(slot + 63, last) do ahead[#ahead + 1] = key(next) end
                    asked = slot + #ahead
                    left = left - look * math.ceil(#ahead / 8)
                end
                if #ahead > 0 and redis.call('EXISTS', unpack(ahead)) == 0 then
                    slot = asked
                else
                    left = left - look
                    read(slot)
                    slot = slot + 1
                end
            end
            at, slot = at + 1, first
        end
        return {0, 0, found}
        ",
    )
});

type Fields = Vec<(Vec<u8>, Vec<u8>)>;

impl Redis {
    /// What was counted of each of these migrations in these slots, those without counts left out.
    pub(super) async fn counted(
        &self,
        migrations: &[MigrationId],
        slots: RangeInclusive<Slot>,
    ) -> Result<Vec<(MigrationId, Vec<SlotCounts>)>, StoreError> {
        let (first, last) = (slots.start().0, slots.end().0.min(slots.start().0.saturating_add(KEPT_SLOTS)));
        let mut counted: Vec<(MigrationId, Vec<SlotCounts>)> = Vec::new();
        let (mut at, mut slot) = (1, first);
        // Each part goes on at least by one slot, so that it ends.
        while at > 0 && !slots.is_empty() && !migrations.is_empty() {
            let mut call = COUNTS.prepare_invoke();
            call.key(self.key("counts:")).arg(first).arg(last).arg(FIELDS_MAX).arg(FIELD_BYTES_MAX);
            call.arg(PART_BYTES).arg(LOOK_BYTES).arg(at).arg(slot);
            for migration in migrations {
                call.arg(migration.as_str());
            }
            let found: Vec<(usize, u64, Fields)>;
            (at, slot, found) = self.link.invoke(&call).await?;
            for (migration, slot, fields) in found {
                let Some(migration) = migrations.get(migration.wrapping_sub(1)) else { continue };
                let sum = summed(Slot(slot), &fields);
                match counted.last_mut() {
                    Some((last, counts)) if last == migration => counts.push(sum),
                    Some(_) | None => counted.push((migration.clone(), vec![sum])),
                }
            }
        }
        Ok(counted)
    }
}

/// What is of no side or no text was not written by a router.
fn summed(slot: Slot, fields: &Fields) -> SlotCounts {
    let mut sum = SlotCounts { slot, ..SlotCounts::default() };
    for (field, text) in fields {
        let (Ok(field), Ok(text)) = (std::str::from_utf8(field), std::str::from_utf8(text)) else { continue };
        let name = field.rsplit_once(':').map(|(_, name)| name);
        if let Some(side) = Side::ALL.into_iter().find(|side| Some(side.name()) == name) {
            sum.add(side, &Tally::parse(text));
        }
    }
    sum
}
