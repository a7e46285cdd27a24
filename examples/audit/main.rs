//! A pool database is audited, some weaknesses are planted, the audit says what they mean, and the SQL that it writes
//! mends them.
//!
//! ```sh
//! cargo run --example audit
//! ```
//!
//! It runs on the server of `DATABASE_URL` if that is set, else on a private one that ends with it.
#![expect(clippy::print_stdout, reason = "tells what happened")]
#![expect(
    clippy::disallowed_methods,
    reason = "changes a database by hand, as a hasty migration does"
)]

use sqlx::{AssertSqlSafe, Connection, PgConnection};
use tenantry::testing::Fixture;
use tenantry::{AuditReport, AuditSeverity, IsolationAudit, lint_plans};

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

static HOST: sqlx::migrate::Migrator = sqlx::migrate!("examples/agent_platform/migrations");

/// What a hasty migration does.
const HASTY: &str = "
    -- A table that nobody protected.
    create table notes (client_id uuid not null, id uuid not null, body text, primary key (client_id, id));
    grant select, insert, update, delete on notes to tenantry_fixture_app;
    -- A report for the operators, which everybody may read.
    create view agents_by_model as select model_id, count(*) from agents group by model_id;
    grant select on agents_by_model to tenantry_fixture_app;
    -- Slugs that are unique for all clients.
    create unique index agents_slug on agents (slug);
    -- A way around the policy, for support.
    drop policy tenantry_scope on documents;
    create policy tenantry_scope on documents as restrictive
        using (client_id = (select tenantry.current_client()) or source = 'support');
    -- A foreign key to any client's agent.
    alter table conversations add reviewer uuid;
    create unique index agents_id on agents (id);
    alter table conversations add foreign key (reviewer) references agents (id) on delete cascade;";

#[tokio::main]
async fn main() -> Outcome<()> {
    let fixture = Fixture::start(&HOST).await?;
    let outcome = audited(&fixture).await;
    fixture.close().await;
    outcome
}

async fn audited(fixture: &Fixture) -> Outcome<()> {
    let before = audit(fixture).await?;
    println!("As it should be:\n{before}\n");
    before.assert_clean(AuditSeverity::Low)?;

    let mut admin = PgConnection::connect_with(&fixture.admin_options(&fixture.database("pool-1"))).await?;
    sqlx::raw_sql(HASTY).execute(&mut admin).await?;
    let report = audit(fixture).await?;
    println!("After a hasty migration:\n{report}\n");
    let found = report.findings().count();
    assert!(found >= 6, "{found}");
    assert_eq!(report.exit_status(AuditSeverity::Critical), 1);

    let mend = report.mend_sql();
    println!("What mends it:\n{mend}");
    sqlx::raw_sql(AssertSqlSafe(mend)).execute(&mut admin).await?;
    let after = IsolationAudit::of_pool(fixture.platform().clone(), fixture.pool())
        .since(before.fingerprint)
        .run()
        .await?;
    // It is clean, and not what it was: it has a table more.
    println!("Mended:\n{after}\n");
    let left: Vec<&str> = after.findings().map(|finding| finding.id).collect();
    assert_eq!(left, ["drift.changed"]);

    let acme = fixture.shared_client("acme").await?;
    let manager = fixture.manager().await?;
    let statement = "select id from document_chunks where content like 'The %'";
    let plans = lint_plans(&manager.tenant(acme.id).await?, [statement]).await?;
    println!("{plans}");
    manager.close().await;
    admin.close().await?;
    Ok(())
}

async fn audit(fixture: &Fixture) -> tenantry::Result<AuditReport> {
    IsolationAudit::of_fleet(fixture.platform().clone()).run().await
}
