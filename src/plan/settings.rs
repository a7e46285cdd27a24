use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use serde::de::{DeserializeOwned, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

/// What a client has set for itself: free JSON by name. Cheap to clone.
///
/// Three names have a meaning: `branding` is an object, `providers` and `tools` are lists of names. The rest is the
/// host's. They are kept as text, of which each reading reads what it asks for: most clients that are remembered are
/// not asked for any.
#[derive(Clone, Default, PartialEq)]
pub struct Settings {
    /// An object; nothing where there are none.
    text: Arc<str>,
}

impl Settings {
    /// The setting of that name, if there is one.
    pub fn get(&self, name: &str) -> Option<Value> {
        // What was written as JSON is read as JSON.
        self.read(name).ok().flatten()
    }

    /// The setting of that name as a type of the host's, if there is one.
    ///
    /// # Errors
    /// What serde says where it is not of that type.
    pub fn read<T: DeserializeOwned>(&self, name: &str) -> serde_json::Result<Option<T>> {
        if self.text.is_empty() {
            return Ok(None);
        }
        serde_json::Deserializer::from_str(&self.text).deserialize_map(Named {
            name,
            of: PhantomData,
        })
    }

    /// How the client looks, as it named it: colours, a logo and whatever else the host knows.
    pub fn branding(&self) -> Option<Map<String, Value>> {
        self.read("branding").ok().flatten()
    }

    /// The providers that are enabled; `None` where the client does not say.
    pub fn providers(&self) -> Option<Vec<String>> {
        self.read("providers").ok().flatten()
    }

    /// The tools that are enabled; `None` where the client does not say.
    pub fn tools(&self) -> Option<Vec<String>> {
        self.read("tools").ok().flatten()
    }

    /// All of them.
    pub fn to_map(&self) -> Map<String, Value> {
        serde_json::from_str(&self.text).unwrap_or_default()
    }
}

impl From<Map<String, Value>> for Settings {
    fn from(settings: Map<String, Value>) -> Self {
        if settings.is_empty() {
            return Self::default();
        }
        let text = Value::Object(settings).to_string();
        Self { text: text.into() }
    }
}

impl<'de> Deserialize<'de> for Settings {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Map::deserialize(deserializer).map(Self::from)
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Settings({})", self.text)
    }
}

/// Reads one of the settings and passes over the others.
struct Named<'a, T> {
    name: &'a str,
    of: PhantomData<T>,
}

impl<'de, T: Deserialize<'de>> Visitor<'de> for Named<'_, T> {
    type Value = Option<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut settings: A) -> Result<Option<T>, A::Error> {
        let mut found = None;
        while let Some(name) = settings.next_key::<Cow<'de, str>>()? {
            if name == self.name {
                found = Some(settings.next_value()?);
            } else {
                settings.next_value::<IgnoredAny>()?;
            }
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn settings(json: Value) -> Settings {
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn what_is_not_said_and_what_is_said_to_be_none_are_told_apart() {
        let settings = settings(json!({
            "branding": { "colour": "teal" }, "providers": [], "limits": { "retries": 3 }
        }));
        assert_eq!(settings.branding().unwrap()["colour"], "teal");
        assert!(settings.providers().unwrap().is_empty());
        assert!(settings.tools().is_none());
        let limits: Map<String, Value> = settings.read("limits").unwrap().unwrap();
        assert_eq!(limits["retries"], 3);
        assert!(settings.read::<u32>("limits").is_err());
        assert_eq!(settings.read::<u32>("none").unwrap(), None);
    }

    #[test]
    fn any_json_comes_back_as_it_was_whatever_its_name() {
        let all = json!({
            "": null, "a\"b\\\n": [1.5, -3, "é\u{1F600}", { "deep": { "": [] } }], "tools": ["one", "two"], "z": false
        });
        let settings = settings(all.clone());
        for (name, value) in all.as_object().unwrap() {
            assert_eq!(settings.get(name).as_ref(), Some(value), "{name:?}");
        }
        assert_eq!(Value::Object(settings.to_map()), all);
        assert_eq!(settings.tools().unwrap(), ["one", "two"]);
    }

    #[test]
    fn none_at_all_are_none() {
        for none in [Settings::default(), settings(json!({}))] {
            assert!(none.get("branding").is_none() && none.to_map().is_empty());
            assert_eq!(none, Settings::default());
        }
        assert!(serde_json::from_value::<Settings>(json!([])).is_err());
    }
}
