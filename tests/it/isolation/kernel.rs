#![expect(
    clippy::disallowed_methods,
    reason = "attacks the kernel by raw SQL, and reads its catalogue as the admin role"
)]

use sqlx::{AssertSqlSafe, Connection as _};
use tenantry::Error;

use super::{Arena, Home, Outcome, from_both_homes, withstand};
use crate::support::{Reply, ask, ask_alone, ticket};

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
         from pg_proc p where p.pronamespace = 'tenantry'::regnamespace",
    )
    .bind(arena.fixture.app_role())
    .fetch_all(&mut admin)
    .await?;
    admin.close().await?;
    let (granted, refused): (Vec<_>, Vec<_>) = functions.into_iter().partition(|(.., granted)| *granted);
    let mut names: Vec<&str> = granted.iter().map(|(name, ..)| name.as_str()).collect();
    names.sort_unstable();
    match arena.home {
        Home::Pool => assert_eq!(names, ["current_client", "enter", "kernel", "leave"]),
        // Asks for a table that is not granted.
        Home::Dedicated => assert_eq!(names, ["app_role", "current_client", "enter", "kernel", "leave"]),
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
        let Reply::Rows(own) = ask(&mut tx, "select current_setting('tenantry.ticket')").await else {
            panic!("the attacker has a ticket");
        };
        tx.commit().await?;
        let own = own[0].as_str();
        let simple = |id: tenantry::ClientId| id.as_uuid().simple().to_string();
        assert_eq!(own[8..40], simple(attacker));
        let foreign = ticket(&mut arena.admin, victim, 0).await?;
        let elsewhere = ticket(&mut arena.admin, victim, 1).await?;
        let patched = |at: usize, with: &str| format!("{}{with}{}", &own[..at], &own[at + with.len()..]);
        let forged = [
            ("another client", patched(8, &simple(victim))),
            ("another epoch", patched(40, "00000000000000ff")),
            ("no backend", patched(56, "00000000")),
            ("no end", patched(64, "0000000000000000")),
            ("another key", patched(0, "00000002")),
            ("no key", patched(0, "00000000")),
            ("a negative key", patched(0, "ffffffff")),
            ("another code", patched(80, &"0".repeat(64))),
            ("the code of another ticket", patched(80, &foreign[80..])),
            ("the fields of another ticket", patched(0, &foreign[..80])),
            ("a ticket of another backend", elsewhere),
            ("capitals", own.to_uppercase()),
            ("too short", own[..143].to_owned()),
            ("too long", format!("{own}0")),
            ("a second line", format!("{own}\n")),
            ("no ticket", "x".to_owned()),
        ];
        for (what, forged) in &forged {
            let entered = arena.attack(format!("select tenantry.enter('{forged}')")).await?;
            assert_eq!(entered, Reply::one("forged"), "{what}");
            for setting in [
                format!("select set_config('tenantry.ticket', '{forged}', true)"),
                format!("do $$ begin execute 'set tenantry.ticket to ''{forged}'''; end $$"),
            ] {
                let mut tx = arena.attacker.begin().await?;
                let set = ask(&mut tx, &setting).await;
                assert!(matches!(set, Reply::Rows(_)), "{what}: {set:?}");
                let read = ask(&mut tx, "select t::text from agents t").await;
                assert_eq!(read, Reply::refused("TN004"), "{what}");
                drop(tx);
                let mut tx = arena.attacker.begin().await?;
                ask(&mut tx, &setting).await;
                let error = tx.commit().await.unwrap_err();
                assert!(matches!(error, Error::ScopeRefused { .. }), "{what}: {error:?}");
            }
        }
        let unbound = {
            let mut tx = arena.attacker.begin().await?;
            ask(&mut tx, "select set_config('tenantry.ticket', '', true)").await;
            ask(&mut tx, "select t::text from agents t").await
        };
        assert_eq!(unbound, Reply::refused("TN005"));
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
async fn a_transaction_that_was_told_to_be_another_client_does_not_commit() -> Outcome {
    withstand(Home::Pool, async |arena| {
        let foreign = ticket(&mut arena.admin, arena.victim.client().id, 0).await?;
        let mut tx = arena.attacker.begin().await?;
        assert_eq!(
            ask(&mut tx, format!("select tenantry.enter('{foreign}')")).await,
            Reply::one("entered")
        );
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
        let held = ticket(&mut arena.admin, attacker, 0).await?;
        for (change, status, code) in [
            ("suspended = true", "suspended", "TN002"),
            ("suspended = false, state = 'fenced'", "relocating", "TN003"),
            ("state = 'standby'", "moved", "TN001"),
            ("state = 'active', epoch = epoch + 1", "moved", "TN001"),
        ] {
            let change = format!("update tenantry.placement set {change} where client_id = $1");
            sqlx::query(AssertSqlSafe(change))
                .bind(attacker)
                .execute(&mut arena.admin)
                .await?;
            // The victim's own transaction stands in for whoever still sends the old ticket.
            let entered = ask_alone(&arena.victim, format!("select tenantry.enter('{held}')")).await?;
            assert_eq!(entered, Reply::one(status));
            let mut tx = arena.victim.begin().await?;
            ask(
                &mut tx,
                format!("select set_config('tenantry.ticket', '{held}', true)"),
            )
            .await;
            assert_eq!(
                ask(&mut tx, "select t::text from agents t").await,
                Reply::refused(code)
            );
        }
        Ok(())
    })
    .await
}

#[tokio::test]
async fn no_session_shows_a_ticket_to_another() -> Outcome {
    let arena = Arena::new(Home::Pool, 2).await?;
    let victim = arena.victim_id();
    // The attacker holds one connection while the victim uses the other, which the attacker gets next.
    let mut watching = arena.attacker.begin().await?;
    let mut theirs = arena.victim.begin().await?;
    let shown = "select coalesce((regexp_match(query, '[0-9a-f]{144}'))[1], '') from pg_stat_activity
                 where datname = current_database() and pid <> pg_backend_pid() and usename = current_user";
    let mut seen = Vec::new();
    let mut watch = async |step: &str| match ask(&mut watching, shown).await {
        Reply::Rows(rows) => {
            assert!(!rows.is_empty(), "{step}: the victim's session is seen");
            seen.extend(rows.into_iter().filter(|ticket| !ticket.is_empty()));
        }
        refused @ Reply::Refused(_) => panic!("{step}: {refused:?}"),
    };
    watch("begun").await;
    ask(&mut theirs, "select name from agents").await;
    watch("asked").await;
    theirs.commit().await?;
    watch("committed").await;
    arena.victim.query("agents").count().await?;
    watch("counted").await;
    arena.victim.begin().await?.rollback().await?;
    watch("rolled back").await;

    let mut hopped = Vec::new();
    for ticket in &seen {
        let mut tx = arena.attacker.begin().await?;
        ask(
            &mut tx,
            format!("select set_config('tenantry.ticket', '{ticket}', true)"),
        )
        .await;
        hopped.push(ask(&mut tx, "select tenantry.current_client()::text").await);
    }
    assert!(
        !hopped.contains(&Reply::one(victim.to_string())),
        "a ticket that another session shows opens the victim's rows on the connection it was made for"
    );
    assert!(seen.is_empty(), "tickets are shown: {seen:?}");
    drop(watching);
    arena.close().await
}
