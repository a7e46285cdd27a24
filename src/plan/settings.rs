use std::sync::Arc;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

/// What a client has set for itself: free JSON by name. Cheap to clone.
///
/// Three names have a meaning: `branding` is an object, `providers` and `tools` are lists of names. The rest is the
/// host's.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(from = "Map<String, Value>")]
pub struct Settings(Arc<Map<String, Value>>);

impl Settings {
    /// The setting of that name, if there is one.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }

    /// The setting of that name as a type of the host's, if there is one.
    ///
    /// # Errors
    /// What serde says where it is not of that type.
    pub fn read<T: DeserializeOwned>(&self, name: &str) -> serde_json::Result<Option<T>> {
        self.get(name).map(T::deserialize).transpose()
    }

    /// How the client looks, as it named it: colours, a logo and whatever else the host knows.
    pub fn branding(&self) -> Option<&Map<String, Value>> {
        self.get("branding")?.as_object()
    }

    /// The providers that are enabled; `None` where the client does not say.
    pub fn providers(&self) -> Option<impl Iterator<Item = &str>> {
        self.names("providers")
    }

    /// The tools that are enabled; `None` where the client does not say.
    pub fn tools(&self) -> Option<impl Iterator<Item = &str>> {
        self.names("tools")
    }

    /// All of them, in order of their names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value))
    }

    fn names(&self, setting: &str) -> Option<impl Iterator<Item = &str>> {
        Some(self.get(setting)?.as_array()?.iter().filter_map(Value::as_str))
    }
}

impl From<Map<String, Value>> for Settings {
    fn from(settings: Map<String, Value>) -> Self {
        Self(settings.into())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_not_said_and_what_is_said_to_be_none_are_told_apart() {
        let settings: Settings = serde_json::from_value(json!({
            "branding": { "colour": "teal" }, "providers": [], "limits": { "retries": 3 }
        }))
        .unwrap();
        assert_eq!(settings.branding().unwrap()["colour"], "teal");
        assert_eq!(settings.providers().unwrap().count(), 0);
        assert!(settings.tools().is_none());
        let limits: Map<String, Value> = settings.read("limits").unwrap().unwrap();
        assert_eq!(limits["retries"], 3);
        assert!(settings.read::<u32>("limits").is_err());
        assert_eq!(settings.read::<u32>("none").unwrap(), None);
    }
}
