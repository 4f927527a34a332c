//! Answers as APIs give them, noise as systems make it, and several hundred regressions: which of them are found, and under which name.

use super::tree::{Dice, Style, Tree, number, object, text};
use super::*;

const VOLATILE: [&str; 6] = ["id", "request_id", "created_at", "updated_at", "took_ms", "etag"];

fn is_volatile(key: &str) -> bool {
    VOLATILE.contains(&key)
}

pub(crate) fn noise_rules() -> Rules {
    let paths: Vec<String> = VOLATILE.iter().map(|key| format!("$..{key}")).collect();
    rules(&paths.iter().map(|path| (path.as_str(), RuleKind::Shape)).collect::<Vec<_>>())
}

/// What both systems would say (`facts`), and what each makes anew (`noise`).
struct Maker {
    facts: Dice,
    noise: Dice,
}

const NAMES: [&str; 8] = ["Ada", "Grace", "Łukasz", "青木", "O'Neil", "naïve \"quoted\"", "😀 emoji", "tab\tand\nline"];
const CITIES: [&str; 5] = ["Zürich", "São Paulo", "Tokyo", "Kraków", "New York"];

impl Maker {
    fn pick(&mut self, of: &[&str]) -> Tree {
        text(of[self.facts.below(of.len())])
    }

    fn uuid(&mut self) -> Tree {
        let (a, b) = (self.noise.next(), self.noise.next());
        text(format!(
            "{:08x}-{:04x}-4{:03x}-8{:03x}-{:012x}",
            a as u32,
            (a >> 32) as u16,
            (a >> 48) & 0xfff,
            b & 0xfff,
            (b >> 16) & 0xffff_ffff_ffff
        ))
    }

    fn time(&mut self) -> Tree {
        let n = self.noise.below(50_000);
        let fraction = ["", ".5", ".123456"][self.noise.below(3)];
        text(format!("2026-0{}-{:02}T{:02}:{:02}:{:02}{fraction}Z", n % 9 + 1, n % 28 + 1, n % 24, n % 60, n % 59))
    }

    fn etag(&mut self) -> Tree {
        text(format!("{:016x}", self.noise.next()))
    }

    fn money(&mut self) -> Tree {
        let cents = self.facts.below(1_000_000);
        let amount = format!("{}.{:02}", cents / 100, cents % 100);
        let amount = if self.facts.below(2) == 0 { text(amount) } else { Tree::Number(amount) };
        object([("amount", amount), ("currency", text("EUR"))])
    }

    fn order(&mut self) -> Tree {
        let lines = (0..1 + self.facts.below(4)).map(|_| self.line()).collect();
        object([
            ("id", self.uuid()),
            ("number", number(self.facts.next())),
            ("created_at", self.time()),
            ("customer", self.customer()),
            ("lines", Tree::Array(lines)),
            ("total", self.money()),
            ("paid", Tree::Bool(self.facts.below(2) == 0)),
            ("note", if self.facts.below(2) == 0 { Tree::Null } else { self.pick(&NAMES) }),
            ("etag", self.etag()),
        ])
    }

    fn line(&mut self) -> Tree {
        object([
            ("sku", text(format!("SKU-{}", self.facts.below(100_000)))),
            ("quantity", number(1 + self.facts.below(9))),
            ("price", self.money()),
            ("tags", Tree::Array((0..self.facts.below(4)).map(|n| text(format!("tag {n}"))).collect())),
        ])
    }

    fn customer(&mut self) -> Tree {
        object([
            ("name", self.pick(&NAMES)),
            ("born", text(format!("19{}-02-1{}", 40 + self.facts.below(60), self.facts.below(9)))),
            (
                "address",
                object([
                    ("city", self.pick(&CITIES)),
                    ("zip", text(format!("{:05}", self.facts.below(99_999)))),
                    ("state", Tree::Null),
                ]),
            ),
            ("score", Tree::Number(format!("{}.{}", self.facts.below(100), 1 + self.facts.below(9)))),
        ])
    }

    fn page(&mut self) -> Tree {
        let items = (0..2 + self.facts.below(12)).map(|_| self.order()).collect();
        object([
            ("items", Tree::Array(items)),
            (
                "page",
                object([
                    ("number", number(2)),
                    ("size", number(20)),
                    ("total", number(self.facts.below(1000))),
                    ("next", text("/orders?page=3")),
                ]),
            ),
            ("request_id", self.uuid()),
            ("took_ms", Tree::Number(format!("{}.{}", self.noise.below(100), self.noise.below(1000)))),
        ])
    }

    fn issues(&mut self) -> Tree {
        let issue = |maker: &mut Self| {
            let labels = (0..maker.facts.below(4))
                .map(|n| object([("name", text(format!("label-{n}"))), ("color", text("ff00aa"))]));
            let labels = Tree::Array(labels.collect());
            object([
                ("id", number(maker.noise.next())),
                ("title", maker.pick(&NAMES)),
                ("labels", labels),
                ("updated_at", maker.time()),
                ("assignee", if maker.facts.below(2) == 0 { Tree::Null } else { maker.customer() }),
                ("comments", number(maker.facts.below(50))),
                ("node", Tree::Number(format!("9007199254740{}", 100 + maker.facts.below(900)))),
            ])
        };
        Tree::Array((0..2 + self.facts.below(10)).map(|_| issue(self)).collect())
    }

    fn by_key(&mut self) -> Tree {
        let members = (0..2 + self.facts.below(6)).map(|n| {
            let hash = self.facts.next();
            (format!("{:08x}-0000-4000-8000-{n:012x}", hash as u32), self.customer())
        });
        object([("users", Tree::Object(members.collect())), ("matrix", self.matrix()), ("request_id", self.uuid())])
    }

    fn matrix(&mut self) -> Tree {
        let mut row = || Tree::Array((0..4).map(|_| number(self.facts.below(5))).collect());
        Tree::Array((0..4).map(|_| row()).collect())
    }

    fn problem(&mut self) -> Tree {
        object([
            ("type", text("https://errors.example/validation")),
            ("title", text("Your request is not valid")),
            (
                "errors",
                Tree::Array(
                    (0..1 + self.facts.below(3))
                        .map(|n| object([("field", text(format!("f{n}"))), ("code", text("required"))]))
                        .collect(),
                ),
            ),
            ("request_id", self.uuid()),
        ])
    }

    fn document(&mut self, which: usize) -> Tree {
        match which % 6 {
            0 => self.page(),
            1 => self.order(),
            2 => self.issues(),
            3 => self.by_key(),
            4 => self.problem(),
            _ => self.customer(),
        }
    }
}

/// Both sides' answers of the same facts, with noise of their own.
pub(crate) fn both(seed: u64) -> (Tree, Tree) {
    let side = |noise| Maker { facts: Dice(seed), noise: Dice(noise) }.document(seed as usize);
    (side(seed ^ 0xaaaa), side(seed ^ 0x5555_0000))
}

/// Both answers of a seed as they are written, the new one with one regression, and the pattern and the kind of that.
pub(crate) fn regression(seed: u64) -> Option<(String, String, String, String)> {
    let (legacy, mut new) = both(seed);
    let mut dice = Dice(seed ^ 0x77);
    let expected = new.edit(&mut dice, &is_volatile)?;
    let written = new.written(&mut Style { loosely: Some(dice), renotes: false });
    let (pattern, kind) = expected.rsplit_once(' ')?;
    Some((legacy.json(), written, pattern.to_owned(), kind.to_owned()))
}

#[test]
fn two_sound_systems_do_not_differ() {
    let rules = noise_rules();
    for seed in 0..120 {
        let (legacy, new) = both(seed);
        let written = new.written(&mut Style { loosely: Some(Dice(seed)), renotes: seed % 2 == 0 });
        assert_eq!(told(&of_json(&legacy.json(), &written, &rules)), ["matched"], "seed {seed}");
    }
}

#[test]
fn regressions_are_found_under_their_own_names() {
    let rules = noise_rules();
    let (mut total, mut exact, mut missed) = (0, 0, Vec::new());
    let mut names = std::collections::BTreeSet::new();
    for seed in 0..480 {
        let (legacy, mut new) = both(seed);
        let mut dice = Dice(seed ^ 0x77);
        let Some(expected) = new.edit(&mut dice, &is_volatile) else { continue };
        let written = new.written(&mut Style { loosely: Some(dice), renotes: false });
        let found = told(&of_json(&legacy.json(), &written, &rules));
        total += 1;
        if found == [expected.as_str()] {
            exact += 1;
        } else {
            missed.push(format!("seed {seed}: {expected}, found {found:?}"));
        }
        names.insert(expected);
    }
    assert!(total >= 300 && names.len() >= 60, "{total} regressions, {} names", names.len());
    assert!(exact * 100 >= total * 99, "{exact} of {total}: {missed:#?}");
}

#[test]
fn regressions_beside_the_body_are_found() {
    let html = |title: &str| format!("<!doctype html>\n<html>\n<title>{title}</title>\n<p>Sorry.</p>\n</html>\n");
    let fields = |media: &str| {
        vec![("content-type".to_owned(), media.to_owned()), ("cache-control".to_owned(), "no-store".to_owned())]
    };
    for seed in 0..60u64 {
        let (legacy, new) = both(seed);
        let (a, b) = (legacy.json(), new.json());
        let page = html("Error");
        let (mut status, mut headers, mut body) = (200, fields("application/json"), b.clone());
        let expected = match seed % 6 {
            0 => {
                (status, headers, body) = (502, fields("text/html"), page.clone());
                vec!["status status_changed"]
            }
            1 => {
                (headers, body) = (fields("text/html"), page.clone());
                vec!["$ not_json", "header:content-type header_changed"]
            }
            2 => {
                headers.pop();
                vec!["header:cache-control header_missing"]
            }
            3 => {
                headers.push(("Set-Cookie".to_owned(), "tracking=1".to_owned()));
                vec!["header:set-cookie[tracking] header_added"]
            }
            4 => {
                body.truncate(body.trim_end_matches('}').len() - 1);
                vec!["$ not_json"]
            }
            _ => {
                status = 201;
                vec!["status status_changed"]
            }
        };
        let legacy_headers = fields("application/json");
        let legacy = Answer { status: 200, headers: &legacy_headers, body: a.as_bytes(), truncated: false };
        let new = Answer { status, headers: &headers, body: body.as_bytes(), truncated: false };
        assert_eq!(told(&compare(&legacy, &new, &noise_rules(), &Limits::default())), expected, "seed {seed}");
    }
}
