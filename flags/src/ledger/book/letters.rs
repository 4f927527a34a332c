//! Events that wait for a person: found, tried again, given up.

use super::{Book, By, LETTERS_MAX, Shelf, at};
use crate::ledger::rules::{Parked, Record};
use crate::ledger::view::{Choice, DeadLetter, PAGE_MAX, Touched, What};
use crate::ledger::{IssueLane, Lane};

impl<S: Shelf> Book<'_, S> {
    /// Lets events that wait for a person be tried again.
    pub fn replay(&mut self, choice: &Choice, by: By<'_>, dry_run: bool) -> Result<Touched, S::Error> {
        let touched = self.chosen(choice)?;
        for letter in touched.letters.iter().filter(|_| !dry_run) {
            let Some(before) = self.shelf.record(&letter.at)? else { continue };
            let mut after = before.clone();
            if after.replay(self.now_ms) {
                self.tell(&letter.at, What::Replayed, letter.delivery.to_string(), by)?;
                self.shelf.put(&letter.at, Some(&before), Some(&after))?;
            }
        }
        Ok(touched)
    }

    /// Gives up events that wait for a person.
    pub fn discard(&mut self, choice: &Choice, by: By<'_>, dry_run: bool) -> Result<Touched, S::Error> {
        let touched = self.chosen(choice)?;
        for letter in touched.letters.iter().filter(|_| !dry_run) {
            let Some(before) = self.shelf.record(&letter.at)? else { continue };
            let mut after = before.clone();
            if after.discard(self.now_ms) {
                self.shelf.pop(&letter.at)?;
                self.shelf.let_go(&letter.delivery, None, self.now_ms)?;
                self.tell(&letter.at, What::Discarded, letter.delivery.to_string(), by)?;
                self.shelf.put(&letter.at, Some(&before), Some(&after))?;
            }
        }
        Ok(touched)
    }

    fn chosen(&mut self, choice: &Choice) -> Result<Touched, S::Error> {
        let lanes = match choice {
            Choice::Issue(issue) => Lane::ALL.map(|lane| at(issue, lane)).to_vec(),
            Choice::All(_) => self.shelf.parked(LETTERS_MAX)?,
        };
        let mut touched = Touched::default();
        for at in lanes {
            let Some(record) = self.shelf.record(&at)? else { continue };
            let Some(letter) = self.letter(&at, &record)? else { continue };
            if matches!(choice, Choice::All(Some(why)) if *why != letter.why) {
                continue;
            }
            if touched.letters.len() == PAGE_MAX {
                touched.more = true;
                break;
            }
            touched.letters.push(letter);
        }
        Ok(touched)
    }

    /// The first event of a record that waits for a person.
    pub fn letter(&mut self, at: &IssueLane, record: &Record) -> Result<Option<DeadLetter>, S::Error> {
        let (Some(why), Some(delivery)) = (record.parked, self.shelf.first(at)?) else { return Ok(None) };
        Ok(Some(DeadLetter { at: at.clone(), owner: record.owner, delivery, why, since_ms: record.changed_ms }))
    }

    pub(super) fn tell_parked(&mut self, at: &IssueLane, letter: &DeadLetter, detail: &str) -> Result<(), S::Error> {
        let what = if letter.why == Parked::Dead { What::Dead } else { What::Parked };
        self.tell(at, what, format!("{} {}: {detail}", letter.delivery, letter.why.name()), None)
    }
}
