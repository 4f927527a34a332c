//! Words on the freeze of the environment, in Redis: one list, newest first.
//!
//! A key of another type holds nothing of ours, since whatever made it so has taken our words' place; it is replaced.

use std::sync::LazyLock;

use redis::Script;

use super::{Redis, encode};
use crate::freeze::{FREEZE_BYTES_MAX, FREEZES_MAX, FreezeEntry};
use crate::state::Revision;
use crate::store::StoreError;

/// Its arguments: the expected revision, the word, how many are kept, and the channel. What could fail is checked before
/// anything is written.
static FREEZE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
        local found = redis.call('TYPE', KEYS[1]).ok
        if found ~= 'none' and found ~= 'string' then
            return redis.error_reply('WRONGTYPE ' .. KEYS[1] .. ' holds a ' .. found .. ', not a string')
        end
        local actual = tonumber(redis.call('GET', KEYS[1]) or '0')
        if not actual then
            return redis.error_reply('WRONGTYPE ' .. KEYS[1] .. ' holds no number')
        end
        if actual ~= tonumber(ARGV[1]) then
            return {0, actual}
        end
        local held = redis.call('TYPE', KEYS[2]).ok
        if held ~= 'none' and held ~= 'list' then redis.call('DEL', KEYS[2]) end
        redis.call('LPUSH', KEYS[2], ARGV[2])
        redis.call('LTRIM', KEYS[2], 0, ARGV[3] - 1)
        redis.call('INCR', KEYS[1])
        redis.pcall('PUBLISH', ARGV[4], string.format('%d', actual + 1))
        return {1, actual + 1}
        ",
    )
});

/// Answers the newest words, and why they do not read. Its arguments: how many there may be, and the longest; one that is
/// longer is answered cut, so that it does not read.
static FREEZES: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
        local words = redis.pcall('LRANGE', KEYS[1], 0, ARGV[1] - 1)
        if words.err then return {{}, words.err} end
        for i = 1, #words do words[i] = string.sub(words[i], 1, ARGV[2] + 1) end
        return {words, ''}
        ",
    )
});

impl Redis {
    pub(super) async fn put_freeze(&self, expected: Revision, entry: &FreezeEntry) -> Result<Revision, StoreError> {
        let mut call = FREEZE.prepare_invoke();
        call.key(self.key("revision")).key(self.key("freezes"));
        call.arg(expected.0).arg(encode(entry)?).arg(FREEZES_MAX).arg(self.key("changes"));
        let (written, revision): (u8, u64) = self.link.invoke(&call).await?;
        let actual = Revision(revision);
        if written == 1 { Ok(actual) } else { Err(StoreError::Conflict { expected, actual }) }
    }

    pub(super) async fn newest_freezes(&self) -> Result<Vec<FreezeEntry>, StoreError> {
        let mut call = FREEZES.prepare_invoke();
        call.key(self.key("freezes")).arg(FREEZES_MAX).arg(FREEZE_BYTES_MAX);
        let (words, problem): (Vec<Vec<u8>>, String) = self.link.invoke(&call).await?;
        if !problem.is_empty() {
            return Ok(vec![FreezeEntry::unreadable(&problem)]);
        }
        Ok(words.iter().map(|word| FreezeEntry::read(word)).collect())
    }
}

/// What [`super::LOAD`] answers of the newest word: the word where there is one, and why it does not read.
pub(super) fn newest(word: &[Vec<u8>], problem: &str) -> Option<FreezeEntry> {
    if problem.is_empty() {
        word.first().map(|word| FreezeEntry::read(word))
    } else {
        Some(FreezeEntry::unreadable(problem))
    }
}
