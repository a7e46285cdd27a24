//! Each guard is taken away after the manager found the database safe, and the attack that it holds off
//! succeeds. What else holds it off is seen to hold alone.
#![expect(
    clippy::disallowed_methods,
    reason = "takes guards away as the superuser, and attacks as the app role itself"
)]

use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};
use tenantry::testing::{Fixture, PgServer};
use tenantry::{Error, TenantDb, TenantTx};

use super::{Arena, Home, Outcome, SECRET, manager};
use crate::support::{
    HOST, Reply, TABLES, ask, ask_alone, ask_plainly, embedding, enter, fill, hello, ticket,
};

/// An arena whose pool database the superuser changed after it was found safe.
async fn without(guard: &str) -> Result<Arena, Box<dyn std::error::Error>> {
    let arena = Arena::new(Home::Pool, 1).await?;
    change(&arena, guard).await?;
    Ok(arena)
}

async fn change(arena: &Arena, sql: &str) -> Outcome {
    let mut superuser = arena.superuser().await?;
    superuser
        .execute(sqlx::raw_sql(AssertSqlSafe(sql.to_owned())))
        .await?;
    superuser.close().await?;
    Ok(())
}

/// How many rows of the table each finds who names no client: one where the table is guarded.
async fn found(db: &TenantDb, table: &str) -> tenantry::Result<Reply> {
    ask_alone(db, format!("select count(*)::text from {table}")).await
}

#[tokio::test]
async fn without_row_level_security_raw_sql_reaches_every_row_and_the_builder_its_own() -> Outcome {
    let arena = Arena::new(Home::Pool, 1).await?;
    for table in TABLES {
        assert_eq!(found(&arena.attacker, table).await?, Reply::one("1"), "{table}");
        change(&arena, &format!("alter table {table} disable row level security")).await?;
        assert_eq!(found(&arena.attacker, table).await?, Reply::one("2"), "{table}");
        // The explicit predicate alone.
        assert_eq!(arena.attacker.query(table).count().await?, 1, "{table}");
        let (key, theirs) = arena.theirs.of(table);
        assert_eq!(
            arena.attacker.query(table).eq(key, theirs).count().await?,
            0,
            "{table}"
        );
        let now = sqlx::types::chrono::Utc::now();
        let updated = arena.attacker.update(table).set("created_at", now).all();
        assert_eq!(updated.execute().await?, 1, "{table}");
        assert_eq!(
            arena.attacker.delete(table).eq(key, theirs).execute().await?,
            0,
            "{table}"
        );
    }
    for table in TABLES.into_iter().rev() {
        let (key, theirs) = arena.theirs.of(table);
        let update = format!("update {table} set created_at = now() where {key} = '{theirs}' returning '1'");
        assert_eq!(arena.attack(update).await?, Reply::one("1"), "{table}");
        let delete = format!("delete from {table} where {key} = '{theirs}' returning '1'");
        assert_eq!(arena.attack(delete).await?, Reply::one("1"), "{table}");
    }
    let inserted = format!(
        "insert into agents (client_id, slug, name) values ('{}', 'mine', 'x') returning '1'",
        arena.victim_id()
    );
    assert_eq!(arena.attack(inserted).await?, Reply::one("1"));
    arena.close().await
}

#[tokio::test]
async fn without_the_tenant_policy_a_permissive_one_lets_every_row_by() -> Outcome {
    // While the restrictive policy is there, a permissive one widens nothing.
    let arena = without("create policy wide on agents using (true) with check (true)").await?;
    assert_eq!(found(&arena.attacker, "agents").await?, Reply::one("1"));
    change(&arena, "drop policy tenantry_scope on agents").await?;
    assert_eq!(found(&arena.attacker, "agents").await?, Reply::one("2"));
    // The same condition in a permissive policy does not hold beside others.
    change(
        &arena,
        "create policy tenantry_scope on agents using (client_id = (select tenantry.current_client()))",
    )
    .await?;
    assert_eq!(found(&arena.attacker, "agents").await?, Reply::one("2"));
    arena.close().await
}

#[tokio::test]
async fn without_force_the_owner_of_a_table_passes_row_level_security() -> Outcome {
    let arena = without("alter table agents owner to tenantry_fixture_app").await?;
    assert_eq!(found(&arena.attacker, "agents").await?, Reply::one("1"));
    change(&arena, "alter table agents no force row level security").await?;
    assert_eq!(found(&arena.attacker, "agents").await?, Reply::one("2"));
    // Force alone is no guard against an owner, who takes it away.
    change(&arena, "alter table agents force row level security").await?;
    assert_eq!(found(&arena.attacker, "agents").await?, Reply::one("1"));
    assert_eq!(
        arena
            .attack("alter table agents disable row level security")
            .await?,
        Reply::Rows(vec![])
    );
    assert_eq!(found(&arena.attacker, "agents").await?, Reply::one("2"));
    arena.close().await
}

#[tokio::test]
async fn with_a_foreign_key_without_the_client_a_row_refers_and_cascades_across() -> Outcome {
    let arena = without(
        "alter table agents add unique (id);
         alter table user_overviews drop constraint user_overviews_client_id_agent_id_fkey;
         alter table user_overviews add foreign key (agent_id) references agents (id) on delete cascade",
    )
    .await?;
    let refer = arena
        .attacker
        .insert("user_overviews")
        .set("user_id", "eve")
        .set("agent_id", arena.theirs.agent)
        .execute();
    assert_eq!(refer.await?, 1);
    // And one client's delete takes another's row with it.
    assert_eq!(arena.attacker.query("user_overviews").count().await?, 2);
    arena.victim.delete("agents").all().execute().await?;
    assert_eq!(arena.attacker.query("user_overviews").count().await?, 1);
    arena.close().await
}

#[tokio::test]
async fn with_a_key_shared_by_all_clients_one_learns_what_another_has() -> Outcome {
    let arena = without("delete from agents; alter table agents add unique (slug)").await?;
    arena
        .victim
        .insert("agents")
        .set("slug", "launch-plan")
        .set("name", "x")
        .execute()
        .await?;
    let probe = arena
        .attacker
        .insert("agents")
        .set("slug", "launch-plan")
        .set("name", "x");
    assert_eq!(
        probe.execute().await.unwrap_err().sqlstate().as_deref(),
        Some("23505")
    );
    // And a write is lost without a word.
    let lost =
        "insert into agents (slug, name) values ('launch-plan', 'x') on conflict do nothing returning '1'";
    assert_eq!(arena.attack(lost).await?, Reply::Rows(vec![]));
    arena.close().await
}

#[tokio::test]
async fn with_functions_and_views_of_their_owners_rights_raw_sql_reads_every_row() -> Outcome {
    let arena = without(
        "create function every_agent() returns setof agents language sql security definer as 'select * from agents';
         create view every_document as select * from documents;
         create view own_documents with (security_invoker) as select * from documents;
         create materialized view kept_documents as select * from documents;
         grant select on every_document, own_documents, kept_documents to tenantry_fixture_app",
    )
    .await?;
    assert_eq!(found(&arena.attacker, "every_agent()").await?, Reply::one("2"));
    assert_eq!(found(&arena.attacker, "every_document").await?, Reply::one("2"));
    assert_eq!(found(&arena.attacker, "kept_documents").await?, Reply::one("2"));
    assert_eq!(found(&arena.attacker, "own_documents").await?, Reply::one("1"));
    arena.close().await
}

#[tokio::test]
async fn with_a_grant_and_without_row_level_security_a_partition_is_read_past_its_parent() -> Outcome {
    let arena = Arena::new(Home::Pool, 1).await?;
    let sum = (0..8).map(|n| format!("(select count(*) from document_chunks_{n})"));
    let sum = format!("select ({})::text", sum.collect::<Vec<_>>().join(" + "));
    let each = |sql: &str| {
        (0..8)
            .map(|n| sql.replace('#', &n.to_string()))
            .collect::<Vec<_>>()
            .join("; ")
    };
    assert_eq!(arena.attack(&sum).await?, Reply::refused("42501"));
    change(
        &arena,
        &each("grant select on document_chunks_# to tenantry_fixture_app"),
    )
    .await?;
    // Its own row-level security without a policy alone.
    assert_eq!(arena.attack(&sum).await?, Reply::one("0"));
    change(
        &arena,
        &each("alter table document_chunks_# disable row level security"),
    )
    .await?;
    assert_eq!(arena.attack(&sum).await?, Reply::one("2"));
    arena.close().await
}

#[tokio::test]
async fn with_truncate_granted_one_client_empties_a_table_of_all() -> Outcome {
    let mut arena = without("grant truncate on user_overviews to tenantry_fixture_app").await?;
    let before = arena.victims_rows().await?.len();
    assert_eq!(
        arena.attack("truncate user_overviews").await?,
        Reply::Rows(vec![])
    );
    assert_eq!(arena.victims_rows().await?.len(), before - 1);
    arena.close().await
}

#[tokio::test]
async fn with_references_granted_and_a_schema_to_create_in_a_foreign_key_is_an_oracle() -> Outcome {
    let arena = without(
        "create schema own; grant all on schema own to tenantry_fixture_app;
         grant references on agents to tenantry_fixture_app",
    )
    .await?;
    let probe = |client, id| format!("insert into own.probe values ('{client}', '{id}') returning '1'");
    arena
        .attack(
            "create table own.probe (client_id uuid, id uuid, foreign key (client_id, id) references agents)",
        )
        .await?;
    let there = probe(arena.victim_id().as_uuid(), arena.theirs.agent);
    let not_there = probe(arena.victim_id().as_uuid(), arena.mine.agent);
    assert_eq!(arena.attack(there).await?, Reply::one("1"));
    assert_eq!(arena.attack(not_there).await?, Reply::refused("23503"));
    arena.close().await
}

#[tokio::test]
async fn with_a_policy_that_trusts_a_plain_setting_a_setting_is_the_hop() -> Outcome {
    let arena = without(
        "create or replace function tenantry.current_client() returns uuid language sql stable
         return nullif(current_setting('app.client', true), '')::uuid",
    )
    .await?;
    let victim = arena.victim_id();
    let mut tx = arena.attacker.begin().await?;
    assert_eq!(ask(&mut tx, "select name from agents").await, Reply::Rows(vec![]));
    ask(
        &mut tx,
        format!("select set_config('app.client', '{victim}', true)"),
    )
    .await;
    assert_eq!(
        ask(&mut tx, "select name from agents").await,
        Reply::one(format!("agent of {SECRET}"))
    );
    // The builder names its own client beside it.
    assert_eq!(tx.query("agents").count().await?, 0);
    drop(tx);
    arena.close().await
}

/// Enters with the attacker's own ticket, in which the victim is named.
async fn forge(arena: &mut Arena, tx: &mut TenantTx) -> Result<Reply, Box<dyn std::error::Error>> {
    let (pid, turn) = hello(tx).await?;
    let mut forged = ticket(&mut arena.admin, arena.attacker.client().id, pid, turn).await?;
    forged.replace_range(8..40, &arena.victim_id().as_uuid().simple().to_string());
    Ok(ask(tx, enter(&forged)).await)
}

#[tokio::test]
async fn without_the_code_a_forged_ticket_is_the_hop() -> Outcome {
    let mut arena = Arena::new(Home::Pool, 1).await?;
    let mut tx = arena.attacker.begin().await?;
    assert_eq!(forge(&mut arena, &mut tx).await?, Reply::one("forged"));
    drop(tx);
    change(
        &arena,
        "do $$ begin
             execute replace(pg_get_functiondef('tenantry.enter'::regproc),
                 'sha256(decode(right(p_ticket, 64), ''hex''))', 'sha256('''')');
             execute replace(pg_get_functiondef('tenantry.enter'::regproc),
                 'sha256(sha256(v_outer_pad || sha256(v_inner_pad || convert_to(left(p_ticket, 96), ''UTF8''))))',
                 'sha256('''')');
         end $$",
    )
    .await?;
    let mut tx = arena.attacker.begin().await?;
    assert_eq!(forge(&mut arena, &mut tx).await?, Reply::one("entered"));
    assert_eq!(
        ask(&mut tx, "select name from agents").await,
        Reply::one(format!("agent of {SECRET}"))
    );
    drop(tx);
    arena.close().await
}

#[tokio::test]
async fn with_the_keys_readable_anyone_makes_tickets() -> Outcome {
    let arena = without("grant select on tenantry.scope_keys to tenantry_fixture_app").await?;
    let victim = arena.victim_id().as_uuid().simple().to_string();
    let mut tx = arena.attacker.begin().await?;
    let made = ask(
        &mut tx,
        format!(
            "select split_part(tenantry.enter(
                 f.fields || encode(sha256(k.outer_pad || sha256(k.inner_pad || f.fields::bytea)), 'hex')), ' ', 1)
             from tenantry.scope_keys k,
                  lateral (select lpad(to_hex(k.key_id), 8, '0') || '{victim}' || lpad('1', 16, '0')
                                  || lpad(to_hex(h.pid), 8, '0') || lpad(to_hex(h.turn), 16, '0')
                                  || lpad(to_hex(h.seconds + 60), 16, '0') as fields
                           from tenantry.hello() h) f"
        ),
    )
    .await;
    assert_eq!(made, Reply::one("entered"));
    assert_eq!(
        ask(&mut tx, "select name from agents").await,
        Reply::one(format!("agent of {SECRET}"))
    );
    drop(tx);
    arena.close().await
}

#[tokio::test]
async fn where_a_transaction_is_entered_twice_a_ticket_for_poolers_is_anyones_who_saw_it() -> Outcome {
    let mut arena = Arena::new(Home::Pool, 1).await?;
    let victim = arena.victim.client().id;
    let seen = ticket(&mut arena.admin, victim, 0, 0).await?;
    for unbound in [None, Some("select pid::text from tenantry.hello()")] {
        let mut tx = arena.attacker.begin().await?;
        if let Some(unbind) = unbound {
            ask(&mut tx, unbind).await;
        }
        for _ in 0..2 {
            assert_eq!(ask(&mut tx, enter(&seen)).await, Reply::one("forged"));
        }
        let read = ask(&mut tx, "select name from agents").await;
        let own = match unbound {
            None => Reply::one("agent of the attacker"),
            Some(_) => Reply::refused("TN005"),
        };
        assert_eq!(read, own);
    }
    arena.close().await?;

    let mut arena = without(
        "create or replace function tenantry.this_moment() returns bigint language sql volatile
         return (extract(epoch from pg_catalog.clock_timestamp()) * 1000000)::bigint",
    )
    .await?;
    let victim = arena.victim_id();
    let seen = ticket(&mut arena.admin, victim, 0, 0).await?;
    let mut tx = arena.attacker.begin().await?;
    assert_eq!(ask(&mut tx, enter(&seen)).await, Reply::one("unknown"));
    assert_eq!(ask(&mut tx, enter(&seen)).await, Reply::one("entered"));
    assert_eq!(
        ask(&mut tx, "select name from agents").await,
        Reply::one(format!("agent of {SECRET}"))
    );
    drop(tx);
    arena.close().await
}

#[tokio::test]
async fn with_an_immutable_fence_a_prepared_statement_answers_for_whom_it_was_planned() -> Outcome {
    let arena = without("alter function tenantry.current_client() immutable").await?;
    let sql = "select name from agents where $1";
    let plan = "select set_config('plan_cache_mode', 'force_generic_plan', true)";
    for (db, name) in [(&arena.victim, SECRET), (&arena.attacker, SECRET)] {
        let mut tx = db.begin().await?;
        ask(&mut tx, plan).await;
        let names: Vec<String> = sqlx::query_scalar(sql).bind(true).fetch_all(&mut tx).await?;
        assert_eq!(names, [format!("agent of {name}")]);
        tx.commit().await?;
    }
    arena.close().await
}

#[tokio::test]
async fn with_functions_that_do_not_ask_whom_they_answer_row_level_security_still_holds() -> Outcome {
    let arena = without(
        "create or replace function require_client(p_client_id uuid) returns void language sql
         begin atomic end",
    )
    .await?;
    let call = format!(
        "select count(*)::text from match_documents('{}', $1::vector, null, -1)",
        arena.victim_id()
    );
    let count = async |db: &TenantDb| -> Result<String, Box<dyn std::error::Error>> {
        let mut tx = db.begin().await?;
        Ok(sqlx::query_scalar(AssertSqlSafe(call.clone()))
            .bind(embedding())
            .fetch_one(&mut tx)
            .await?)
    };
    assert_eq!(count(&arena.victim).await?, "1");
    assert_eq!(count(&arena.attacker).await?, "0");
    change(&arena, "alter table document_chunks disable row level security; alter table documents disable row level security").await?;
    assert_eq!(count(&arena.attacker).await?, "1");
    arena.close().await
}

/// Roles belong to the server, so these have one of their own.
#[tokio::test]
async fn an_app_role_with_a_way_past_row_level_security_sees_every_row() -> Outcome {
    let server = PgServer::private().await?;
    let fixture = Fixture::on(server.clone(), &HOST, 10, None).await?;
    let attacker = fixture.shared_client("attacker").await?;
    let victim = fixture.shared_client("victim").await?;
    let manager = manager(&fixture, 1).await?;
    let attacker = manager.tenant(attacker.id).await?;
    fill(&attacker, "the attacker").await?;
    fill(&manager.tenant(victim.id).await?, SECRET).await?;
    let mut superuser = PgConnection::connect_with(&server.connect_options("postgres")).await?;
    let (app, admin) = (fixture.app_role(), fixture.admin_role());
    let take = format!("select set_config('role', '{admin}', true)");

    assert_eq!(found(&attacker, "agents").await?, Reply::one("1"));
    for (given, taken) in [
        (
            format!("alter role {app} bypassrls"),
            format!("alter role {app} nobypassrls"),
        ),
        (
            format!("alter role {app} superuser"),
            format!("alter role {app} nosuperuser"),
        ),
    ] {
        ask_plainly(&mut superuser, given.clone()).await;
        assert_eq!(found(&attacker, "agents").await?, Reply::one("2"), "{given}");
        ask_plainly(&mut superuser, taken).await;
        assert_eq!(found(&attacker, "agents").await?, Reply::one("1"), "{given}");
    }
    assert_eq!(ask_alone(&attacker, &take).await?, Reply::refused("42501"));
    ask_plainly(&mut superuser, format!("grant {admin} to {app}")).await;
    let mut tx = attacker.begin().await?;
    assert_eq!(ask(&mut tx, &take).await, Reply::one(admin));
    assert_eq!(
        ask(&mut tx, "select count(*)::text from agents").await,
        Reply::one("2")
    );
    drop(tx);
    // What it took is not handed on.
    assert_eq!(found(&attacker, "agents").await?, Reply::one("1"));
    // A manager that meets such a role does not serve.
    let second = super::manager(&fixture, 1).await?;
    let refused = second.tenant(victim.id).await.unwrap_err();
    assert!(matches!(refused, Error::UnsafeDatabase { .. }), "{refused:?}");

    superuser.close().await?;
    second.close().await;
    manager.close().await;
    fixture.close().await;
    server.stop().await?;
    Ok(())
}
