use std::borrow::Cow;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// What a store keeps, by a key that it never changes.
pub trait Record: Serialize + DeserializeOwned + Clone + Send + Sync + 'static {
    /// The key, of which there is one record at most.
    fn key(&self) -> Cow<'_, str>;
}

/// The names of the fields in which two records differ, with a dot before those of an object within. Empty where they
/// are the same. A record that serde makes nothing of differs as a whole.
pub(super) fn differing_fields<R: Record>(one: &R, other: &R) -> Vec<String> {
    let (Ok(one), Ok(other)) = (serde_json::to_value(one), serde_json::to_value(other)) else {
        return vec!["(the record)".to_owned()];
    };
    let mut fields = Vec::new();
    compare("", &one, &other, &mut fields);
    fields
}

pub(super) fn same<R: Record>(one: Option<&R>, other: Option<&R>) -> bool {
    match (one, other) {
        (None, None) => true,
        (Some(one), Some(other)) => differing_fields(one, other).is_empty(),
        _ => false,
    }
}

fn compare(name: &str, one: &Value, other: &Value, fields: &mut Vec<String>) {
    let (Value::Object(ones), Value::Object(others)) = (one, other) else {
        if one != other {
            fields.push(if name.is_empty() { "(the record)" } else { name }.to_owned());
        }
        return;
    };
    let named = |field: &str| {
        if name.is_empty() {
            field.to_owned()
        } else {
            format!("{name}.{field}")
        }
    };
    for (field, value) in ones {
        match others.get(field) {
            Some(other) => compare(&named(field), value, other, fields),
            None => fields.push(named(field)),
        }
    }
    fields.extend(
        others
            .keys()
            .filter(|field| !ones.contains_key(*field))
            .map(|field| named(field)),
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    fn differing(one: &str, other: &str) -> Vec<String> {
        let mut fields = Vec::new();
        compare(
            "",
            &serde_json::from_str(one).unwrap(),
            &serde_json::from_str(other).unwrap(),
            &mut fields,
        );
        fields
    }

    #[test]
    fn fields_that_differ_are_named_wherever_they_are() {
        let one = r#"{"id": "a", "name": "Ada", "settings": {"theme": "dark", "size": 1}, "gone": null}"#;
        let other = r#"{"id": "a", "name": "Eve", "settings": {"theme": "dark", "size": 2}, "new": 1}"#;
        assert_eq!(differing(one, other), ["gone", "name", "settings.size", "new"]);
        assert!(differing(one, one).is_empty());
        assert_eq!(differing("1", "2"), ["(the record)"]);
    }
}
