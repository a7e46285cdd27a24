use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::catalogue::Catalogue;

/// What the catalogues of databases were at an audit: hashes, by database and theme. Written as JSON and read from it.
///
/// A later audit that is given it says what changed. Rows do not count, and neither does what the crate itself makes
/// and removes while a database is served: indexes of clients, and triggers of relocations.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct AuditFingerprint {
    databases: BTreeMap<String, BTreeMap<String, String>>,
}

/// A text that is no [`AuditFingerprint`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it is no fingerprint of an audit")]
pub struct InvalidFingerprint;

impl AuditFingerprint {
    pub(super) fn add(&mut self, database: &str, themes: BTreeMap<String, String>) {
        self.databases.insert(database.to_owned(), themes);
    }

    /// The themes that are not as they were. `None` where nothing is known of that database.
    pub(super) fn changed(&self, database: &str, now: &BTreeMap<String, String>) -> Option<Vec<String>> {
        let before = self.databases.get(database)?;
        let names = before
            .keys()
            .chain(now.keys().filter(|name| !before.contains_key(*name)));
        let changed = names.filter(|name| before.get(*name) != now.get(*name));
        Some(changed.cloned().collect())
    }
}

impl fmt::Display for AuditFingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = serde_json::to_string(self).map_err(|_| fmt::Error)?;
        f.write_str(&text)
    }
}

impl FromStr for AuditFingerprint {
    type Err = InvalidFingerprint;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        serde_json::from_str(text).map_err(|_| InvalidFingerprint)
    }
}

/// A hash for each theme of a catalogue.
pub(super) fn themes(catalogue: &Catalogue) -> BTreeMap<String, String> {
    let mut lasting = catalogue.clone();
    for relation in &mut lasting.relations {
        relation.triggers.retain(|trigger| !trigger.of_kernel);
    }
    lasting
        .keys
        .indexes
        .retain(|index| !index.plain_name.starts_with("tenantry_nearest_"));
    lasting.installation.large_objects.of_app = 0;
    lasting.installation.large_objects.granted = 0;
    lasting
        .kernel
        .owners
        .retain(|owner| !owner.thing.contains(" tenantry.change_"));
    let Catalogue {
        app,
        configured_app,
        installation,
        relations,
        keys,
        functions,
        kernel,
        shared,
        bridges: _,
    } = &lasting;
    [
        ("roles and grants", hash(&(app, configured_app, installation))),
        ("tables and policies", hash(&(relations, shared))),
        ("keys and indexes", hash(keys)),
        ("functions", hash(functions)),
        ("kernel", hash(kernel)),
    ]
    .into_iter()
    .map(|(theme, hash)| (theme.to_owned(), hash))
    .collect()
}

fn hash(part: &impl Serialize) -> String {
    // A text where it could not be written would be the same for all.
    let text = serde_json::to_vec(part).unwrap_or_default();
    hex::encode(&Sha256::digest(text)[..16])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_is_read_as_it_is_written_and_says_what_changed() {
        let catalogue: Catalogue = serde_json::from_str(include_str!("catalogue/empty.json")).unwrap();
        let mut fingerprint = AuditFingerprint::default();
        fingerprint.add("pool", themes(&catalogue));
        let read: AuditFingerprint = fingerprint.to_string().parse().unwrap();
        assert_eq!(read, fingerprint);
        assert_eq!(read.changed("pool", &themes(&catalogue)), Some(Vec::new()));
        assert_eq!(read.changed("other", &themes(&catalogue)), None);
        let mut later = catalogue;
        later.shared.push(1);
        assert_eq!(
            read.changed("pool", &themes(&later)),
            Some(vec!["tables and policies".to_owned()])
        );
        assert_eq!("x".parse::<AuditFingerprint>(), Err(InvalidFingerprint));
    }
}
