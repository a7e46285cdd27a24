//! What raw SQL of one client leaves on a connection is gone when the next client gets it.
#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "leaves residue by raw SQL, and shows it on connections of sqlx's own"
)]

use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};
use tenantry::testing::Fixture;
use tenantry::{ClientConnectionManager, ConnectionOptions, TenantDb};

use crate::support::{HOST, Reply, ask, ask_alone, ask_plainly, enter, fill, ticket};

type Outcome = Result<(), Box<dyn std::error::Error>>;

/// One client leaves something on the session, and another looks for it.
struct Residue {
    leave: &'static str,
    look: &'static str,
}

const fn residue(leave: &'static str, look: &'static str) -> Residue {
    Residue { leave, look }
}

const RESIDUES: &[Residue] = &[
    residue(
        "select set_config('app.note', 'hers', false)",
        "select coalesce(current_setting('app.note', true), '')",
    ),
    residue(
        "select set_config('tenantry.note', tenantry.current_client()::text, false)",
        "select coalesce(current_setting('tenantry.note', true), '')",
    ),
    residue(
        "select set_config('search_path', 'pg_catalog, public', false)",
        "select current_setting('search_path')",
    ),
    residue(
        "select set_config('statement_timeout', '12345', false)",
        "select current_setting('statement_timeout')",
    ),
    residue(
        "select set_config('row_security', 'off', false)",
        "select name from agents",
    ),
    residue(
        "select set_config('default_transaction_read_only', 'on', false)",
        "select current_setting('default_transaction_read_only')",
    ),
    residue(
        "select set_config('default_transaction_isolation', 'serializable', false)",
        "select current_setting('default_transaction_isolation')",
    ),
    residue(
        "select set_config('application_name', 'hers', false)",
        "select current_setting('application_name')",
    ),
    residue(
        "select set_config('timezone', 'Pacific/Apia', false)",
        "select current_setting('timezone')",
    ),
    residue(
        "select set_config('role', current_user, false)",
        "select current_setting('role')",
    ),
    residue(
        "do $$ begin execute 'set session work_mem to 77777'; end $$",
        "select current_setting('work_mem')",
    ),
    residue(
        "declare hers cursor with hold for select name from agents",
        "select coalesce((select name from pg_cursors where name = 'hers'), '')",
    ),
    residue(
        "declare hers cursor with hold for select name from agents",
        "fetch all from hers",
    ),
    residue(
        "do $$ begin execute 'listen hers'; end $$",
        "select coalesce((select string_agg(c, '') from pg_listening_channels() c), '')",
    ),
    residue(
        "select pg_advisory_lock(4242)::text",
        "select count(*)::text from pg_locks where locktype = 'advisory' and objid = 4242 and database = (select oid from pg_database where datname = current_database())",
    ),
    residue(
        "do $$ begin execute 'prepare hers as select name from agents'; end $$",
        "select count(*)::text from pg_prepared_statements where from_sql",
    ),
    residue(
        "do $$ begin execute 'prepare hers as select name from agents'; end $$",
        "execute hers",
    ),
];

/// Gone by the binding of the next client itself.
const LAST_VALUES: &[Residue] = &[
    residue("select nextval('turns')::text", "select lastval()::text"),
    residue("select nextval('turns')::text", "select currval('turns')::text"),
];

#[derive(Clone, Copy, Debug)]
enum End {
    Commit,
    Rollback,
    Drop,
    /// Failed, then dropped.
    Fail,
}

/// Whether the two clients are served by one process.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Processes {
    One,
    Two,
}

/// Two clients of one pool database, on one connection of a process.
pub(crate) struct Pair {
    fixture: Fixture,
    managers: [ClientConnectionManager; 2],
    first: TenantDb,
    second: TenantDb,
    admin: PgConnection,
}

impl Pair {
    async fn new() -> Result<Self, Box<dyn std::error::Error>> {
        Self::on(Fixture::start(&HOST).await?, Processes::One).await
    }

    pub(crate) async fn on(
        fixture: Fixture,
        processes: Processes,
    ) -> Result<Self, Box<dyn std::error::Error>> {
        let (first, second) = (
            fixture.shared_client("first").await?,
            fixture.shared_client("second").await?,
        );
        let one = ConnectionOptions::default().max_connections(1);
        let options = fixture.manager_options().pool_connections(one);
        let manager = ClientConnectionManager::connect(options.clone()).await?;
        let managers = match processes {
            Processes::One => [manager.clone(), manager],
            Processes::Two => [manager, ClientConnectionManager::connect(options).await?],
        };
        let (first, second) = (
            managers[0].tenant(first.id).await?,
            managers[1].tenant(second.id).await?,
        );
        fill(&first, "the first").await?;
        fill(&second, "the second").await?;
        let mut admin =
            PgConnection::connect_with(&fixture.admin_options(&fixture.database("pool-1"))).await?;
        let sequence = format!(
            "create sequence turns; grant usage on sequence turns to {}",
            fixture.app_role()
        );
        admin.execute(sqlx::raw_sql(AssertSqlSafe(sequence))).await?;
        Ok(Self {
            fixture,
            managers,
            first,
            second,
            admin,
        })
    }

    /// Another manager of one connection, which sees the database as it is now.
    async fn reopened(&self) -> Result<ClientConnectionManager, Box<dyn std::error::Error>> {
        let one = ConnectionOptions::default().max_connections(1);
        let options = self.fixture.manager_options().pool_connections(one);
        Ok(ClientConnectionManager::connect(options).await?)
    }

    /// The first client runs the statement in a transaction that ends like this.
    async fn leave(&self, sql: &str, end: End) -> Outcome {
        let mut tx = self.first.begin().await?;
        let left = ask(&mut tx, sql).await;
        assert!(matches!(left, Reply::Rows(_)), "{sql}: {left:?}");
        match end {
            End::Commit => tx.commit().await?,
            End::Rollback => tx.rollback().await?,
            End::Drop => drop(tx),
            End::Fail => {
                assert_eq!(ask(&mut tx, "select 1 / 0").await, Reply::refused("22012"));
                tx.commit().await.unwrap_err();
            }
        }
        Ok(())
    }

    /// Whatever the first leaves, and however it ends, the second finds nothing.
    pub(crate) async fn finds_nothing(self) -> Outcome {
        for Residue { leave, look } in RESIDUES.iter().chain(LAST_VALUES) {
            let before = ask_alone(&self.second, *look).await?;
            for end in [End::Commit, End::Rollback, End::Drop, End::Fail] {
                self.leave(leave, end).await?;
                assert_eq!(ask_alone(&self.second, *look).await?, before, "{leave}, {end:?}");
                assert_eq!(self.second.query("agents").count().await?, 1, "{leave}, {end:?}");
            }
        }
        self.close().await
    }

    async fn close(self) -> Outcome {
        self.admin.close().await?;
        for manager in self.managers {
            manager.close().await;
        }
        self.fixture.close().await;
        Ok(())
    }
}

#[tokio::test]
async fn the_next_client_finds_nothing_of_the_one_before() -> Outcome {
    Pair::new().await?.finds_nothing().await
}

#[tokio::test]
async fn without_the_cleaning_the_next_client_finds_it_all() -> Outcome {
    let mut pair = Pair::new().await?;
    let (first, second) = (
        ticket(&mut pair.admin, pair.first.client().id, 0, 0).await?,
        ticket(&mut pair.admin, pair.second.client().id, 0, 0).await?,
    );
    let app = pair.fixture.app_options(&pair.fixture.database("pool-1"));
    for Residue { leave, look } in RESIDUES {
        let mut conn = PgConnection::connect_with(&app).await?;
        let before = in_scope(&mut conn, &second, look).await;
        let left = in_scope(&mut conn, &first, leave).await;
        assert!(matches!(left, Reply::Rows(_)), "{leave}: {left:?}");
        assert_ne!(in_scope(&mut conn, &second, look).await, before, "{leave}");
        conn.close().await?;
    }
    for Residue { leave, look } in LAST_VALUES {
        let mut conn = PgConnection::connect_with(&app).await?;
        let before = in_scope(&mut conn, &second, look).await;
        let left = in_scope(&mut conn, &first, leave).await;
        assert!(matches!(left, Reply::Rows(_)), "{leave}: {left:?}");
        assert_eq!(in_scope(&mut conn, &second, look).await, before, "{leave}");
        conn.close().await?;
    }
    pair.close().await
}

/// In a transaction of the ticket's client, on a connection that nobody cleans. Begun as the library does: none is
/// entered that only reads.
async fn in_scope(conn: &mut PgConnection, ticket: &str, sql: &str) -> Reply {
    for sql in [
        "begin read write",
        "select pid::text from tenantry.hello()",
        "commit",
        "begin read write",
    ] {
        ask_plainly(conn, sql).await;
    }
    let entered = ask_plainly(conn, enter(ticket)).await;
    assert_eq!(entered, Reply::one("entered"));
    let reply = ask_plainly(conn, sql).await;
    ask_plainly(conn, "commit").await;
    reply
}

#[tokio::test]
async fn statements_that_leave_residue_are_refused_as_text() -> Outcome {
    let pair = Pair::new().await?;
    for sql in [
        "set search_path = evil",
        "set session work_mem = 77777",
        "reset all",
        "discard all",
        "listen hers",
        "unlisten *",
        "prepare hers as select 1",
        "deallocate all",
        "load 'x'",
    ] {
        assert_eq!(
            ask_alone(&pair.first, sql).await?,
            Reply::refused("guard"),
            "{sql}"
        );
    }
    let temporary = ask_alone(&pair.first, "create temp table hers as select * from agents").await?;
    assert_eq!(temporary, Reply::refused("42501"));
    pair.close().await
}

#[tokio::test]
async fn nobody_hears_or_is_locked_out_by_a_client_that_has_left() -> Outcome {
    let mut pair = Pair::new().await?;
    for end in [End::Commit, End::Rollback, End::Drop] {
        pair.leave("select pg_advisory_lock(4242)::text", end).await?;
        // Served only after the connection was cleaned.
        pair.second.query("agents").count().await?;
        let free = ask_plainly(
            &mut pair.admin,
            "select (pg_try_advisory_lock(4242) and pg_advisory_unlock(4242))::text",
        )
        .await;
        assert_eq!(free, Reply::one("true"), "{end:?}");
    }
    pair.close().await
}

/// Statements that sqlx prepared stay on the connection from client to client; their names are no secret.
#[tokio::test]
async fn a_prepared_statement_that_was_replaced_is_never_run_for_the_next_client() -> Outcome {
    let pair = Pair::new().await?;
    let count = async || pair.second.query("agents").count().await;
    let insert = async |slug: &str| {
        let insert = pair.second.insert("agents").set("slug", slug).set("name", "x");
        insert.execute().await
    };
    for (number, end) in [End::Commit, End::Rollback, End::Drop, End::Fail]
        .into_iter()
        .enumerate()
    {
        assert_eq!(insert(&format!("before-{number}")).await?, 1, "{end:?}");
        let before = count().await?;
        // Each statement that returns a count answers 666 from now on, and notes whose transaction it was.
        let replace = "do $$ declare s record; begin
                 for s in select name, parameter_types::text[] as types from pg_prepared_statements
                          where statement ~ 'count\\(\\*\\) from public.agents' loop
                     execute format('deallocate %I', s.name);
                     execute format('prepare %I (%s) as select case when $1 is null then 0 else
                                         length(set_config(''app.stolen'', tenantry.current_client()::text, false)) + 630 end::int8',
                                    s.name, array_to_string(s.types, ','));
                 end loop;
             end $$";
        pair.leave(replace, end).await?;
        assert_eq!(
            count().await?,
            before,
            "{end:?}: another statement was run in its place"
        );
        let stolen = ask_alone(
            &pair.first,
            "select coalesce(current_setting('app.stolen', true), '')",
        )
        .await?;
        assert_eq!(stolen, Reply::one(""), "{end:?}: the next client was noted");

        pair.leave("do $$ begin execute 'deallocate all'; end $$", end)
            .await?;
        assert_eq!(count().await?, before, "{end:?}");
        assert_eq!(insert(&format!("after-{number}")).await?, 1, "{end:?}");
    }
    pair.close().await
}

#[tokio::test]
async fn what_a_trigger_a_default_or_a_view_leaves_is_gone_with_its_statement() -> Outcome {
    const LEAVE: &str = "create function leave_a_note() returns text language sql volatile
        return set_config('app.note', 'hers', false)";
    for (code, writes) in [
        (
            "create function note() returns trigger language plpgsql as $$
             begin perform leave_a_note(); return new; end $$;
             create trigger note before insert on agents for each row execute function note()",
            true,
        ),
        ("alter table agents alter column description set default leave_a_note()", true),
        ("alter table agents add constraint noted check (leave_a_note() <> '')", true),
        (
            "create view noted with (security_invoker) as select client_id, slug, leave_a_note() as note from agents;
             grant select on noted to tenantry_fixture_app",
            false,
        ),
    ] {
        let mut pair = Pair::new().await?;
        // A table that nothing writes to yet has the code as well: the manager opens the database after this.
        for sql in [LEAVE, "grant execute on function leave_a_note() to tenantry_fixture_app", code] {
            sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut pair.admin).await?;
        }
        let manager = pair.reopened().await?;
        let (first, second) = (
            manager.tenant(pair.first.client().id).await?,
            manager.tenant(pair.second.client().id).await?,
        );
        if writes {
            let insert = first.insert("agents").set("slug", "noted").set("name", "x");
            insert.execute().await?;
        } else {
            first.query("noted").columns(["note"]).fetch_all::<(String,)>().await?;
        }
        let found = ask_alone(&second, "select coalesce(current_setting('app.note', true), '')").await?;
        assert_eq!(found, Reply::one(""), "{code}");
        manager.close().await;
        pair.close().await?;
    }
    Ok(())
}
