//! What is shown of the library's records, as people and programs read it.

use std::time::{SystemTime, UNIX_EPOCH};

use serde::Serialize;
use tenantry::{ClientRecord, Placement, PoolRecord};

use crate::table::Table;

#[derive(Debug, Serialize)]
pub(crate) struct ClientView {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) slug: String,
    pub(crate) external_ref: Option<String>,
    pub(crate) domain: Option<String>,
    pub(crate) status: &'static str,
    pub(crate) tier: String,
    pub(crate) hosting: String,
    pub(crate) pool: Option<String>,
    pub(crate) epoch: i64,
    pub(crate) limits: serde_json::Value,
    pub(crate) features: serde_json::Value,
}

impl From<&ClientRecord> for ClientView {
    fn from(client: &ClientRecord) -> Self {
        Self {
            id: client.id.to_string(),
            name: client.name.clone(),
            slug: client.slug.to_string(),
            external_ref: client.external_ref.as_ref().map(ToString::to_string),
            domain: client.domain.as_ref().map(ToString::to_string),
            status: client.status.as_str(),
            tier: client.tier.to_string(),
            hosting: client.hosting().to_string(),
            pool: match client.placement {
                Placement::Pool(pool) => Some(pool.to_string()),
                _ => None,
            },
            epoch: client.epoch,
            limits: serde_json::to_value(&client.limits).unwrap_or_default(),
            features: serde_json::to_value(&client.features).unwrap_or_default(),
        }
    }
}

impl ClientView {
    pub(crate) fn table(&self) -> Table {
        let or_none = |text: &Option<String>| text.clone().unwrap_or_default();
        Table::of_fields([
            ("id", self.id.clone()),
            ("name", self.name.clone()),
            ("slug", self.slug.clone()),
            ("external reference", or_none(&self.external_ref)),
            ("domain", or_none(&self.domain)),
            ("status", self.status.to_owned()),
            ("tier", self.tier.clone()),
            ("hosting", self.hosting.clone()),
            ("pool", or_none(&self.pool)),
            ("epoch", self.epoch.to_string()),
            ("limits", self.limits.to_string()),
            ("features", self.features.to_string()),
        ])
    }

    pub(crate) fn list(clients: &[Self]) -> Table {
        let mut table = Table::new(["slug", "name", "status", "tier", "hosting", "id"], "no clients");
        for client in clients {
            table.row([
                client.slug.clone(),
                client.name.clone(),
                client.status.to_owned(),
                client.tier.clone(),
                client.hosting.clone(),
                client.id.clone(),
            ]);
        }
        table
    }
}

#[derive(Debug, Serialize)]
pub(crate) struct PoolView {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) binding: &'static str,
    pub(crate) clients: i32,
    pub(crate) capacity: i32,
    pub(crate) active: bool,
}

impl From<&PoolRecord> for PoolView {
    fn from(pool: &PoolRecord) -> Self {
        Self {
            id: pool.id.to_string(),
            name: pool.name.clone(),
            binding: pool.binding.as_str(),
            clients: pool.client_count,
            capacity: pool.capacity,
            active: pool.active,
        }
    }
}

impl PoolView {
    pub(crate) fn list(pools: &[Self]) -> Table {
        let mut table = Table::new(
            ["name", "clients", "capacity", "takes clients", "binding", "id"],
            "no pools: `tenantry pool add`",
        )
        .numbers([1, 2]);
        for pool in pools {
            table.row([
                pool.name.clone(),
                pool.clients.to_string(),
                pool.capacity.to_string(),
                if pool.active { "yes" } else { "no" }.to_owned(),
                pool.binding.to_owned(),
                pool.id.clone(),
            ]);
        }
        table
    }
}

/// Rows of a table, as exports, restores, erasures and plans count them.
#[derive(Debug, Serialize)]
pub(crate) struct RowsView {
    pub(crate) table: String,
    pub(crate) rows: u64,
}

impl From<&tenantry::TableRows> for RowsView {
    fn from(table: &tenantry::TableRows) -> Self {
        Self {
            table: table.table.clone(),
            rows: table.rows,
        }
    }
}

impl RowsView {
    pub(crate) fn all(tables: &[tenantry::TableRows]) -> Vec<Self> {
        tables.iter().map(Self::from).collect()
    }

    pub(crate) fn list(tables: &[Self]) -> Table {
        let mut table = Table::new(["table", "rows"], "no tables").numbers([1]);
        for of in tables {
            table.row([of.table.clone(), of.rows.to_string()]);
        }
        table
    }

    pub(crate) fn sum(tables: &[Self]) -> u64 {
        tables.iter().map(|table| table.rows).sum()
    }
}

/// A moment, in seconds since 1970.
pub(crate) fn seconds(moment: SystemTime) -> u64 {
    moment
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}
