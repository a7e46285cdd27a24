//! Tickets behind a pooler are bound to no server process, and all clients of a pool see each other's statements.

use sqlx::{AssertSqlSafe, PgConnection};
use tenantry::{ClientId, TenantDb};

use super::{Behind, Failure, Outcome};
use crate::support::{Reply, TABLES, ask, ask_alone, enter, ticket};

const VICTIM: &str = "the-victim-alone";

/// A ticket in a statement that another session of the app role ran last.
const SEEN: &str = "select substring(query from '[0-9a-f]{160}') from pg_stat_activity
    where datname = current_database() and usename = current_user and pid <> pg_backend_pid()
      and substring(query from '[0-9a-f]{160}') is not null";

/// Statements of one transaction of the attacker's. `TICKET` is the victim's ticket, `ENTER` a statement that
/// shows it, and `OWN` a ticket of the attacker's own.
const ATTACKS: &[&[&str]] = &[
    &["ENTER"],
    &["ENTER", "ENTER"],
    &["select tenantry.hello()::text", "ENTER"],
    &["select tenantry.leave('OWN')::text", "ENTER"],
    &["select tenantry.hello()::text", "select tenantry.leave('OWN')::text", "ENTER"],
    &["select tenantry.enter('OWN')", "ENTER"],
    &["select tenantry.enter(repeat('0', 160))", "ENTER"],
    &["savepoint s", "ENTER", "rollback to s", "ENTER"],
    &["select concat_ws(' ', tenantry.hello()::text, tenantry.enter('TICKET'), tenantry.current_client())"],
    &["select concat_ws(' ', tenantry.leave('OWN')::text, tenantry.enter('TICKET'), tenantry.current_client())"],
    // Entered and read in one statement.
    &["with e as materialized (select tenantry.enter('TICKET') as status)
       select concat_ws(' ', e.status, a.name) from e left join agents a on true"],
    &["select concat_ws(' ', tenantry.enter('TICKET'), (select string_agg(name, ',') from agents))"],
    &[
        "do $$ begin
             perform tenantry.hello();
             perform tenantry.enter('TICKET');
             perform set_config('app.loot', (select string_agg(a::text, ',') from agents a), true);
         exception when others then
             perform set_config('app.loot', sqlerrm, true);
         end $$",
        "select current_setting('app.loot')",
    ],
    &[
        "do $$ declare t text; begin
             for t in select substring(query from '[0-9a-f]{160}') from pg_stat_activity where query ~ '[0-9a-f]{100}' loop
                 begin
                     perform tenantry.enter(t);
                     perform set_config('app.loot', concat(current_setting('app.loot', true),
                                                           (select string_agg(a::text, ',') from agents a)), true);
                 exception when others then null;
                 end;
             end loop;
         end $$",
        "select coalesce(current_setting('app.loot', true), '')",
    ],
    // What the kernel keeps of the scope.
    &["select set_config('role', current_user, false)", "ENTER"],
    &["do $$ begin execute 'discard sequences'; end $$", "ENTER"],
    &["do $$ begin execute 'reset all'; end $$", "ENTER"],
];

#[tokio::test]
async fn a_ticket_of_another_client_seen_in_pg_stat_activity_is_of_no_use_behind_a_pooler() -> Outcome {
    let Some(behind) = Behind::new(4).await? else {
        return Ok(());
    };
    let manager = behind.process(4).await?;
    let (attacker, victim) = (
        behind.client(&manager, "attacker").await?,
        behind.client(&manager, VICTIM).await?,
    );
    let mut admin = behind.admin().await?;
    let before = rows_of(&mut admin, victim.client().id).await?;
    assert!(before.len() >= TABLES.len(), "{before:?}");

    for attack in ATTACKS {
        // Its last statement is the one that entered.
        let open = victim.begin().await?;
        // The message that entered is longer than a server shows unless told to show more.
        let stolen = match stolen(&attacker, victim.client().id).await? {
            Some(seen) => seen,
            None => ticket(&mut admin, victim.client().id, 0, 0).await?,
        };
        let own = ticket(&mut admin, attacker.client().id, 0, 0).await?;

        let mut tx = attacker.begin().await?;
        let mut replies = Vec::new();
        for sql in *attack {
            let sql = sql.replace("ENTER", &enter(&stolen)).replace("TICKET", &stolen);
            replies.push(ask(&mut tx, sql.replace("OWN", &own)).await);
        }
        for table in TABLES {
            replies.push(ask(&mut tx, format!("select t::text from {table} t")).await);
        }
        for write in [
            "update agents set name = 'planted'",
            "delete from document_chunks",
            "insert into agents (slug, name) values ('planted', 'x')",
        ] {
            replies.push(ask(&mut tx, write).await);
        }
        for reply in replies {
            assert!(!format!("{reply:?}").contains(VICTIM), "{attack:?}: {reply:?}");
        }
        // Where the scope did not stay the attacker's, this fails.
        let committed = tx.commit().await;
        open.rollback().await?;
        assert_eq!(
            rows_of(&mut admin, victim.client().id).await?,
            before,
            "{attack:?}: {committed:?}"
        );

        // The server connection serves both as if nothing had been.
        for (db, mark) in [(&victim, VICTIM), (&attacker, "attacker")] {
            for _ in 0..4 {
                let names = ask_alone(db, "select title from documents").await?;
                assert_eq!(names, Reply::one(format!("document of {mark}")), "{attack:?}");
            }
        }
        put_right(&mut admin, attacker.client().id).await?;
    }
    manager.close().await;
    behind.close().await;
    Ok(())
}

/// The ticket of the victim's open transaction, as a session of another client sees it.
async fn stolen(attacker: &TenantDb, victim: ClientId) -> Result<Option<String>, Failure> {
    let Reply::Rows(tickets) = ask_alone(attacker, SEEN).await? else {
        return Err("the sessions of the app role do not see each other".into());
    };
    let client = victim.as_uuid().simple().to_string();
    Ok(tickets.into_iter().find(|ticket| ticket[8..40] == client))
}

/// The rows of a client in every tenant table, as the admin role sees them.
async fn rows_of(admin: &mut PgConnection, client: ClientId) -> sqlx::Result<Vec<String>> {
    let tables =
        TABLES.map(|table| format!("select '{table} ' || t::text from {table} t where client_id = $1"));
    sqlx::query_scalar(AssertSqlSafe(tables.join(" union all ") + " order by 1"))
        .bind(client)
        .fetch_all(admin)
        .await
}

/// What the attacker did to its own rows: the next attack adds the same.
async fn put_right(admin: &mut PgConnection, attacker: ClientId) -> sqlx::Result<()> {
    sqlx::query("delete from agents where client_id = $1 and slug = 'planted'")
        .bind(attacker)
        .execute(admin)
        .await?;
    Ok(())
}
