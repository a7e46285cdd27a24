//! A pool of many tables: the run says how long it took, and how long it was in the way.

use std::fmt::Write as _;
use std::time::Duration;

use tenantry::testing::Fixture;

use super::{Outcome, SHOP, attacked, change, superuser};

#[tokio::test]
async fn two_hundred_tables_are_attacked() -> Outcome {
    let fixture = Fixture::start(&SHOP).await?;
    let mut sql = "set role tenantry_fixture_admin;".to_owned();
    for at in 0..200 {
        write!(
            sql,
            "create table t{at} (client_id uuid not null, id uuid not null default gen_random_uuid(), above_id uuid,
                 name text not null, kind text not null check (kind in ('a', 'b')), price numeric(10, 2), body jsonb,
                 at timestamptz not null default now(), primary key (client_id, id), unique (client_id, name));"
        )?;
        if at % 4 > 0 {
            let above = at - 1;
            write!(
                sql,
                "alter table t{at} add foreign key (client_id, above_id) references t{above} (client_id, id);"
            )?;
        }
        write!(sql, "select tenantry.protect('t{at}');")?;
    }
    change(&fixture, &sql).await?;
    let mut watching = superuser(&fixture).await?;
    let attack = attacked(&fixture);
    let mut attack = Box::pin(attack);
    let mut tick = tokio::time::interval(Duration::from_millis(5));
    let mut longest = 0.0_f64;
    let report = loop {
        tokio::select! {
            report = &mut attack => break report?,
            _ = tick.tick() => {
                // As long as the transaction of who holds it.
                let held: Option<f64> = sqlx::query_scalar(
                    "select max(extract(epoch from clock_timestamp() - a.xact_start) * 1000)::float8
                     from pg_locks l join pg_stat_activity a on a.pid = l.pid
                     where a.usename = 'tenantry_fixture_app' and l.granted and l.locktype = 'relation'
                       and l.mode not in ('AccessShareLock') and a.datname = current_database()",
                ).fetch_one(&mut watching).await?;
                longest = longest.max(held.unwrap_or_default());
            }
        }
    };
    drop(attack);
    println!(
        "{} tables in {:?}, {} messages; longest transaction {:?}, locks seen for {longest:.0} ms",
        report.tables.len(),
        report.took,
        report.statements,
        report.longest_transaction
    );
    assert!(report.is_clean(), "{report}");
    assert_eq!(report.tables.len(), 203);
    fixture.close().await;
    Ok(())
}
