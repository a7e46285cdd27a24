use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt;
use std::marker::PhantomData;

use serde::Deserialize;
use serde::de::{Deserializer, Error as _, MapAccess, Visitor};
use serde_json::{Map, Value};

/// What a data set gives for a column.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Cell {
    /// A value, as JSON.
    Value(Value),
    /// What another row has, which is named by its natural key.
    Row(Reference),
    /// What the host makes of a secret.
    Secret(MadeOf),
}

/// `{"$ref": {"table": "tools", "key": {"slug": "search"}}}`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Reference {
    pub(super) table: String,
    pub(super) key: Named<Cell>,
    /// What it has in that column; by default, what the foreign key or the table's own key says.
    pub(super) column: Option<String>,
}

/// `{"$secret": "ADMIN_PASSWORD", "as": "argon2"}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct MadeOf {
    pub(super) secret: SecretName,
    pub(super) form: String,
}

/// What a secret is called where it comes from. In capitals, so that a secret that was written in its place is
/// hardly ever one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct SecretName(pub(super) String);

/// Things by name, each named once.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Named<T>(pub(super) BTreeMap<String, T>);

impl<T> Default for Named<T> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

const NO_SECRET: &str = "a secret is named: {\"$secret\": \"NAME\"}, in capitals, digits and underscores";

const NO_FORM: &str = "a column holds what is made of a secret, never the secret: \"as\" says what";

const DIRECTIVES: [&str; 3] = ["$ref", "$secret", "$json"];

impl SecretName {
    /// Nothing of a text that is none is told: it may be the secret itself.
    fn of(value: &Value) -> Option<Self> {
        let text = value.as_str()?;
        let is_name = text.len() <= 100
            && text.starts_with(|first: char| first.is_ascii_uppercase())
            && text
                .bytes()
                .all(|byte| matches!(byte, b'A'..=b'Z' | b'0'..=b'9' | b'_'));
        is_name.then(|| Self(text.to_owned()))
    }
}

/// `{"$secret": "NAME"}` alone.
impl<'de> Deserialize<'de> for SecretName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        let named = value.as_object().filter(|object| object.len() == 1);
        named
            .and_then(|object| Self::of(object.get("$secret")?))
            .ok_or_else(|| D::Error::custom(NO_SECRET))
    }
}

impl Cell {
    fn of(value: Value) -> Result<Self, String> {
        let Value::Object(mut object) = value else {
            return plain(value).map(Self::Value);
        };
        if let Some(value) = object.remove("$json") {
            return alone(&object, "$json").map(|()| Self::Value(value));
        }
        if let Some(value) = object.remove("$ref") {
            alone(&object, "$ref")?;
            let reference = serde_json::from_value(value).map_err(|error| format!("$ref: {error}"))?;
            return Ok(Self::Row(reference));
        }
        if let Some(value) = object.remove("$secret") {
            let secret = SecretName::of(&value).ok_or(NO_SECRET)?;
            let Some(Value::String(form)) = object.remove("as") else {
                return Err(NO_FORM.to_owned());
            };
            return alone(&object, "$secret").map(|()| Self::Secret(MadeOf { secret, form }));
        }
        plain(Value::Object(object)).map(Self::Value)
    }

    /// The cell as one text, equal for equal cells.
    pub(super) fn text(&self) -> String {
        match self {
            Self::Value(value) => value.to_string(),
            Self::Row(reference) => {
                let column = reference.column.as_deref().unwrap_or_default();
                format!("{}.{column}{}", reference.table, reference.key.text())
            }
            Self::Secret(made) => format!("${}", made.secret.0),
        }
    }
}

impl Named<Cell> {
    pub(super) fn text(&self) -> String {
        let cells = self
            .0
            .iter()
            .map(|(name, cell)| format!("{name}={}", cell.text()));
        format!("({})", cells.collect::<Vec<_>>().join(", "))
    }
}

impl<'de> Deserialize<'de> for Cell {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::of(Value::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

fn alone(rest: &Map<String, Value>, directive: &str) -> Result<(), String> {
    if rest.is_empty() {
        return Ok(());
    }
    Err(format!("{directive} stands with other names"))
}

/// A directive that is not where one is read would be stored as it is written.
fn plain(value: Value) -> Result<Value, String> {
    let mut open = vec![&value];
    while let Some(value) = open.pop() {
        match value {
            Value::Array(values) => open.extend(values),
            Value::Object(object) => {
                if let Some(name) = object.keys().find(|name| DIRECTIVES.contains(&name.as_str())) {
                    return Err(format!(
                        "{name} stands inside a value: what is meant as it is written goes into {{\"$json\": …}}"
                    ));
                }
                open.extend(object.values());
            }
            _ => {}
        }
    }
    Ok(value)
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Named<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Names<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for Names<T> {
            type Value = Named<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Named<T>, A::Error> {
                let mut named = BTreeMap::new();
                while let Some(name) = map.next_key::<String>()? {
                    match named.entry(name) {
                        Entry::Vacant(vacant) => {
                            vacant.insert(map.next_value()?);
                        }
                        Entry::Occupied(twice) => {
                            return Err(A::Error::custom(format!("{} is named twice", twice.key())));
                        }
                    }
                }
                Ok(Named(named))
            }
        }

        deserializer.deserialize_map(Names(PhantomData))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn cell(value: Value) -> Result<Cell, String> {
        serde_json::from_value(value).map_err(|error| error.to_string())
    }

    #[test]
    fn a_cell_is_a_value_a_row_or_what_is_made_of_a_secret() {
        for value in [
            json!(null),
            json!(1.5),
            json!("a"),
            json!(["a", { "b": 1 }]),
            json!({}),
        ] {
            assert_eq!(cell(value.clone()), Ok(Cell::Value(value)));
        }
        assert_eq!(
            cell(json!({ "$json": { "$ref": "as it is" } })),
            Ok(Cell::Value(json!({ "$ref": "as it is" })))
        );
        let by_row = cell(json!({ "$ref": { "table": "links", "key": {
            "to": { "$ref": { "table": "tools", "key": { "slug": "a" } } }
        } } }));
        assert_eq!(by_row.unwrap().text(), "links.(to=tools.(slug=\"a\"))");
        let Ok(Cell::Secret(made)) = cell(json!({ "$secret": "A_1", "as": "argon2" })) else {
            panic!("it is a secret");
        };
        assert_eq!((made.secret.0.as_str(), made.form.as_str()), ("A_1", "argon2"));
    }

    #[test]
    fn a_directive_in_the_wrong_place_or_form_is_refused() {
        for wrong in [
            json!({ "$ref": { "table": "tools" } }),
            json!({ "$ref": { "table": "tools", "key": {}, "other": 1 } }),
            json!({ "$ref": { "table": "tools", "key": {} }, "other": 1 }),
            json!({ "$secret": "A" }),
            json!({ "$secret": "A", "as": "argon2", "other": 1 }),
            json!({ "settings": { "key": { "$secret": "A", "as": "argon2" } } }),
            json!([{ "$ref": { "table": "tools", "key": {} } }]),
        ] {
            assert!(cell(wrong.clone()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_secret_that_was_written_in_the_place_of_its_name_is_not_told() {
        for wrong in ["sk-planted", "planted", "Planted", "", "PLANTED planted"] {
            for form in [
                json!({ "$secret": wrong, "as": "argon2" }),
                json!({ "$secret": wrong }),
            ] {
                let error = cell(form.clone()).unwrap_err();
                let alone = serde_json::from_value::<SecretName>(form)
                    .unwrap_err()
                    .to_string();
                for error in [error, alone] {
                    assert!(!error.to_lowercase().contains("planted"), "{error}");
                }
            }
        }
        let misplaced = serde_json::from_value::<SecretName>(json!("sk-planted")).unwrap_err();
        assert!(!misplaced.to_string().contains("planted"));
    }

    #[test]
    fn nothing_is_named_twice() {
        let twice: Result<Named<Cell>, _> = serde_json::from_str(r#"{"a": 1, "b": 2, "a": 3}"#);
        assert!(twice.unwrap_err().to_string().starts_with("a is named twice"));
    }
}
