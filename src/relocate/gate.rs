//! Keeping a client's writers out of a database, closing it to them for good, and opening it.
//!
//! Writers are kept out by locks of one transaction, which the server ends by itself when whoever began it is gone or
//! silent for longer than the budget: then they go on as if nothing had been. The same transaction closes the database
//! for good, so its commit is the one moment at which the client stops being served here.
#![expect(
    clippy::disallowed_methods,
    reason = "locks and closes the databases of a client"
)]

use std::time::{Duration, Instant};

use sqlx::{AssertSqlSafe, PgConnection};

use super::blockers::{self, End, Held};
use super::patience;
use super::session::Side;
use super::tables::Pair;
use crate::client::{ClientId, Epoch};
use crate::error::{Error, RelocationError, Result};
use crate::schema;

/// How long one attempt to keep writers out waits for those in flight: below the server's `deadlock_timeout`, so that
/// in a deadlock it is the one that gives way, and short, since all who come after wait behind it.
const TURN: Duration = Duration::from_millis(300);

/// Writers are kept out for as long as this is held.
#[derive(Debug)]
pub(super) struct Fence {
    pub(super) conn: PgConnection,
    /// Since when whoever comes waits.
    pub(super) since: Instant,
}

/// Keeps writers out. What failed is told with those who did not end.
pub(super) async fn fence(
    side: &Side,
    pairs: &[Pair],
    budget: Duration,
    turns: u32,
    end_blockers: bool,
) -> Result<Fence> {
    const STEP: &str = "keeping its writers out";
    let mut conn = side.connect().await?;
    let settings = format!(
        "set lock_timeout = {}; set idle_in_transaction_session_timeout = {}",
        TURN.min(budget).as_millis(),
        budget.as_millis()
    );
    side.run(&mut conn, STEP, settings).await?;
    rehearse(side, &mut conn).await?;
    let mut turn = 0;
    loop {
        let kept = match side.begin(&mut conn).await {
            Ok(()) => lock(side, &mut conn, pairs, TURN.min(budget)).await,
            Err(error) => Err(error),
        };
        match kept {
            Ok(since) => return Ok(Fence { conn, since }),
            Err(error) => {
                side.run(&mut conn, STEP, "rollback").await?;
                if !patience::is_lock_timeout(&error) {
                    return Err(error);
                }
            }
        }
        turn += 1;
        let last = turn >= turns;
        let oids: Vec<i64> = pairs.iter().map(|pair| pair.from.oid).collect();
        let held = if side.is_pool() {
            Held::ByClient
        } else {
            Held::OnTables(&oids)
        };
        let end = if last && end_blockers {
            End::Them
        } else {
            End::Nobody
        };
        let found = blockers::find(side, &mut conn, held, end).await?;
        if last && !end_blockers || turn > turns {
            return Err(Error::Relocation {
                client: side.client,
                step: STEP,
                source: RelocationError::NotDrained { blockers: found },
            });
        }
        tokio::time::sleep(patience::pause(turn)).await;
    }
}

/// Places a client that there is not, and takes it back: what a session does for the first time takes the server
/// milliseconds, for which writers would wait later.
pub(super) async fn rehearse(side: &Side, conn: &mut PgConnection) -> Result<()> {
    if !side.is_pool() {
        return Ok(());
    }
    let nobody = ClientId::new();
    let sql = format!(
        "begin; select tenantry.place('{nobody}', 'incoming', 1, false); select tenantry.place('{nobody}', 'active', 2, false);
         update tenantry.relocations set changed_at = now() where client_id = '{nobody}'; rollback"
    );
    side.run(conn, "preparing a session", sql).await.map(drop)
}

/// Waits for those in flight no longer than a turn. Returns since when whoever comes waits.
async fn lock(side: &Side, conn: &mut PgConnection, pairs: &[Pair], turn: Duration) -> Result<Instant> {
    const STEP: &str = "locking its tables";
    if side.is_pool() {
        return schema::hold(conn, side.client, 1).await;
    }
    if pairs.is_empty() {
        return Ok(Instant::now());
    }
    let tables: Vec<&str> = pairs.iter().map(|pair| pair.from.sql.as_str()).collect();
    side.run(conn, STEP, patience::unmaintained(side, &tables))
        .await?;
    let asked = Instant::now();
    let sql = format!(
        "set local lock_timeout = {}; lock table {} in exclusive mode",
        turn.as_millis(),
        tables.join(", ")
    );
    side.run(conn, STEP, sql).await.map(|_| asked)
}

/// Closes the database to the client from now on and for ever: the commit of this is what moves it. Where its answer
/// was lost, the database says whether it did.
pub(super) async fn close(side: &Side, mut fence: Fence, pairs: &[Pair], epoch: Epoch) -> Result<()> {
    const STEP: &str = "closing its database to it";
    let conn = &mut fence.conn;
    if !side.is_pool() {
        take_rights(side, conn, pairs).await?;
        silence(side, conn, pairs.iter().map(|pair| pair.from.oid)).await?;
    }
    let placed = placing(side, "moved", epoch, false);
    let sql = format!(
        "{placed} update tenantry.relocations set left_for = {epoch}, changed_at = now() where client_id = '{}'; commit",
        side.client
    );
    // In one message: writers wait.
    let committed = side.run(conn, STEP, sql).await;
    drop(fence);
    match committed {
        Ok(_) => Ok(()),
        Err(error) => {
            let mut again = side.connect().await?;
            if left_for(side, &mut again).await? == Some(epoch) {
                return Ok(());
            }
            Err(error)
        }
    }
}

const OPENING: &str = "opening its database to it";

/// The epoch that the client left this database for, if it did.
pub(super) async fn left_for(side: &Side, conn: &mut PgConnection) -> Result<Option<Epoch>> {
    let left: Option<Option<Epoch>> =
        sqlx::query_scalar("select left_for from tenantry.relocations where client_id = $1")
            .bind(side.client)
            .fetch_optional(conn)
            .await
            .map_err(|source| Error::of_statement(side.client, "reading where it is served", source))?;
    Ok(left.flatten())
}

/// Makes everything ready for the database to be opened to the client, in a transaction that is left open. What was
/// written there without waiting for the disk is on it once that commits.
pub(super) async fn begin_opening(side: &Side, conn: &mut PgConnection) -> Result<()> {
    let failed = |source| Error::of_statement(side.client, OPENING, source);
    side.run(conn, OPENING, "reset synchronous_commit").await?;
    side.begin(conn).await?;
    if !side.is_pool() {
        let give_back: Vec<String> = sqlx::query_scalar(
            "select unnest(silenced || rights) from tenantry.relocations where client_id = $1",
        )
        .bind(side.client)
        .fetch_all(&mut *conn)
        .await
        .map_err(failed)?;
        if !give_back.is_empty() {
            side.run(conn, OPENING, give_back.join("; ")).await?;
        }
    }
    Ok(())
}

/// Opens the database to the client under that epoch, in one message: writers wait.
pub(super) async fn open(side: &Side, conn: &mut PgConnection, epoch: Epoch, suspended: bool) -> Result<()> {
    let placed = placing(side, "active", epoch, suspended);
    let sql = format!(
        "{placed} update tenantry.relocations set left_for = null, silenced = '{{}}', rights = '{{}}', changed_at = now()
         where client_id = '{}'; commit",
        side.client
    );
    side.run(conn, OPENING, sql).await.map(drop)
}

/// Says in a pool how it has the client from now on.
fn placing(side: &Side, state: &str, epoch: Epoch, suspended: bool) -> String {
    if side.is_pool() {
        format!(
            "select tenantry.place('{}', '{state}', {epoch}, {suspended});",
            side.client
        )
    } else {
        String::new()
    }
}

/// Takes from all but owners what they may do with the tables, and with functions that have the rights of their owner;
/// remembers what gives it back.
async fn take_rights(side: &Side, conn: &mut PgConnection, pairs: &[Pair]) -> Result<()> {
    const STEP: &str = "taking the rights of its app role";
    const RIGHTS: &str = "
        with held (thing, owner, acl) as (
            select format('table %s', c.oid::regclass), c.relowner, coalesce(c.relacl, acldefault('r', c.relowner))
            from pg_catalog.pg_class c where c.oid::int8 = any ($1)
            union all
            select format('function %s', p.oid::regprocedure), p.proowner, coalesce(p.proacl, acldefault('f', p.proowner))
            from pg_catalog.pg_proc p
            where p.prosecdef and p.prokind in ('f', 'p') and p.pronamespace not in ('pg_catalog'::regnamespace, 'tenantry'::regnamespace)
              and not exists (select from pg_catalog.pg_depend d
                              where d.classid = 'pg_catalog.pg_proc'::regclass and d.objid = p.oid and d.deptype = 'e')
        )
        select format('grant %s on %s to %s', a.privilege_type, h.thing,
                      case a.grantee when 0 then 'public' else quote_ident(pg_get_userbyid(a.grantee)) end),
               format('revoke %s on %s from %s', a.privilege_type, h.thing,
                      case a.grantee when 0 then 'public' else quote_ident(pg_get_userbyid(a.grantee)) end)
        from held h, aclexplode(h.acl) a
        where a.grantee <> h.owner";
    let oids: Vec<i64> = pairs.iter().map(|pair| pair.from.oid).collect();
    let rights: Vec<(String, String)> = sqlx::query_as(RIGHTS)
        .bind(oids)
        .persistent(false)
        .fetch_all(&mut *conn)
        .await
        .map_err(|source| Error::of_statement(side.client, STEP, source))?;
    let (given, taken): (Vec<String>, Vec<String>) = rights.into_iter().unzip();
    remember(side, conn, "rights", &given).await?;
    if taken.is_empty() {
        return Ok(());
    }
    side.run(conn, STEP, taken.join("; ")).await.map(drop)
}

/// Has the host's triggers on those tables be silent, in the transaction; remembers what has them fire again. In a
/// database of the client's own: in others they are others' as well.
pub(super) async fn silence(
    side: &Side,
    conn: &mut PgConnection,
    tables: impl Iterator<Item = i64>,
) -> Result<()> {
    const STEP: &str = "silencing its triggers";
    let oids: Vec<i64> = tables.collect();
    let triggers: Vec<(String, String)> = sqlx::query_as(
        "select format('alter table %s enable %s trigger %I', t.tgrelid::regclass,
                       case t.tgenabled when 'A' then 'always' when 'R' then 'replica' else '' end, t.tgname),
                format('alter table %s disable trigger %I', t.tgrelid::regclass, t.tgname)
         from pg_catalog.pg_trigger t
         where t.tgrelid::int8 = any ($1) and not t.tgisinternal and t.tgenabled <> 'D' and t.tgparentid = 0
           and t.tgname !~ '^tenantry_change_'",
    )
    .bind(oids)
    .persistent(false)
    .fetch_all(&mut *conn)
    .await
    .map_err(|source| Error::of_statement(side.client, STEP, source))?;
    let (again, silent): (Vec<String>, Vec<String>) = triggers.into_iter().unzip();
    if silent.is_empty() {
        return Ok(());
    }
    remember(side, conn, "silenced", &again).await?;
    side.run(conn, STEP, silent.join("; ")).await.map(drop)
}

/// Adds statements to those that a database remembers.
pub(super) async fn remember(
    side: &Side,
    conn: &mut PgConnection,
    column: &'static str,
    statements: &[String],
) -> Result<()> {
    let sql = format!("update tenantry.relocations set {column} = {column} || $2 where client_id = $1");
    sqlx::query(AssertSqlSafe(sql))
        .bind(side.client)
        .bind(statements)
        .execute(conn)
        .await
        .map(drop)
        .map_err(|source| Error::of_statement(side.client, "noting what is to be given back", source))
}

/// Forgets which tables have arrived, in the transaction that removes them.
pub(super) async fn forget_arrivals(side: &Side, conn: &mut PgConnection) -> Result<()> {
    sqlx::query("delete from tenantry.arrivals where client_id = $1")
        .bind(side.client)
        .execute(conn)
        .await
        .map(drop)
        .map_err(|source| Error::of_statement(side.client, "removing its rows", source))
}

/// Notes that tables have arrived, in the transaction in which they do.
pub(super) async fn note_arrival(side: &Side, conn: &mut PgConnection, tables: &[String]) -> Result<()> {
    sqlx::query("insert into tenantry.arrivals (client_id, table_name) select $1, unnest($2::text[])")
        .bind(side.client)
        .bind(tables)
        .execute(conn)
        .await
        .map(drop)
        .map_err(|source| Error::of_statement(side.client, "noting which tables have arrived", source))
}

/// The tables that have arrived.
pub(super) async fn arrived(side: &Side, conn: &mut PgConnection) -> Result<Vec<String>> {
    sqlx::query_scalar("select table_name from tenantry.arrivals where client_id = $1")
        .bind(side.client)
        .fetch_all(conn)
        .await
        .map_err(|source| Error::of_statement(side.client, "reading which tables have arrived", source))
}

/// Forgets a relocation that has ended.
pub(super) async fn forget(side: &Side, conn: &mut PgConnection) -> Result<()> {
    sqlx::query(
        "with arrivals as (delete from tenantry.arrivals where client_id = $1)
         delete from tenantry.relocations where client_id = $1",
    )
    .bind(side.client)
    .execute(conn)
    .await
    .map(drop)
    .map_err(|source| Error::of_statement(side.client, "forgetting a relocation that has ended", source))
}
