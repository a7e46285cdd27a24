use std::collections::BTreeMap;

use crate::client::ClientId;

/// Which client the rows of a table are assigned to.
///
/// ```
/// use tenantry::{Assign, ClientId};
///
/// let (acme, bolt, house) = (ClientId::new(), ClientId::new(), ClientId::new());
/// let all_to_one = Assign::to(house);
/// let by_column = Assign::from_column("tenant", [("acme", acme), ("bolt", bolt)]);
/// let like_their_document = Assign::from_parent("chunks_document_id_fkey");
/// # let _ = (all_to_one, by_column, like_their_document);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assign {
    pub(super) rule: Rule,
    pub(super) otherwise: Option<ClientId>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Rule {
    To(ClientId),
    Column {
        column: String,
        clients: BTreeMap<String, ClientId>,
    },
    Parent {
        constraint: String,
    },
}

impl Assign {
    /// All rows to one client. No row is written for it.
    pub const fn to(client: ClientId) -> Self {
        Self {
            rule: Rule::To(client),
            otherwise: None,
        }
    }

    /// Each row to the client that the value of a column stands for. The column is text, an integer, a UUID or an enum;
    /// values are compared as texts. Rows whose value is not among these, or null, match nothing.
    pub fn from_column<I, V>(column: impl Into<String>, clients: I) -> Self
    where
        I: IntoIterator<Item = (V, ClientId)>,
        V: Into<String>,
    {
        let clients = clients.into_iter().map(|(value, client)| (value.into(), client));
        Self {
            rule: Rule::Column {
                column: column.into(),
                clients: clients.collect(),
            },
            otherwise: None,
        }
    }

    /// Each row to the client of the row that it refers to by that foreign key, given by its name. Rows that refer to
    /// none match nothing.
    pub fn from_parent(constraint: impl Into<String>) -> Self {
        Self {
            rule: Rule::Parent {
                constraint: constraint.into(),
            },
            otherwise: None,
        }
    }

    /// Rows that match nothing to that client. Defaults to none: they stop the retrofit before a column is made not
    /// null.
    #[must_use]
    pub const fn otherwise(mut self, client: ClientId) -> Self {
        self.otherwise = Some(client);
        self
    }

    /// All clients that it names.
    pub(super) fn clients(&self) -> impl Iterator<Item = ClientId> {
        let of_rule: Vec<ClientId> = match &self.rule {
            Rule::To(client) => vec![*client],
            Rule::Column { clients, .. } => clients.values().copied().collect(),
            Rule::Parent { .. } => Vec::new(),
        };
        of_rule.into_iter().chain(self.otherwise)
    }
}
