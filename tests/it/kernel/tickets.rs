//! What a ticket has to be to bind a session to its client.
#![expect(
    clippy::disallowed_methods,
    reason = "shows the kernel tickets as the app role could"
)]

use hex::encode as hex;
use sha2::{Digest as _, Sha256};
use tenantry::{Isolation, TransactionOptions};
use uuid::Uuid;

use super::{KEY, Pool, Ticket};
use crate::sql::{one, refused, run, until};

#[tokio::test]
async fn a_ticket_of_the_library_is_admitted_and_says_what_it_should() {
    let mut pool = Pool::start().await;
    let manager = pool.fixture.manager().await.unwrap();
    let db = manager.tenant(pool.client.id).await.unwrap();
    db.insert("agents")
        .set("slug", "guide")
        .set("name", "Guide")
        .execute()
        .await
        .unwrap();
    // A session that is bound already is only begun on, but for a snapshot.
    let snapshot = TransactionOptions::default().isolation(Isolation::RepeatableRead);
    let mut tx = db.begin_with(snapshot).await.unwrap();
    // Any session of the role can read it.
    let ticket: String = one(
        &mut pool.app,
        "select substring(query from '[0-9a-f]{160}') from pg_stat_activity
         where datname = current_database() and state = 'idle in transaction'",
    )
    .await;
    let (client, pid): (Uuid, i32) = sqlx::query_as("select tenantry.current_client(), pg_backend_pid()")
        .fetch_one(&mut tx)
        .await
        .unwrap();
    assert_eq!(client, pool.id());
    assert_eq!(ticket.len(), 160);
    let [turn, begins_by] = [64..80, 80..96].map(|at| i64::from_str_radix(&ticket[at], 16).unwrap());
    let said = Ticket {
        key_id: 1,
        client,
        epoch: 1,
        pid,
        turn,
        begins_by,
    };
    assert_eq!(ticket[..96], said.fields());
    assert!(turn > 0, "{turn}");
    // Half a minute to begin in.
    assert!((pool.now..=pool.now + 60).contains(&begins_by), "{begins_by}");

    // It was used, and opens nothing more: there, or in another session.
    let again: String = sqlx::query_scalar("select tenantry.enter($1)")
        .bind(&ticket)
        .fetch_one(&mut tx)
        .await
        .unwrap();
    assert_eq!(again, "forged");
    tx.commit().await.unwrap();
    assert_eq!(pool.enter(&ticket).await, "forged");
    assert_eq!(pool.nobody().await, "TN005");
    manager.close().await;
}

#[tokio::test]
async fn a_ticket_bound_to_this_backend_or_to_a_time_is_admitted() {
    let mut pool = Pool::start().await;
    for bound in [true, false] {
        let next = pool.ticket();
        let ticket = Ticket {
            pid: if bound { next.pid } else { 0 },
            turn: if bound { next.turn } else { 0 },
            ..next
        }
        .signed();
        run(&mut pool.app, "begin").await;
        assert_eq!(pool.enter(&ticket).await, "entered");
        assert_eq!(pool.bound().await, pool.id());
        run(
            &mut pool.app,
            &format!("select tenantry.leave('{ticket}'); commit"),
        )
        .await;
        // The session is what is bound: past the end of the transaction, until it is unbound.
        assert_eq!(pool.bound().await, pool.id());
        run(&mut pool.app, "discard sequences").await;
        assert_eq!(pool.nobody().await, "55000");
        pool.hello().await;
        assert_eq!(pool.nobody().await, "TN005");
        // Without a turn, for any number of times while it lasts.
        let again = if bound { "forged" } else { "entered" };
        assert_eq!(pool.enter(&ticket).await, again);
        pool.hello().await;
    }
}

#[tokio::test]
async fn a_ticket_is_good_once() {
    let mut pool = Pool::start().await;
    let ticket = pool.ticket().signed();
    assert_eq!(pool.enter(&ticket).await, "entered");
    assert_eq!(pool.enter(&ticket).await, "forged");
    // What is refused changes nothing.
    assert_eq!(pool.bound().await, pool.id());

    run(&mut pool.app, "discard sequences").await;
    let unbound = refused(&mut pool.app, &format!("select tenantry.enter('{ticket}')")).await;
    assert_eq!(unbound.code, "55000");
    assert_eq!(pool.nobody().await, "55000");

    pool.hello().await;
    assert_eq!(pool.enter(&ticket).await, "forged");
    assert_eq!(pool.nobody().await, "TN005");

    // One that was made and not used is over as well, with the turn it was made for.
    let unused = pool.ticket().signed();
    pool.hello().await;
    assert_eq!(pool.enter(&unused).await, "forged");
    // And so is one that was refused for what it found.
    let refused = pool.ticket().signed();
    pool.place("fenced", 1).await;
    assert_eq!(pool.enter(&refused).await, "relocating");
    pool.place("active", 1).await;
    assert_eq!(pool.enter(&refused).await, "forged");
    assert_eq!(pool.nobody().await, "TN005");
    pool.bind().await;
}

#[tokio::test]
async fn a_transaction_that_began_in_time_outlives_its_ticket_and_no_other_begins() {
    let mut pool = Pool::start().await;
    let soon: i64 = one(
        &mut pool.app,
        "select ceil(extract(epoch from now()))::bigint + 5",
    )
    .await;
    // Without a turn: it is the time that ends it.
    let ticket = Ticket {
        pid: 0,
        turn: 0,
        begins_by: soon,
        ..pool.ticket()
    }
    .signed();
    run(&mut pool.app, "begin").await;
    assert_eq!(pool.enter(&ticket).await, "entered");
    let over = format!("select extract(epoch from clock_timestamp()) > {soon} + 0.1");
    until(&mut pool.app, &over).await;
    assert_eq!(pool.bound().await, pool.id());
    assert_eq!(pool.enter(&ticket).await, "forged", "it was entered already");
    run(
        &mut pool.app,
        &format!("select tenantry.leave('{ticket}'); commit"),
    )
    .await;
    assert_eq!(pool.enter(&ticket).await, "forged");
    assert_eq!(pool.bound().await, pool.id());
    pool.hello().await;
    assert_eq!(pool.enter(&ticket).await, "forged");
    assert_eq!(pool.nobody().await, "TN005");
}

#[expect(clippy::too_many_lines, reason = "a table of forgeries")]
#[tokio::test]
async fn a_ticket_that_is_not_whole_and_signed_is_forged() {
    let mut pool = Pool::start().await;
    // A turn after the first.
    pool.hello().await;
    let ticket = pool.ticket();
    let good = ticket.signed();
    let another = Ticket {
        client: Uuid::from_u128(1),
        ..ticket
    };
    let prefix_mac = |fields: &str| hex(Sha256::digest([&KEY, fields.as_bytes()].concat()));
    let forged = [
        ("empty", String::new()),
        ("a word", "entered".to_owned()),
        ("the fields alone", ticket.fields()),
        ("truncated", good[..159].to_owned()),
        ("longer", format!("{good}0")),
        ("with a newline", format!("{good}\n")),
        ("with a blank", format!(" {}", &good[1..])),
        ("upper case", good.to_uppercase()),
        ("no digits", "g".repeat(160)),
        ("wide digits", "\u{ff10}".repeat(160)),
        (
            "another client's fields under this code",
            another.fields() + &good[96..],
        ),
        (
            "a hash of key and message",
            ticket.fields() + &prefix_mac(&ticket.fields()),
        ),
        ("another key", ticket.signed_with(&[1; 32])),
        (
            "a key that is not installed",
            Ticket { key_id: 99, ..ticket }.signed(),
        ),
        ("key 0", Ticket { key_id: 0, ..ticket }.signed()),
        ("key -1", Ticket { key_id: -1, ..ticket }.signed()),
        ("another key's id", Ticket { key_id: 1, ..ticket }.signed()),
        (
            "another backend",
            Ticket {
                pid: pool.pid + 1,
                ..ticket
            }
            .signed(),
        ),
        (
            "another turn",
            Ticket {
                turn: ticket.turn + 9,
                ..ticket
            }
            .signed(),
        ),
        (
            "a turn that was",
            Ticket {
                turn: ticket.turn - 1,
                ..ticket
            }
            .signed(),
        ),
        (
            "another turn of any backend",
            Ticket {
                pid: 0,
                turn: ticket.turn + 9,
                ..ticket
            }
            .signed(),
        ),
        (
            "too late",
            Ticket {
                begins_by: pool.now - 1,
                ..ticket
            }
            .signed(),
        ),
        (
            "too late and for any backend",
            Ticket {
                pid: 0,
                turn: 0,
                begins_by: pool.now - 1,
                ..ticket
            }
            .signed(),
        ),
        (
            "without a time",
            Ticket {
                begins_by: 0,
                ..ticket
            }
            .signed(),
        ),
        (
            "before time began",
            Ticket {
                begins_by: i64::MIN,
                ..ticket
            }
            .signed(),
        ),
        (
            "bound to nothing",
            Ticket {
                pid: 0,
                turn: 0,
                begins_by: 0,
                ..ticket
            }
            .signed(),
        ),
    ];
    for (name, ticket) in &forged {
        assert_eq!(pool.enter(ticket).await, "forged", "{name}");
        assert_eq!(pool.nobody().await, "TN005", "{name}");
    }

    // Every digit counts: one bit of each is turned.
    for at in 0..good.len() {
        let digit = char::from(good.as_bytes()[at]).to_digit(16).unwrap() ^ 1;
        let mut flipped = good.clone();
        flipped.replace_range(at..=at, &format!("{digit:x}"));
        assert_eq!(pool.enter(&flipped).await, "forged", "digit {at}");
        assert_eq!(pool.nobody().await, "TN005", "digit {at}");
    }
    // None of it used up the turn.
    assert_eq!(pool.enter(&good).await, "entered");
    for (name, ticket) in &forged {
        assert_eq!(pool.enter(ticket).await, "forged", "{name}");
    }
    assert_eq!(pool.bound().await, pool.id());
}
