use serde::{Deserialize, Serialize};

pub(super) const SQL: &str = include_str!("installation.sql");

/// The server, the database, and what the app role can become.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(in crate::audit) struct Installation {
    pub(in crate::audit) database: String,
    pub(in crate::audit) owner: String,
    /// Of the server, as a number.
    pub(in crate::audit) version: u32,
    pub(in crate::audit) has_kernel: bool,
    /// The app role first, then those that it reaches by membership.
    pub(in crate::audit) roles: Vec<Role>,
    pub(in crate::audit) database_grants: Vec<Granted>,
    pub(in crate::audit) schema_grants: Vec<Granted>,
    pub(in crate::audit) parameter_grants: Vec<Granted>,
    pub(in crate::audit) server_functions: Vec<Granted>,
    pub(in crate::audit) catalogue_grants: Vec<Granted>,
    pub(in crate::audit) settings: Vec<Setting>,
    pub(in crate::audit) extensions: Vec<Extension>,
    pub(in crate::audit) event_triggers: Vec<EventTrigger>,
    pub(in crate::audit) publications: Vec<Publication>,
    pub(in crate::audit) subscriptions: Vec<String>,
    pub(in crate::audit) default_grants: Vec<DefaultGrant>,
    pub(in crate::audit) large_objects: LargeObjects,
    pub(in crate::audit) servers: Vec<Server>,
}

/// A role that the app role is or can become.
#[expect(
    clippy::struct_excessive_bools,
    reason = "what the catalogue answers, yes or no each"
)]
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(in crate::audit) struct Role {
    pub(in crate::audit) name: String,
    /// From the app role to it.
    pub(in crate::audit) path: Vec<String>,
    pub(in crate::audit) superuser: bool,
    pub(in crate::audit) bypassrls: bool,
    pub(in crate::audit) createrole: bool,
    pub(in crate::audit) createdb: bool,
    pub(in crate::audit) replication: bool,
    /// Databases, schemas, relations and functions, each by kind and name.
    pub(in crate::audit) owns: Vec<String>,
}

/// A right of the app role, of one that it can become, or of everybody.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(in crate::audit) struct Granted {
    pub(in crate::audit) to: String,
    #[serde(default)]
    pub(in crate::audit) right: String,
    /// What it is on, where it is not the database.
    #[serde(
        default,
        alias = "schema",
        alias = "parameter",
        alias = "function",
        alias = "table"
    )]
    pub(in crate::audit) on: String,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(in crate::audit) struct Setting {
    pub(in crate::audit) role: Option<String>,
    pub(in crate::audit) database: Option<String>,
    pub(in crate::audit) name: String,
    pub(in crate::audit) value: Option<String>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(in crate::audit) struct Extension {
    pub(in crate::audit) name: String,
    pub(in crate::audit) version: String,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(in crate::audit) struct EventTrigger {
    pub(in crate::audit) name: String,
    pub(in crate::audit) event: String,
    pub(in crate::audit) function: String,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(in crate::audit) struct Publication {
    pub(in crate::audit) name: String,
    pub(in crate::audit) all_tables: bool,
    pub(in crate::audit) schemas: Vec<String>,
    pub(in crate::audit) tables: Vec<PublishedTable>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(in crate::audit) struct PublishedTable {
    pub(in crate::audit) relation: i64,
    pub(in crate::audit) filter: Option<String>,
}

/// What whoever creates something next gives away with it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(in crate::audit) struct DefaultGrant {
    pub(in crate::audit) of: String,
    pub(in crate::audit) schema: Option<String>,
    pub(in crate::audit) kind: String,
    pub(in crate::audit) to: String,
    pub(in crate::audit) right: String,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(in crate::audit) struct LargeObjects {
    pub(in crate::audit) of_app: i64,
    pub(in crate::audit) granted: i64,
    pub(in crate::audit) compatible: bool,
}

/// A server of foreign tables that the app role may use.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(in crate::audit) struct Server {
    pub(in crate::audit) name: String,
    pub(in crate::audit) wrapper: String,
    pub(in crate::audit) to: String,
}
