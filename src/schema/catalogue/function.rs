use super::{CLIENT_COLUMN, CLIENT_PARAMETER};

/// A function or procedure that the app role may call.
#[derive(Debug)]
pub(crate) struct Function {
    /// Schema and name, quoted.
    pub(crate) sql: String,
    /// The names of its input parameters, each with its quoted spelling.
    parameters: Vec<(String, String)>,
    /// How many of the last parameters have defaults.
    defaults: usize,
    /// Runs with the rights of its owner, past row-level security.
    pub(crate) security_definer: bool,
    pub(crate) is_procedure: bool,
    /// Whether it may write: it is volatile.
    pub(crate) writes: bool,
    /// Its result columns but `client_id`, quoted and joined by commas; `*` where it has one unnamed.
    pub(crate) visible_columns: String,
}

impl Function {
    /// Whether it takes the client that calls it.
    pub(crate) fn takes_client(&self) -> bool {
        self.parameter(CLIENT_PARAMETER).is_some()
    }

    /// The quoted spelling of an input parameter.
    pub(crate) fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, quoted)| quoted.as_str())
    }

    /// The parameters without a default.
    pub(crate) fn required_parameters(&self) -> impl Iterator<Item = &str> {
        let required = self.parameters.len().saturating_sub(self.defaults);
        self.parameters[..required].iter().map(|(name, _)| name.as_str())
    }

    /// The parameters that a caller gives, for messages.
    pub(crate) fn parameter_names(&self) -> String {
        let names = self.parameters.iter().map(|(name, _)| name.as_str());
        names
            .filter(|name| *name != CLIENT_PARAMETER)
            .collect::<Vec<_>>()
            .join(", ")
    }
}

#[derive(sqlx::FromRow)]
pub(super) struct FunctionRow {
    pub(super) name: String,
    pub(super) sql: String,
    pub(super) parameters: Vec<String>,
    pub(super) quoted_parameters: Vec<String>,
    pub(super) defaults: i16,
    pub(super) security_definer: bool,
    pub(super) is_procedure: bool,
    pub(super) writes: bool,
    pub(super) results: Vec<String>,
}

impl From<FunctionRow> for Function {
    fn from(row: FunctionRow) -> Self {
        let visible = super::joined(row.results.iter().filter(|column| *column != CLIENT_COLUMN));
        Self {
            sql: row.sql,
            parameters: row.parameters.into_iter().zip(row.quoted_parameters).collect(),
            writes: row.writes,
            defaults: usize::try_from(row.defaults).unwrap_or_default(),
            security_definer: row.security_definer,
            is_procedure: row.is_procedure,
            visible_columns: if row.results.is_empty() {
                "*".to_owned()
            } else {
                visible
            },
        }
    }
}
