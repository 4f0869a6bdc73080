//! `field`: takes the fields of an object one by one; what is left at the end is unknown, and a problem.

use std::collections::BTreeMap;
use std::fmt;

use super::document::Value;
use super::problem::Problems;

/// The fields of an object that nobody took yet.
pub(super) struct Fields {
    path: String,
    values: BTreeMap<String, Value>,
}

/// A field that is refused, and why; the text ends with the fix.
pub(super) type Refusal = (&'static str, &'static str);

impl Fields {
    /// The fields of the object at a path.
    pub(super) fn new(path: String, values: BTreeMap<String, Value>) -> Self {
        Self { path, values }
    }

    /// The path of a field.
    pub(super) fn path(&self, name: &str) -> String {
        if self.path.is_empty() {
            name.to_owned()
        } else {
            format!("{}.{name}", self.path)
        }
    }

    /// A text. `null` is none, here and below.
    pub(super) fn text(&mut self, name: &str, problems: &mut Problems) -> Option<String> {
        let value = self.take(name)?;
        if let Value::Text(text) = value {
            return Some(text);
        }
        wrong(&self.path(name), "a text", &value, problems);
        None
    }

    /// A flag; one that is none is false.
    pub(super) fn flag(&mut self, name: &str, problems: &mut Problems) -> bool {
        let Some(value) = self.take(name) else {
            return false;
        };
        if let Value::Flag(flag) = value {
            return flag;
        }
        wrong(&self.path(name), "true or false", &value, problems);
        false
    }

    /// A whole number from 0.
    pub(super) fn number(&mut self, name: &str, problems: &mut Problems) -> Option<u64> {
        let value = self.take(name)?;
        let path = self.path(name);
        if let Value::Whole(number) = value {
            return Some(number);
        }
        if let Value::Number(text) = value {
            problems.add_value(&path, &text, "write a whole number from 0");
        } else {
            wrong(&path, "a whole number", &value, problems);
        }
        None
    }

    /// A list of texts; one that is none is empty. Items of another kind are left out, with a problem.
    pub(super) fn texts(&mut self, name: &str, problems: &mut Problems) -> Vec<String> {
        let path = self.path(name);
        let items = self.list(name, problems).into_iter().enumerate();
        let texts = items.filter_map(|(number, item)| {
            if let Value::Text(text) = item {
                return Some(text);
            }
            wrong(&format_args!("{path}[{number}]"), "a text", &item, problems);
            None
        });
        texts.collect()
    }

    /// An object.
    pub(super) fn object(&mut self, name: &str, problems: &mut Problems) -> Option<Self> {
        let value = self.take(name)?;
        let path = self.path(name);
        if let Value::Object(values) = value {
            return Some(Self::new(path, values));
        }
        wrong(&path, "an object", &value, problems);
        None
    }

    /// A list of objects; one that is none is empty.
    pub(super) fn objects(&mut self, name: &str, problems: &mut Problems) -> Vec<Self> {
        let path = self.path(name);
        let items = self.list(name, problems).into_iter().enumerate();
        let objects = items.filter_map(|(number, item)| {
            let path = format!("{path}[{number}]");
            if let Value::Object(values) = item {
                return Some(Self::new(path, values));
            }
            wrong(&path, "an object", &item, problems);
            None
        });
        objects.collect()
    }

    /// An object whose values are all texts.
    pub(super) fn text_map(
        &mut self,
        name: &str,
        problems: &mut Problems,
    ) -> BTreeMap<String, String> {
        let Some(object) = self.object(name, problems) else {
            return BTreeMap::new();
        };
        let path = object.path;
        let texts = object.values.into_iter().filter_map(|(name, value)| {
            if let Value::Text(text) = value {
                return Some((name, text));
            }
            wrong(&format_args!("{path}[{name}]"), "a text", &value, problems);
            None
        });
        texts.collect()
    }

    /// Fields that cannot be done. One that asks for nothing (`null`, `false`, `0`, empty) is let through, as some programs
    /// write every field.
    pub(super) fn refuse(&mut self, refusals: &[Refusal], problems: &mut Problems) {
        for (name, rule) in refusals {
            if self.take(name).is_some_and(|value| !value.asks_nothing()) {
                problems.add(&self.path(name), rule);
            }
        }
    }

    /// Sections that cannot be done, even if they are empty: they say what kind of container this is.
    pub(super) fn refuse_section(&mut self, refusals: &[Refusal], problems: &mut Problems) {
        for (name, rule) in refusals {
            if self.take(name).is_some() {
                problems.add(&self.path(name), rule);
            }
        }
    }

    /// Fields that mean nothing for a HostProcess container, whatever they have.
    pub(super) fn pass(&mut self, names: &[&str]) {
        for name in names {
            self.values.remove(*name);
        }
    }

    /// What is left is unknown.
    pub(super) fn finish(self, problems: &mut Problems) {
        for name in self.values.keys() {
            let rule = "this field is unknown; remove it, or correct its name";
            problems.add(&self.path(name), rule);
        }
    }

    fn list(&mut self, name: &str, problems: &mut Problems) -> Vec<Value> {
        let Some(value) = self.take(name) else {
            return Vec::new();
        };
        if let Value::List(list) = value {
            return list;
        }
        wrong(&self.path(name), "a list", &value, problems);
        Vec::new()
    }

    fn take(&mut self, name: &str) -> Option<Value> {
        self.values
            .remove(name)
            .filter(|value| *value != Value::Null)
    }
}

fn wrong(path: &dyn fmt::Display, wanted: &str, value: &Value, problems: &mut Problems) {
    let rule = format_args!("it is {}; write {wanted}", value.kind());
    problems.add(&path.to_string(), rule);
}

#[cfg(test)]
mod tests {
    use super::super::document;
    use super::*;

    fn fields(json: &str, read: impl Fn(&mut Fields, &mut Problems)) -> String {
        let mut problems = Problems::default();
        let mut fields = document::read(json.as_bytes(), &mut problems).unwrap();
        read(&mut fields, &mut problems);
        fields.finish(&mut problems);
        problems.to_string()
    }

    #[test]
    fn a_value_of_another_kind_is_a_problem_with_its_place() {
        let json = r#"{"a":1,"b":"x","c":-1,"d":[1,"x"],"e":[[]],"f":{"g":2},"h":1.5}"#;
        let text = fields(json, |fields, problems| {
            assert_eq!(fields.text("a", problems), None);
            assert!(!fields.flag("b", problems));
            assert_eq!(fields.number("c", problems), None);
            assert_eq!(fields.texts("d", problems), ["x"]);
            assert!(fields.objects("e", problems).is_empty());
            assert!(fields.text_map("f", problems).is_empty());
            assert_eq!(fields.number("h", problems), None);
        });
        let places: Vec<_> = text
            .lines()
            .map(|line| line.split(':').next().unwrap())
            .collect();
        assert_eq!(places, ["a", "b", "c", "d[0]", "e[0]", "f[g]", "h"]);
        assert!(!text.contains("(it is \"x\")"), "{text}");
    }

    #[test]
    fn a_field_that_asks_for_something_is_refused_and_one_that_asks_for_nothing_is_not() {
        let refusals: [Refusal; 3] = [("a", "no a"), ("b", "no b"), ("c", "no c")];
        let json = r#"{"a":{"x":[],"y":0,"z":""},"b":[false],"c":null,"d":{}}"#;
        let text = fields(json, |fields, problems| {
            fields.refuse(&refusals, problems);
            fields.refuse_section(&[("d", "no d")], problems);
        });
        assert_eq!(text, "b: no b\nd: no d");
    }

    #[test]
    fn what_nobody_took_is_unknown() {
        let text = fields(r#"{"root":{},"rooot":1}"#, |fields, _| {
            fields.pass(&["root"]);
        });
        assert!(text.starts_with("rooot: this field is unknown"), "{text}");
    }
}
