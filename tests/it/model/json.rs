//! JSON as the operators of jsonb see it.

use std::fmt::Write as _;

use serde_json::Value;

/// What `#>>` finds, as text.
pub(super) fn json_text(value: &Value, path: &[String]) -> Option<String> {
    let mut found = value;
    for step in path {
        found = match found {
            Value::Object(object) => object.get(step)?,
            Value::Array(list) => list.get(step.parse::<usize>().ok()?)?,
            _ => return None,
        };
    }
    match found {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        other => Some(json_spelt(other)),
    }
}

/// As PostgreSQL writes jsonb: shorter keys first, and blanks after its marks.
fn json_spelt(value: &Value) -> String {
    let mut text = String::new();
    match value {
        Value::Array(list) => {
            let list: Vec<String> = list.iter().map(json_spelt).collect();
            let _ = write!(text, "[{}]", list.join(", "));
        }
        Value::Object(object) => {
            let mut keys: Vec<&String> = object.keys().collect();
            keys.sort_by_key(|key| (key.len(), (*key).clone()));
            let pairs: Vec<String> = (keys.into_iter())
                .map(|key| format!("{}: {}", Value::String(key.clone()), json_spelt(&object[key])))
                .collect();
            let _ = write!(text, "{{{}}}", pairs.join(", "));
        }
        leaf => text = leaf.to_string(),
    }
    text
}

/// Whether JSON has all that another has, as `@>` says.
pub(super) fn json_contains(one: &Value, other: &Value) -> bool {
    // A leaf counts as an array of itself, which contains no real array.
    if let (Value::Array(list), leaf) = (one, other)
        && is_leaf(leaf)
    {
        return list.contains(leaf);
    }
    json_within(one, other)
}

fn json_within(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Object(one), Value::Object(other)) => other
            .iter()
            .all(|(key, value)| one.get(key).is_some_and(|of| json_within(of, value))),
        (Value::Array(one), Value::Array(other)) => other
            .iter()
            .all(|value| one.iter().any(|of| json_within(of, value))),
        (one, other) => is_leaf(one) && one == other,
    }
}

fn is_leaf(value: &Value) -> bool {
    !matches!(value, Value::Array(_) | Value::Object(_))
}

/// Whether JSON has a key, as `?` says.
pub(super) fn json_has_key(value: &Value, key: &str) -> bool {
    match value {
        Value::Object(object) => object.contains_key(key),
        Value::Array(list) => list.iter().any(|of| of == key),
        Value::String(text) => text == key,
        _ => false,
    }
}
