//! App roles that no policy holds. Each has a role of its own: those of fixtures are shared.

use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};
use tenantry::testing::Fixture;

use super::{Outcome, SHOP, attacked, change};

/// What is found where the pool is served as a role like that.
async fn served_as(attributes: &str, member_of: Option<&str>, id: &str, object: &str) -> Outcome {
    let fixture = Fixture::start(&SHOP).await?;
    let database = fixture.database("pool-1");
    let role = format!("served_{}", database.replace('-', "_"));
    let grant = member_of.map_or_else(String::new, |of| format!("grant {of} to {role};"));
    change(
        &fixture,
        &format!(
            "create role {role} login password 'plain' {attributes}; {grant}
             select tenantry.configure('{role}');
             grant select, insert, update, delete on customers, orders, events to {role};
             grant select on currencies to {role};
             grant usage on all sequences in schema public to {role}"
        ),
    )
    .await?;
    let app = fixture.server().url_as(&role, "plain", &database).into();
    let admin = fixture.admin_url(&database).into();
    fixture
        .platform()
        .set_pool_connections(fixture.pool(), &app, &admin)
        .await?;
    let report = attacked(&fixture).await;
    let server = fixture.server().connect_options("postgres");
    fixture.close().await;
    let mut superuser = PgConnection::connect_with(&server).await?;
    superuser
        .execute(sqlx::raw_sql(AssertSqlSafe(format!("drop role {role}"))))
        .await?;
    let report = report?;
    if id.is_empty() {
        assert!(report.is_clean(), "{report}");
        return Ok(());
    }
    let found = report
        .findings
        .iter()
        .any(|finding| finding.id == id && finding.object.contains(object));
    assert!(found, "no {id} of {object}: {report}");
    Ok(())
}

#[tokio::test]
async fn a_plain_role_is_held() -> Outcome {
    served_as("", None, "", "").await
}

#[tokio::test]
async fn a_role_with_bypassrls() -> Outcome {
    served_as("bypassrls", None, "attack.read", "public.orders").await
}

#[tokio::test]
async fn a_superuser() -> Outcome {
    served_as("superuser", None, "attack.role", "served_").await
}

#[tokio::test]
async fn a_member_of_the_admin_role() -> Outcome {
    let of = Some("tenantry_fixture_admin");
    served_as("noinherit", of, "attack.role", "public.orders").await
}

#[tokio::test]
async fn a_member_of_a_role_that_reads_everything() -> Outcome {
    served_as(
        "",
        Some("pg_read_all_data"),
        "attack.kernel",
        "tenantry.scope_keys",
    )
    .await
}

#[tokio::test]
async fn a_member_of_a_role_that_reads_statements() -> Outcome {
    served_as("", Some("pg_read_all_stats"), "attack.activity", "").await
}
