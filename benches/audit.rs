//! How long it takes to read and look at a pool database of 200 tables.
#![expect(
    clippy::disallowed_methods,
    clippy::expect_used,
    reason = "makes the tables of a bench, which ends where it fails"
)]

use criterion::{Criterion, criterion_group, criterion_main};
use sqlx::{Connection as _, PgConnection};
use tenantry::testing::Fixture;
use tenantry::{AuditSeverity, IsolationAudit};

static HOST: sqlx::migrate::Migrator = sqlx::migrate!("examples/agent_platform/migrations");

const TABLES: &str = "
    do $$ begin
        for n in 1..200 loop
            execute format('create table many_%s (client_id uuid not null, id uuid not null, parent uuid, at timestamptz,
                body text, primary key (client_id, id),
                foreign key (client_id, parent) references many_%s (client_id, id))', n, n);
            execute format('create index on many_%s (client_id, at)', n);
            perform tenantry.protect(format('many_%s', n)::regclass);
        end loop;
    end $$";

fn audit(c: &mut Criterion) {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let (fixture, admin) = runtime.block_on(async {
        let fixture = Fixture::start(&HOST).await.expect("a fixture");
        let options = fixture.admin_options(&fixture.database("pool-1"));
        let mut admin = PgConnection::connect_with(&options).await.expect("a connection");
        sqlx::raw_sql(TABLES).execute(&mut admin).await.expect("tables");
        (fixture, tokio::sync::Mutex::new(admin))
    });
    let mut group = c.benchmark_group("audit");
    group.sample_size(10);
    group.bench_function("catalogue of 207 tables", |b| {
        b.to_async(&runtime).iter(|| async {
            let mut admin = admin.lock().await;
            let audit = IsolationAudit::of_connection(&mut admin, fixture.app_role());
            let report = audit.run().await.expect("a report");
            assert!(report.is_clean(AuditSeverity::Info), "{report}");
        });
    });
    group.finish();
    drop(admin);
    runtime.block_on(fixture.close());
}

criterion_group!(benches, audit);
criterion_main!(benches);
