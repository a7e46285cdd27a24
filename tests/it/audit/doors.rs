//! Pools, fleets, what changed since, and what is accepted.

use tenantry::testing::{DelayProxy, Fixture};
use tenantry::{AuditError, AuditOptions, AuditSeverity, Error, IsolationAudit, PoolId};

use crate::sql::{connect, one, rows, run};
use crate::support::HOST;

#[tokio::test]
async fn a_fleet_is_audited_and_a_pool_that_does_not_answer_is_told() {
    let fixture = Fixture::start(&HOST).await.unwrap();
    fixture.add_pool("pool-2", 10).await.unwrap();
    let report = IsolationAudit::of_fleet(fixture.platform().clone())
        .run()
        .await
        .unwrap();
    report.assert_clean(AuditSeverity::Info).unwrap();
    assert_eq!(report.databases.len(), 2);
    assert!(
        report.databases[1].database.starts_with("pool pool-2 ("),
        "{report}"
    );

    let mut second = connect(fixture.admin_options(&fixture.database("pool-2"))).await;
    run(&mut second, "alter table agents no force row level security").await;
    let mut platform = connect(fixture.admin_options(&fixture.database("platform"))).await;
    let lost = "update platform.pools set admin_connection = null where name = 'pool-1'";
    run(&mut platform, lost).await;
    let report = IsolationAudit::of_fleet(fixture.platform().clone())
        .run()
        .await
        .unwrap();
    assert_eq!(report.databases.len(), 1);
    assert_eq!(report.unread.len(), 1, "{report}");
    assert_eq!(report.worst(), Some(AuditSeverity::High));
    assert_eq!(
        report.exit_status(AuditSeverity::Critical),
        1,
        "a pool was not audited"
    );
    let error = report.assert_clean(AuditSeverity::Critical).unwrap_err();
    assert!(
        matches!(&error, Error::Audit { source: AuditError::NotClean { found }, .. } if found.len() == 1),
        "{error:?}"
    );
    fixture.close().await;
}

#[tokio::test]
async fn what_changed_since_an_audit_is_told_and_what_the_crate_makes_is_not() {
    let fixture = Fixture::start(&HOST).await.unwrap();
    let pool = fixture.pool();
    let audit = || IsolationAudit::of_pool(fixture.platform().clone(), pool);
    let before = audit().run().await.unwrap();
    let kept = before.fingerprint.to_string();
    let since = || audit().since(kept.parse().unwrap());
    assert!(since().run().await.unwrap().is_clean(AuditSeverity::Info));

    let mut admin = connect(fixture.admin_options(&fixture.database("pool-1"))).await;
    // Rows and indexes of clients come and go.
    run(
        &mut admin,
        "insert into models (id, provider, context_tokens) values ('x', 'y', 1);
         create index tenantry_nearest_0123456789abcdef0123456789abcdef on document_chunks_3
             using hnsw ((embedding::halfvec(1024)) halfvec_cosine_ops) where client_id = '00000000-0000-4000-8000-000000000001'",
    )
    .await;
    assert!(since().run().await.unwrap().is_clean(AuditSeverity::Info));
    run(&mut admin, "create index on agents (client_id, name)").await;
    let report = since().run().await.unwrap();
    let told: Vec<String> = report.findings().map(ToString::to_string).collect();
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(
        told[0].starts_with("low drift.changed: ") && told[0].ends_with("what changed: keys and indexes"),
        "{told:?}"
    );

    let accepted = AuditOptions::default().accept("drift.changed", report.databases[0].database.clone());
    let report = since().options(accepted).run().await.unwrap();
    assert!(report.is_clean(AuditSeverity::Info));
    assert_eq!(report.databases[0].accepted, 1);
    fixture.close().await;
}

#[tokio::test]
async fn a_role_or_pool_that_is_not_there_is_an_error() {
    let fixture = Fixture::start(&HOST).await.unwrap();
    let none = IsolationAudit::of_pool(fixture.platform().clone(), PoolId::new())
        .run()
        .await;
    assert!(matches!(none, Err(Error::Refused { .. })), "{none:?}");
    let url = fixture.admin_url(&fixture.database("pool-1"));
    let none = IsolationAudit::of_database(url.clone(), "nobody").run().await;
    assert!(
        matches!(&none, Err(Error::Audit { source: AuditError::UnknownRole { role }, .. }) if role == "nobody"),
        "{none:?}"
    );
    let report = IsolationAudit::of_database(url, fixture.app_role())
        .run()
        .await
        .unwrap();
    assert!(report.is_clean(AuditSeverity::Info), "{report}");
    fixture.close().await;
}

/// The connection is as it was, inside of a transaction and outside.
#[tokio::test]
async fn an_audit_leaves_a_connection_as_it_was() {
    let fixture = Fixture::start(&HOST).await.unwrap();
    let mut admin = connect(fixture.admin_options(&fixture.database("pool-1"))).await;
    run(
        &mut admin,
        "set search_path = public; set statement_timeout = '7min'",
    )
    .await;
    let report = IsolationAudit::of_connection(&mut admin, fixture.app_role())
        .run()
        .await
        .unwrap();
    assert!(report.is_clean(AuditSeverity::Info), "{report}");
    let left: Vec<(String, String, String)> = rows(
        &mut admin,
        "select current_setting('search_path'), current_setting('statement_timeout'), current_setting('transaction_read_only')",
    )
    .await;
    assert_eq!(left, [("public".to_owned(), "7min".to_owned(), "off".to_owned())]);
    fixture.close().await;
}

/// What this version installs is what the audit compares with. `TENANTRY_BLESS=1` writes it anew.
#[tokio::test]
async fn the_kernel_that_is_expected_is_the_one_that_is_installed() {
    let fixture = Fixture::start(&HOST).await.unwrap();
    let mut admin = connect(fixture.admin_options(&fixture.database("pool-1"))).await;
    run(&mut admin, "set search_path = pg_catalog, pg_temp").await;
    let sql = include_str!("../../../src/audit/catalogue/kernel.sql").replace("$1", "'nobody'");
    let lines = format!(
        "select string_agg(value || ' ' || key, E'\\n' order by key collate \"C\")
         from jsonb_each_text((select * from ({sql}) k) -> 'lines')"
    );
    let installed: String = one(&mut admin, &lines).await;
    let head = "# The kernel of a pool database as this version installs it: TENANTRY_BLESS=1 cargo test audit::doors writes it anew.";
    let installed = format!("{head}\n{installed}\n");
    if std::env::var_os("TENANTRY_BLESS").is_some() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/audit/kernel.txt");
        std::fs::write(path, installed).unwrap();
    } else {
        assert!(
            installed == include_str!("../../../src/audit/kernel.txt"),
            "TENANTRY_BLESS=1 writes it anew:\n{installed}"
        );
    }
    fixture.close().await;
}

/// What an audit costs grows with what is read, not with how often the database is asked.
#[tokio::test]
async fn two_hundred_tables_are_asked_for_as_often_as_seven() {
    let fixture = Fixture::start(&HOST).await.unwrap();
    let server = fixture.server().connect_options("postgres");
    let proxy = DelayProxy::start(&server).await.unwrap();
    let options = fixture.admin_options(&fixture.database("pool-1"));
    let mut admin = connect(proxy.options(options)).await;
    let mut asked = async |tables: &str| {
        run(&mut admin, tables).await;
        let before = proxy.round_trips();
        let report = IsolationAudit::of_connection(&mut admin, fixture.app_role())
            .run()
            .await
            .unwrap();
        assert!(report.is_clean(AuditSeverity::Info), "{report}");
        proxy.round_trips() - before
    };
    // What sqlx asks about types, it asks the first time alone.
    asked("").await;
    let few = asked("").await;
    let many = asked(
        "do $$ begin
             for n in 1..200 loop
                 execute format('create table many_%s (client_id uuid not null, id uuid not null, parent uuid, at timestamptz,
                     body text, primary key (client_id, id),
                     foreign key (client_id, parent) references many_%s (client_id, id))', n, n);
                 execute format('create index on many_%s (client_id, at)', n);
                 perform tenantry.protect(format('many_%s', n)::regclass);
             end loop;
         end $$",
    )
    .await;
    assert_eq!(many, few);
    fixture.close().await;
}
