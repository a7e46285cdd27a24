//! How long a session stays bound to a client, and what it may do while it is bound to none.
#![expect(
    clippy::disallowed_methods,
    reason = "unbinds the session inside a transaction of the library"
)]

use tenantry::Error;

use super::{Pool, Ticket, enter};
use crate::sql::{one, refused, run};

#[tokio::test]
async fn a_binding_outlives_a_rollback() {
    let mut pool = Pool::start().await;
    let ticket = pool.ticket();
    run(&mut pool.app, "begin").await;
    pool.bind().await;
    run(&mut pool.app, "rollback").await;
    assert_eq!(pool.bound().await, pool.id());
    // The turn that was taken stays taken.
    assert_eq!(pool.enter(&ticket.signed()).await, "forged");
    pool.bind().await;
}

#[tokio::test]
async fn without_a_ticket_nothing_is_entered_or_left_and_there_is_no_client() {
    let mut pool = Pool::start().await;
    for sql in ["select tenantry.enter(null)", "select tenantry.leave(null)"] {
        assert_eq!(refused(&mut pool.app, sql).await.code, "TN004", "{sql}");
    }
    let nobody = refused(&mut pool.app, "select tenantry.current_client()").await;
    assert_eq!(
        (&*nobody.code, &*nobody.message),
        ("TN005", "no client is bound to this session")
    );
    let id = pool.id();
    run(
        &mut pool.admin,
        &format!("insert into agents (client_id, slug, name) values ('{id}', 'a', 'A')"),
    )
    .await;
    let ticket = pool.ticket().signed();
    for (unbound, code) in [
        ("select", "TN005"),
        // No setting is the scope.
        (
            &format!("select set_config('tenantry.ticket', '{ticket}', false)"),
            "TN005",
        ),
        (&format!("set tenantry.scope = '{id}'"), "TN005"),
        ("reset all", "TN005"),
        ("discard sequences", "55000"),
    ] {
        run(&mut pool.app, unbound).await;
        for sql in [
            "select * from agents",
            "insert into agents (slug, name) values ('b', 'B')",
            "update agents set name = 'x'",
            "delete from agents",
        ] {
            assert_eq!(
                refused(&mut pool.app, sql).await.code,
                code,
                "{sql} after {unbound}"
            );
        }
    }
    // A session that never said hello has no turn.
    let mut silent = pool.another_app().await;
    let for_any = Ticket {
        pid: 0,
        ..pool.ticket()
    }
    .signed();
    for sql in [
        "select * from agents",
        "select tenantry.current_client()",
        &format!("select tenantry.leave('{for_any}')"),
    ] {
        let code = refused(&mut silent, sql).await.code;
        assert_eq!(code, "55000", "{sql}");
    }
    assert_eq!(enter(&mut silent, &for_any).await.0, "forged");
    let left: i64 = one(&mut pool.admin, "select count(*) from agents where name = 'A'").await;
    assert_eq!(left, 1);
}

#[tokio::test]
async fn leaving_raises_where_the_session_is_bound_to_another_client_or_to_none() {
    let mut pool = Pool::start().await;
    let other = pool.fixture.shared_client("bolt").await.unwrap();
    let others = |pool: &Pool| {
        let ticket = Ticket {
            client: other.id.as_uuid(),
            ..pool.ticket()
        };
        ticket.signed()
    };
    for (change, code) in [
        ("another client", "TN004"),
        ("select tenantry.hello()", "TN004"),
        ("discard sequences", "55000"),
    ] {
        pool.hello().await;
        let own = pool.ticket().signed();
        run(&mut pool.app, "begin").await;
        assert_eq!(pool.enter(&own).await, "entered");
        if change == "another client" {
            let ticket = others(&pool);
            assert_eq!(pool.enter(&ticket).await, "entered");
        } else {
            run(&mut pool.app, change).await;
        }
        let left = refused(&mut pool.app, &format!("select tenantry.leave('{own}'); commit")).await;
        assert_eq!(left.code, code, "{change}");
        run(&mut pool.app, "rollback").await;
    }
    // No setting is part of the scope.
    pool.hello().await;
    let own = pool.ticket().signed();
    run(&mut pool.app, "begin").await;
    assert_eq!(pool.enter(&own).await, "entered");
    let others = others(&pool);
    run(
        &mut pool.app,
        &format!(
            "select set_config('tenantry.ticket', '{others}', true); select tenantry.leave('{own}'); commit"
        ),
    )
    .await;

    let manager = pool.fixture.manager().await.unwrap();
    let db = manager.tenant(pool.client.id).await.unwrap();
    for (change, told) in [
        ("select tenantry.hello()", true),
        ("do $$ begin execute 'dis' || 'card sequences'; end $$", false),
    ] {
        let mut tx = db.begin().await.unwrap();
        tx.insert("agents")
            .set("slug", "guide")
            .set("name", "Guide")
            .execute()
            .await
            .unwrap();
        sqlx::query(change).execute(&mut tx).await.unwrap();
        let error = tx.commit().await.unwrap_err();
        assert!(
            matches!(error, Error::ScopeRefused { .. }) || !told,
            "{change}: {error:?}"
        );
        assert_eq!(db.query("agents").count().await.unwrap(), 0, "{change}");
    }
    manager.close().await;
}
