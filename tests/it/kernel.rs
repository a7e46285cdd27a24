//! The kernel of a pool database, and its twin on a dedicated one, by what they admit and refuse.
#![expect(
    clippy::disallowed_methods,
    reason = "drives the kernel as the app role could"
)]
#![expect(
    clippy::unwrap_used,
    reason = "the functions that the tests share panic like tests"
)]

use hex::encode as hex;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256};
use sqlx::PgConnection;
use tenantry::testing::Fixture;
use tenantry::{ClientRecord, ClientStatus, Error, ErrorKind};
use uuid::Uuid;

use crate::sql::{connect, one, refused, rows, run, until};
use crate::support::HOST;

/// A signing key that the test knows, beside the one that the library made.
const KEY: [u8; 32] = *b"a key that is known to the tests";
const KEY_ID: i32 = 7;

/// What a ticket says, before it is signed.
#[derive(Clone, Copy, Debug)]
struct Ticket {
    key_id: i32,
    client: Uuid,
    epoch: i64,
    pid: i32,
    turn: i64,
    begins_by: i64,
}

impl Ticket {
    fn fields(self) -> String {
        format!(
            "{:08x}{}{:016x}{:08x}{:016x}{:016x}",
            self.key_id,
            self.client.simple(),
            self.epoch,
            self.pid,
            self.turn,
            self.begins_by
        )
    }

    fn signed(self) -> String {
        self.signed_with(&KEY)
    }

    fn signed_with(self, key: &[u8]) -> String {
        let fields = self.fields();
        let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
        mac.update(fields.as_bytes());
        fields + &hex(mac.finalize().into_bytes())
    }
}

/// A pool database with one client and a connection of each role.
struct Pool {
    fixture: Fixture,
    client: ClientRecord,
    admin: PgConnection,
    app: PgConnection,
    /// Of the app role's connection.
    pid: i32,
    /// Of the next ticket there.
    turn: i64,
    now: i64,
}

impl Pool {
    async fn start() -> Self {
        let fixture = Fixture::start(&HOST).await.unwrap();
        let client = fixture.shared_client("acme").await.unwrap();
        let database = fixture.database("pool-1");
        let mut admin = connect(fixture.admin_options(&database)).await;
        let mut app = connect(fixture.app_options(&database)).await;
        run(
            &mut admin,
            &format!("select tenantry.install_key({KEY_ID}, '\\x{}')", hex(KEY)),
        )
        .await;
        let (pid, turn, now) = hello(&mut app).await;
        Self {
            fixture,
            client,
            admin,
            app,
            pid,
            turn,
            now,
        }
    }

    fn id(&self) -> Uuid {
        self.client.id.as_uuid()
    }

    fn ticket(&self) -> Ticket {
        Ticket {
            key_id: KEY_ID,
            client: self.id(),
            epoch: 1,
            pid: self.pid,
            turn: self.turn,
            begins_by: self.now + 600,
        }
    }

    /// What `enter` answers.
    async fn enter(&mut self, ticket: &str) -> String {
        let (status, turn) = enter(&mut self.app, ticket).await;
        self.turn = turn.unwrap_or(self.turn);
        status
    }

    /// Unbinds the app role's connection.
    async fn hello(&mut self) {
        (_, self.turn, _) = hello(&mut self.app).await;
    }

    /// Binds the app role's connection to the client.
    async fn bind(&mut self) {
        let ticket = self.ticket().signed();
        assert_eq!(self.enter(&ticket).await, "entered");
    }

    /// The SQLSTATE that `current_client` raises.
    async fn nobody(&mut self) -> String {
        refused(&mut self.app, "select tenantry.current_client()")
            .await
            .code
    }

    /// The client that the app role's connection is bound to.
    async fn bound(&mut self) -> Uuid {
        one(&mut self.app, "select tenantry.current_client()").await
    }

    async fn place(&mut self, state: &str, epoch: i64) {
        let id = self.id();
        run(
            &mut self.admin,
            &format!("select tenantry.place('{id}', '{state}', {epoch})"),
        )
        .await;
    }

    /// Another connection of the admin role.
    async fn another_admin(&self) -> PgConnection {
        connect(self.fixture.admin_options(&self.fixture.database("pool-1"))).await
    }

    async fn another_app(&self) -> PgConnection {
        connect(self.fixture.app_options(&self.fixture.database("pool-1"))).await
    }
}

/// What `enter` answers, and the turn of the next ticket.
async fn enter(app: &mut PgConnection, ticket: &str) -> (String, Option<i64>) {
    let answer: String = sqlx::query_scalar("select tenantry.enter($1)")
        .bind(ticket)
        .fetch_one(app)
        .await
        .unwrap();
    match answer.split_once(' ') {
        Some((status, turn)) => (status.to_owned(), Some(turn.parse().unwrap())),
        None => (answer, None),
    }
}

/// The backend, the turn of its next ticket and the time.
async fn hello(app: &mut PgConnection) -> (i32, i64, i64) {
    rows(app, "select pid, turn, seconds from tenantry.hello()")
        .await
        .remove(0)
}

/// A backend that waits for, or holds, an advisory lock of that mode.
fn locked(pid: i32, mode: &str, granted: bool) -> String {
    format!(
        "select exists (select from pg_locks where pid = {pid} and locktype = 'advisory'
                          and mode = '{mode}' and granted = {granted})"
    )
}

// The MAC.

/// RFC 4231, section 4, without the truncated case 5: key, data, HMAC-SHA256.
fn rfc_4231() -> [(Vec<u8>, Vec<u8>, &'static str); 6] {
    let long = "This is a test using a larger than block-size key and a larger than block-size data. \
                The key needs to be hashed before being used by the HMAC algorithm.";
    [
        (
            vec![0x0b; 20],
            b"Hi There".to_vec(),
            "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7",
        ),
        (
            b"Jefe".to_vec(),
            b"what do ya want for nothing?".to_vec(),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
        ),
        (
            vec![0xaa; 20],
            vec![0xdd; 50],
            "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe",
        ),
        (
            (1..=25).collect(),
            vec![0xcd; 50],
            "82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b",
        ),
        (
            vec![0xaa; 131],
            b"Test Using Larger Than Block-Size Key - Hash Key First".to_vec(),
            "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
        ),
        (
            vec![0xaa; 131],
            long.as_bytes().to_vec(),
            "9b09ffa71b942fcb27635fbcd5b0e944bfdc63644f0713938a7f51535c3a35e2",
        ),
    ]
}

#[tokio::test]
async fn the_mac_is_hmac_sha256_by_the_vectors_of_rfc_4231() {
    let mut pool = Pool::start().await;
    for (key, data, expected) in rfc_4231() {
        let mac: Vec<u8> = sqlx::query_scalar(
            "select tenantry.mac(pads.inner_pad, pads.outer_pad, $2) from tenantry.pad_key($1) pads",
        )
        .bind(&key)
        .bind(&data)
        .fetch_one(&mut pool.admin)
        .await
        .unwrap();
        assert_eq!(hex(mac), expected, "key of {} bytes", key.len());
    }
    // Exactly a block, and one byte more, which is hashed first.
    for length in [64, 65] {
        let key = vec![0x5a; length];
        let mac: Vec<u8> = sqlx::query_scalar(
            "select tenantry.mac(pads.inner_pad, pads.outer_pad, 'x') from tenantry.pad_key($1) pads",
        )
        .bind(&key)
        .fetch_one(&mut pool.admin)
        .await
        .unwrap();
        let mut expected = Hmac::<Sha256>::new_from_slice(&key).unwrap();
        expected.update(b"x");
        assert_eq!(hex(mac), hex(expected.finalize().into_bytes()));
    }
    let short = refused(
        &mut pool.admin,
        &format!("select tenantry.install_key(8, '\\x{}')", "ab".repeat(31)),
    )
    .await;
    assert_eq!(
        (&*short.code, &*short.message),
        ("TN006", "a scope key has at least 32 bytes")
    );
}

// Tickets.

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
    let mut tx = db.begin().await.unwrap();
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
        "select ceil(extract(epoch from now()))::bigint + 1",
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
async fn two_keys_are_valid_during_a_rotation_and_one_after_it() {
    let mut pool = Pool::start().await;
    let manager = pool.fixture.manager().await.unwrap();
    let db = manager.tenant(pool.client.id).await.unwrap();
    db.begin().await.unwrap().commit().await.unwrap();
    run(
        &mut pool.admin,
        &format!("select tenantry.install_key(2, '\\x{}')", hex([2; 32])),
    )
    .await;
    let new = |pool: &Pool| {
        let ticket = Ticket {
            key_id: 2,
            ..pool.ticket()
        };
        ticket.signed_with(&[2; 32])
    };
    // The library goes on with key 1.
    let ticket = new(&pool);
    assert_eq!(pool.enter(&ticket).await, "entered");
    db.begin().await.unwrap().commit().await.unwrap();
    let twice = refused(
        &mut pool.admin,
        &format!("select tenantry.install_key(2, '\\x{}')", hex([3; 32])),
    )
    .await;
    assert_eq!(twice.code, "23505");

    run(
        &mut pool.admin,
        "delete from tenantry.scope_keys where key_id = 1",
    )
    .await;
    let ticket = new(&pool);
    assert_eq!(pool.enter(&ticket).await, "entered");
    // What is bound stays so; nothing more is.
    assert_eq!(db.query("agents").count().await.unwrap(), 0);
    let error = db.begin().await.unwrap_err();
    assert!(
        matches!(&error, Error::ScopeRefused { client, .. } if *client == pool.client.id),
        "{error}"
    );
    assert!(!error.is_retryable());
    let error = db.query("agents").count().await.unwrap_err();
    assert!(matches!(error, Error::ScopeRefused { .. }), "{error}");
    manager.close().await;
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

// The fence.

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

// What the kernel gives away.

#[tokio::test]
async fn functions_of_the_kernel_are_made_as_the_scope_needs_them() {
    let mut pool = Pool::start().await;
    let (volatility, parallel, definer, config): (String, String, bool, Vec<String>) = rows(
        &mut pool.admin,
        "select provolatile::text, proparallel::text, prosecdef, proconfig from pg_proc
         where oid = 'tenantry.current_client()'::regprocedure",
    )
    .await
    .remove(0);
    // As STABLE it would read the placement with a snapshot from before the flip.
    assert_eq!((&*volatility, &*parallel, definer), ("v", "r", true));
    assert_eq!(config, ["search_path=pg_catalog, pg_temp"]);

    let definers: Vec<(String, bool, Option<Vec<String>>)> = rows(
        &mut pool.admin,
        "select p.proname::text, r.rolsuper, p.proconfig
         from pg_proc p join pg_roles r on r.oid = p.proowner
         where p.pronamespace = 'tenantry'::regnamespace and p.prosecdef order by 1",
    )
    .await;
    let names: Vec<_> = definers.iter().map(|(name, ..)| name.as_str()).collect();
    assert_eq!(names, ["current_client", "enter", "hello", "kernel", "leave"]);
    for (name, owned_by_superuser, config) in &definers {
        assert!(!owned_by_superuser, "{name}");
        assert_eq!(
            config.as_deref(),
            Some(&["search_path=pg_catalog, pg_temp".to_owned()][..]),
            "{name}"
        );
    }
}

#[tokio::test]
async fn the_app_role_has_five_functions_of_the_kernel_and_no_table() {
    let mut pool = Pool::start().await;
    let id = pool.id();
    let executable: Vec<(String,)> = rows(
        &mut pool.app,
        "select p.proname::text from pg_proc p
         where p.pronamespace = 'tenantry'::regnamespace and has_function_privilege(p.oid, 'execute') order by 1",
    )
    .await;
    let executable: Vec<_> = executable.iter().map(|(name,)| name.as_str()).collect();
    assert_eq!(
        executable,
        ["current_client", "enter", "hello", "kernel", "leave"]
    );

    let tables: Vec<(String,)> = rows(
        &mut pool.app,
        "select relname::text from pg_class
         where relnamespace = 'tenantry'::regnamespace and relkind in ('r', 'p', 'v', 'm') order by 1",
    )
    .await;
    assert!(tables.len() >= 5, "{tables:?}");
    for (table,) in &tables {
        for sql in [
            format!("select * from tenantry.{table}"),
            format!("insert into tenantry.{table} default values"),
            format!("delete from tenantry.{table}"),
            format!("truncate tenantry.{table}"),
            format!("copy tenantry.{table} to stdout"),
        ] {
            assert_eq!(refused(&mut pool.app, &sql).await.code, "42501", "{sql}");
        }
    }
    pool.bind().await;
    for sequence in ["turn", "scope", "handles"] {
        for sql in [
            format!("select currval('tenantry.{sequence}')"),
            format!("select nextval('tenantry.{sequence}')"),
            format!("select setval('tenantry.{sequence}', 1)"),
            format!("select setval('tenantry.{sequence}', 1, false)"),
            format!("select last_value from tenantry.{sequence}"),
            format!("alter sequence tenantry.{sequence} restart"),
            format!("drop sequence tenantry.{sequence}"),
        ] {
            assert_eq!(refused(&mut pool.app, &sql).await.code, "42501", "{sql}");
        }
    }
    // Of the one that it took last, in whatever schema; this one has no right to.
    assert_eq!(refused(&mut pool.app, "select lastval()").await.code, "42501");
    assert_eq!(pool.bound().await, id);
    for sql in [
        "update tenantry.placement set state = 'active'".to_owned(),
        format!("select tenantry.place('{id}', 'active', 9)"),
        "select tenantry.lock_key(1)".to_owned(),
        "select tenantry.this_moment()".to_owned(),
        "select tenantry.retire_keys(9)".to_owned(),
        format!("select tenantry.renew('{id}', 9, false)"),
        format!("select tenantry.install_key(9, '\\x{}')", hex([9; 32])),
        format!("select tenantry.pad_key('\\x{}')", hex([9; 32])),
        "select tenantry.mac('\\x00', '\\x00', '\\x00')".to_owned(),
        "select tenantry.app_role()".to_owned(),
        "select tenantry.configure('postgres')".to_owned(),
        "select tenantry.protect('agents')".to_owned(),
        "select tenantry.share('models')".to_owned(),
        "create table tenantry.own ()".to_owned(),
        "create table public.own ()".to_owned(),
        "create temporary table own ()".to_owned(),
        "create schema own".to_owned(),
        "alter table agents disable row level security".to_owned(),
        "drop policy tenantry_scope on agents".to_owned(),
    ] {
        assert_eq!(refused(&mut pool.app, &sql).await.code, "42501", "{sql}");
    }
}

// The policy.

/// How often each `InitPlan` of a plan ran, in the order that they stand there.
fn evaluations(plan: &str) -> Vec<u32> {
    let lines: Vec<_> = plan.lines().map(str::trim).collect();
    let below = lines.windows(2).filter(|lines| lines[0].starts_with("InitPlan"));
    below
        .map(|lines| {
            let loops = lines[1].split("loops=").nth(1).unwrap();
            loops.trim_end_matches(')').parse().unwrap()
        })
        .collect()
}

#[tokio::test]
async fn the_policy_is_evaluated_once_a_statement_and_the_predicate_prunes() {
    let mut pool = Pool::start().await;
    let (id, other) = (pool.id(), pool.fixture.shared_client("bolt").await.unwrap().id);
    for client in [id, other.as_uuid()] {
        run(
            &mut pool.admin,
            &format!(
                "insert into agents (client_id, slug, name)
                 select '{client}', 'a' || n, 'Agent ' || n from generate_series(1, 500) n"
            ),
        )
        .await;
    }
    run(&mut pool.admin, "analyze agents").await;
    run(&mut pool.app, "begin").await;
    pool.bind().await;
    let mut plan = async |sql: String| -> String {
        let explain = format!("explain (analyze, costs off, timing off, summary off, buffers off) {sql}");
        let lines: Vec<(String,)> = rows(&mut pool.app, &explain).await;
        lines.into_iter().map(|(line,)| line + "\n").collect()
    };

    // With the predicate that the library sends.
    let explicit = plan(format!("select name from agents where client_id = '{id}'")).await;
    assert!(explicit.contains("One-Time Filter"), "{explicit}");
    assert_eq!(evaluations(&explicit), [1], "{explicit}");

    // Of another client: the filter stops it before a row is read.
    let foreign = plan(format!("select name from agents where client_id = '{other}'")).await;
    assert!(
        foreign.contains("One-Time Filter") && foreign.contains("(never executed)"),
        "{foreign}"
    );

    // Raw SQL without it: still once.
    let bare = plan("select name from agents".to_owned()).await;
    assert_eq!(evaluations(&bare), [1], "{bare}");

    let parts = |plan: &str| -> usize {
        (0..8)
            .filter(|part| plan.contains(&format!("on document_chunks_{part} ")))
            .count()
    };
    let pruned = plan(format!(
        "select content from document_chunks where client_id = '{id}'"
    ))
    .await;
    assert_eq!(parts(&pruned), 1, "{pruned}");
    let all = plan("select content from document_chunks".to_owned()).await;
    assert_eq!(parts(&all), 8, "{all}");
}

// Protecting and sharing tables.

/// Two tables to refer to: one that is as it should be, one whose keys are not.
const PARENTS: &str = "
    create table good (client_id uuid not null, id uuid not null, primary key (client_id, id));
    create table bad (client_id uuid not null, id uuid not null, primary key (id), unique (id, client_id),
                      unique (client_id, id));";

const NO_CLIENT: &str = "table public.t: a tenant table has a column client_id uuid not null";
const NOT_OWN: &str = "public.t is not a table of its own (a partition is protected through its parent)";

/// What is wrong with a table, how it is made, and what `protect` says.
const LEAKS: &[(&str, &str, &str)] = &[
    ("no client_id", "create table t (id uuid)", NO_CLIENT),
    ("client_id may be null", "create table t (client_id uuid)", NO_CLIENT),
    ("client_id is text", "create table t (client_id text not null)", NO_CLIENT),
    (
        "client_id was dropped",
        "create table t (client_id uuid not null, id int); alter table t drop column client_id",
        NO_CLIENT,
    ),
    (
        "primary key without the client",
        "create table t (client_id uuid not null, id uuid primary key)",
        "table public.t: the key or unique index t_pkey does not lead with client_id",
    ),
    (
        "primary key with the client last",
        "create table t (client_id uuid not null, id uuid, primary key (id, client_id))",
        "table public.t: the key or unique index t_pkey does not lead with client_id",
    ),
    (
        "unique constraint",
        "create table t (client_id uuid not null, email text unique)",
        "table public.t: the key or unique index t_email_key does not lead with client_id",
    ),
    (
        "unique index",
        "create table t (client_id uuid not null, email text); create unique index u on t (email)",
        "table public.t: the key or unique index u does not lead with client_id",
    ),
    (
        "partial unique index",
        "create table t (client_id uuid not null, email text); create unique index u on t (email) where email <> ''",
        "table public.t: the key or unique index u does not lead with client_id",
    ),
    (
        "unique index on an expression",
        "create table t (client_id uuid not null, email text); create unique index u on t (lower(email), client_id)",
        "table public.t: the key or unique index u does not lead with client_id",
    ),
    (
        "exclusion constraint",
        "create table t (client_id uuid not null, email text, constraint u exclude using btree (email with =))",
        "table public.t: the key or unique index u does not lead with client_id",
    ),
    (
        "unique index with the client included only",
        "create table t (client_id uuid not null, email text); create unique index u on t (email) include (client_id)",
        "table public.t: the key or unique index u does not lead with client_id",
    ),
    (
        "foreign key without the client",
        "create table t (client_id uuid not null, bad_id uuid references bad (id))",
        "table public.t: the foreign key t_bad_id_fkey does not lead with client_id on both sides",
    ),
    (
        "foreign key with the client last",
        "create table t (client_id uuid not null, bad_id uuid,
                         constraint f foreign key (bad_id, client_id) references bad (id, client_id))",
        "table public.t: the foreign key f does not lead with client_id on both sides",
    ),
    (
        "foreign key that leads with the client on this side alone",
        "create table t (client_id uuid not null, bad_id uuid,
                         constraint f foreign key (client_id, bad_id) references bad (id, client_id))",
        "table public.t: the foreign key f does not lead with client_id on both sides",
    ),
    (
        "foreign key that sets the client to null",
        "create table t (client_id uuid not null, good_id uuid,
                         constraint f foreign key (client_id, good_id) references good on delete set null)",
        "table public.t: the foreign key f would take client_id away",
    ),
    (
        "foreign key that names the client as set to null",
        "create table t (client_id uuid not null, good_id uuid,
                         constraint f foreign key (client_id, good_id) references good on delete set null (client_id))",
        "table public.t: the foreign key f would take client_id away",
    ),
    (
        "foreign key that sets the client to its default",
        "create table t (client_id uuid not null, good_id uuid,
                         constraint f foreign key (client_id, good_id) references good on delete set default)",
        "table public.t: the foreign key f would take client_id away",
    ),
    (
        "foreign key that sets the client to null on update",
        "create table t (client_id uuid not null, good_id uuid,
                         constraint f foreign key (client_id, good_id) references good on update set null)",
        "table public.t: the foreign key f would take client_id away",
    ),
    (
        "a partition",
        "create table whole (client_id uuid not null) partition by hash (client_id);
         create table t partition of whole for values with (modulus 1, remainder 0)",
        NOT_OWN,
    ),
    (
        "a temporary table",
        "create temporary table t (client_id uuid not null)",
        "t is not a table of its own (a partition is protected through its parent)",
    ),
    (
        "a view",
        "create view t as select * from good",
        NOT_OWN,
    ),
    (
        "a materialized view",
        "create materialized view t as select * from good",
        NOT_OWN,
    ),
    (
        "a shared table",
        "create table t (); select tenantry.share('t'); alter table t add client_id uuid not null",
        "table public.t is declared as shared",
    ),
    (
        "before the app role is known",
        "create table t (client_id uuid not null); update tenantry.installation set app_role = null",
        "the kernel does not know its app role: call tenantry.configure first",
    ),
];

#[tokio::test]
async fn a_table_that_would_leak_is_not_protected() {
    let mut pool = Pool::start().await;
    for (name, table, message) in LEAKS {
        run(&mut pool.admin, &format!("begin; {PARENTS} {table}")).await;
        let refusal = refused(&mut pool.admin, "select tenantry.protect('t')").await;
        assert_eq!((&*refusal.code, &*refusal.message), ("TN006", *message), "{name}");
        run(&mut pool.admin, "rollback").await;
    }
    // And the owner cannot be the app role, nor a table with a client be shared.
    let owner = refused(&mut pool.admin, "select tenantry.configure(current_user)").await;
    assert_eq!(owner.code, "TN006");
    let shared = refused(&mut pool.admin, "select tenantry.share('agents')").await;
    assert_eq!(
        (&*shared.code, &*shared.message),
        (
            "TN006",
            "table public.agents has a client_id: it is protected, not shared"
        )
    );
}

#[tokio::test]
async fn a_table_whose_keys_lead_with_the_client_is_protected() {
    let mut pool = Pool::start().await;
    for table in [
        "create table t (client_id uuid not null)",
        "create table t (client_id uuid primary key)",
        "create table t (client_id uuid not null, email text, unique (client_id, email));
         create unique index u on t (client_id, lower(email)); create index plain on t (email)",
        "create table t (client_id uuid not null, email text,
                         constraint u exclude using btree (client_id with =, email with =))",
        "create table t (client_id uuid not null, good_id uuid,
                         foreign key (client_id, good_id) references good on delete set null (good_id))",
        "create table t (client_id uuid not null, good_id uuid,
                         foreign key (client_id, good_id) references good on delete cascade on update cascade)",
        "create table t (client_id uuid not null, model text references models)",
        "create table t (client_id uuid not null, model text references models on delete set null)",
    ] {
        run(
            &mut pool.admin,
            &format!("begin; {PARENTS} {table}; select tenantry.protect('t'); rollback"),
        )
        .await;
    }
}

#[tokio::test]
async fn an_index_of_a_partition_alone_is_refused_like_one_of_the_table() {
    let mut pool = Pool::start().await;
    run(
        &mut pool.admin,
        "begin;
         create table t (client_id uuid not null, email text) partition by hash (client_id);
         create table t_0 partition of t for values with (modulus 1, remainder 0);
         create unique index u on t_0 (email)",
    )
    .await;
    let refusal = refused(&mut pool.admin, "select tenantry.protect('t')").await;
    assert_eq!(
        (&*refusal.code, &*refusal.message),
        (
            "TN006",
            "table public.t_0: the key or unique index u does not lead with client_id"
        )
    );
}

/// All that `protect` sets on a table, as one text.
const PROTECTION: &str = "
    select string_agg(fact, E'\\n' order by fact) from (
        select format('%s rls %s forced %s acl %s', oid::regclass, relrowsecurity, relforcerowsecurity, relacl) as fact
        from pg_class where oid in (select 't'::regclass union all select relid from pg_partition_tree('t'))
        union all
        select format('policy %s %s %s %s %s %s', polname, polpermissive, polcmd, polroles,
                      pg_get_expr(polqual, polrelid), pg_get_expr(polwithcheck, polrelid))
        from pg_policy where polrelid = 't'::regclass
        union all
        select format('default %s', pg_get_expr(adbin, adrelid)) from pg_attrdef
        where adrelid = 't'::regclass
    ) facts";

#[tokio::test]
async fn protecting_again_changes_nothing_and_mends_what_was_loosened() {
    let mut pool = Pool::start().await;
    run(
        &mut pool.admin,
        "create table t (client_id uuid not null, n bigserial) partition by hash (client_id);
         create table t_0 partition of t for values with (modulus 2, remainder 0);
         create table t_1 partition of t for values with (modulus 2, remainder 1) partition by hash (client_id);
         create table t_1_0 partition of t_1 for values with (modulus 1, remainder 0);
         select tenantry.protect('t')",
    )
    .await;
    let once: String = one(&mut pool.admin, PROTECTION).await;
    assert_eq!(once.matches("rls t forced t").count(), 4, "{once}");
    run(&mut pool.admin, "select tenantry.protect('t')").await;
    assert_eq!(one::<String>(&mut pool.admin, PROTECTION).await, once);

    let app = pool.fixture.app_role();
    for loosened in [
        "alter table t disable row level security".to_owned(),
        "alter table t no force row level security".to_owned(),
        "alter policy tenantry_scope on t using (true)".to_owned(),
        "alter policy tenantry_scope on t with check (true)".to_owned(),
        "drop policy tenantry_scope on t".to_owned(),
        "alter table t alter client_id drop default".to_owned(),
        format!("grant all on t, t_0, t_1_0 to {app}"),
        "grant select on t to public".to_owned(),
        "alter table t_1_0 disable row level security".to_owned(),
    ] {
        run(&mut pool.admin, &loosened).await;
        assert_ne!(
            one::<String>(&mut pool.admin, PROTECTION).await,
            once,
            "{loosened}"
        );
        run(&mut pool.admin, "select tenantry.protect('t')").await;
        assert_eq!(
            one::<String>(&mut pool.admin, PROTECTION).await,
            once,
            "{loosened}"
        );
    }
}

#[tokio::test]
async fn a_protected_table_stamps_the_client_and_gives_four_rights() {
    let mut pool = Pool::start().await;
    let id = pool.id();
    run(
        &mut pool.admin,
        "create table notes (client_id uuid not null, n bigserial, m int generated always as identity, text text,
                             primary key (client_id, n));
         grant all on notes to public;
         select tenantry.protect('notes')",
    )
    .await;
    let granted: Vec<(String,)> = rows(
        &mut pool.admin,
        &format!(
            "select privilege_type::text from pg_class, aclexplode(relacl) a
             where oid = 'notes'::regclass and a.grantee in (0, '{}'::regrole) order by 1",
            pool.fixture.app_role()
        ),
    )
    .await;
    let granted: Vec<_> = granted.iter().map(|(right,)| right.as_str()).collect();
    assert_eq!(granted, ["DELETE", "INSERT", "SELECT", "UPDATE"]);

    run(&mut pool.app, "begin").await;
    pool.bind().await;
    // The sequence of a serial column can be used, and no more than that.
    let stamped: Vec<(Uuid, i64, i32)> = rows(
        &mut pool.app,
        "insert into notes (text) values ('a'), ('b') returning client_id, n, m",
    )
    .await;
    assert_eq!(stamped, [(id, 1, 1), (id, 2, 2)]);
    run(&mut pool.app, "commit").await;
    for sql in [
        "select setval('notes_n_seq', 1000)",
        "select * from notes_n_seq",
        "truncate notes",
        "create trigger t after insert on notes for each row execute function suppress_redundant_updates_trigger()",
        "alter table notes add column x int",
        "copy notes from stdin",
    ] {
        let code = refused(&mut pool.app, sql).await.code;
        // COPY FROM is not possible under row-level security for anyone.
        let expected = if sql.starts_with("copy") { "0A000" } else { "42501" };
        assert_eq!(code, expected, "{sql}");
    }
}

#[tokio::test]
async fn a_partition_named_directly_shows_nothing_even_where_it_was_granted() {
    let mut pool = Pool::start().await;
    let (id, app) = (pool.id(), pool.fixture.app_role());
    run(
        &mut pool.admin,
        &format!(
            "create table t (client_id uuid not null, n int) partition by hash (client_id);
             create table t_1 partition of t for values with (modulus 1, remainder 0) partition by hash (client_id);
             create table t_1_0 partition of t_1 for values with (modulus 1, remainder 0);
             select tenantry.protect('t');
             insert into t values ('{id}', 1)"
        ),
    )
    .await;
    pool.bind().await;
    assert_eq!(one::<i64>(&mut pool.app, "select count(*) from t").await, 1);
    for part in ["t_1", "t_1_0"] {
        assert_eq!(
            refused(&mut pool.app, &format!("select * from {part}"))
                .await
                .code,
            "42501"
        );
        run(
            &mut pool.admin,
            &format!("grant select, insert on {part} to {app}"),
        )
        .await;
        assert_eq!(
            one::<i64>(&mut pool.app, &format!("select count(*) from {part}")).await,
            0
        );
        assert_eq!(
            refused(&mut pool.app, &format!("insert into {part} values ('{id}', 2)"))
                .await
                .code,
            "42501"
        );
    }
    // A partition that comes later is open until the table is protected again.
    run(
        &mut pool.admin,
        "create table late (client_id uuid not null, day date) partition by range (day);
         select tenantry.protect('late');
         create table late_1 partition of late for values from ('2025-01-01') to ('2026-01-01');
         select tenantry.protect('late')",
    )
    .await;
    let closed = "select relrowsecurity and relforcerowsecurity from pg_class where oid = 'late_1'::regclass";
    assert!(one::<bool>(&mut pool.admin, closed).await);
}

#[tokio::test]
async fn a_stray_permissive_policy_widens_nothing() {
    let mut pool = Pool::start().await;
    let (id, other) = (pool.id(), pool.fixture.shared_client("bolt").await.unwrap().id);
    run(
        &mut pool.admin,
        &format!(
            "insert into agents (client_id, slug, name) values ('{id}', 'a', 'mine'), ('{other}', 'a', 'theirs');
             create policy stray on agents using (true) with check (true);
             create policy stray_read on agents for select to public using (true)"
        ),
    )
    .await;
    pool.bind().await;
    let names: Vec<(String,)> = rows(&mut pool.app, "select name from agents").await;
    assert_eq!(names, [("mine".to_owned(),)]);
    for sql in [
        format!("insert into agents (client_id, slug, name) values ('{other}', 'b', 'x')"),
        format!("update agents set client_id = '{other}'"),
    ] {
        let refusal = refused(&mut pool.app, &sql).await;
        assert_eq!(refusal.code, "42501", "{sql}");
        assert!(
            refusal.message.contains("row-level security"),
            "{}",
            refusal.message
        );
    }
    run(&mut pool.app, "update agents set name = 'x'; delete from agents").await;
    let left: Vec<(String,)> = rows(&mut pool.admin, "select name from agents").await;
    assert_eq!(left, [("theirs".to_owned(),)]);
}

#[tokio::test]
async fn a_shared_table_is_read_by_all_and_written_by_none() {
    let mut pool = Pool::start().await;
    run(
        &mut pool.admin,
        "create table kinds (id serial, name text); grant all on kinds to public; select tenantry.share('kinds');
         select tenantry.share('kinds'); insert into kinds (name) values ('one')",
    )
    .await;
    // Without a scope, too: it belongs to nobody.
    for table in ["kinds", "models"] {
        assert!(one::<i64>(&mut pool.app, &format!("select count(*) from {table}")).await > 0);
        for sql in [
            format!("insert into {table} default values"),
            format!("update {table} set id = id"),
            format!("delete from {table}"),
            format!("truncate {table}"),
            format!("select * from {table} for update"),
        ] {
            assert_eq!(refused(&mut pool.app, &sql).await.code, "42501", "{sql}");
        }
    }
    let known: i64 = one(
        &mut pool.app,
        "select count(*) from tenantry.kernel() k, unnest(k.shared_tables) t where t in ('kinds'::regclass, 'models'::regclass)",
    )
    .await;
    assert_eq!(known, 2);
}

// The twin.

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
