//! Reads plain `serde` structs from the tree and goes on after what is wrong.
//!
//! # Why serde and yet every error
//!
//! The structs of the file are the format: one place for keys, types and the JSON Schema. What
//! serde lacks is that it stops at the first error. So the reader itself refuses unknown keys and
//! skips them, and a field of type [`At`] stays empty where its value is wrong, with the problem
//! told. Whoever builds from the structs treats an empty `At` as told.
//!
//! Not here: enums with data, flattening and untagged choices. They lose places.

mod values;

use std::cell::RefCell;
use std::fmt;
use std::ops::Range;

use serde::de::value::StrDeserializer;
use serde::de::{
    DeserializeSeed, Deserializer, Error as _, IntoDeserializer, MapAccess, SeqAccess, Unexpected, Visitor,
};
use serde::{Deserialize, forward_to_deserialize_any};

use super::errors::{Problem, quoted, suggestion};
use super::tree::{Node, Value};
use values::{AT, MANY};
pub(super) use values::{At, Entries, Many};

/// Reads the whole tree; none where even its outermost form is wrong.
pub(super) fn read<'de, T: Deserialize<'de>>(root: &'de Node, problems: &mut Vec<Problem>) -> Option<T> {
    let told = RefCell::new(std::mem::take(problems));
    let result = T::deserialize(Reader { node: root, problems: &told });
    *problems = told.into_inner();
    match result {
        Ok(value) => Some(value),
        Err(error) => {
            problems.extend(error.at(&root.at));
            None
        }
    }
}

/// What a value is not; the place is added by whoever asked for the value.
#[derive(Clone, Debug)]
pub(super) enum Wrong {
    Told,
    Because { message: String, help: Option<String> },
}

impl Wrong {
    fn at(self, at: &Range<usize>) -> Option<Problem> {
        match self {
            Self::Told => None,
            Self::Because { message, help } => Some(Problem { help, ..Problem::new(at, message) }),
        }
    }
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Told => f.write_str("already told"),
            Self::Because { message, .. } => f.write_str(message),
        }
    }
}

impl std::error::Error for Wrong {}

impl serde::de::Error for Wrong {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::Because { message: message.to_string(), help: None }
    }

    fn invalid_type(found: Unexpected<'_>, expected: &dyn serde::de::Expected) -> Self {
        let found = match found {
            Unexpected::Str(text) => quoted(text),
            Unexpected::Seq => "a list".into(),
            Unexpected::Map => "a map".into(),
            Unexpected::Unit | Unexpected::Option => "nothing".into(),
            other => other.to_string(),
        };
        Self::custom(format!("{found} stands here where {expected} belongs"))
    }

    fn invalid_value(found: Unexpected<'_>, expected: &dyn serde::de::Expected) -> Self {
        Self::invalid_type(found, expected)
    }

    fn unknown_variant(variant: &str, expected: &'static [&'static str]) -> Self {
        let message = format!("{} is not one of {}", quoted(variant), expected.join(", "));
        let help = super::errors::closest(variant, expected.iter().copied());
        Self::Because { message, help: help.map(|word| format!("did you mean `{word}`?")) }
    }
}

#[derive(Clone, Copy, Debug)]
struct Reader<'de, 'p> {
    node: &'de Node,
    problems: &'p RefCell<Vec<Problem>>,
}

impl<'de> Reader<'de, '_> {
    fn with(self, node: &'de Node) -> Self {
        Self { node, ..self }
    }

    fn tell(self, problem: Problem) {
        self.problems.borrow_mut().push(problem);
    }

    fn mistaken(self, expected: &dyn serde::de::Expected) -> Wrong {
        match &self.node.value {
            Value::Wrong => Wrong::Told,
            Value::Null => Wrong::invalid_type(Unexpected::Unit, expected),
            Value::Scalar { text, .. } => Wrong::invalid_type(Unexpected::Str(text), expected),
            Value::List(_) => Wrong::invalid_type(Unexpected::Seq, expected),
            Value::Map(_) => Wrong::invalid_type(Unexpected::Map, expected),
        }
    }

    fn number<T: std::str::FromStr>(self, expected: &dyn serde::de::Expected) -> Result<T, Wrong> {
        let parsed = self.node.scalar().and_then(|text| text.parse().ok());
        parsed.ok_or_else(|| self.mistaken(expected))
    }
}

impl<'de> Deserializer<'de> for Reader<'de, '_> {
    type Error = Wrong;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        match &self.node.value {
            Value::Wrong => Err(Wrong::Told),
            Value::Null => visitor.visit_unit(),
            Value::Scalar { text, plain: true } => match text.as_str() {
                "true" => visitor.visit_bool(true),
                "false" => visitor.visit_bool(false),
                text => match (text.parse::<i64>(), text.parse::<f64>()) {
                    (Ok(number), _) => visitor.visit_i64(number),
                    (Err(_), Ok(number)) if number.is_finite() => visitor.visit_f64(number),
                    _ => visitor.visit_str(text),
                },
            },
            Value::Scalar { text, plain: false } => visitor.visit_str(text),
            Value::List(items) => visitor.visit_seq(Items { reader: self, items: items.iter() }),
            Value::Map(_) => self.deserialize_map(visitor),
        }
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        match &self.node.value {
            Value::Scalar { text, .. } => visitor.visit_str(text),
            Value::Null | Value::Wrong | Value::List(_) | Value::Map(_) => Err(self.mistaken(&visitor)),
        }
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        self.deserialize_str(visitor)
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        match self.node.scalar() {
            Some("true") => visitor.visit_bool(true),
            Some("false") => visitor.visit_bool(false),
            Some(_) | None => Err(self.mistaken(&"`true` or `false`")),
        }
    }

    fn deserialize_u16<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        visitor.visit_u16(self.number(&"a whole number up to 65535")?)
    }

    fn deserialize_u32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        visitor.visit_u32(self.number(&"a whole number")?)
    }

    fn deserialize_u64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        visitor.visit_u64(self.number(&"a whole number")?)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        // A key without a value is a key left out: what stood under it is commented out.
        if self.node.value == Value::Null { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, name: &'static str, visitor: V) -> Result<V::Value, Wrong> {
        match (name, &self.node.value) {
            (AT, _) => visitor.visit_seq(Placed { reader: self, step: 0 }),
            (MANY, Value::Scalar { .. }) => {
                visitor.visit_seq(Items { reader: self, items: std::slice::from_ref(self.node).iter() })
            }
            (MANY, _) => self.deserialize_seq(visitor),
            _ => visitor.visit_newtype_struct(self),
        }
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        match &self.node.value {
            Value::List(items) => visitor.visit_seq(Items { reader: self, items: items.iter() }),
            Value::Null | Value::Wrong | Value::Scalar { .. } | Value::Map(_) => Err(self.mistaken(&"a list")),
        }
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        match &self.node.value {
            Value::Map(entries) => {
                visitor.visit_map(Keys { reader: self, entries: entries.iter(), value: None, fields: None })
            }
            Value::Null | Value::Wrong | Value::Scalar { .. } | Value::List(_) => Err(self.mistaken(&"a map")),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Wrong> {
        match &self.node.value {
            Value::Map(entries) => {
                visitor.visit_map(Keys { reader: self, entries: entries.iter(), value: None, fields: Some(fields) })
            }
            Value::Null | Value::Wrong | Value::Scalar { .. } | Value::List(_) => {
                Err(self.mistaken(&format!("a map with the keys {}", fields.join(", ")).as_str()))
            }
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Wrong> {
        match self.node.scalar() {
            Some(text) => {
                let word: StrDeserializer<'_, Wrong> = text.into_deserializer();
                visitor.visit_enum(word)
            }
            None => Err(self.mistaken(&format!("one of {}", variants.join(", ")).as_str())),
        }
    }

    forward_to_deserialize_any! {
        i8 i16 i32 i64 i128 u8 u128 f32 f64 char bytes byte_buf unit unit_struct tuple tuple_struct identifier ignored_any
    }
}

struct Items<'de, 'p> {
    reader: Reader<'de, 'p>,
    items: std::slice::Iter<'de, Node>,
}

impl<'de> SeqAccess<'de> for Items<'de, '_> {
    type Error = Wrong;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Wrong> {
        self.items.next().map(|node| seed.deserialize(self.reader.with(node))).transpose()
    }
}

/// The entries of a map; of a struct where `fields` are known, without those it does not have.
struct Keys<'de, 'p> {
    reader: Reader<'de, 'p>,
    entries: std::slice::Iter<'de, (Node, Node)>,
    value: Option<&'de Node>,
    fields: Option<&'static [&'static str]>,
}

impl<'de> MapAccess<'de> for Keys<'de, '_> {
    type Error = Wrong;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Wrong> {
        for (key, value) in self.entries.by_ref() {
            let name = key.scalar().unwrap_or_default();
            if let Some(fields) = self.fields
                && !fields.contains(&name)
            {
                let problem = Problem::new(&key.at, format!("the key {} is not known here", quoted(name)));
                self.reader.tell(Problem { help: suggestion(name, fields), ..problem });
                continue;
            }
            self.value = Some(value);
            let reader = self.reader.with(key);
            return match self.fields {
                Some(_) => seed.deserialize(IntoDeserializer::<Wrong>::into_deserializer(name)).map(Some),
                None => seed.deserialize(reader).map(Some),
            };
        }
        Ok(None)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Wrong> {
        let node = self.value.take().ok_or(Wrong::Told)?;
        seed.deserialize(self.reader.with(node))
    }
}

/// What [`At`] sees: start, end and the value, if there is one.
struct Placed<'de, 'p> {
    reader: Reader<'de, 'p>,
    step: u8,
}

impl<'de> SeqAccess<'de> for Placed<'de, '_> {
    type Error = Wrong;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Wrong> {
        self.step += 1;
        let at = &self.reader.node.at;
        match self.step {
            1 => seed.deserialize(at.start.into_deserializer()).map(Some),
            2 => seed.deserialize(at.end.into_deserializer()).map(Some),
            _ => match seed.deserialize(self.reader) {
                Ok(value) => Ok(Some(value)),
                Err(wrong) => {
                    if let Some(problem) = wrong.at(at) {
                        self.reader.tell(problem);
                    }
                    Ok(None)
                }
            },
        }
    }
}
