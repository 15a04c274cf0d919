//! The same things the slow way: values as plain trees that keep their order,
//! and patches as the RFCs' pseudo code has them.

use proptest::prelude::*;

/// A JSON value.
#[derive(Debug, Clone, PartialEq)]
pub enum J {
    /// The text of a number, a string or a word.
    Scalar(String),
    Array(Vec<J>),
    Object(Vec<(String, J)>),
}

/// A JSON Patch operation.
#[derive(Debug, Clone)]
pub enum Op {
    Add(String, J),
    Remove(String),
    Replace(String, J),
    Move(String, String),
    Copy(String, String),
    Test(String, J),
}

impl J {
    pub fn text(&self) -> String {
        match self {
            Self::Scalar(text) => text.clone(),
            Self::Array(elements) => {
                let elements: Vec<_> = elements.iter().map(J::text).collect();
                format!("[{}]", elements.join(","))
            }
            Self::Object(members) => {
                let literal = |key: &str| serde_json::to_string(key).unwrap();
                let members: Vec<_> = members
                    .iter()
                    .map(|(key, value)| format!("{}:{}", literal(key), value.text()))
                    .collect();
                format!("{{{}}}", members.join(","))
            }
        }
    }

    fn is_null(&self) -> bool {
        *self == Self::Scalar("null".into())
    }

    pub fn insert(&mut self, key: &str, value: J) {
        let Self::Object(members) = self else { panic!("an object") };
        match members.iter_mut().find(|(name, _)| name == key) {
            Some((_, old)) => *old = value,
            None => members.push((key.to_owned(), value)),
        }
    }

    fn take(&mut self, key: &str) -> Option<J> {
        let Self::Object(members) = self else { panic!("an object") };
        let place = members.iter().position(|(name, _)| name == key)?;
        Some(members.remove(place).1)
    }

    /// The function `MergePatch` of RFC 7396.
    pub fn merge(&mut self, patch: &J) {
        let Self::Object(members) = patch else {
            *self = patch.clone();
            return;
        };
        if !matches!(self, Self::Object(_)) {
            *self = Self::Object(Vec::new());
        }
        for (key, value) in members {
            if value.is_null() {
                self.take(key);
                continue;
            }
            let Self::Object(own) = self else { unreachable!() };
            match own.iter_mut().find(|(name, _)| name == key) {
                Some((_, old)) => old.merge(value),
                None => {
                    let mut new = Self::Scalar("null".into());
                    new.merge(value);
                    own.push((key.clone(), new));
                }
            }
        }
    }

    pub fn get(&self, pointer: &str) -> Option<&J> {
        tokens(pointer).iter().try_fold(self, |value, token| match value {
            Self::Scalar(_) => None,
            Self::Array(elements) => elements.get(index(token)?),
            Self::Object(members) => {
                members.iter().find(|(key, _)| key == token).map(|(_, value)| value)
            }
        })
    }

    fn parent(&mut self, pointer: &str) -> Option<(&mut J, String)> {
        let mut tokens = tokens(pointer);
        let last = tokens.pop()?;
        let parent = tokens.iter().try_fold(self, |value, token| match value {
            Self::Scalar(_) => None,
            Self::Array(elements) => elements.get_mut(index(token)?),
            Self::Object(members) => {
                members.iter_mut().find(|(key, _)| key == token).map(|(_, value)| value)
            }
        })?;
        Some((parent, last))
    }

    fn add(&mut self, pointer: &str, value: J) -> Option<()> {
        if pointer.is_empty() {
            *self = value;
            return Some(());
        }
        match self.parent(pointer)? {
            (Self::Scalar(_), _) => None,
            (Self::Array(elements), last) => {
                let index = if last == "-" { elements.len() } else { index(&last)? };
                (index <= elements.len()).then(|| elements.insert(index, value))
            }
            (object, last) => {
                object.insert(&last, value);
                Some(())
            }
        }
    }

    fn remove(&mut self, pointer: &str) -> Option<J> {
        match self.parent(pointer)? {
            (Self::Scalar(_), _) => None,
            (Self::Array(elements), last) => {
                let index = index(&last)?;
                (index < elements.len()).then(|| elements.remove(index))
            }
            (object, last) => object.take(&last),
        }
    }

    /// `None` if it fails.
    pub fn run(&mut self, op: &Op) -> Option<()> {
        match op {
            Op::Add(path, value) => self.add(path, value.clone())?,
            Op::Remove(path) => drop(self.remove(path)?),
            Op::Replace(path, value) => {
                self.get(path)?;
                if path.is_empty() {
                    *self = value.clone();
                } else {
                    let (parent, last) = self.parent(path)?;
                    match parent {
                        Self::Array(elements) => elements[index(&last)?] = value.clone(),
                        object => object.insert(&last, value.clone()),
                    }
                }
            }
            Op::Move(from, path) => {
                self.get(from)?;
                if path.starts_with(&format!("{from}/")) {
                    return None;
                }
                if from != path {
                    let value = self.remove(from)?;
                    self.add(path, value)?;
                }
            }
            Op::Copy(from, path) => {
                let value = self.get(from)?.clone();
                self.add(path, value)?;
            }
            Op::Test(path, value) => {
                let value_of = |value: &J| -> serde_json::Value {
                    serde_json::from_str(&value.text()).unwrap()
                };
                (value_of(self.get(path)?) == value_of(value)).then_some(())?;
            }
        }
        matches!(self, Self::Object(_)).then_some(())
    }
}

impl Op {
    pub fn text(&self) -> String {
        let quoted = |text: &str| serde_json::to_string(text).unwrap();
        match self {
            Self::Add(path, value) => {
                format!(r#"{{"op":"add","path":{},"value":{}}}"#, quoted(path), value.text())
            }
            Self::Remove(path) => format!(r#"{{"path":{},"op":"remove"}}"#, quoted(path)),
            Self::Replace(path, value) => {
                format!(r#"{{"value":{},"op":"replace","path":{}}}"#, value.text(), quoted(path))
            }
            Self::Move(from, path) => {
                format!(r#"{{"op":"move","from":{},"path":{}}}"#, quoted(from), quoted(path))
            }
            Self::Copy(from, path) => {
                format!(r#"{{"op":"copy","from":{},"path":{}}}"#, quoted(from), quoted(path))
            }
            Self::Test(path, value) => {
                format!(r#"{{"op":"test","path":{},"value":{}}}"#, quoted(path), value.text())
            }
        }
    }
}

fn tokens(pointer: &str) -> Vec<String> {
    pointer.split('/').skip(1).map(|token| token.replace("~1", "/").replace("~0", "~")).collect()
}

fn index(token: &str) -> Option<usize> {
    let number: usize = token.parse().ok()?;
    (number.to_string() == token).then_some(number)
}

// ---------------------------------------------------------------- at random

/// Few names, so that patches meet what is there.
const NAMES: [&str; 8] = ["a", "b", "c", "", "é\"", "m/n", "~", "0"];

fn name() -> impl Strategy<Value = String> {
    prop::sample::select(NAMES.to_vec()).prop_map(str::to_owned)
}

fn scalar() -> impl Strategy<Value = J> {
    let scalars = ["null", "null", "true", "0", "-1", "17", "\"\"", "\"null\"", "\"a b\""];
    prop::sample::select(scalars.to_vec()).prop_map(|text| J::Scalar(text.to_owned()))
}

/// Any value.
pub fn value() -> impl Strategy<Value = J> {
    scalar().prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            1 => proptest::collection::vec(inner.clone(), 0..4).prop_map(J::Array),
            3 => members(inner),
        ]
    })
}

fn members(inner: impl Strategy<Value = J>) -> impl Strategy<Value = J> {
    proptest::collection::vec((name(), inner), 0..5).prop_map(|members| {
        let mut object = J::Object(Vec::new());
        for (key, value) in members {
            object.insert(&key, value);
        }
        object
    })
}

/// Any object.
pub fn object() -> impl Strategy<Value = J> {
    members(value())
}

/// A pointer that has some chance to lead somewhere.
pub fn pointer() -> impl Strategy<Value = String> {
    let token = prop_oneof![
        6 => name().prop_map(|name| name.replace('~', "~0").replace('/', "~1")),
        3 => (0usize..4).prop_map(|index| index.to_string()),
        1 => Just("-".to_owned()),
        1 => Just("01".to_owned()),
    ];
    proptest::collection::vec(token, 0..4)
        .prop_map(|tokens| tokens.iter().map(|token| format!("/{token}")).collect())
}

/// Any operation.
pub fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        4 => (pointer(), value()).prop_map(|(path, value)| Op::Add(path, value)),
        1 => pointer().prop_map(Op::Remove),
        2 => (pointer(), value()).prop_map(|(path, value)| Op::Replace(path, value)),
        2 => (pointer(), pointer()).prop_map(|(from, path)| Op::Move(from, path)),
        2 => (pointer(), pointer()).prop_map(|(from, path)| Op::Copy(from, path)),
        1 => (pointer(), value()).prop_map(|(path, value)| Op::Test(path, value)),
    ]
}
