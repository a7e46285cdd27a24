//! The twin of the kernel on a dedicated database.

use tenantry::testing::Fixture;
use uuid::Uuid;

use crate::sql::{connect, one, refused, rows, run};
use crate::support::HOST;

#[tokio::test]
async fn the_kernel_of_a_dedicated_database_has_the_same_names_and_one_client() {
    let fixture = Fixture::start(&HOST).await.unwrap();
    let client = fixture.dedicated_client("vast").await.unwrap();
    let database = fixture.database("vast");
    let mut admin = connect(fixture.admin_options(&database)).await;
    let mut app = connect(fixture.app_options(&database)).await;
    let id = client.id.as_uuid();
    run(
        &mut admin,
        "create table with_client (client_id uuid not null, id int primary key, n bigserial);
         create table without_client (id int primary key, n bigserial);
         create table everyones (id int);
         select tenantry.protect('with_client'), tenantry.protect('without_client'), tenantry.share('everyones');
         select tenantry.protect('with_client'), tenantry.protect('without_client'), tenantry.share('everyones')",
    )
    .await;
    assert_eq!(
        one::<Uuid>(&mut app, "select tenantry.current_client()").await,
        id
    );
    assert_eq!(
        one::<String>(&mut app, "select tenantry.enter(null)").await,
        "entered"
    );
    run(&mut app, "select tenantry.leave('anything')").await;
    let stamped: Uuid = one(
        &mut app,
        "insert into with_client (id) values (1) returning client_id",
    )
    .await;
    assert_eq!(stamped, id);
    run(
        &mut app,
        "insert into without_client (id) values (1); update without_client set n = 7; delete from with_client;
         select * from everyones",
    )
    .await;
    for sql in [
        "insert into everyones values (1)".to_owned(),
        "truncate with_client".to_owned(),
        "select * from tenantry.installation".to_owned(),
        "select tenantry.protect('everyones')".to_owned(),
        "select tenantry.share('everyones')".to_owned(),
        format!("select tenantry.configure('{}', '{id}')", fixture.app_role()),
    ] {
        assert_eq!(refused(&mut app, &sql).await.code, "42501", "{sql}");
    }
    // The constant is one for the planner as well.
    let (volatility, known): (String, String) = rows(
        &mut admin,
        "select p.provolatile::text, k.kind from pg_proc p, tenantry.kernel() k
         where p.oid = 'tenantry.current_client()'::regprocedure",
    )
    .await
    .remove(0);
    assert_eq!((&*volatility, &*known), ("i", "dedicated"));

    run(
        &mut admin,
        &format!("select tenantry.configure('{}', '{id}')", fixture.app_role()),
    )
    .await;
    let other = Uuid::new_v4();
    let refusal = refused(
        &mut admin,
        &format!("select tenantry.configure('{}', '{other}')", fixture.app_role()),
    )
    .await;
    assert_eq!(
        (&*refusal.code, refusal.message),
        (
            "TN006",
            format!("this database belongs to another client than {other}")
        )
    );
    assert_eq!(
        one::<Uuid>(&mut app, "select tenantry.current_client()").await,
        id
    );
    fixture.close().await;
}
