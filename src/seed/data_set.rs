use std::fmt;
use std::path::Path;
use std::sync::Arc;

use serde::Deserialize;
use serde::de::{Deserializer, Error as _};

use super::cell::{Cell, Named, SecretName};
use super::plan::Plan;
use crate::client::{ClientDomain, ClientSlug, ExternalRef};
use crate::error::{Error, Result, SeedError};
use crate::plan::{Features, Limits};
use crate::secret::{CredentialKind, Provider};

/// Clients and rows that are to be there, read from JSON.
///
/// ```
/// use tenantry::DataSet;
///
/// let tools = DataSet::from_json("tools.json", r#"{
///     "clients": [{
///         "slug": "acme", "name": "Acme", "tier": "adventurer", "settings": { "tools": ["search"] },
///         "keys": { "agent": ["guide"] },
///         "credentials": [{ "provider": "openai", "kind": "api_key", "secret": { "$secret": "ACME_OPENAI" } }]
///     }],
///     "shared": [{ "table": "models", "key": ["id"], "rows": [{ "id": "large-2", "provider": "northwind" }] }],
///     "each_client": [{ "table": "tools", "key": ["slug"], "rows": [{ "slug": "search" }] }],
///     "of_client": { "acme": [{
///         "table": "agent_tools", "key": ["agent_id", "tool_id"], "rows": [{
///             "agent_id": { "$ref": { "table": "agents", "key": { "slug": "guide" } } },
///             "tool_id": { "$ref": { "table": "tools", "key": { "slug": "search" } } }
///         }]
///     }] }
/// }"#)?;
/// # Ok::<_, tenantry::Error>(())
/// ```
///
/// - `clients`: what they are in the platform database. Of limits, features and settings only those that are named
///   are compared and written. `keys` are those of [`ClientKey`](crate::ClientKey), by index.
/// - `shared`: rows of tables that all clients read; `each_client`: the same rows for each client that the data sets
///   name; `of_client`: rows of one. Rows of a table are told apart by `key`, the columns of a unique key without
///   `client_id`, which no data set may name.
/// - `{"$ref": {"table", "key"}}` is what the row of that key has in the column that the foreign key leads to, else in
///   its own key; `"column"` names another. The row is the same client's, or shared, in the data sets or not.
/// - `{"$secret": "NAME", "as": "argon2"}` is what the [`SecretForm`](crate::SecretForm) of that name makes of the
///   secret. `{"$json": …}` is a value as it is written, where it would be read as one of these.
#[derive(Clone)]
pub struct DataSet {
    pub(super) name: Arc<str>,
    pub(super) document: Arc<Document>,
}

/// More is no file that somebody wrote.
const LARGEST_FILE: u64 = 64 * 1024 * 1024;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Document {
    #[serde(default)]
    pub(super) clients: Vec<ClientData>,
    #[serde(default)]
    pub(super) shared: Vec<TableData>,
    #[serde(default)]
    pub(super) each_client: Vec<TableData>,
    #[serde(default)]
    pub(super) of_client: Named<Vec<TableData>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TableData {
    pub(super) table: String,
    pub(super) key: Vec<String>,
    pub(super) rows: Vec<Named<Cell>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ClientData {
    #[serde(deserialize_with = "parsed")]
    pub(super) slug: ClientSlug,
    pub(super) name: String,
    pub(super) tier: String,
    #[serde(default, deserialize_with = "perhaps")]
    pub(super) external_ref: Option<ExternalRef>,
    #[serde(default, deserialize_with = "perhaps")]
    pub(super) domain: Option<ClientDomain>,
    #[serde(default)]
    pub(super) settings: Named<serde_json::Value>,
    #[serde(default)]
    pub(super) features: Features,
    #[serde(default)]
    pub(super) limits: Limits,
    #[serde(default)]
    pub(super) keys: Named<Vec<String>>,
    #[serde(default)]
    pub(super) credentials: Vec<CredentialData>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CredentialData {
    #[serde(deserialize_with = "parsed")]
    pub(super) provider: Provider,
    #[serde(deserialize_with = "parsed")]
    pub(super) kind: CredentialKind,
    pub(super) secret: SecretName,
}

impl DataSet {
    /// The data set of that text. The name is what errors call it by.
    ///
    /// # Errors
    /// [`Error::Seed`] with [`SeedError::Document`], which says where and what, or [`SeedError::NamedTwice`].
    pub fn from_json(name: impl Into<String>, json: &str) -> Result<Self> {
        let name: Arc<str> = name.into().into();
        let mut json = serde_json::Deserializer::from_str(json);
        let read = serde_path_to_error::deserialize(&mut json);
        let document = read.map_err(|error| {
            let at = error.path().to_string();
            refused(&name, at, error.into_inner().to_string())
        })?;
        json.end()
            .map_err(|error| refused(&name, "its end".to_owned(), error.to_string()))?;
        let set = Self {
            name,
            document: Arc::new(document),
        };
        Plan::of(std::slice::from_ref(&set))?;
        Ok(set)
    }

    /// The data set of a file of 64 MiB at most, by whose name errors call it.
    ///
    /// # Errors
    /// As [`from_json`](Self::from_json); [`SeedError::File`] where it cannot be read.
    ///
    /// # Cancel safety
    /// Dropped, nothing has changed.
    pub async fn read(path: impl AsRef<Path> + Send) -> Result<Self> {
        let path = path.as_ref().to_owned();
        let name = path.file_name().map_or_else(
            || path.display().to_string(),
            |name| name.to_string_lossy().into_owned(),
        );
        let text = super::secret_file::text_of(path, LARGEST_FILE, |_| Ok(())).await;
        let text = text.map_err(|source| Error::Seed {
            of: format!("data set {name}"),
            step: "reading",
            source: Box::new(source),
        })?;
        Self::from_json(name, &text)
    }

    /// What errors call it by.
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl fmt::Debug for DataSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("DataSet").field(&self.name).finish()
    }
}

fn refused(name: &str, at: String, reason: String) -> Error {
    Error::Seed {
        of: format!("data set {name}"),
        step: "reading",
        source: Box::new(SeedError::Document { at, reason }),
    }
}

fn parsed<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: std::str::FromStr<Err: fmt::Display>,
{
    String::deserialize(deserializer)?
        .parse()
        .map_err(D::Error::custom)
}

fn perhaps<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: std::str::FromStr<Err: fmt::Display>,
{
    let text = Option::<String>::deserialize(deserializer)?;
    text.map(|text| text.parse().map_err(D::Error::custom))
        .transpose()
}
