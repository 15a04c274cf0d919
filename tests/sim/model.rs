//! The state, folded a second time: over `serde_json::Value`, written from the
//! RFCs and independent of adrt's own engine.

use adrt::engines::state::Format;
use serde_json::{Map, Value};

/// The state after a change; `None` if it does not apply.
pub fn apply(state: &Value, format: Format, patch: &Value) -> Option<Value> {
    match format {
        Format::Set => patch.is_object().then(|| patch.clone()),
        Format::Merge => Some(merge(state, patch)),
        Format::Shallow => {
            let mut next = state.clone();
            let members = next.as_object_mut()?;
            for (name, value) in patch.as_object()? {
                members.insert(name.clone(), value.clone());
            }
            Some(next)
        }
        Format::Json => patch.as_array()?.iter().try_fold(state.clone(), json_op),
        Format::Many => patch.as_array()?.iter().try_fold(state.clone(), |state, part| {
            apply(&state, Format::from_name(part["format"].as_str()?)?, &part["patch"])
        }),
    }
}

/// RFC 7396.
fn merge(target: &Value, patch: &Value) -> Value {
    let Some(changes) = patch.as_object() else { return patch.clone() };
    let mut result = target.as_object().cloned().unwrap_or_else(Map::new);
    for (name, change) in changes {
        if change.is_null() {
            result.remove(name);
        } else {
            let before = result.get(name).cloned().unwrap_or(Value::Null);
            result.insert(name.clone(), merge(&before, change));
        }
    }
    Value::Object(result)
}

/// RFC 6902, as far as the scripted agent goes: paths without escapes.
fn json_op(mut state: Value, op: &Value) -> Option<Value> {
    let path = op["path"].as_str()?;
    match op["op"].as_str()? {
        "add" => add(&mut state, path, op["value"].clone())?,
        "remove" => drop(remove(&mut state, path)?),
        "replace" => *state.pointer_mut(path)? = op["value"].clone(),
        "test" => (state.pointer(path)? == &op["value"]).then_some(())?,
        "copy" => {
            let value = state.pointer(op["from"].as_str()?)?.clone();
            add(&mut state, path, value)?;
        }
        "move" => {
            let value = remove(&mut state, op["from"].as_str()?)?;
            add(&mut state, path, value)?;
        }
        other => panic!("the script has an operation {other}"),
    }
    Some(state)
}

fn parent<'a, 'p>(state: &'a mut Value, path: &'p str) -> Option<(&'a mut Value, &'p str)> {
    let (parent, last) = path.rsplit_once('/')?;
    Some((state.pointer_mut(parent)?, last))
}

fn add(state: &mut Value, path: &str, value: Value) -> Option<()> {
    let (parent, last) = parent(state, path)?;
    match parent {
        Value::Object(members) => drop(members.insert(last.into(), value)),
        Value::Array(list) => {
            let at = if last == "-" { list.len() } else { last.parse().ok()? };
            (at <= list.len()).then(|| list.insert(at, value))?;
        }
        _ => return None,
    }
    Some(())
}

fn remove(state: &mut Value, path: &str) -> Option<Value> {
    let (parent, last) = parent(state, path)?;
    match parent {
        Value::Object(members) => members.remove(last),
        Value::Array(list) => {
            let at = last.parse().ok()?;
            (at < list.len()).then(|| list.remove(at))
        }
        _ => None,
    }
}

#[test]
fn the_model_does_what_the_rfcs_say() {
    let of = |text: &str| serde_json::from_str::<Value>(text).unwrap();
    let cases = [
        (
            r#"{"a":"b","c":{"d":"e","f":"g"}}"#,
            Format::Merge,
            r#"{"a":"z","c":{"f":null}}"#,
            Some(r#"{"a":"z","c":{"d":"e"}}"#),
        ),
        (r#"{"a":{"b":1}}"#, Format::Merge, r#"{"a":[1]}"#, Some(r#"{"a":[1]}"#)),
        (r#"{"a":1}"#, Format::Shallow, r#"{"a":null}"#, Some(r#"{"a":null}"#)),
        (
            r#"{"l":[1,3]}"#,
            Format::Json,
            r#"[{"op":"add","path":"/l/1","value":2}]"#,
            Some(r#"{"l":[1,2,3]}"#),
        ),
        (r#"{"l":[1]}"#, Format::Json, r#"[{"op":"remove","path":"/l/1"}]"#, None),
        (
            r#"{"a":1}"#,
            Format::Json,
            r#"[{"op":"move","from":"/a","path":"/b"}]"#,
            Some(r#"{"b":1}"#),
        ),
    ];
    for (state, format, patch, expected) in cases {
        assert_eq!(apply(&of(state), format, &of(patch)), expected.map(of), "{patch}");
    }
}
