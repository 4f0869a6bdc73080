//! `document`: bytes of JSON to a tree, with bounds on everything a hostile document could use to hurt.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fmt;

use serde::de::{DeserializeSeed, Error as _, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::field::Fields;
use super::problem::Problems;

/// The largest document, in bytes: the kubelet's own objects end at 1.5 MB.
pub const LARGEST: usize = 10 * 1024 * 1024;

/// The most values in a document. With [`LARGEST`] it bounds what a tree takes to 64 MB.
const MOST_VALUES: usize = 50_000;

/// The deepest nesting. The OCI spec needs 6.
const DEEPEST: usize = 32;

/// What PowerShell writes before a text in UTF-8.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// A value of JSON.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    Null,
    Flag(bool),
    Whole(u64),
    /// A number that is negative, has a fraction or is too large, as it is printed.
    Number(String),
    Text(String),
    List(Vec<Self>),
    Object(BTreeMap<String, Self>),
}

impl Value {
    /// Whether the value is what a program writes that asks for nothing.
    pub(super) fn asks_nothing(&self) -> bool {
        match self {
            Self::Null | Self::Flag(false) | Self::Whole(0) => true,
            Self::Text(text) => text.is_empty(),
            Self::List(list) => list.is_empty(),
            Self::Object(fields) => fields.values().all(Self::asks_nothing),
            Self::Flag(true) | Self::Whole(_) | Self::Number(_) => false,
        }
    }

    /// What it is, in words.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Null => "nothing",
            Self::Flag(_) => "true or false",
            Self::Whole(_) | Self::Number(_) => "a number",
            Self::Text(_) => "a text",
            Self::List(_) => "a list",
            Self::Object(_) => "an object",
        }
    }
}

/// Reads a document that is one object; none where it is not one at all, and says why.
pub(super) fn read(bytes: &[u8], problems: &mut Problems) -> Option<Fields> {
    if bytes.len() > LARGEST {
        let rule = format_args!(
            "it has {} bytes; make it smaller than {LARGEST}",
            bytes.len()
        );
        problems.add("", rule);
        return None;
    }
    let bytes = bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(bytes);
    let bounds = Bounds {
        values: Cell::new(0),
        problems: RefCell::new(problems),
    };
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let tree = Node {
        bounds: &bounds,
        place: Place::TOP,
        depth: 0,
    }
    .deserialize(&mut reader)
    .and_then(|tree| reader.end().map(|()| tree));
    match tree {
        Ok(Value::Object(values)) => Some(Fields::new(String::new(), values)),
        Ok(other) => {
            let rule = format_args!("it is {}; write one object in braces", other.kind());
            problems.add("", rule);
            None
        }
        Err(error) => {
            problems.add("", format_args!("it cannot be read as JSON: {error}"));
            None
        }
    }
}

/// What the whole document may have, and where problems go.
struct Bounds<'b> {
    values: Cell<usize>,
    problems: RefCell<&'b mut Problems>,
}

/// Where a value stands, as a chain up to the top.
#[derive(Clone, Copy)]
struct Place<'a> {
    above: Option<&'a Self>,
    step: Step<'a>,
}

#[derive(Clone, Copy)]
enum Step<'a> {
    Top,
    Field(&'a str),
    Item(usize),
}

impl Place<'_> {
    const TOP: Place<'static> = Place {
        above: None,
        step: Step::Top,
    };
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(above) = self.above {
            above.fmt(f)?;
        }
        let is_first = self
            .above
            .is_none_or(|above| matches!(above.step, Step::Top));
        match self.step {
            Step::Top => Ok(()),
            Step::Field(name) if is_first => f.write_str(name),
            Step::Field(name) => write!(f, ".{name}"),
            Step::Item(number) => write!(f, "[{number}]"),
        }
    }
}

/// Reads one value and all below it.
struct Node<'a, 'b> {
    bounds: &'a Bounds<'b>,
    place: Place<'a>,
    depth: usize,
}

impl Node<'_, '_> {
    /// Goes one level down, if that is allowed.
    fn deeper<E: serde::de::Error>(&self) -> Result<usize, E> {
        if self.depth < DEEPEST {
            return Ok(self.depth + 1);
        }
        let place = super::problem::shorten(&self.place.to_string());
        Err(E::custom(format_args!(
            "{place} is nested more than {DEEPEST} levels deep"
        )))
    }
}

impl<'de> DeserializeSeed<'de> for Node<'_, '_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        let count = self.bounds.values.get() + 1;
        if count > MOST_VALUES {
            return Err(D::Error::custom(format_args!(
                "it has more than {MOST_VALUES} values"
            )));
        }
        self.bounds.values.set(count);
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Node<'_, '_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value of JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, flag: bool) -> Result<Value, E> {
        Ok(Value::Flag(flag))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Value, E> {
        Ok(Value::Whole(number))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Value, E> {
        Ok(Value::Number(number.to_string()))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Value, E> {
        Ok(Value::Number(number.to_string()))
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(Value::Text(text.to_owned()))
    }

    fn visit_string<E>(self, text: String) -> Result<Value, E> {
        Ok(Value::Text(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let depth = self.deeper()?;
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(Node {
            bounds: self.bounds,
            place: Place {
                above: Some(&self.place),
                step: Step::Item(list.len()),
            },
            depth,
        })? {
            list.push(item);
        }
        Ok(Value::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let depth = self.deeper()?;
        let mut fields = BTreeMap::new();
        while let Some(Name(name)) = entries.next_key()? {
            let place = Place {
                above: Some(&self.place),
                step: Step::Field(&name),
            };
            let value = entries.next_value_seed(Node {
                bounds: self.bounds,
                place,
                depth,
            })?;
            if fields.contains_key(&name) {
                let mut problems = self.bounds.problems.borrow_mut();
                // Two readers would take different ones: what one checked is not what the other runs.
                problems.add(&place.to_string(), "it is given twice; remove one");
                continue;
            }
            fields.insert(name, value);
        }
        Ok(Value::Object(fields))
    }
}

/// The name of a field.
#[derive(Deserialize)]
struct Name(String);

#[cfg(test)]
mod tests {
    use super::*;

    fn problems_of(bytes: &[u8]) -> String {
        let mut problems = Problems::default();
        let fields = read(bytes, &mut problems);
        assert!(fields.is_none() || problems.is_empty() || !problems.list().is_empty());
        problems.to_string()
    }

    #[test]
    fn what_is_no_document_says_why() {
        let deep = [b"{\"a\":".as_slice(), &b"[".repeat(10_000)].concat();
        let many = [b"{\"a\":[", b"1,".repeat(MOST_VALUES).as_slice()].concat();
        let table: [(&[u8], &str); 9] = [
            (b"", "EOF"),
            (b"[]", "it is a list"),
            (b"{} x", "trailing characters"),
            (b"{\"a\":\"\\ud800\"}", "hex escape"),
            (b"{\"a\":\"\xff\"}", "unicode"),
            (b"{\"a\":NaN}", "JSON"),
            (&deep, "levels deep"),
            (&many, "more than 50000 values"),
            (&vec![b' '; LARGEST + 1], "make it smaller than 10485760"),
        ];
        for (bytes, rule) in table {
            let text = problems_of(bytes);
            assert!(text.contains(rule), "{text}");
            assert!(text.len() < 500, "{text}");
        }
    }

    #[test]
    fn every_field_that_is_given_twice_is_named_with_its_place() {
        let text = problems_of(br#"{"a":1,"a":2,"b":[{"c":{"d":1,"d":2}}]}"#);
        let places: Vec<_> = text.lines().map(|line| line.split(':').next()).collect();
        assert_eq!(places, [Some("a"), Some("b[0].c.d")]);
    }

    #[test]
    fn a_document_that_powershell_wrote_can_be_read() {
        let bytes = [BYTE_ORDER_MARK, b"{}"].concat();
        assert_eq!(problems_of(&bytes), "");
    }
}
