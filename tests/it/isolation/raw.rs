#![expect(clippy::unwrap_used, reason = "an attack that succeeds fails its test")]

use tenantry::Error;

use super::{Arena, Home, Outcome, SECRET, from_both_homes, withstand};
use crate::support::{Reply, TABLES};

from_both_homes![
    no_raw_select_finds_a_foreign_row,
    no_raw_update_or_delete_reaches_a_foreign_row,
    no_raw_insert_writes_or_overwrites_a_foreign_row,
    no_raw_reference_to_a_foreign_row_is_taken,
    no_function_called_by_raw_sql_answers_for_another_client,
    no_partition_is_reached_past_its_parent,
    no_object_is_made_or_changed,
    no_statement_reaches_past_the_database,
    no_role_is_taken,
    no_statistics_tell_foreign_values,
];

fn mentions_the_victim(reply: &Reply, arena: &Arena) -> bool {
    let Reply::Rows(rows) = reply else { return false };
    let id = arena.victim_id().to_string();
    rows.iter().any(|row| row.contains(SECRET) || row.contains(&id))
}

async fn no_raw_select_finds_a_foreign_row(arena: &mut Arena) -> Outcome {
    let victim = arena.victim_id();
    for table in TABLES {
        let (key, theirs) = arena.theirs.of(table);
        let nothing = [
            format!("select t::text from {table} t where client_id = '{victim}'"),
            format!("select t::text from {table} t where {key} = '{theirs}'"),
            format!("select t::text from {table} t where client_id = '{victim}' or {key} = '{theirs}'"),
            format!("select t::text from only {table} t where client_id = '{victim}'"),
            format!("select t::text from {table} t where client_id = '{victim}' for update"),
            format!("select t::text from {table} t where {key} = '{theirs}' for key share skip locked"),
            format!(
                "with t as materialized (select * from {table}) select t::text from t where client_id = '{victim}'"
            ),
            format!("select t::text from {table} a join {table} t on t.client_id <> a.client_id"),
            format!(
                "select t::text from agents a left join lateral (select * from {table} where client_id = '{victim}') t on true where t.client_id is not null"
            ),
            format!(
                "select t::text from {table} t where client_id = '{victim}' union all select t::text from {table} t where {key} = '{theirs}'"
            ),
            format!("select t::text from {table} t where client_id <> tenantry.current_client()"),
            format!(
                "select string_agg(t::text, '') from {table} t where client_id = '{victim}' having count(*) > 0"
            ),
            // A condition that fails on the foreign row would tell of it, were it evaluated first.
            format!(
                "select t::text from {table} t where 1 / (case when t.{key} = '{theirs}' then 0 else 1 end) = 0"
            ),
        ];
        for sql in nothing {
            assert_eq!(arena.attack(&sql).await?, Reply::Rows(vec![]), "{sql}");
        }
        let own_alone = [
            format!("select t::text from {table} t"),
            format!("select t::text from {table} t where true or client_id = '{victim}'"),
            format!("select t::text from {table} t where client_id is not null order by {key} for update"),
            format!("with t as (select * from {table} union select * from {table}) select t::text from t"),
        ];
        for sql in own_alone {
            let reply = arena.attack(&sql).await?;
            assert!(!mentions_the_victim(&reply, arena), "{sql}: {reply:?}");
            assert!(
                matches!(&reply, Reply::Rows(rows) if rows.len() == 1),
                "{sql}: {reply:?}"
            );
        }
        let aggregates = [
            format!("select count(*)::text from {table}"),
            format!("select count(distinct client_id)::text from {table}"),
            format!("select (count(*) + 1)::text from {table} where client_id = '{victim}'"),
            format!("select (not exists (select from {table} where {key} = '{theirs}'))::int::text"),
        ];
        for sql in aggregates {
            assert_eq!(arena.attack(&sql).await?, Reply::one("1"), "{sql}");
        }
        // What a block of code finds would be in its error.
        let block = format!(
            "do $$ declare found record; begin
                 for found in execute 'select * from {table} where client_id = ''{victim}''' loop
                     raise exception 'found %', found;
                 end loop;
             end $$"
        );
        assert_eq!(arena.attack(block).await?, Reply::Rows(vec![]), "{table}");
        let mut tx = arena.attacker.begin().await?;
        let declared = format!("declare c scroll cursor for select t::text from {table} t");
        assert_eq!(crate::support::ask(&mut tx, declared).await, Reply::Rows(vec![]));
        let fetched = crate::support::ask(&mut tx, "fetch all from c").await;
        assert!(
            matches!(&fetched, Reply::Rows(rows) if rows.len() == 1),
            "{fetched:?}"
        );
        assert!(!mentions_the_victim(&fetched, arena), "{fetched:?}");
        tx.commit().await?;
    }
    Ok(())
}

async fn no_raw_update_or_delete_reaches_a_foreign_row(arena: &mut Arena) -> Outcome {
    let victim = arena.victim_id();
    for table in TABLES {
        let (key, theirs) = arena.theirs.of(table);
        let nothing = [
            format!("update {table} set created_at = now() where client_id = '{victim}' returning 'x'"),
            format!("update {table} set created_at = now() where {key} = '{theirs}' returning 'x'"),
            format!(
                "update {table} t set created_at = now() from {table} u where t.client_id <> u.client_id returning 'x'"
            ),
            format!("delete from {table} where client_id = '{victim}' returning 'x'"),
            format!("delete from {table} where {key} = '{theirs}' returning 'x'"),
            format!("delete from {table} t using {table} u where t.client_id <> u.client_id returning 'x'"),
            format!(
                "with gone as (delete from {table} where {key} = '{theirs}' returning *) select gone::text from gone"
            ),
            format!(
                "merge into {table} t using (select '{theirs}'::uuid as key) s on t.{key} = s.key when matched then delete"
            ),
            format!(
                "merge into {table} t using (select '{victim}'::uuid as key) s on t.client_id = s.key when matched then update set created_at = now()"
            ),
        ];
        for sql in nothing {
            assert_eq!(arena.attack(&sql).await?, Reply::Rows(vec![]), "{sql}");
        }
        let own_alone = format!("update {table} set created_at = now() returning '1'");
        assert_eq!(arena.attack(own_alone).await?, Reply::one("1"), "{table}");
        if arena.home == Home::Pool {
            let given_away = format!("update {table} set client_id = '{victim}'");
            assert_eq!(
                arena.attack(given_away).await?,
                Reply::refused("42501"),
                "{table}"
            );
        }
    }
    // Without a condition, children first and parents last, so that both ways are gone.
    for table in TABLES.into_iter().rev() {
        let own_alone = format!("delete from {table} returning '1'");
        assert_eq!(arena.attack(own_alone).await?, Reply::one("1"), "{table}");
    }
    Ok(())
}

async fn no_raw_insert_writes_or_overwrites_a_foreign_row(arena: &mut Arena) -> Outcome {
    let victim = arena.victim_id();
    for table in TABLES {
        let (key, theirs) = arena.theirs.of(table);
        // The attacker's own row once more, with some columns changed.
        let copy = |changed: &str| {
            format!("insert into {table} select (jsonb_populate_record(t, {changed})).* from {table} t")
        };
        let as_victim = copy(&format!("jsonb_build_object('client_id', '{victim}')"));
        let as_it_is = copy(&format!(
            "jsonb_build_object('client_id', '{victim}', '{key}', '{theirs}', 'agent_id', '{}', 'document_id', '{}')",
            arena.theirs.agent, arena.theirs.document
        ));
        let attempts = [
            as_victim.clone(),
            format!("{as_victim} on conflict do nothing"),
            as_it_is.clone(),
            format!("{as_it_is} on conflict do nothing"),
            format!(
                "{as_it_is} on conflict (client_id, {}) do update set created_at = now()",
                match table {
                    "agent_documents" => "agent_id, document_id",
                    _ => "id",
                }
            ),
        ];
        if arena.home == Home::Pool {
            for sql in attempts {
                assert_eq!(arena.attack(&sql).await?, Reply::refused("42501"), "{sql}");
            }
            // What a copy of the attacker's own row is, and what it is not an oracle for: the foreign id is free.
            if table == "agents" {
                let same_id = copy(&format!("jsonb_build_object('id', '{theirs}', 'slug', 'other')"));
                let sql = format!("{same_id} on conflict do nothing returning '1'");
                assert_eq!(arena.attack(&sql).await?, Reply::one("1"), "{sql}");
                let sql = format!("delete from {table} where id = '{theirs}' returning '1'");
                assert_eq!(arena.attack(&sql).await?, Reply::one("1"), "{sql}");
            }
        } else {
            // A row under any name in a database of the attacker's own is a row of the attacker's.
            for sql in attempts {
                let _ = arena.attack(&sql).await?;
            }
        }
    }
    let upsert = "insert into agents (slug, name) values ('guide', 'taken')
                  on conflict (client_id, slug) do update set name = excluded.name returning name";
    assert_eq!(arena.attack(upsert).await?, Reply::one("taken"));
    Ok(())
}

async fn no_raw_reference_to_a_foreign_row_is_taken(arena: &mut Arena) -> Outcome {
    let theirs = arena.theirs;
    let references = [
        ("agent_documents", "agent_id", theirs.agent),
        ("agent_documents", "document_id", theirs.document),
        ("document_chunks", "document_id", theirs.document),
        ("conversations", "agent_id", theirs.agent),
        ("conversation_transcripts", "conversation_id", theirs.conversation),
        ("conversation_transcripts", "agent_id", theirs.agent),
        ("user_overviews", "agent_id", theirs.agent),
    ];
    for (table, column, id) in references {
        let attempts = [
            format!("update {table} set {column} = '{id}'"),
            format!(
                "insert into {table} select (jsonb_populate_record(t, jsonb_build_object(
                     '{column}', '{id}', 'id', gen_random_uuid()))).* from {table} t"
            ),
        ];
        for sql in attempts {
            assert_eq!(arena.attack(&sql).await?, Reply::refused("23503"), "{sql}");
            // An id that nobody has is refused in the same words.
            let nobody = sql.replace(&id.to_string(), &uuid::Uuid::new_v4().to_string());
            assert_eq!(arena.attack(&nobody).await?, Reply::refused("23503"), "{nobody}");
        }
    }
    Ok(())
}

async fn no_function_called_by_raw_sql_answers_for_another_client(arena: &mut Arena) -> Outcome {
    let victim = arena.victim_id();
    let query = "(array_fill(0::real, array[1024]))::vector";
    let calls = [
        format!("select t::text from match_documents('{victim}', {query}, null, -1) t"),
        format!("select t::text from match_documents('{victim}', {query}, 'guide', -1) t"),
        format!(
            "select t::text from match_conversation_transcripts_secure('{victim}', 'ada', {query}, null, null, -1) t"
        ),
        format!(
            "select t::text from get_user_overview_for_agent('{victim}', 'ada', '{}') t",
            arena.theirs.agent
        ),
        format!("select require_client('{victim}')::text"),
        "select require_client(null)::text".to_owned(),
    ];
    for sql in calls {
        assert_eq!(arena.attack(&sql).await?, Reply::refused("TN004"), "{sql}");
    }
    Ok(())
}

async fn no_partition_is_reached_past_its_parent(arena: &mut Arena) -> Outcome {
    for table in ["document_chunks", "conversation_transcripts"] {
        for number in 0..8 {
            for sql in [
                format!("select t::text from {table}_{number} t"),
                format!("update {table}_{number} set created_at = now()"),
                format!("delete from {table}_{number}"),
                format!("insert into {table}_{number} select * from {table}"),
            ] {
                assert_eq!(arena.attack(&sql).await?, Reply::refused("42501"), "{sql}");
            }
        }
        let sql = format!(
            "select t::text from {table} t where tableoid <> 0 and client_id = '{}'",
            arena.victim_id()
        );
        assert_eq!(arena.attack(&sql).await?, Reply::Rows(vec![]), "{sql}");
    }
    Ok(())
}

async fn no_object_is_made_or_changed(arena: &mut Arena) -> Outcome {
    for table in TABLES {
        for sql in [
            format!("truncate {table} cascade"),
            format!("alter table {table} disable row level security"),
            format!("alter table {table} no force row level security"),
            format!("drop policy tenantry_scope on {table}"),
            format!("create policy mine on {table} using (true)"),
            format!("alter table {table} owner to current_user"),
            format!("create index on {table} (created_at)"),
            format!(
                "create trigger mine before insert on {table} for each row execute function suppress_redundant_updates_trigger()"
            ),
            format!("create rule mine as on select to {table} do instead select 1"),
            format!("create table mine as select * from {table}"),
            format!("create table mine (like {table} including all)"),
            format!("create view mine as select * from {table}"),
            format!("create materialized view mine as select * from {table}"),
            format!("drop table {table}"),
        ] {
            let reply = arena.attack(&sql).await?;
            // PostgreSQL says that a policy is unknown before it says who may ask.
            let refused = matches!(&reply, Reply::Refused(code) if code == "42501" || code == "42704");
            assert!(refused, "{sql}: {reply:?}");
        }
    }
    // What it may not grant is passed over with a warning.
    for table in TABLES {
        arena.attack(format!("grant all on {table} to public")).await?;
        let public = format!(
            "select count(*)::text from information_schema.role_table_grants where table_name = '{table}' and grantee = 'PUBLIC'"
        );
        assert_eq!(arena.attack(public).await?, Reply::one("0"), "{table}");
    }
    for sql in [
        "create function mine() returns int language sql return 1",
        "create or replace function tenantry.current_client() returns uuid language sql return null::uuid",
        "create schema mine",
        "create extension postgres_fdw",
        "create role mine",
        "create event trigger mine on ddl_command_end execute function x()",
        "reassign owned by current_user to postgres",
        "alter role tenantry_fixture_app bypassrls",
        "alter role tenantry_fixture_admin password 'x'",
        "grant tenantry_fixture_admin to current_user",
        "create publication mine for all tables",
    ] {
        let reply = arena.attack(sql).await?;
        let refused = matches!(&reply, Reply::Refused(code) if code == "42501");
        assert!(refused, "{sql}: {reply:?}");
    }
    if arena.home == Home::Pool {
        for sql in [
            "create temp table mine (x int)",
            "create temp view mine as select 1",
        ] {
            assert_eq!(arena.attack(sql).await?, Reply::refused("42501"), "{sql}");
        }
    }
    Ok(())
}

async fn no_statement_reaches_past_the_database(arena: &mut Arena) -> Outcome {
    for sql in [
        "select pg_read_file('postgresql.conf')",
        "select pg_ls_dir('.')::text",
        "select lo_import('/etc/passwd')::text",
        "select lo_export(1, '/tmp/x')::text",
        "select t::text from pg_authid t",
        "select t::text from pg_statistic t",
        "select t::text from pg_user_mapping t",
        "select t::text from pg_subscription t",
        "select pg_logical_slot_peek_changes('x', null, null)::text",
        "select pg_create_logical_replication_slot('x', 'test_decoding')::text",
    ] {
        assert_eq!(arena.attack(sql).await?, Reply::refused("42501"), "{sql}");
    }
    for sql in [
        "copy agents to stdout",
        "copy (select * from agents) to stdout",
        "copy agents from stdin",
        "copy agents to '/tmp/x'",
        "copy agents from program 'id'",
    ] {
        assert_eq!(arena.attack(sql).await?, Reply::refused("guard"), "{sql}");
    }
    // Without the guard, the files and programs of the server are out of reach all the same.
    for sql in ["copy agents to ''/tmp/x''", "copy agents from program ''id''"] {
        let smuggled = format!("do $$ begin execute '{sql}'; end $$");
        assert_eq!(arena.attack(&smuggled).await?, Reply::refused("42501"), "{sql}");
    }
    Ok(())
}

async fn no_role_is_taken(arena: &mut Arena) -> Outcome {
    let admin = arena.fixture.admin_role();
    for sql in [
        format!("set role {admin}"),
        format!("set local role {admin}"),
        format!("set session authorization {admin}"),
        format!("set local session authorization {admin}"),
        "reset role".to_owned(),
        "set row_security = off".to_owned(),
    ] {
        assert_eq!(arena.attack(&sql).await?, Reply::refused("guard"), "{sql}");
    }
    for sql in [
        format!("do $$ begin execute 'set role {admin}'; end $$"),
        format!("do $$ begin execute 'set local role {admin}'; end $$"),
        format!("do $$ begin execute 'set session authorization {admin}'; end $$"),
        format!("set local \"role\" = '{admin}'"),
        format!("select set_config('role', '{admin}', true)"),
        format!("select set_config('role', '{admin}', false)"),
        "select set_config('session_authorization', 'postgres', true)".to_owned(),
        "select set_config('session_replication_role', 'replica', true)".to_owned(),
    ] {
        assert_eq!(arena.attack(&sql).await?, Reply::refused("42501"), "{sql}");
    }
    // Row security turned off refuses, rather than lets by.
    if arena.home == Home::Pool {
        let mut tx = arena.attacker.begin().await?;
        crate::support::ask(&mut tx, "set local row_security = off").await;
        let reply = crate::support::ask(&mut tx, "select t::text from agents t").await;
        assert_eq!(reply, Reply::refused("42501"));
        let error = tx.commit().await.unwrap_err();
        assert!(matches!(error, Error::Statement { .. }), "{error:?}");
    }
    Ok(())
}

async fn no_statistics_tell_foreign_values(arena: &mut Arena) -> Outcome {
    // Histograms need a second row.
    arena
        .victim
        .insert("agents")
        .set("slug", "scout")
        .set("name", format!("scout of {SECRET}"))
        .execute()
        .await?;
    let mut superuser = arena.superuser().await?;
    crate::support::ask_plainly(&mut superuser, "analyze").await;
    let stats =
        "select coalesce(most_common_vals::text, '') || coalesce(histogram_bounds::text, '') from pg_stats
                 where schemaname = 'public'";
    let seen = crate::support::ask_plainly(&mut superuser, stats).await;
    assert!(
        mentions_the_victim(&seen, arena),
        "the statistics hold the victim's values: {seen:?}"
    );
    sqlx::Connection::close(superuser).await?;
    for sql in [
        stats.to_owned(),
        "select t::text from pg_stats_ext t".to_owned(),
        "select t::text from pg_stats_ext_exprs t".to_owned(),
        "select query from pg_stat_activity".to_owned(),
        "select statement from pg_prepared_statements".to_owned(),
        "select t::text from pg_locks t".to_owned(),
        "select t::text from pg_settings t".to_owned(),
    ] {
        let reply = arena.attack(&sql).await?;
        assert!(matches!(reply, Reply::Rows(_)), "{sql}: {reply:?}");
        assert!(!mentions_the_victim(&reply, arena), "{sql}: {reply:?}");
    }
    arena
        .victim
        .delete("agents")
        .eq("slug", "scout")
        .execute()
        .await?;
    Ok(())
}
