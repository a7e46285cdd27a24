use super::credentials::credential_column;
use super::sealing::column;

/// A column of the platform database that holds sealed values, and the statements that seal them anew.
///
/// A value is found by its owner, a provider and a kind. Rows that have none of the last two have a hyphen each: it
/// keeps them behind where a walk begins, which is at nobody, nothing and nothing.
#[derive(Clone, Copy, Debug)]
pub(super) struct SealedColumn {
    pub(super) name: &'static str,
    /// What its values are sealed for, where that is not the column itself.
    sealed_as: Option<&'static str>,
    /// The next rows whose key is not `$4`, after the row of `$1`, `$2` and `$3`, `$5` at most, locked. Who else
    /// seals anew has other rows; who gives a row a new secret is not waited for: that is sealed with the newest.
    pub(super) next: &'static str,
    /// Stores the values of `$4` in the rows of `$1`, `$2` and `$3`.
    pub(super) store: &'static str,
    /// How many values each key has sealed.
    pub(super) count: &'static str,
    /// Whether writing a row takes the lock on placement, which comes before locks of rows.
    pub(super) places: bool,
}

macro_rules! of_rows_by_id {
    ($table:literal, $column:literal, $name:expr, $places:literal) => {
        SealedColumn {
            name: $name,
            sealed_as: None,
            next: concat!(
                "select id, '-', '-', ", $column, " from platform.", $table,
                " where (id, '-', '-') > ($1, $2, $3) and substr(", $column, ", 3, 4) <> $4
                  order by id limit $5 for no key update skip locked"
            ),
            store: concat!(
                "update platform.", $table, " t set ", $column, " = n.sealed
                 from unnest($1::uuid[], $2::text[], $3::text[], $4::bytea[]) n (id, provider, kind, sealed)
                 where t.id = n.id"
            ),
            count: concat!(
                "select substr(", $column, ", 3, 4), count(*) from platform.", $table,
                " where ", $column, " is not null group by 1"
            ),
            places: $places,
        }
    };
}

/// Of databases that wait for a client: sealed for the client that it will be.
macro_rules! of_stock {
    ($column:literal, $name:literal, $sealed_as:expr) => {
        SealedColumn {
            name: $name,
            sealed_as: Some($sealed_as),
            next: concat!(
                "select client_id, '-', '-', ", $column, " from platform.stock
                 where (client_id, '-', '-') > ($1, $2, $3) and substr(", $column, ", 3, 4) <> $4
                 order by client_id limit $5 for no key update skip locked"
            ),
            store: concat!(
                "update platform.stock t set ", $column, " = n.sealed
                 from unnest($1::uuid[], $2::text[], $3::text[], $4::bytea[]) n (id, provider, kind, sealed)
                 where t.client_id = n.id"
            ),
            count: concat!(
                "select substr(", $column, ", 3, 4), count(*) from platform.stock
                 where ", $column, " is not null group by 1"
            ),
            places: false,
        }
    };
}

/// Of both sides of a relocation that is under way, sealed for its client.
macro_rules! of_relocation {
    ($column:literal, $name:literal, $sealed_as:expr) => {
        SealedColumn {
            name: $name,
            sealed_as: Some($sealed_as),
            next: concat!(
                "select client_id, '-', '-', ", $column, " from platform.relocations
                 where ended_at is null and (client_id, '-', '-') > ($1, $2, $3) and substr(", $column, ", 3, 4) <> $4
                 order by client_id limit $5 for no key update skip locked"
            ),
            store: concat!(
                "update platform.relocations t set ", $column, " = n.sealed
                 from unnest($1::uuid[], $2::text[], $3::text[], $4::bytea[]) n (id, provider, kind, sealed)
                 where t.client_id = n.id and t.ended_at is null"
            ),
            count: concat!(
                "select substr(", $column, ", 3, 4), count(*) from platform.relocations
                 where ", $column, " is not null group by 1"
            ),
            places: false,
        }
    };
}

pub(super) const SEALED_COLUMNS: [SealedColumn; 12] = [
    of_rows_by_id!("pools", "app_connection", column::POOL_APP, true),
    of_rows_by_id!("pools", "admin_connection", column::POOL_ADMIN, true),
    of_rows_by_id!("pools", "scope_key", column::POOL_SCOPE_KEY, true),
    of_rows_by_id!("clients", "app_connection", column::CLIENT_APP, false),
    of_rows_by_id!("clients", "admin_connection", column::CLIENT_ADMIN, false),
    of_stock!("app_connection", "stock.app_connection", column::CLIENT_APP),
    of_stock!("admin_connection", "stock.admin_connection", column::CLIENT_ADMIN),
    of_relocation!("source_app", "relocations.source_app", column::CLIENT_APP),
    of_relocation!("source_admin", "relocations.source_admin", column::CLIENT_ADMIN),
    of_relocation!("target_app", "relocations.target_app", column::CLIENT_APP),
    of_relocation!("target_admin", "relocations.target_admin", column::CLIENT_ADMIN),
    SealedColumn {
        name: "client_credentials.sealed",
        sealed_as: None,
        next: "select client_id, provider, kind, sealed from platform.client_credentials
               where (client_id, provider, kind) > ($1, $2, $3) and substr(sealed, 3, 4) <> $4
               order by client_id, provider, kind limit $5 for no key update skip locked",
        store: "update platform.client_credentials t set sealed = n.sealed
                from unnest($1::uuid[], $2::text[], $3::text[], $4::bytea[]) n (client_id, provider, kind, sealed)
                where (t.client_id, t.provider, t.kind) = (n.client_id, n.provider, n.kind)",
        count: "select substr(sealed, 3, 4), count(*) from platform.client_credentials group by 1",
        places: false,
    },
];

impl SealedColumn {
    /// What the value of a row is sealed for.
    pub(super) fn sealed_for(&self, provider: &str, kind: &str) -> String {
        match provider {
            "-" => self.sealed_as.unwrap_or(self.name).to_owned(),
            _ => credential_column(provider, kind),
        }
    }
}
