//! A document that can be written in more than one way, edited, and made from a seed.

/// A small generator (SplitMix64), so that a seed is a corpus for ever.
#[derive(Clone, Debug)]
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Tree {
    Null,
    Bool(bool),
    Number(String),
    Text(String),
    Array(Vec<Tree>),
    Object(Vec<(String, Tree)>),
}

pub(crate) fn object<const N: usize>(members: [(&str, Tree); N]) -> Tree {
    Tree::Object(members.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
}

pub(crate) fn text(value: impl Into<String>) -> Tree {
    Tree::Text(value.into())
}

pub(crate) fn number(value: impl std::fmt::Display + Copy) -> Tree {
    Tree::Number(format!("{value}"))
}

/// How a document is written beside what it says.
#[derive(Clone, Debug, Default)]
pub(crate) struct Style {
    /// Other orders of keys, spaces and escapes, by these dice.
    pub(crate) loosely: Option<Dice>,
    /// Other notations of numbers.
    pub(crate) renotes: bool,
}

impl Tree {
    pub(crate) fn json(&self) -> String {
        self.written(&mut Style::default())
    }

    pub(crate) fn written(&self, style: &mut Style) -> String {
        let mut out = String::new();
        self.write(&mut out, style);
        out
    }

    fn write(&self, out: &mut String, style: &mut Style) {
        match self {
            Self::Null => out.push_str("null"),
            Self::Bool(value) => out.push_str(&value.to_string()),
            Self::Number(value) if style.renotes => out.push_str(&renoted(value)),
            Self::Number(value) => out.push_str(value),
            Self::Text(value) => write_text(value, out, style),
            Self::Array(elements) => {
                out.push('[');
                for (at, element) in elements.iter().enumerate() {
                    separate(at, out, style);
                    element.write(out, style);
                }
                out.push(']');
            }
            Self::Object(members) => {
                let mut order: Vec<usize> = (0..members.len()).collect();
                if let Some(dice) = &mut style.loosely {
                    for at in (1..order.len()).rev() {
                        order.swap(at, dice.below(at + 1));
                    }
                }
                out.push('{');
                for (at, index) in order.into_iter().enumerate() {
                    separate(at, out, style);
                    write_text(&members[index].0, out, style);
                    out.push(':');
                    members[index].1.write(out, style);
                }
                out.push('}');
            }
        }
    }

    pub(crate) fn size(&self) -> usize {
        match self {
            Self::Array(elements) => 1 + elements.iter().map(Self::size).sum::<usize>(),
            Self::Object(members) => 1 + members.iter().map(|(_, value)| value.size()).sum::<usize>(),
            _ => 1,
        }
    }

    /// Makes one edit somewhere; the pattern and kind under which it must be found. `None` where the dice pointed at nothing to edit.
    pub(crate) fn edit(&mut self, dice: &mut Dice, is_volatile: &dyn Fn(&str) -> bool) -> Option<String> {
        let at = dice.below(self.size());
        self.edit_at(&mut { at }, "$", false, dice, is_volatile)
    }

    fn edit_at(
        &mut self,
        at: &mut usize,
        pattern: &str,
        volatile: bool,
        dice: &mut Dice,
        is_volatile: &dyn Fn(&str) -> bool,
    ) -> Option<String> {
        if *at == 0 {
            return self.edit_here(pattern, volatile, dice);
        }
        *at -= 1;
        match self {
            Self::Array(elements) => {
                for element in elements {
                    let size = element.size();
                    if *at < size {
                        return element.edit_at(at, &format!("{pattern}[*]"), volatile, dice, is_volatile);
                    }
                    *at -= size;
                }
            }
            Self::Object(members) => {
                for (key, value) in members {
                    let size = value.size();
                    if *at < size {
                        let made_up = super::super::shape::Shape::of(key.as_bytes()).is_made_up();
                        let step = if made_up { "*" } else { key.as_str() };
                        let volatile = volatile || is_volatile(key);
                        return value.edit_at(at, &format!("{pattern}.{step}"), volatile, dice, is_volatile);
                    }
                    *at -= size;
                }
            }
            _ => {}
        }
        None
    }

    fn edit_here(&mut self, pattern: &str, volatile: bool, dice: &mut Dice) -> Option<String> {
        let what = dice.below(6);
        match (&mut *self, what) {
            (Self::Object(members), 0..=1) if !members.is_empty() => {
                let (key, _) = members.remove(dice.below(members.len()));
                let made_up = super::super::shape::Shape::of(key.as_bytes()).is_made_up();
                let step = if made_up { "*" } else { key.as_str() };
                Some(format!("{pattern}.{step} missing"))
            }
            (Self::Object(members), 2..=3) => {
                members.insert(dice.below(members.len() + 1), ("brand_new".to_owned(), Self::Null));
                Some(format!("{pattern}.brand_new added"))
            }
            (Self::Array(elements), 0..=1) if !elements.is_empty() => {
                elements.remove(dice.below(elements.len()));
                Some(format!("{pattern}[*] missing"))
            }
            (Self::Array(elements), 2) => {
                elements.insert(dice.below(elements.len() + 1), text("inserted"));
                Some(format!("{pattern}[*] added"))
            }
            (Self::Array(elements), 3..=4) if elements.len() > 1 => {
                let from = dice.below(elements.len() - 1);
                // Of equal elements no order is another one.
                if format!("{:?}", elements[from].canonical()) == format!("{:?}", elements[from + 1].canonical()) {
                    return None;
                }
                elements.swap(from, from + 1);
                Some(format!("{pattern} order_changed"))
            }
            (Self::Number(value), 0..=3) if !volatile => {
                let is_zero = value.trim_start_matches(['-', '0']).is_empty();
                let is_whole = !value.contains(['.', 'e', 'E']);
                *value = if is_whole && !is_zero { format!("{value}1") } else { "77".to_owned() };
                Some(format!("{pattern} value_changed"))
            }
            (Self::Text(value), 0..=3) if !volatile => {
                value.push('~');
                Some(format!("{pattern} value_changed"))
            }
            (Self::Bool(value), 0..=3) if !volatile => {
                *value = !*value;
                Some(format!("{pattern} value_changed"))
            }
            (Self::Null, 0..=3) => {
                *self = number(0);
                Some(format!("{pattern} type_changed"))
            }
            (Self::Null, _) => {
                *self = object([]);
                Some(format!("{pattern} type_changed"))
            }
            (_, 4) => {
                *self = Self::Null;
                Some(format!("{pattern} type_changed"))
            }
            (Self::Text(_), _) => {
                *self = Self::Array(Vec::new());
                Some(format!("{pattern} type_changed"))
            }
            _ => {
                *self = text("");
                Some(format!("{pattern} type_changed"))
            }
        }
    }

    /// Without order of keys and notation of numbers.
    fn canonical(&self) -> Self {
        match self {
            Self::Number(value) => Self::Number(format!("{:?}", super::super::Decimal::parse(value.as_bytes()))),
            Self::Array(elements) => Self::Array(elements.iter().map(Self::canonical).collect()),
            Self::Object(members) => {
                let mut members: Vec<_> = members.iter().map(|(key, value)| (key.clone(), value.canonical())).collect();
                members.sort_by(|a, b| a.0.cmp(&b.0));
                Self::Object(members)
            }
            other => other.clone(),
        }
    }
}

fn separate(at: usize, out: &mut String, style: &mut Style) {
    if at > 0 {
        out.push(',');
    }
    if let Some(dice) = &mut style.loosely {
        out.push_str(["", " ", "\n  ", "\t"][dice.below(4)]);
    }
}

fn write_text(value: &str, out: &mut String, style: &mut Style) {
    out.push('"');
    for c in value.chars() {
        let loose = style.loosely.as_mut().is_some_and(|dice| dice.below(8) == 0);
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if (c as u32) < 0x20 || loose => {
                c.encode_utf16(&mut [0; 2]).iter().for_each(|unit| out.push_str(&format!("\\u{unit:04X}")));
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

/// The same number in another notation.
fn renoted(value: &str) -> String {
    match (value.contains('.'), value.contains(['e', 'E'])) {
        (_, true) => value.to_owned(),
        (true, false) => format!("{value}00"),
        (false, false) => format!("{value}.0e+0"),
    }
}
