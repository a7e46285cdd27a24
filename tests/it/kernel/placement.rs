//! Where a client is placed and when: who is admitted, who is told what, and what waits for whom.

use tenantry::{ClientStatus, Error, ErrorKind};
use uuid::Uuid;

use super::{Pool, Ticket, enter, hello};
use crate::sql::{one, refused, run, until};

/// A backend that waits for, or holds, an advisory lock of that mode.
fn locked(pid: i32, mode: &str, granted: bool) -> String {
    format!(
        "select exists (select from pg_locks where pid = {pid} and locktype = 'advisory'
                          and mode = '{mode}' and granted = {granted})"
    )
}

#[tokio::test]
async fn a_client_is_admitted_only_where_and_when_it_is_placed() {
    let mut pool = Pool::start().await;
    let cases = [
        ("active", 1, "entered", ""),
        ("capturing", 1, "entered", ""),
        ("incoming", 1, "moved", "TN001"),
        ("standby", 1, "moved", "TN001"),
        ("moved", 1, "moved", "TN001"),
        ("fenced", 1, "relocating", "TN003"),
        ("active", 2, "moved", "TN001"),
    ];
    for (state, epoch, status, code) in cases {
        // Who was bound before finds the same, where the change did not wait for it; and with the change
        // that does, that its handle is gone.
        let restore = "update tenantry.placement set state = 'active', epoch = 1";
        run(&mut pool.admin, restore).await;
        pool.bind().await;
        if epoch == 1 {
            let change = format!("update tenantry.placement set state = '{state}'");
            run(&mut pool.admin, &change).await;
            if code.is_empty() {
                assert_eq!(pool.bound().await, pool.id(), "{state}");
            } else {
                assert_eq!(pool.nobody().await, code, "{state}");
            }
        }
        pool.place(state, epoch).await;
        assert_eq!(pool.nobody().await, "TN001", "{state} {epoch}");
        let ticket = Ticket {
            epoch: 1,
            ..pool.ticket()
        }
        .signed();
        assert_eq!(pool.enter(&ticket).await, status, "{state} {epoch}");
        if status == "entered" {
            assert_eq!(pool.bound().await, pool.id(), "{state} {epoch}");
        } else {
            assert_eq!(pool.nobody().await, "TN005", "{state} {epoch}");
        }
    }
    let now = |pool: &Pool| {
        let ticket = Ticket {
            epoch: 2,
            ..pool.ticket()
        };
        ticket.signed()
    };
    let ticket = now(&pool);
    assert_eq!(pool.enter(&ticket).await, "entered");
    run(&mut pool.admin, "update tenantry.placement set suspended = true").await;
    assert_eq!(pool.nobody().await, "TN002");
    let ticket = now(&pool);
    assert_eq!(pool.enter(&ticket).await, "suspended");
    assert_eq!(pool.nobody().await, "TN005");
    // A client that was never here.
    let stranger = Ticket {
        client: Uuid::new_v4(),
        ..pool.ticket()
    }
    .signed();
    assert_eq!(pool.enter(&stranger).await, "moved");
    assert_eq!(pool.nobody().await, "TN005");
}

type Expected<'a> = &'a dyn Fn(&Error) -> bool;

#[tokio::test]
async fn the_library_says_what_became_of_the_client_on_entering_and_inside_a_transaction() {
    let mut pool = Pool::start().await;
    let manager = pool.fixture.manager().await.unwrap();
    let db = manager.tenant(pool.client.id).await.unwrap();
    db.insert("agents")
        .set("slug", "guide")
        .set("name", "Guide")
        .execute()
        .await
        .unwrap();
    let moved = |error: &Error| matches!(error, Error::Moved { .. }) && error.is_retryable();
    let relocating = |error: &Error| matches!(error, Error::Relocating { .. }) && error.is_retryable();
    let suspended = |error: &Error| {
        matches!(
            error,
            Error::NotServed {
                status: ClientStatus::Suspended,
                ..
            }
        ) && error.kind() == ErrorKind::Client
            && !error.is_retryable()
    };
    let cases: [(&str, Expected<'_>); 6] = [
        ("state = 'moved'", &moved),
        ("state = 'standby'", &moved),
        ("state = 'incoming'", &moved),
        ("epoch = 2, handle = nextval('tenantry.handles')", &moved),
        ("state = 'fenced'", &relocating),
        ("suspended = true", &suspended),
    ];
    let restore = "update tenantry.placement set state = 'active', epoch = 1, suspended = false";
    for (change, expected) in cases {
        let change = format!("update tenantry.placement set {change}");
        let mut tx = db.begin().await.unwrap();
        assert_eq!(tx.query("agents").count().await.unwrap(), 1);
        // Past the lock that a relocation takes: it would wait for this transaction.
        run(&mut pool.admin, &change).await;
        let error = tx.query("agents").count().await.unwrap_err();
        assert!(expected(&error), "in a transaction, {change}: {error:?}");
        tx.rollback().await.unwrap();
        let error = db.query("agents").count().await.unwrap_err();
        assert!(expected(&error), "a statement, {change}: {error:?}");
        let error = db.begin().await.unwrap_err();
        assert!(expected(&error), "begin, {change}: {error:?}");

        run(&mut pool.admin, restore).await;
        let mut tx = db.begin().await.unwrap();
        run(&mut pool.admin, &change).await;
        let error = tx
            .insert("agents")
            .set("slug", "scout")
            .set("name", "Scout")
            .execute()
            .await
            .unwrap_err();
        assert!(expected(&error), "a write, {change}: {error:?}");
        assert!(tx.commit().await.is_err(), "{change}");
        run(&mut pool.admin, restore).await;
        assert_eq!(db.query("agents").count().await.unwrap(), 1, "{change}");
    }
    manager.close().await;
}

#[tokio::test]
async fn placing_waits_for_transactions_in_flight() {
    let mut pool = Pool::start().await;
    let ticket = pool.ticket().signed();
    let mut mover = pool.another_admin().await;
    let mover_pid = one(&mut mover, "select pg_backend_pid()").await;
    run(&mut pool.app, "begin").await;
    assert_eq!(pool.enter(&ticket).await, "entered");

    let fence = format!("select tenantry.place('{}', 'fenced', 1)", pool.id());
    {
        let place = run(&mut mover, &fence);
        tokio::pin!(place);
        let waits = locked(mover_pid, "ExclusiveLock", false);
        tokio::select! {
            () = &mut place => panic!("the placement did not wait"),
            () = until(&mut pool.admin, &waits) => {}
        }
        // Who is in goes on; who comes now waits behind the placement, and is then told.
        run(
            &mut pool.app,
            "insert into agents (slug, name) values ('guide', 'Guide')",
        )
        .await;
        let mut late = pool.another_app().await;
        let (late_pid, turn, _) = hello(&mut late).await;
        let late_ticket = Ticket {
            pid: late_pid,
            turn,
            ..pool.ticket()
        }
        .signed();
        let waits = locked(late_pid, "ShareLock", false);
        let entering = enter(&mut late, &late_ticket);
        tokio::pin!(entering);
        tokio::select! {
            status = &mut entering => panic!("{status:?} past a placement that waits"),
            () = until(&mut pool.admin, &waits) => {}
        }
        run(
            &mut pool.app,
            &format!("select tenantry.leave('{ticket}'); commit"),
        )
        .await;
        place.await;
        // The handle that it waited for is gone.
        assert_eq!(entering.await.0, "moved");
    }
    assert_eq!(
        one::<i64>(&mut pool.admin, "select count(*) from agents").await,
        1
    );
    assert_eq!(pool.nobody().await, "TN001");
    let ticket = pool.ticket().signed();
    assert_eq!(pool.enter(&ticket).await, "relocating");
}

#[tokio::test]
async fn a_flip_that_commits_while_a_statement_waits_is_seen_by_it() {
    let mut pool = Pool::start().await;
    let mut mover = pool.another_admin().await;
    let (id, pid) = (pool.id(), pool.pid);
    run(
        &mut pool.admin,
        &format!("insert into agents (client_id, slug, name) values ('{id}', 'guide', 'Guide')"),
    )
    .await;
    let statements = [
        "select tenantry.current_client()".to_owned(),
        format!("select * from agents where client_id = '{id}'"),
        "update agents set name = 'x'".to_owned(),
        "insert into agents (slug, name) values ('scout', 'Scout')".to_owned(),
    ];
    let waits = locked(pid, "ShareLock", false);
    for sql in &statements {
        pool.bind().await;
        run(
            &mut mover,
            &format!("begin; select tenantry.place('{id}', 'fenced', 1)"),
        )
        .await;
        {
            let waiting = refused(&mut pool.app, sql);
            tokio::pin!(waiting);
            tokio::select! {
                refusal = &mut waiting => panic!("{sql} did not wait: {refusal:?}"),
                () = until(&mut pool.admin, &waits) => {}
            }
            run(&mut mover, "commit").await;
            assert_eq!(waiting.await.code, "TN001", "{sql}");
        }
        let ticket = pool.ticket().signed();
        assert_eq!(pool.enter(&ticket).await, "relocating");
        pool.place("active", 1).await;
    }
}

#[tokio::test]
async fn an_old_snapshot_cannot_enter_to_write() {
    let mut pool = Pool::start().await;
    for level in ["repeatable read", "serializable"] {
        run(
            &mut pool.app,
            &format!("begin isolation level {level}; select count(*) from models"),
        )
        .await;
        pool.place("moved", 1).await;
        let ticket = pool.ticket().signed();
        let stale = refused(&mut pool.app, &format!("select tenantry.enter('{ticket}')")).await;
        assert_eq!(stale.code, "40001", "{level}");
        run(&mut pool.app, "rollback").await;
        pool.hello().await;
        let ticket = pool.ticket().signed();
        assert_eq!(pool.enter(&ticket).await, "moved");
        pool.place("active", 1).await;
        run(&mut pool.app, &format!("begin isolation level {level}")).await;
        pool.bind().await;
        run(&mut pool.app, "rollback").await;
    }
}

#[tokio::test]
async fn an_older_epoch_places_nothing() {
    let mut pool = Pool::start().await;
    let id = pool.id();
    let here = format!("select state || ' ' || epoch from tenantry.placement where client_id = '{id}'");
    pool.place("moved", 3).await;
    let older = refused(
        &mut pool.admin,
        &format!("select tenantry.place('{id}', 'active', 2)"),
    )
    .await;
    assert_eq!(older.code, "TN001");
    assert!(older.message.contains(&id.to_string()), "{}", older.message);
    assert_eq!(one::<String>(&mut pool.admin, &here).await, "moved 3");
    // The same epoch changes the state, a later one both.
    pool.place("active", 3).await;
    assert_eq!(one::<String>(&mut pool.admin, &here).await, "active 3");
    pool.place("standby", 4).await;
    assert_eq!(one::<String>(&mut pool.admin, &here).await, "standby 4");
    for (state, epoch, constraint) in [
        ("gone", 5, "placement_state_check"),
        ("active", 0, "placement_epoch_check"),
    ] {
        let wrong = refused(
            &mut pool.admin,
            &format!("select tenantry.place('{}', '{state}', {epoch})", Uuid::new_v4()),
        )
        .await;
        assert_eq!(
            (&*wrong.code, wrong.constraint.as_deref()),
            ("23514", Some(constraint))
        );
    }
}
