//! What a role of the old application can do over its bridge, and what it cannot.

use tenantry::ClientStatus;

use super::{Outcome, Stage};
use crate::sql::{one, refused, run};

#[tokio::test]
async fn a_bridged_role_sees_its_client_and_no_other_whatever_it_says() -> Outcome {
    let stage = Stage::start().await;
    let acme = stage.fixture.shared_client("acme").await?.id;
    let retrofit = stage.retrofit();
    retrofit.start().await?;
    retrofit.protect().await?;
    let manager = stage.fixture.manager().await?;
    let db = manager.tenant(acme).await?;
    db.insert("documents")
        .set("filename", "secret")
        .set("email", "acme")
        .execute()
        .await?;

    let mut old = stage.old().await;
    run(
        &mut old,
        "insert into documents (filename, email) values ('a', 'a')",
    )
    .await;
    let others = "select count(*) from documents where email = 'acme'";
    let app = stage.fixture.app_role();
    for attempt in [
        "select 1".to_owned(),
        format!("set tenantry.client = '{acme}'"),
        "set row_security = on".to_owned(),
        "begin; set transaction isolation level serializable".to_owned(),
        "begin; set transaction isolation level repeatable read, read only".to_owned(),
    ] {
        run(&mut old, &attempt).await;
        assert_eq!(one::<i64>(&mut old, others).await, 0, "{attempt}");
        assert_eq!(one::<i64>(&mut old, "select count(*) from documents").await, 1);
        run(&mut old, "rollback").await;
    }
    for (attempt, code) in [
        (
            format!("insert into documents (client_id, filename, email) values ('{acme}', 'x', 'x')"),
            "42501",
        ),
        (format!("update documents set client_id = '{acme}'"), "42501"),
        ("truncate documents cascade".to_owned(), "42501"),
        ("alter table documents disable row level security".to_owned(), "42501"),
        (format!("set role {app}"), "42501"),
        (format!("set session authorization {app}"), "42501"),
        ("select tenantry.hello()".to_owned(), "42501"),
        ("select tenantry.enter('x')".to_owned(), "42501"),
        (
            format!("select tenantry.open_bridge(current_user, '{acme}')"),
            "42501",
        ),
        ("select * from tenantry.bridges".to_owned(), "42501"),
        ("select * from tenantry.retrofit_steps".to_owned(), "42501"),
        ("set row_security = off; select * from documents".to_owned(), "42501"),
        (
            "create trigger spy before insert on documents for each row execute function suppress_redundant_updates_trigger()"
                .to_owned(),
            "42501",
        ),
    ] {
        assert_eq!(refused(&mut old, &attempt).await.code, code, "{attempt}");
        run(&mut old, "set row_security = on").await;
    }
    assert_eq!(db.query("documents").count().await?, 1);

    // Who becomes the role is not who logged in as it.
    let mut superuser = stage.superuser().await;
    let role = &stage.old_role;
    run(
        &mut superuser,
        &format!("create role {role}_other login; grant {role} to {role}_other"),
    )
    .await;
    let options = stage.fixture.server().connect_options(&stage.database());
    let mut other = crate::sql::connect(options.username(&format!("{role}_other"))).await;
    run(&mut other, &format!("set role {role}")).await;
    assert_eq!(refused(&mut other, "select * from documents").await.code, "TN005");
    drop(other);
    run(&mut superuser, &format!("drop role {role}_other")).await;

    // A client that is not served is not served over a bridge.
    let platform = stage.fixture.platform();
    platform.set_status(stage.house, ClientStatus::Suspended).await?;
    assert_eq!(refused(&mut old, "select * from documents").await.code, "TN002");
    platform.set_status(stage.house, ClientStatus::Active).await?;
    run(&mut old, "update documents set done = 2").await;
    // Nor does it move meanwhile.
    let mut admin = stage.admin().await;
    let moved = format!(
        "update tenantry.placement set state = 'moved' where client_id = '{}'",
        stage.house
    );
    assert_eq!(refused(&mut admin, &moved).await.code, "TN006");
    retrofit.finish().await?;
    run(&mut admin, &format!("begin; {moved}; rollback")).await;
    manager.close().await;
    stage.close().await;
    Ok(())
}

#[tokio::test]
async fn the_app_role_is_bound_by_its_tickets_alone() -> Outcome {
    let stage = Stage::start().await;
    let acme = stage.fixture.shared_client("acme").await?.id;
    let retrofit = stage.retrofit();
    retrofit.start().await?;
    retrofit.protect().await?;
    let mut admin = stage.admin().await;
    let app = stage.fixture.app_role();
    // Whoever is a tenant's is no other's, though somebody had it be bound.
    let bound = format!(
        "insert into tenantry.bridges (role_id, client_id) select oid, '{}' from pg_roles where rolname = '{app}'",
        stage.house
    );
    run(&mut admin, &bound).await;
    run(
        &mut stage.old().await,
        "insert into documents (filename, email) values ('a', 'a')",
    )
    .await;
    let manager = stage.fixture.manager().await?;
    assert_eq!(manager.tenant(acme).await?.query("documents").count().await?, 0);
    let mut unbound = crate::sql::connect(stage.fixture.app_options(&stage.database())).await;
    assert_eq!(
        refused(&mut unbound, "select * from documents").await.code,
        "55000"
    );
    manager.close().await;
    stage.close().await;
    Ok(())
}

#[tokio::test]
async fn nobody_gets_a_bridge_whom_row_level_security_does_not_hold() -> Outcome {
    let stage = Stage::start().await;
    let (mut admin, mut superuser) = (stage.admin().await, stage.superuser().await);
    let open = |role: &str| format!("select tenantry.open_bridge('{role}', '{}')", stage.house);
    for role in [
        stage.fixture.app_role(),
        stage.fixture.admin_role(),
        "nobody_here",
    ] {
        assert_eq!(refused(&mut admin, &open(role)).await.code, "TN006", "{role}");
    }
    let strong = format!("{}_strong", stage.old_role);
    for made in [
        "superuser".to_owned(),
        "bypassrls".to_owned(),
        "createrole".to_owned(),
        format!("noinherit in role {}", stage.fixture.admin_role()),
    ] {
        run(&mut superuser, &format!("create role {strong} login {made}")).await;
        assert_eq!(refused(&mut admin, &open(&strong)).await.code, "TN006", "{made}");
        run(&mut superuser, &format!("drop role {strong}")).await;
    }

    // Nor is one opened to a client that is not here, or that could go before it is there.
    let moved = format!(
        "update tenantry.placement set state = 'moved' where client_id = '{}'",
        stage.house
    );
    run(&mut admin, &format!("begin; {moved}")).await;
    assert_eq!(refused(&mut admin, &open(&stage.old_role)).await.code, "TN001");
    run(&mut admin, "rollback; begin").await;
    run(&mut admin, &open(&stage.old_role)).await;
    run(&mut superuser, "set lock_timeout = '50ms'").await;
    assert_eq!(refused(&mut superuser, &moved).await.code, "55P03");

    // A closed one leaves nothing.
    run(&mut admin, "commit").await;
    let rights = format!(
        "select has_schema_privilege('{0}', 'tenantry', 'usage')
             or has_function_privilege('{0}', 'tenantry.current_client()', 'execute')",
        stage.old_role
    );
    assert!(one::<bool>(&mut admin, &rights).await);
    run(
        &mut admin,
        &format!("select tenantry.close_bridge('{}')", stage.old_role),
    )
    .await;
    assert!(!one::<bool>(&mut admin, &rights).await);
    stage.close().await;
    Ok(())
}
