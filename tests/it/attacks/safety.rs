//! What is attacked is served meanwhile, and is afterwards as it was.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::{Duration, Instant};

use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};
use tenantry::testing::{Fixture, assert_isolated};
use tenantry::{AttackOptions, Attacked, Attacks, Binding, NewPool};

use super::{HOST, Outcome, SHOP, attacked, attacks, change, patient, superuser};
use crate::pgbouncer::PgBouncer;
use crate::support::{TABLES, fill};

/// All rows of all tables of a database, each table by its hash.
async fn state(conn: &mut PgConnection) -> sqlx::Result<Vec<(String, i64, String)>> {
    let tables: Vec<String> = sqlx::query_scalar(
        "select format('%I.%I', n.nspname, c.relname) from pg_class c join pg_namespace n on n.oid = c.relnamespace
         where c.relkind in ('r', 'p') and not c.relispartition and n.nspname not in ('pg_catalog', 'information_schema')
         order by 1",
    )
    .fetch_all(&mut *conn)
    .await?;
    let mut state = Vec::new();
    for table in tables {
        let sql = format!(
            "select count(*), coalesce(md5(string_agg(t::text, ',' order by t::text)), '') from {table} t"
        );
        let (rows, hash): (i64, String) = sqlx::query_as(AssertSqlSafe(sql))
            .persistent(false)
            .fetch_one(&mut *conn)
            .await?;
        state.push((table, rows, hash));
    }
    Ok(state)
}

/// Those of the pool and of the platform.
async fn states(fixture: &Fixture) -> sqlx::Result<Vec<(String, i64, String)>> {
    let mut states = Vec::new();
    for database in ["pool-1", "platform"] {
        let options = fixture.server().connect_options(&fixture.database(database));
        let mut conn = PgConnection::connect_with(&options).await?;
        states.extend(state(&mut conn).await?);
        conn.close().await?;
    }
    Ok(states)
}

/// A platform with a client that has rows.
async fn lived_in() -> Result<Fixture, Box<dyn std::error::Error>> {
    let fixture = Fixture::start(&HOST).await?;
    let acme = fixture.shared_client("acme").await?;
    let manager = fixture.manager().await?;
    fill(&manager.tenant(acme.id).await?, "acme").await?;
    manager.close().await;
    Ok(fixture)
}

#[tokio::test]
async fn a_run_leaves_every_row_of_pool_and_platform_as_it_was() -> Outcome {
    let fixture = lived_in().await?;
    let before = states(&fixture).await?;
    assert!(
        before
            .iter()
            .any(|(table, rows, _)| table == "public.agents" && *rows == 1),
        "{before:?}"
    );
    let report = assert_isolated(&fixture).await?;
    assert_eq!(report.tables.len(), TABLES.len());
    assert_eq!(states(&fixture).await?, before);
    assert_eq!(Attacks::new(fixture.platform()).clear(fixture.pool()).await?, 0);
    fixture.close().await;
    Ok(())
}

/// Polls the future so often, or to its end.
async fn polled<F: Future>(future: F, times: usize) -> Option<F::Output> {
    let mut future = pin!(future);
    let mut left = times;
    poll_fn(|context| {
        if left == 0 {
            return Poll::Ready(None);
        }
        left -= 1;
        future.as_mut().poll(context).map(Some)
    })
    .await
}

#[tokio::test]
async fn what_a_dropped_run_left_is_cleared() -> Outcome {
    let fixture = lived_in().await?;
    let before = states(&fixture).await?;
    let attacks = attacks(&fixture);
    let mut left = 0;
    for polls in [1, 4, 12, 20, 30, 60, 120, 250, 500, 1_000] {
        let run = polled(Box::pin(attacks.run(fixture.pool())), polls).await;
        assert!(!matches!(run, Some(Err(_))), "{run:?}");
        left += attacks.clear(fixture.pool()).await?;
        assert_eq!(states(&fixture).await?, before, "dropped after {polls} polls");
    }
    assert!(left >= 4, "no run was dropped in its middle");
    // And the next run begins by it.
    let dropped = polled(Box::pin(attacks.run(fixture.pool())), 120).await;
    assert!(dropped.is_none());
    assert!(attacks.run(fixture.pool()).await?.is_clean());
    assert_eq!(states(&fixture).await?, before);
    fixture.close().await;
    Ok(())
}

#[tokio::test]
async fn clients_are_served_while_it_is_attacked() -> Outcome {
    let fixture = lived_in().await?;
    let manager = fixture.manager().await?;
    let acme = manager.tenant("acme".parse::<tenantry::ClientSlug>()?).await?;
    let over = AtomicBool::new(false);
    let served = async {
        let mut longest = Duration::ZERO;
        let mut times = 0_u32;
        while !over.load(Ordering::Relaxed) {
            let began = Instant::now();
            acme.update("agents")
                .set("name", format!("name {times}"))
                .all()
                .execute()
                .await?;
            acme.insert("documents").set("title", "of acme").execute().await?;
            assert_eq!(acme.query("agents").count().await?, 1);
            longest = longest.max(began.elapsed());
            times += 1;
        }
        Ok::<_, tenantry::Error>((times, longest))
    };
    let attack = async {
        let report = attacked(&fixture).await;
        over.store(true, Ordering::Relaxed);
        report
    };
    let (served, report) = tokio::join!(served, attack);
    let (times, longest) = served?;
    let report = report?;
    println!(
        "served {times} times, the longest took {longest:?}, {:?}",
        report.longest_transaction
    );
    assert!(report.is_clean(), "{report}");
    assert!(times > 5, "{times}");
    manager.close().await;
    fixture.close().await;
    Ok(())
}

#[tokio::test]
async fn a_table_that_is_locked_is_not_waited_for() -> Outcome {
    let fixture = Fixture::start(&SHOP).await?;
    let mut other = superuser(&fixture).await?;
    for (mode, seen) in [("access exclusive", "locked"), ("share", "55P03")] {
        let lock = format!("begin; lock table events in {mode} mode");
        other.execute(sqlx::raw_sql(AssertSqlSafe(lock))).await?;
        let report = attacked(&fixture).await?;
        let unclear = report.findings.iter().any(|finding| {
            finding.id == "attack.inconclusive"
                && finding.object == "public.events"
                && finding.evidence.contains(seen)
        });
        assert!(unclear, "{report}");
        assert_eq!(report.tables, ["public.customers", "public.orders"]);
        other.execute(sqlx::raw_sql("rollback")).await?;
    }
    assert!(attacked(&fixture).await?.is_clean());
    fixture.close().await;
    Ok(())
}

#[tokio::test]
async fn who_attacks_what_is_attacked_already_is_told_so() -> Outcome {
    let fixture = Fixture::start(&SHOP).await?;
    let attacks = attacks(&fixture);
    // As a run takes it: `tnaudit`, in ASCII.
    let mut other = superuser(&fixture).await?;
    let lock = format!("select pg_advisory_lock({})", 0x74_6e61_7564_6974_i64);
    other.execute(sqlx::raw_sql(AssertSqlSafe(lock))).await?;
    let run = attacks.run(fixture.pool()).await.map(|_| 0);
    for refused in [run, attacks.clear(fixture.pool()).await] {
        let busy = refused.err().ok_or("it was let by")?;
        assert!(busy.is_retryable(), "{busy:?}");
    }
    other.close().await?;
    assert!(attacks.run(fixture.pool()).await?.is_clean());
    fixture.close().await;
    Ok(())
}

#[tokio::test]
async fn what_is_left_out_is_said() -> Outcome {
    let fixture = Fixture::start(&SHOP).await?;
    change(
        &fixture,
        "create function note() returns trigger language plpgsql as 'begin return new; end';
         create trigger note before insert on events for each row execute function note()",
    )
    .await?;
    let options = patient()
        .triggered_tables(Attacked::LeftOut)
        .functions(Attacked::LeftOut)
        .leave_out(["public.open_orders"]);
    let attacks = Attacks::new(fixture.platform()).options(options);
    let report = attacks.run(fixture.pool()).await?;
    assert!(report.is_clean(), "{report}");
    assert_eq!(report.tables, ["public.customers", "public.orders"]);
    assert!(report.functions.is_empty());
    for name in ["public.events", "public.order_count()", "public.open_orders"] {
        assert!(
            report.left_out.iter().any(|left| left.starts_with(name)),
            "{report:#?}"
        );
    }
    let no_time = AttackOptions::default().time(Duration::ZERO);
    let report = Attacks::new(fixture.platform())
        .options(no_time)
        .run(fixture.pool())
        .await?;
    assert!(
        report
            .findings
            .iter()
            .any(|finding| finding.id == "attack.inconclusive"),
        "{report}"
    );
    fixture.close().await;
    Ok(())
}

#[tokio::test]
async fn a_pool_behind_a_pooler_is_attacked_as_well() -> Outcome {
    let fixture = Fixture::start(&SHOP).await?;
    let Some(pooler) = PgBouncer::before(&fixture, 2).await? else {
        return Ok(());
    };
    let database = fixture.database("pool-1");
    let app_url = pooler.url(&fixture.app_url(&database))?;
    let pool = NewPool::new("pooled", app_url, fixture.admin_url(&database)).binding(Binding::Transaction);
    let pool = fixture.platform().register_pool(pool).await?;
    let report = attacks(&fixture).run(pool).await?;
    assert!(report.is_clean(), "{report}");
    assert_eq!(report.tables.len(), 3);
    change(&fixture, "alter table orders disable row level security").await?;
    let report = attacks(&fixture).run(pool).await?;
    assert!(
        report.findings.iter().any(|finding| finding.id == "attack.read"),
        "{report}"
    );
    drop(pooler);
    fixture.close().await;
    Ok(())
}

#[tokio::test]
#[should_panic(expected = "critical attack.read: public.orders")]
async fn a_test_of_a_host_fails_with_what_was_found() {
    let fixture = Fixture::start(&SHOP).await;
    let Ok(fixture) = fixture else { return };
    if change(&fixture, "alter table orders disable row level security")
        .await
        .is_ok()
    {
        let _ = assert_isolated(&fixture).await;
    }
}
