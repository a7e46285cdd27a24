//! What the policy of a protected table shows, to whom, and how often it is evaluated.
#![expect(
    clippy::unwrap_used,
    reason = "the functions that the tests share panic like tests"
)]

use super::Pool;
use crate::sql::{one, refused, rows, run};

/// How often each `InitPlan` of a plan ran, in the order that they stand there.
fn evaluations(plan: &str) -> Vec<u32> {
    let lines: Vec<_> = plan.lines().map(str::trim).collect();
    let below = lines.windows(2).filter(|lines| lines[0].starts_with("InitPlan"));
    below
        .map(|lines| {
            let loops = lines[1].split("loops=").nth(1).unwrap();
            loops.trim_end_matches(')').parse().unwrap()
        })
        .collect()
}

#[tokio::test]
async fn the_policy_is_evaluated_once_a_statement_and_the_predicate_prunes() {
    let mut pool = Pool::start().await;
    let (id, other) = (pool.id(), pool.fixture.shared_client("bolt").await.unwrap().id);
    for client in [id, other.as_uuid()] {
        run(
            &mut pool.admin,
            &format!(
                "insert into agents (client_id, slug, name)
                 select '{client}', 'a' || n, 'Agent ' || n from generate_series(1, 500) n"
            ),
        )
        .await;
    }
    run(&mut pool.admin, "analyze agents").await;
    run(&mut pool.app, "begin").await;
    pool.bind().await;
    let mut plan = async |sql: String| -> String {
        let explain = format!("explain (analyze, costs off, timing off, summary off, buffers off) {sql}");
        let lines: Vec<(String,)> = rows(&mut pool.app, &explain).await;
        lines.into_iter().map(|(line,)| line + "\n").collect()
    };

    // With the predicate that the library sends.
    let explicit = plan(format!("select name from agents where client_id = '{id}'")).await;
    assert!(explicit.contains("One-Time Filter"), "{explicit}");
    assert_eq!(evaluations(&explicit), [1], "{explicit}");

    // Of another client: the filter stops it before a row is read.
    let foreign = plan(format!("select name from agents where client_id = '{other}'")).await;
    assert!(
        foreign.contains("One-Time Filter") && foreign.contains("(never executed)"),
        "{foreign}"
    );

    // Raw SQL without it: still once.
    let bare = plan("select name from agents".to_owned()).await;
    assert_eq!(evaluations(&bare), [1], "{bare}");

    let parts = |plan: &str| -> usize {
        (0..8)
            .filter(|part| plan.contains(&format!("on document_chunks_{part} ")))
            .count()
    };
    let pruned = plan(format!(
        "select content from document_chunks where client_id = '{id}'"
    ))
    .await;
    assert_eq!(parts(&pruned), 1, "{pruned}");
    let all = plan("select content from document_chunks".to_owned()).await;
    assert_eq!(parts(&all), 8, "{all}");
}

#[tokio::test]
async fn a_partition_named_directly_shows_nothing_even_where_it_was_granted() {
    let mut pool = Pool::start().await;
    let (id, app) = (pool.id(), pool.fixture.app_role());
    run(
        &mut pool.admin,
        &format!(
            "create table t (client_id uuid not null, n int) partition by hash (client_id);
             create table t_1 partition of t for values with (modulus 1, remainder 0) partition by hash (client_id);
             create table t_1_0 partition of t_1 for values with (modulus 1, remainder 0);
             select tenantry.protect('t');
             insert into t values ('{id}', 1)"
        ),
    )
    .await;
    pool.bind().await;
    assert_eq!(one::<i64>(&mut pool.app, "select count(*) from t").await, 1);
    for part in ["t_1", "t_1_0"] {
        assert_eq!(
            refused(&mut pool.app, &format!("select * from {part}"))
                .await
                .code,
            "42501"
        );
        run(
            &mut pool.admin,
            &format!("grant select, insert on {part} to {app}"),
        )
        .await;
        assert_eq!(
            one::<i64>(&mut pool.app, &format!("select count(*) from {part}")).await,
            0
        );
        assert_eq!(
            refused(&mut pool.app, &format!("insert into {part} values ('{id}', 2)"))
                .await
                .code,
            "42501"
        );
    }
    // A partition that comes later is open until the table is protected again.
    run(
        &mut pool.admin,
        "create table late (client_id uuid not null, day date) partition by range (day);
         select tenantry.protect('late');
         create table late_1 partition of late for values from ('2025-01-01') to ('2026-01-01');
         select tenantry.protect('late')",
    )
    .await;
    let closed = "select relrowsecurity and relforcerowsecurity from pg_class where oid = 'late_1'::regclass";
    assert!(one::<bool>(&mut pool.admin, closed).await);
}

#[tokio::test]
async fn a_stray_permissive_policy_widens_nothing() {
    let mut pool = Pool::start().await;
    let (id, other) = (pool.id(), pool.fixture.shared_client("bolt").await.unwrap().id);
    run(
        &mut pool.admin,
        &format!(
            "insert into agents (client_id, slug, name) values ('{id}', 'a', 'mine'), ('{other}', 'a', 'theirs');
             create policy stray on agents using (true) with check (true);
             create policy stray_read on agents for select to public using (true)"
        ),
    )
    .await;
    pool.bind().await;
    let names: Vec<(String,)> = rows(&mut pool.app, "select name from agents").await;
    assert_eq!(names, [("mine".to_owned(),)]);
    for sql in [
        format!("insert into agents (client_id, slug, name) values ('{other}', 'b', 'x')"),
        format!("update agents set client_id = '{other}'"),
    ] {
        let refusal = refused(&mut pool.app, &sql).await;
        assert_eq!(refusal.code, "42501", "{sql}");
        assert!(
            refusal.message.contains("row-level security"),
            "{}",
            refusal.message
        );
    }
    run(&mut pool.app, "update agents set name = 'x'; delete from agents").await;
    let left: Vec<(String,)> = rows(&mut pool.admin, "select name from agents").await;
    assert_eq!(left, [("theirs".to_owned(),)]);
}
