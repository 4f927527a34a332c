//! What of new's failures legacy answers, and what may be asked twice.

use flags::fallback::{Fallback, Repeatable, When};

use super::super::errors::{Problem, quoted, suggestion};
use super::super::file;
use super::super::read::{At, Many};
use super::Building;

const WORDS_MAX: usize = 32;

/// The words under `when` besides single statuses.
const WORDS: [&str; 4] = ["connect", "timeout", "reset", "5xx"];

impl Building<'_> {
    pub(super) fn fallback(&mut self, file: file::Fallback) -> Fallback {
        let default = Fallback::default();
        Fallback {
            when: file.when.map_or(default.when, |field| self.fallback_when(field)),
            methods: file.methods.map_or(default.methods, |field| self.fallback_methods(field)),
        }
    }

    fn fallback_when(&mut self, field: At<Many<At<String>>>) -> Vec<When> {
        let At { at, value: Some(Many(list)) } = field else { return Vec::new() };
        self.bounded(&at, &list, "words", WORDS_MAX);
        let mut when = Vec::new();
        for item in list {
            let Some(text) = item.get() else { continue };
            match text.parse::<When>() {
                Ok(word) if when.contains(&word) => {
                    self.tell(Problem::new(&item.at, format!("{} stands here twice", quoted(text))));
                }
                Ok(word) => when.push(word),
                Err(error) => {
                    let message = format!("{} is not a failure that legacy can answer: {error}", quoted(text));
                    let problem = Problem::new(&item.at, message);
                    let help = super::super::errors::closest(text, WORDS).and_then(|_| suggestion(text, &WORDS));
                    self.tell(Problem { help, ..problem });
                }
            }
        }
        when
    }

    fn fallback_methods(&mut self, field: At<Many<At<String>>>) -> Repeatable {
        let words: Vec<&str> =
            field.get().into_iter().flat_map(|Many(list)| list).filter_map(At::get).map(String::as_str).collect();
        match words.as_slice() {
            ["safe"] => Repeatable::Safe,
            ["idempotent"] => Repeatable::Idempotent,
            [] if field.value.is_some() => {
                let problem = Problem::new(&field.at, "no method would fall back");
                self.tell(problem.help("write `when: []` to turn the fallback off"));
                Repeatable::Safe
            }
            [word] if word.bytes().all(|byte| byte.is_ascii_lowercase()) => {
                let problem = Problem::new(&field.at, format!("{} is no method", quoted(word)));
                let help = suggestion(word, &["safe", "idempotent"]);
                self.tell(Problem { help, ..problem });
                Repeatable::Safe
            }
            _ => Repeatable::These(self.methods(Some(field))),
        }
    }
}
