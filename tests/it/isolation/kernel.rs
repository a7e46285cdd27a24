#![expect(
    clippy::disallowed_methods,
    reason = "attacks the kernel by raw SQL, and reads its catalogue as the admin role"
)]

use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use tenantry::Error;

use super::{Arena, Home, Outcome, from_both_homes, withstand};
use crate::support::{Reply, ask, ask_plainly, enter, hello, ticket};

from_both_homes![
    no_table_of_the_kernel_is_read_or_written,
    no_function_of_the_kernel_is_called_but_those_that_are_granted,
];

async fn no_table_of_the_kernel_is_read_or_written(arena: &mut Arena) -> Outcome {
    let mut admin = arena.home_admin().await?;
    let tables: Vec<String> =
        sqlx::query_scalar("select c.oid::regclass::text from pg_class c where c.relnamespace = 'tenantry'::regnamespace and c.relkind = 'r'")
            .fetch_all(&mut admin)
            .await?;
    admin.close().await?;
    assert!(tables.len() >= 3, "{tables:?}");
    for table in tables {
        for sql in [
            format!("select t::text from {table} t"),
            format!("select count(*)::text from {table}"),
            format!("update {table} t set ctid = ctid where false"),
            format!("delete from {table}"),
            format!("insert into {table} default values"),
            format!("lock table {table} in access share mode"),
            format!("truncate {table}"),
        ] {
            let reply = arena.attack(&sql).await?;
            // An update that names a system column is refused for that first.
            let refused = matches!(&reply, Reply::Refused(code) if code == "42501" || code == "0A000");
            assert!(refused, "{sql}: {reply:?}");
        }
    }
    Ok(())
}

async fn no_function_of_the_kernel_is_called_but_those_that_are_granted(arena: &mut Arena) -> Outcome {
    let mut admin = arena.home_admin().await?;
    // Each called with nulls that the planner does not know for nulls: it would not ask who may call.
    let functions: Vec<(String, String, bool)> = sqlx::query_as(
        "select p.proname::text,
                format('select f::text from tenantry.%I(%s) f', p.proname,
                       (select string_agg('(case when random() > 2 then ''1'' end)::' || format_type(t, null), ', ' order by at)
                        from unnest(p.proargtypes) with ordinality a(t, at))),
                has_function_privilege($1, p.oid, 'execute')
         from pg_proc p where p.pronamespace = 'tenantry'::regnamespace
           -- Nobody calls the function of a trigger.
           and p.prorettype <> 'trigger'::regtype",
    )
    .bind(arena.fixture.app_role())
    .fetch_all(&mut admin)
    .await?;
    admin.close().await?;
    let (granted, refused): (Vec<_>, Vec<_>) = functions.into_iter().partition(|(.., granted)| *granted);
    let mut names: Vec<&str> = granted.iter().map(|(name, ..)| name.as_str()).collect();
    names.sort_unstable();
    match arena.home {
        Home::Pool => assert_eq!(
            names,
            [
                "approximate",
                "current_client",
                "enter",
                "hello",
                "host_version",
                "kernel",
                "leave",
                "take_step"
            ]
        ),
        // Asks for a table that is not granted.
        Home::Dedicated => assert_eq!(
            names,
            [
                "app_role",
                "approximate",
                "current_client",
                "enter",
                "has_left",
                "host_version",
                "kernel",
                "leave",
                "take_step"
            ]
        ),
    }
    for (_, sql, _) in refused {
        assert_eq!(arena.attack(&sql).await?, Reply::refused("42501"), "{sql}");
    }
    let own = arena.attacker.client().id.to_string();
    assert_eq!(
        arena.attack("select tenantry.current_client()::text").await?,
        Reply::one(own)
    );
    let kernel = arena.attack("select kind from tenantry.kernel()").await?;
    assert!(matches!(kernel, Reply::Rows(_)), "{kernel:?}");
    if arena.home == Home::Pool {
        for sql in ["select tenantry.enter(null)", "select tenantry.leave(null)"] {
            assert_eq!(arena.attack(sql).await?, Reply::refused("TN004"), "{sql}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn no_forged_ticket_is_admitted() -> Outcome {
    withstand(Home::Pool, async |arena| {
        let (attacker, victim) = (arena.attacker.client().id, arena.victim_id());
        let mut tx = arena.attacker.begin().await?;
        let (pid, turn) = hello(&mut tx).await?;
        let own = ticket(&mut arena.admin, attacker, pid, turn).await?;
        let simple = |id: tenantry::ClientId| id.as_uuid().simple().to_string();
        assert_eq!(own[8..40], simple(attacker));
        let foreign = ticket(&mut arena.admin, victim, 0, 0).await?;
        let elsewhere = ticket(&mut arena.admin, victim, 1, turn).await?;
        let before = ticket(&mut arena.admin, victim, pid, turn - 1).await?;
        let after = ticket(&mut arena.admin, victim, pid, turn + 1).await?;
        let patched = |at: usize, with: &str| format!("{}{with}{}", &own[..at], &own[at + with.len()..]);
        let forged = [
            ("another client", patched(8, &simple(victim))),
            ("another epoch", patched(40, "00000000000000ff")),
            ("no backend", patched(56, "00000000")),
            ("another turn", patched(64, "00000000000000ff")),
            ("no turn", patched(64, "0000000000000000")),
            ("no backend and no turn", patched(56, &"0".repeat(24))),
            ("no end", patched(80, "7fffffffffffffff")),
            ("another key", patched(0, "00000002")),
            ("no key", patched(0, "00000000")),
            ("a negative key", patched(0, "ffffffff")),
            ("another code", patched(96, &"0".repeat(64))),
            ("the code of another ticket", patched(96, &foreign[96..])),
            ("the fields of another ticket", patched(0, &foreign[..96])),
            ("a ticket of another backend", elsewhere),
            ("a ticket of the turn before", before),
            ("a ticket of the turn after", after),
            ("capitals", own.to_uppercase()),
            ("too short", own[..159].to_owned()),
            ("too long", format!("{own}0")),
            ("a second line", format!("{own}\n")),
            ("no ticket", "x".to_owned()),
        ];
        for (what, forged) in &forged {
            assert_eq!(ask(&mut tx, enter(forged)).await, Reply::one("forged"), "{what}");
        }
        // They differ from a good one by what they are named after; that one is good once.
        assert_eq!(ask(&mut tx, enter(&own)).await, Reply::one("entered"));
        assert_eq!(ask(&mut tx, enter(&own)).await, Reply::one("forged"));
        assert_eq!(
            ask(&mut tx, "select name from agents").await,
            Reply::one("agent of the attacker")
        );
        tx.commit().await?;
        Ok(())
    })
    .await
}

#[tokio::test]
async fn no_setting_changes_the_scope() -> Outcome {
    withstand(Home::Pool, async |arena| {
        let (attacker, victim) = (arena.attacker.client().id, arena.victim_id());
        let foreign = ticket(&mut arena.admin, victim, 0, 0).await?;
        let handle: i64 = sqlx::query_scalar("select handle from tenantry.placement where client_id = $1")
            .bind(victim)
            .fetch_one(&mut arena.admin)
            .await?;
        for (name, value) in [
            ("tenantry.ticket", foreign.clone()),
            ("tenantry.ticket", String::new()),
            ("tenantry.scope", handle.to_string()),
            ("tenantry.turn", "1".to_owned()),
            ("tenantry.client", victim.to_string()),
        ] {
            for setting in [
                format!("select set_config('{name}', '{value}', true)"),
                format!("select set_config('{name}', '{value}', false)"),
                format!("do $$ begin execute 'set {name} to ''{value}'''; end $$"),
            ] {
                let mut tx = arena.attacker.begin().await?;
                let set = ask(&mut tx, &setting).await;
                assert!(matches!(set, Reply::Rows(_)), "{setting}: {set:?}");
                assert_eq!(
                    ask(&mut tx, "select tenantry.current_client()::text").await,
                    Reply::one(attacker.to_string()),
                    "{setting}"
                );
                assert_eq!(
                    ask(&mut tx, "select name from agents").await,
                    Reply::one("agent of the attacker"),
                    "{setting}"
                );
                tx.commit().await?;
            }
        }
        for sql in [
            format!("set tenantry.ticket = '{foreign}'"),
            format!("set local tenantry.ticket = '{foreign}'"),
        ] {
            assert_eq!(arena.attack(sql).await?, Reply::refused("guard"));
        }
        Ok(())
    })
    .await
}

#[tokio::test]
async fn no_sequence_of_the_kernel_is_read_or_moved() -> Outcome {
    withstand(Home::Pool, async |arena| {
        let sequences: Vec<String> = sqlx::query_scalar(
            "select c.oid::regclass::text from pg_class c
             where c.relnamespace = 'tenantry'::regnamespace and c.relkind = 'S' order by 1",
        )
        .fetch_all(&mut arena.admin)
        .await?;
        assert_eq!(
            sequences,
            [
                "tenantry.handles",
                "tenantry.moment",
                "tenantry.scope",
                "tenantry.turn"
            ]
        );
        for sequence in sequences {
            for sql in [
                format!("select currval('{sequence}')::text"),
                format!("select nextval('{sequence}')::text"),
                format!("select setval('{sequence}', 1)::text"),
                format!("select setval('{sequence}', 1, false)::text"),
                format!("select last_value::text from {sequence}"),
                format!("do $$ begin execute 'alter sequence {sequence} restart'; end $$"),
            ] {
                assert_eq!(arena.attack(&sql).await?, Reply::refused("42501"), "{sql}");
            }
        }
        assert_eq!(
            arena.attack("select lastval()::text").await?,
            Reply::refused("42501")
        );
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_session_that_was_unbound_reads_and_commits_nothing() -> Outcome {
    withstand(Home::Pool, async |arena| {
        for (unbind, code) in [
            ("do $$ begin execute 'discard sequences'; end $$", "55000"),
            ("select pid::text from tenantry.hello()", "TN005"),
        ] {
            let mut tx = arena.attacker.begin().await?;
            let unbound = ask(&mut tx, unbind).await;
            assert!(matches!(unbound, Reply::Rows(_)), "{unbind}: {unbound:?}");
            assert_eq!(
                ask(&mut tx, "select t::text from agents t").await,
                Reply::refused(code),
                "{unbind}"
            );
            drop(tx);
            let mut tx = arena.attacker.begin().await?;
            ask(&mut tx, "update agents set name = 'unbound'").await;
            ask(&mut tx, unbind).await;
            tx.commit().await.unwrap_err();
            // Nobody checks a rollback; whoever has the session next is served.
            let mut tx = arena.attacker.begin().await?;
            ask(&mut tx, unbind).await;
            tx.rollback().await?;
            super::victim_sees_its_rows(arena).await?;
            let mut tx = arena.attacker.begin().await?;
            ask(&mut tx, unbind).await;
            tx.rollback().await?;
            assert_eq!(arena.attacker.query("agents").count().await?, 1, "{unbind}");
            let unchanged = arena.attacker.query("agents").eq("name", "unbound");
            assert_eq!(unchanged.count().await?, 0, "{unbind}");
        }
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_transaction_that_was_told_to_be_another_client_does_not_commit() -> Outcome {
    withstand(Home::Pool, async |arena| {
        let mut tx = arena.attacker.begin().await?;
        let (pid, turn) = hello(&mut tx).await?;
        let foreign = ticket(&mut arena.admin, arena.victim.client().id, pid, turn).await?;
        assert_eq!(ask(&mut tx, enter(&foreign)).await, Reply::one("entered"));
        ask(&mut tx, "update agents set name = 'taken'").await;
        let error = tx.commit().await.unwrap_err();
        assert!(matches!(error, Error::ScopeRefused { .. }), "{error:?}");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_suspended_or_moved_client_is_refused_whatever_ticket_it_holds() -> Outcome {
    withstand(Home::Pool, async |arena| {
        let attacker = arena.attacker.client().id;
        let held = ticket(&mut arena.admin, attacker, 0, 0).await?;
        let app = arena.fixture.app_options(&arena.fixture.database("pool-1"));
        let mut pooled = PgConnection::connect_with(&app).await?;
        for (change, status, code) in [
            ("suspended = true", "suspended", "TN002"),
            ("state = 'fenced'", "relocating", "TN003"),
            ("state = 'standby'", "moved", "TN001"),
            (
                "epoch = epoch + 1, handle = nextval('tenantry.handles')",
                "moved",
                "TN001",
            ),
        ] {
            let mut place = async |change: &str| {
                let update = format!("update tenantry.placement set {change} where client_id = $1");
                sqlx::query(AssertSqlSafe(update))
                    .bind(attacker)
                    .execute(&mut arena.admin)
                    .await
            };
            let read = "select t::text from agents t";
            let mut bound = arena.attacker.begin().await?;
            place(change).await?;
            assert_eq!(ask(&mut bound, read).await, Reply::refused(code), "{change}");
            drop(bound);
            // Whoever still sends the old ticket, through a pooler.
            ask_plainly(&mut pooled, "select pid::text from tenantry.hello()").await;
            let entered = ask_plainly(&mut pooled, enter(&held)).await;
            assert_eq!(entered, Reply::one(status), "{change}");
            let refused = ask_plainly(&mut pooled, read).await;
            assert_eq!(refused, Reply::refused("TN005"), "{change}");
            place("suspended = false, state = 'active'").await?;
        }
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_ticket_that_a_session_shows_is_of_no_use_to_who_sees_it() -> Outcome {
    let arena = Arena::new(Home::Pool, 3).await?;
    // The attacker holds one connection while the victim uses the other, which the attacker gets next.
    let mut watching = arena.attacker.begin().await?;
    let mut theirs = arena.victim.begin().await?;
    let backend = "select pg_backend_pid()::text";
    let used = ask(&mut theirs, backend).await;
    let shown = "select coalesce((regexp_match(query, '[0-9a-f]{160}'))[1], '') from pg_stat_activity
                 where datname = current_database() and pid <> pg_backend_pid() and usename = current_user";
    let mut seen = Vec::new();
    let mut watch = async |step: &str| {
        // What the first look saw would be all that the transaction sees.
        ask(&mut watching, "select pg_stat_clear_snapshot()::text").await;
        match ask(&mut watching, shown).await {
            Reply::Rows(rows) => {
                assert!(!rows.is_empty(), "{step}: the victim's session is seen");
                seen.extend(rows.into_iter().filter(|ticket| !ticket.is_empty()));
            }
            refused @ Reply::Refused(_) => panic!("{step}: {refused:?}"),
        }
    };
    watch("asked").await;
    theirs.commit().await?;
    watch("committed").await;
    arena.victim.query("agents").count().await?;
    watch("counted").await;
    arena.victim.begin().await?.rollback().await?;
    watch("rolled back").await;
    let open = arena.victim.begin().await?;
    watch("begun").await;
    assert!(!seen.is_empty(), "no ticket is shown");
    for ticket in &seen {
        assert_eq!(ask(&mut watching, enter(ticket)).await, Reply::one("forged"));
    }
    open.rollback().await?;

    for db in [&arena.attacker, &arena.victim] {
        let mut tx = db.begin().await?;
        assert_eq!(ask(&mut tx, backend).await, used, "the backend it was made for");
        for ticket in &seen {
            assert_eq!(ask(&mut tx, enter(ticket)).await, Reply::one("forged"));
        }
        let own = Reply::one(db.client().id.to_string());
        assert_eq!(ask(&mut tx, "select tenantry.current_client()::text").await, own);
        tx.commit().await?;
    }
    drop(watching);
    arena.close().await
}
