#![expect(
    clippy::disallowed_methods,
    reason = "fails a transaction that wrote more than is allowed"
)]

use std::fmt::Write as _;

use sha2::{Digest as _, Sha256};
use sqlx::postgres::{PgArguments, PgRow};
use sqlx::{Arguments as _, AssertSqlSafe, Executor as _, FromRow, Postgres, Type};

use super::run::{On, Statement, Step, decode, rendered};
use super::verb::Adds;
use crate::client::ClientId;
use crate::database::{Mode, within};
use crate::error::{Error, Result};
use crate::plan::Limit;
use crate::schema::{Catalogue, Table, TableKind, nearest_name};
use crate::tenant::{TenantDb, TenantTx};

/// The limits that a write counts towards, where its client is limited.
///
/// A count is only good while nobody else adds to it, and a statement sees what was committed before it began. So
/// whoever adds takes an advisory lock of the client and the limit *before* the statement that counts, and holds it
/// until its transaction ends. Under READ COMMITTED the count is then of all that were there before, and nobody is
/// beside. A snapshot of the whole transaction would be older than the lock: there it is refused.
pub(super) struct Counted {
    limits: Vec<CountedLimit>,
}

struct CountedLimit {
    limit: Limit,
    allowed: i64,
    /// How many rows there are, up to $2 in each table.
    count: String,
    key: i32,
}

/// The class of the locks: two numbers never meet the one number of the fence's.
const LOCK_CLASS: i32 = 0x544e_4c4d;

impl Counted {
    /// What inserting into the table counts towards. No I/O where no table of that name was declared.
    pub(super) async fn of_table(on: &On<'_>, table: &str) -> Result<Option<Self>> {
        let (db, plans) = (on.db(), &on.db().tenant.plans);
        if !plans.counted.may_have(table) {
            return Ok(None);
        }
        let counted = rendered(on, |catalogue| {
            let own = found(db, catalogue, table)?;
            let is_own = |table: &str| {
                let table = catalogue.table(table);
                table.is_some_and(|table| table.qualified == own.qualified)
            };
            let mut limits = Vec::new();
            for limit in plans.counted.limits() {
                if plans.counted.tables_of(limit).any(is_own) {
                    limits.extend(CountedLimit::of(db, catalogue, limit)?);
                }
            }
            Ok(limits)
        });
        Ok(Self::some(counted.await?))
    }

    /// What more of a limit counts towards.
    async fn of_limit(on: &On<'_>, limit: &Limit) -> Result<Option<Self>> {
        let db = on.db();
        if db.tenant.plans.counted.tables_of(limit).next().is_none() {
            return Err(Error::StatementRefused {
                client: db.id(),
                what: format!("reserving {limit}"),
                reason: "no table was declared to count towards it",
            });
        }
        let counted = rendered(on, |catalogue| CountedLimit::of(db, catalogue, limit));
        Ok(Self::some(counted.await?.into_iter().collect()))
    }

    fn some(mut limits: Vec<CountedLimit>) -> Option<Self> {
        // In one order, so that no two wait for each other.
        limits.sort_by_key(|counted| counted.key);
        (!limits.is_empty()).then_some(Self { limits })
    }

    /// Waits until nobody else adds, and refuses what is too much. Where rows may be there already, that is only known
    /// [afterwards](Self::check): then it returns how many there are before.
    pub(super) async fn admit(&self, tx: &mut TenantTx, adds: Adds) -> Result<Option<Vec<i64>>> {
        self.lock(tx).await?;
        let more = i64::try_from(adds.rows).unwrap_or(i64::MAX);
        let (mut before, mut is_known) = (Vec::new(), true);
        for counted in &self.limits {
            // What is more than allowed need not be told apart, but in errors.
            let used = counted.used(tx, counted.allowed.saturating_add(1)).await?;
            if used.saturating_add(more) <= counted.allowed {
                before.push(used);
                continue;
            }
            let used = counted.used(tx, i64::MAX).await?;
            before.push(used);
            if adds.may_be_there {
                is_known = false;
            } else {
                counted.refuse(tx.db(), used, more).await?;
            }
        }
        Ok((!is_known).then_some(before))
    }

    /// Counts what was written, and fails the transaction where it is too much: as a constraint would.
    pub(super) async fn check(&self, tx: &mut TenantTx, before: &[i64]) -> Result<()> {
        for (counted, before) in self.limits.iter().zip(before) {
            let after = counted.used(tx, i64::MAX).await?;
            // One that was too much before, and only changed what was there, has added nothing.
            if after <= counted.allowed || after <= *before {
                continue;
            }
            if let Err(refused) = counted.refuse(tx.db(), *before, after - before).await {
                counted.fail(tx).await;
                return Err(refused);
            }
        }
        Ok(())
    }

    async fn lock(&self, tx: &mut TenantTx) -> Result<()> {
        let client = tx.db().id();
        let mut sql = "select current_setting('transaction_isolation')".to_owned();
        let mut arguments = PgArguments::default();
        add(client, &mut arguments, LOCK_CLASS)?;
        for (counted, at) in self.limits.iter().zip(2..) {
            // Writing to a String cannot fail.
            let _ = write!(sql, ", pg_advisory_xact_lock($1, ${at})::text");
            add(client, &mut arguments, counted.key)?;
        }
        let (isolation,): (String,) = ask(tx, sql, arguments).await?;
        if isolation == "read committed" {
            return Ok(());
        }
        Err(Error::StatementRefused {
            client,
            what: "a write that counts towards a limit".to_owned(),
            reason: "its transaction does not see what others added since it began: READ COMMITTED does",
        })
    }
}

impl CountedLimit {
    /// `None` where the client is not limited.
    fn of(db: &TenantDb, catalogue: &Catalogue, limit: &Limit) -> Result<Option<Self>> {
        let record = &db.tenant.record;
        let Some(allowed) = record.limit(limit) else {
            return Ok(None);
        };
        let mut count = String::from("select ");
        for (at, table) in db.tenant.plans.counted.tables_of(limit).enumerate() {
            let table = found(db, catalogue, table)?;
            let own = if db.is_scoped() && table.kind == TableKind::Tenant {
                " where client_id = $1"
            } else {
                " where $1 is not null"
            };
            // Writing to a String cannot fail.
            let _ = write!(
                count,
                "{}(select count(*) from (select from {}{own} limit $2) counted)",
                if at == 0 { "" } else { " + " },
                table.sql
            );
        }
        Ok(Some(Self {
            limit: limit.clone(),
            allowed,
            count,
            key: lock_key(record.id, limit),
        }))
    }

    /// How many there are, up to so many in each table.
    async fn used(&self, tx: &mut TenantTx, up_to: i64) -> Result<i64> {
        let client = tx.db().id();
        let mut arguments = PgArguments::default();
        add(client, &mut arguments, client.as_uuid())?;
        add(client, &mut arguments, up_to)?;
        let (used,): (i64,) = ask(tx, self.count.clone(), arguments).await?;
        Ok(used)
    }

    /// The error, unless the directory allows as much by now: the route may be older than the plan.
    async fn refuse(&self, db: &TenantDb, used: i64, more: i64) -> Result<()> {
        let (record, plans) = (&db.tenant.record, &db.tenant.plans);
        let newest = plans.newest(record).await;
        match newest.limit(&self.limit) {
            Some(allowed) if used.saturating_add(more) > allowed => {
                Err(plans.reached(&newest, &self.limit, allowed, used, more).await)
            }
            _ => {
                if let Some(router) = db.tenant.router.upgrade() {
                    router.forget(record.id);
                }
                Ok(())
            }
        }
    }

    /// Leaves nothing of the transaction but its rollback.
    async fn fail(&self, tx: &mut TenantTx) {
        // The name of a limit has neither quotes nor blanks.
        let fail = format!(
            "do $$ begin raise exception '{} is reached' using errcode = 'TN201'; end $$",
            self.limit
        );
        let timeout = tx.answer_timeout();
        let Ok(conn) = tx.connection() else { return };
        let failed = within(timeout, conn.execute(sqlx::raw_sql(AssertSqlSafe(fail)))).await;
        tx.note(&failed);
    }
}

impl TenantTx {
    /// Makes sure that so many more are allowed, for what is written otherwise than by the builder's inserts: call it
    /// before the write, in its transaction. Until that ends nobody else adds to the limit's tables, but by writes that
    /// reserve nothing. What was reserved before and is not written yet is not counted.
    ///
    /// The tables are those that [`ManagerOptions::counts`](crate::ManagerOptions::counts) declares. A client that is
    /// not limited costs no I/O.
    ///
    /// ```no_run
    /// # async fn example(acme: tenantry::TenantDb) -> Result<(), Box<dyn std::error::Error>> {
    /// let mut tx = acme.begin().await?;
    /// tx.reserve(tenantry::Limit::MAX_DOCUMENTS, 1).await?;
    /// sqlx::query("insert into documents (title) select title from drafts where id = $1").bind(7).execute(&mut tx).await?;
    /// tx.commit().await?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`Error::LimitReached`], after which the transaction can go on; [`Error::StatementRefused`] where no table counts
    /// towards the limit, or the transaction is not under READ COMMITTED; [`Error::UnknownTable`]; those of
    /// [`fetch_all`](crate::TenantQuery::fetch_all).
    ///
    /// # Cancel safety
    /// Dropped, it may or may not hold the others off until the transaction ends.
    pub async fn reserve(&mut self, limit: Limit, more: u32) -> Result<()> {
        let counted = Counted::of_limit(&On::Tx(self), &limit).await?;
        if let Some(counted) = counted {
            let adds = Adds {
                rows: usize::try_from(more).unwrap_or(usize::MAX),
                may_be_there: false,
            };
            counted.admit(self, adds).await?;
        }
        Ok(())
    }

    /// As [`reserve`](Self::reserve), for rows of that table, whatever they count towards.
    pub(crate) async fn reserve_rows(&mut self, table: &str, rows: usize) -> Result<()> {
        let counted = Counted::of_table(&On::Tx(self), table).await?;
        if let Some(counted) = counted {
            let adds = Adds {
                rows,
                may_be_there: false,
            };
            counted.admit(self, adds).await?;
        }
        Ok(())
    }
}

/// Two limits of one number wait for each other, and nothing worse.
fn lock_key(client: ClientId, limit: &Limit) -> i32 {
    let mut hash = Sha256::new();
    hash.update(client.as_uuid().as_bytes());
    hash.update(limit.as_str());
    let hash = hash.finalize();
    i32::from_be_bytes([hash[0], hash[1], hash[2], hash[3]])
}

fn found<'c>(db: &TenantDb, catalogue: &'c Catalogue, table: &str) -> Result<&'c Table> {
    let table = catalogue.table(table).ok_or_else(|| Error::UnknownTable {
        client: db.id(),
        table: table.to_owned(),
        nearest_name: nearest_name(table, catalogue.table_names()),
    })?;
    Ok(table)
}

fn add<'q, T: sqlx::Encode<'q, Postgres> + Type<Postgres> + 'q>(
    client: ClientId,
    arguments: &mut PgArguments,
    value: T,
) -> Result<()> {
    arguments.add(value).map_err(|source| Error::Encode {
        client,
        column: "a number".to_owned(),
        source: source.into(),
    })
}

/// The one row of a statement of the library.
async fn ask<T: for<'r> FromRow<'r, PgRow>>(
    tx: &mut TenantTx,
    sql: String,
    arguments: PgArguments,
) -> Result<T> {
    let (client, step) = (tx.db().id(), Step("count", "what is there"));
    let statement = Statement {
        sql,
        arguments,
        step,
        mode: Mode::ReadWrite,
        residue: false,
    };
    let row: Option<PgRow> = statement.run(&mut On::Tx(tx)).await?;
    let row = row.ok_or_else(|| Error::RowNotFound {
        client,
        what: step.into(),
    })?;
    decode(client, step, &row)
}
