#![expect(
    clippy::disallowed_methods,
    reason = "bounds the statements of the admin role"
)]

use std::sync::Arc;
use std::time::{Duration, Instant};

use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};

use super::arena::Arena;
use super::ground::Ground;
use super::options::AttackOptions;
use super::report::AttackReport;
use super::rows::Rows;
use super::scratch::{self, PlatformKey, scratch_client};
use super::values::Salt;
use super::{functions, relations, residue, scope, tables, tickets};
use crate::client::{ClientId, Epoch, PoolId};
use crate::database::{ConnectionOptions, ProbePool};
use crate::directory::{Directory, PlatformDirectory, PoolRecord, column, connect_options, of_pool};
use crate::error::{Error, Result};

/// Attacks pool databases as a client would: two scratch clients are placed in one, and the first tries to reach the
/// rows of the second by everything that the app role can say. Cheap to clone.
///
/// It may be run on a database that clients are served from. Rows are made up from the catalogue and never committed;
/// every transaction is short, and locks are not waited for; what remains is in the report. The two clients are in no
/// platform database, and nobody is served as them.
///
/// ```no_run
/// # async fn example(platform: tenantry::PlatformDirectory, pool: tenantry::PoolId) -> tenantry::Result<()> {
/// use tenantry::{AttackOptions, Attacks};
///
/// let report = Attacks::new(&platform).options(AttackOptions::default()).run(pool).await?;
/// for finding in &report.findings {
///     eprintln!("{finding}");
/// }
/// report.expect_clean()?;
/// # Ok(()) }
/// ```
///
/// | finding | one client |
/// |---|---|
/// | `attack.read`, `attack.cursor`, `attack.copy` | reads rows of another from a table |
/// | `attack.prepared` | is answered by a statement that was prepared for another |
/// | `attack.row_security`, `attack.role`, `attack.scope` | does so with row-level security off, by a role, by a setting |
/// | `attack.write`, `attack.delete`, `attack.merge`, `attack.upsert` | changes or removes rows of another |
/// | `attack.insert`, `attack.give_away` | adds rows to those of another |
/// | `attack.reference`, `attack.cascade` | holds rows of another by a foreign key, or is reached by one |
/// | `attack.oracle`, `attack.message` | learns by a key or an error what another has |
/// | `attack.partition`, `attack.view`, `attack.function` | reaches another past the table |
/// | `attack.shared`, `attack.sequence`, `attack.statistics`, `attack.activity` | reaches what is of all clients |
/// | `attack.truncate`, `attack.ddl`, `attack.create`, `attack.shadow` | changes the schema, or what names in it mean |
/// | `attack.kernel`, `attack.ticket`, `attack.fence` | deceives the kernel, or is not held up by it |
/// | `attack.residue` | finds what another left on a connection |
/// | `attack.unfilled`, `attack.inconclusive` | could not be made to try: what is not known is not clean |
#[derive(Clone, Debug)]
pub struct Attacks {
    platform: PlatformDirectory,
    options: AttackOptions,
}

/// How long removing what a run left may take beyond its bounds.
const GRACE: Duration = Duration::from_secs(5);

/// The epoch that both are placed under: there is one before it.
const EPOCH: Epoch = 2;

impl Attacks {
    /// With the defaults of [`AttackOptions`].
    pub fn new(platform: &PlatformDirectory) -> Self {
        Self {
            platform: platform.clone(),
            options: AttackOptions::default(),
        }
    }

    /// With these options.
    #[must_use]
    pub fn options(mut self, options: AttackOptions) -> Self {
        self.options = options;
        self
    }

    /// Attacks the pool database. What a run before left is removed first.
    ///
    /// # Errors
    /// [`Error::Audit`], retryable where the database is attacked by somebody else at the moment;
    /// [`Error::Unreachable`]; [`Error::MissingCredential`] and [`Error::WrongKey`] where a connection of the pool is
    /// not in order.
    ///
    /// # Cancel safety
    /// Dropped, the places of the two scratch clients can be left, and nothing else: the next run, or
    /// [`clear`](Self::clear), removes them.
    pub async fn run(&self, pool: PoolId) -> Result<AttackReport> {
        let began = Instant::now();
        let (record, mut admin) = self.admin(pool).await?;
        let database = database(&record);
        scratch::lock(&mut admin, &database).await?;
        scratch::clear(&mut admin, &database).await?;
        let mut arena = match self.prepare(&record, &mut admin, &database).await {
            Ok(prepared) => self.arena(prepared, &record, admin, &database, began),
            Err(error) => {
                let _ = scratch::clear(&mut admin, &database).await;
                return Err(error);
            }
        };
        let bound = self.options.time + self.options.statement_timeout + GRACE;
        let outcome = match tokio::time::timeout(bound, Box::pin(attack(&mut arena))).await {
            Ok(outcome) => outcome,
            Err(_elapsed) => {
                let told = "the database did not answer in time";
                arena.report.unclear(&database, told);
                Ok(())
            }
        };
        let Arena {
            mut report,
            mut admin,
            pool,
            ..
        } = arena;
        let cleared = scratch::clear(&mut admin, &database).await;
        let _ = tokio::time::timeout(GRACE, pool.close()).await;
        let _ = admin.close().await;
        outcome?;
        cleared?;
        report.took = began.elapsed();
        report.sort();
        Ok(report)
    }

    /// Removes what a run left that was killed, or whose future was dropped. Returns how many scratch clients there
    /// were.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    ///
    /// # Cancel safety
    /// Dropped, they were removed or not.
    pub async fn clear(&self, pool: PoolId) -> Result<u64> {
        let (record, mut admin) = self.admin(pool).await?;
        let database = database(&record);
        scratch::lock(&mut admin, &database).await?;
        let cleared = scratch::clear(&mut admin, &database).await?;
        let _ = admin.close().await;
        Ok(cleared)
    }

    async fn admin(&self, pool: PoolId) -> Result<(PoolRecord, PgConnection)> {
        let record = self
            .platform
            .pool(pool)
            .await?
            .ok_or_else(|| Error::MissingCredential {
                owner: format!("pool {pool}"),
                what: "record".to_owned(),
            })?;
        let mut admin = self.platform.pool_admin(pool).await?;
        let bounds = format!(
            "set lock_timeout = {}; set statement_timeout = {}; set idle_in_transaction_session_timeout = 10000",
            self.options.lock_timeout.as_millis().max(1),
            self.options.statement_timeout.as_millis().max(1) * 10
        );
        admin
            .execute(sqlx::raw_sql(AssertSqlSafe(bounds)))
            .await
            .map_err(|source| Error::Unreachable {
                database: database(&record),
                step: "bounding statements",
                source: source.into(),
            })?;
        Ok((record, admin))
    }

    async fn prepare(
        &self,
        record: &PoolRecord,
        admin: &mut PgConnection,
        database: &str,
    ) -> Result<Prepared> {
        let owner = || format!("pool {}", record.id);
        let for_ = of_pool(record.id, column::POOL_APP);
        let url = self.platform.open(&record.connection, for_, owner).await?;
        let connect = connect_options(&url, &owner())?;
        let app_role = connect.get_username().to_owned();
        let ground = Ground::read(admin, &app_role, database).await?;
        let clients = [scratch_client(), scratch_client()];
        for client in clients {
            scratch::place(admin, database, client, "active", EPOCH, false).await?;
        }
        let key = PlatformKey {
            platform: self.platform.clone(),
            pool: record.id,
        };
        // One connection: what a client leaves on it, the next one gets.
        let connections = ConnectionOptions::default()
            .max_connections(1)
            .statement_timeout(self.options.statement_timeout)
            .lock_timeout(self.options.lock_timeout);
        let pool = ProbePool::open(record, connect, Arc::new(key), connections).await?;
        Ok(Prepared {
            ground,
            app_role,
            clients,
            pool,
        })
    }

    fn arena(
        &self,
        prepared: Prepared,
        record: &PoolRecord,
        admin: PgConnection,
        database: &str,
        began: Instant,
    ) -> Arena<'_> {
        let [attacker, victim] = prepared.clients;
        Arena {
            options: &self.options,
            ground: prepared.ground,
            rows: Rows::default(),
            pool: prepared.pool,
            binding: record.binding,
            admin,
            app_role: prepared.app_role,
            database: database.to_owned(),
            attacker: Salt::new(attacker),
            victim: Salt::new(victim),
            epoch: EPOCH,
            report: AttackReport {
                database: database.to_owned(),
                ..AttackReport::default()
            },
            deadline: began + self.options.time,
        }
    }
}

/// What an arena is made of.
struct Prepared {
    ground: Ground,
    app_role: String,
    clients: [ClientId; 2],
    pool: ProbePool,
}

fn database(record: &PoolRecord) -> String {
    format!("pool {} ({})", record.name, record.id)
}

/// The themes, from the ground up: what is reached by tables explains what is reached past them.
async fn attack(arena: &mut Arena<'_>) -> Result<()> {
    arena.pick_shared().await;
    tables::attack(arena).await?;
    let at_large = relations::at_large(arena);
    arena.alone(&at_large).await?;
    relations::attack(arena).await?;
    functions::attack(arena).await?;
    scope::attack(arena).await?;
    residue::attack(arena).await?;
    tickets::attack(arena).await?;
    arena.tell_side_effects();
    Ok(())
}
