//! The catalogue of a database, read once: what the checks look at.
#![expect(clippy::disallowed_methods, reason = "reads the catalogue of a database")]

mod functions;
mod installation;
mod kernel;
mod keys;
mod relations;

use std::collections::HashMap;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sqlx::types::Json;
use sqlx::{AssertSqlSafe, Connection, PgConnection};

pub(super) use self::functions::HostFunction;
pub(super) use self::installation::{Installation, Role, Setting};
pub(super) use self::kernel::KernelState;
pub(super) use self::keys::{ForeignKey, Index, Keys};
pub(super) use self::relations::{Kind, Policy, Relation, Right};
use super::options::AuditOptions;
use crate::error::{AuditError, Error, Result};

/// All that an audit looks at, as it was at one time.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Catalogue {
    pub(super) app: String,
    /// The app role that the kernel was configured for.
    pub(super) configured_app: Option<String>,
    pub(super) installation: Installation,
    pub(super) relations: Vec<Relation>,
    pub(super) keys: Keys,
    pub(super) functions: Vec<HostFunction>,
    pub(super) kernel: KernelState,
    /// Those that are declared to be read by all clients.
    pub(super) shared: Vec<i64>,
    /// Roles that are bound to one client.
    pub(super) bridges: Vec<String>,
}

impl Catalogue {
    /// Reads it in a read-only transaction, or a savepoint of one that is under way, in five statements and a few small ones.
    pub(super) async fn read(
        conn: &mut PgConnection,
        database: &str,
        app: Option<&str>,
        options: &AuditOptions,
    ) -> Result<Self> {
        let reading = Reading { database };
        let mut tx = conn
            .begin()
            .await
            .map_err(reading.failed("beginning to read its catalogue"))?;
        // Names are told in full; nothing is waited for without a bound.
        let settings = format!(
            "set local search_path = pg_catalog, pg_temp; set local statement_timeout = {}; set local lock_timeout = {};
             set local transaction_read_only = on; set local jit = off; set local quote_all_identifiers = off",
            options.statement_timeout.as_millis().clamp(1, 2_147_483_647),
            options.lock_timeout.as_millis().clamp(1, 2_147_483_647),
        );
        sqlx::raw_sql(AssertSqlSafe(settings))
            .execute(&mut *tx)
            .await
            .map_err(reading.failed("beginning to read its catalogue"))?;
        let kernel_there: bool =
            sqlx::query_scalar("select pg_catalog.to_regclass('tenantry.installation') is not null")
                .persistent(false)
                .fetch_one(&mut *tx)
                .await
                .map_err(reading.failed("looking for its kernel"))?;
        let of_kernel = if kernel_there {
            reading
                .document::<OfKernel>(&mut tx, "reading what its kernel says", OF_KERNEL, None)
                .await?
        } else {
            OfKernel::default()
        };
        let app = app
            .map(str::to_owned)
            .or_else(|| of_kernel.app_role.clone())
            .ok_or_else(|| reading.error(AuditError::NoAppRole))?;
        let known: bool =
            sqlx::query_scalar("select exists (select from pg_catalog.pg_roles where rolname = $1::name)")
                .bind(&app)
                .persistent(false)
                .fetch_one(&mut *tx)
                .await
                .map_err(reading.failed("looking for the app role"))?;
        if !known {
            return Err(reading.error(AuditError::UnknownRole { role: app }));
        }
        let role = Some(app.as_str());
        let catalogue = Self {
            installation: reading
                .document(&mut tx, "reading its roles and grants", installation::SQL, role)
                .await?,
            relations: reading
                .document(&mut tx, "reading its tables and policies", relations::SQL, role)
                .await?,
            keys: reading
                .document(&mut tx, "reading its keys and indexes", keys::SQL, None)
                .await?,
            functions: reading
                .document(&mut tx, "reading its functions", functions::SQL, role)
                .await?,
            kernel: reading
                .document(&mut tx, "reading its kernel", kernel::SQL, role)
                .await?,
            configured_app: of_kernel.app_role,
            shared: of_kernel.shared,
            bridges: of_kernel.bridges,
            app,
        };
        tx.rollback()
            .await
            .map_err(reading.failed("ending to read its catalogue"))?;
        Ok(catalogue)
    }

    pub(super) fn index(&self) -> HashMap<i64, &Relation> {
        self.relations
            .iter()
            .map(|relation| (relation.oid, relation))
            .collect()
    }
}

/// What only its tables say.
#[derive(Debug, Default, Deserialize)]
struct OfKernel {
    app_role: Option<String>,
    shared: Vec<i64>,
    bridges: Vec<String>,
}

const OF_KERNEL: &str = "
select pg_catalog.jsonb_build_object(
    'app_role', (select app_role from tenantry.installation),
    'shared', array(select relation::int8 from tenantry.shared_tables order by 1),
    'bridges', array(select pg_catalog.pg_get_userbyid(role_id)::text from tenantry.bridges order by 1))";

struct Reading<'a> {
    database: &'a str,
}

impl Reading<'_> {
    async fn document<T>(
        &self,
        conn: &mut PgConnection,
        step: &'static str,
        sql: &'static str,
        role: Option<&str>,
    ) -> Result<T>
    where
        T: DeserializeOwned + Send + Unpin + 'static,
    {
        let query = sqlx::query_scalar(sql).persistent(false);
        let query = match role {
            Some(role) => query.bind(role),
            None => query,
        };
        let document: Json<T> = query.fetch_one(conn).await.map_err(self.failed(step))?;
        Ok(document.0)
    }

    fn error(&self, source: AuditError) -> Error {
        Error::Audit {
            database: self.database.to_owned(),
            source,
        }
    }

    fn failed<'a>(&'a self, step: &'static str) -> impl FnOnce(sqlx::Error) -> Error + 'a {
        move |source| {
            self.error(AuditError::Statement {
                step: step.to_owned(),
                source: source.into(),
            })
        }
    }
}
