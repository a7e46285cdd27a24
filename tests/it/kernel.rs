//! The kernel of a pool database, and its twin on a dedicated one, by what they admit and refuse.
#![expect(
    clippy::disallowed_methods,
    reason = "drives the kernel as the app role could"
)]
#![expect(
    clippy::unwrap_used,
    reason = "the functions that the tests share panic like tests"
)]

mod binding;
mod dedicated;
mod keys;
mod placement;
mod policy;
mod rights;
mod tables;
mod tickets;

use hex::encode as hex;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use sqlx::PgConnection;
use tenantry::ClientRecord;
use tenantry::testing::Fixture;
use uuid::Uuid;

use crate::sql::{connect, one, refused, rows, run};
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
