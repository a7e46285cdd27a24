//! One client as a file, beside `pg_dump` and `pg_restore` of a database that has the same rows and no others.
//!
//! Run it with `cargo bench --bench portable`; it takes some minutes. The others are those of the server, with the
//! custom format and no compression. `pg_restore` is measured twice: whole, into an empty database, where keys, indexes
//! and foreign keys are made after the rows, all in one transaction; and `unchecked`, rows alone into the same tables as
//! ours, as a superuser and with all foreign keys off: with them on it fails here, as it loads the partitions of a table
//! before those that they refer to. Each number is the median of ratios of neighbours that were measured in turns: above
//! 1 we have the higher throughput. Ours checks every foreign key, digests, and the hash of each table's rows; `counted` is
//! without the hashes. On a pool database each row is checked for its foreign keys when it comes: nobody else's tables may be
//! kept from them; `as a replica writes` is by an admin role that may leave that out, with all rows checked at the end.

#![expect(clippy::unwrap_used, reason = "a bench that cannot go on stops")]
#![expect(clippy::disallowed_methods, reason = "makes the rows of the bench")]

mod support;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use sqlx::migrate::Migrator;
use sqlx::{AssertSqlSafe, ConnectOptions as _, PgConnection};
use support::board::{fact, heading, line};
use support::runtime;
use tenantry::testing::Fixture;
use tenantry::{ClientId, ExportOptions, RestoreOptions};

static HOST: Migrator = sqlx::migrate!("examples/agent_platform/migrations");

const TARGET: f64 = 0.8;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let has = |flag: &str| arguments.iter().any(|argument| argument == flag);
    let quick = has("--quick") || has("--test") || !has("--bench");
    let kinds = [("messages", MESSAGES), ("vectors", VECTORS)];
    let all = !kinds.iter().any(|(name, _)| has(name));
    heading();
    for (name, rows) in kinds.into_iter().filter(|(name, _)| all || has(name)) {
        runtime().block_on(async {
            let place = Place::set(rows, if quick { 100 } else { 1 }).await;
            place.measure(name, if quick { 1 } else { 5 }).await;
            place.fixture.close().await;
        });
    }
}

/// Many rows of few hundred bytes.
const MESSAGES: &str = "
    insert into conversations (client_id, id, user_id, title)
    select '{client}', ('00000000-0000-0000-0000-' || lpad(n::text, 12, '0'))::uuid, 'user-' || n % 100, 'title ' || n
    from generate_series(1, 20000 / {share}) n;
    insert into conversation_transcripts (client_id, conversation_id, user_id, role, content, metadata)
    select c.client_id, c.id, c.user_id, 'user', repeat(md5(c.id::text || n), 8), jsonb_build_object('n', n)
    from conversations c cross join generate_series(1, 10) n where c.client_id = '{client}'";

/// Rows with 1,024 dimensions each.
const VECTORS: &str = "
    insert into documents (client_id, id, title, content)
    select '{client}', ('00000000-0000-0000-0000-' || lpad(n::text, 12, '0'))::uuid, 'title ' || n, repeat(md5(n::text), 30)
    from generate_series(1, 2000 / {share}) n;
    insert into document_chunks (client_id, document_id, chunk_index, content, embedding)
    select d.client_id, d.id, n, repeat(md5(d.id::text || n), 8),
           (select array_agg(sin(n * 12.9898 + i * 78.233)) from generate_series(1, 1024) i)::vector
    from documents d cross join generate_series(1, 10) n where d.client_id = '{client}'";

struct Place {
    fixture: Fixture,
    /// In the pool, and with a database of its own, with the same rows.
    acme: ClientId,
    vast: ClientId,
    /// With databases of their own that are filled again and again, by us and by the others.
    ours: ClientId,
    /// The same in the pool, beside the rows of others.
    guest: ClientId,
    folder: PathBuf,
    tools: PathBuf,
}

impl Place {
    async fn set(rows: &str, share: u32) -> Self {
        let fixture = Fixture::start(&HOST).await.unwrap();
        let acme = fixture.shared_client("acme").await.unwrap().id;
        let bolt = fixture.shared_client("bolt").await.unwrap().id;
        let vast = fixture.dedicated_client("vast").await.unwrap().id;
        let ours = fixture.dedicated_client("ours").await.unwrap().id;
        let guest = fixture.shared_client("guest").await.unwrap().id;
        fixture.dedicated_client("theirs").await.unwrap();
        for (client, database) in [(acme, "pool-1"), (bolt, "pool-1"), (vast, "vast")] {
            let mut admin = admin(&fixture, database).await;
            let sql = rows
                .replace("{client}", &client.to_string())
                .replace("{share}", &share.to_string());
            run(&mut admin, &sql).await;
            run(&mut admin, "vacuum analyze").await;
        }
        let mut superuser = fixture
            .server()
            .connect_options("postgres")
            .connect()
            .await
            .unwrap();
        let tools: String = sqlx::query_scalar("select setting from pg_config() where name = 'BINDIR'")
            .fetch_one(&mut superuser)
            .await
            .unwrap();
        let folder = std::env::temp_dir().join(fixture.database("files"));
        std::fs::create_dir_all(&folder).unwrap();
        Self {
            fixture,
            acme,
            vast,
            ours,
            guest,
            folder,
            tools: tools.into(),
        }
    }

    async fn measure(&self, name: &str, rounds: usize) {
        let [dump, rows, file] = ["dump", "rows", "file"].map(|name| self.folder.join(name));
        self.dump_rows(&rows);
        let hashed = ExportOptions::default();
        let counted = ExportOptions::default().content_hash(false);
        let mut times = Times::default();
        for _ in 0..rounds {
            times.dump.push(self.dump(&dump));
            times.own.push(self.export(self.vast, &file, &hashed).await);
            times.shared.push(self.export(self.acme, &file, &hashed).await);
            times
                .shared_counted
                .push(self.export(self.acme, &file, &counted).await);

            self.clear("theirs").await;
            times.unchecked.push(self.restore_rows(&rows));
            times.restore.push(self.restore_whole(&dump).await);
            for (options, restored) in [
                (&counted, &mut times.loaded_counted),
                (&hashed, &mut times.loaded),
            ] {
                self.export(self.acme, &file, options).await;
                self.clear("ours").await;
                restored.push(self.restore(self.ours, &file).await);
            }
            self.clear_guest().await;
            times.loaded_shared.push(self.restore(self.guest, &file).await);
            self.clear_guest().await;
            self.write_as_a_replica("grant", "to").await;
            times.loaded_silent.push(self.restore(self.guest, &file).await);
            self.write_as_a_replica("revoke", "from").await;
        }
        let bytes = std::fs::metadata(&file).unwrap().len();
        #[expect(clippy::cast_precision_loss, reason = "megabytes")]
        let megabytes = bytes as f64 / 1e6;
        let rate = |times: &[f64]| format!("{:.0} MB/s", megabytes / median(times.to_vec()));
        fact(&format!("{name}: the file"), &format!("{megabytes:.0} MB"));
        fact(&format!("{name}: pg_dump"), &rate(&times.dump));
        fact(&format!("{name}: pg_restore"), &rate(&times.restore));
        fact(&format!("{name}: pg_restore, unchecked"), &rate(&times.unchecked));
        for (what, ours, theirs) in [
            ("export of a database / pg_dump", &times.own, &times.dump),
            ("export of a pool / pg_dump", &times.shared, &times.dump),
            (
                "export of a pool, counted / pg_dump",
                &times.shared_counted,
                &times.dump,
            ),
            ("restore / pg_restore", &times.loaded, &times.restore),
            ("restore / pg_restore, unchecked", &times.loaded, &times.unchecked),
            (
                "restore, counted / pg_restore",
                &times.loaded_counted,
                &times.restore,
            ),
            (
                "restore into a pool / pg_restore",
                &times.loaded_shared,
                &times.restore,
            ),
            (
                "restore into a pool, as a replica writes / pg_restore",
                &times.loaded_silent,
                &times.restore,
            ),
        ] {
            let ratio = median(
                theirs
                    .iter()
                    .zip(ours)
                    .map(|(theirs, ours)| theirs / ours)
                    .collect(),
            );
            let measured = format!("{ratio:.2}x ({})", rate(ours));
            line(&format!("{name}: {what}"), &measured, ">= 0.80x", ratio >= TARGET);
        }
        std::fs::remove_dir_all(&self.folder).unwrap();
    }

    async fn export(&self, client: ClientId, to: &Path, options: &ExportOptions) -> f64 {
        let began = Instant::now();
        let file = tokio::fs::File::create(to).await.unwrap();
        let platform = self.fixture.platform();
        platform.export_client(client, file, options).await.unwrap();
        began.elapsed().as_secs_f64()
    }

    async fn restore(&self, client: ClientId, from: &Path) -> f64 {
        let began = Instant::now();
        let file = tokio::fs::File::open(from).await.unwrap();
        let file = tokio::io::BufReader::with_capacity(256 * 1024, file);
        let options = RestoreOptions::default();
        let platform = self.fixture.platform();
        platform.restore_client(client, file, &options).await.unwrap();
        began.elapsed().as_secs_f64()
    }

    fn dump(&self, to: &Path) -> f64 {
        let database = self.fixture.admin_url(&self.fixture.database("vast"));
        let mut command = Command::new(self.tools.join("pg_dump"));
        command.args(["-Fc", "-Z0", "-f"]).arg(to).arg(database);
        timed(&mut command)
    }

    fn dump_rows(&self, to: &Path) {
        let database = self.fixture.admin_url(&self.fixture.database("vast"));
        let mut command = Command::new(self.tools.join("pg_dump"));
        command.args([
            "-Fc",
            "-Z0",
            "--data-only",
            "--schema=public",
            "--exclude-table=_sqlx_migrations",
        ]);
        command
            .args(["--exclude-table=models", "-f"])
            .arg(to)
            .arg(database);
        timed(&mut command);
    }

    /// Into tables that are there, without checks.
    fn restore_rows(&self, from: &Path) -> f64 {
        let database = self.fixture.server().url(&self.fixture.database("theirs"));
        let mut command = Command::new(self.tools.join("pg_restore"));
        command.args(["--data-only", "--disable-triggers", "-1", "-d"]);
        timed(command.arg(database).arg(from))
    }

    /// Into a database of its own, with all that it had.
    async fn restore_whole(&self, from: &Path) -> f64 {
        let name = self.fixture.database("whole");
        let server = self.fixture.server();
        let mut superuser = server.connect_options("postgres").connect().await.unwrap();
        run(&mut superuser, &format!("create database \"{name}\"")).await;
        let mut command = Command::new(self.tools.join("pg_restore"));
        command.args(["--no-owner", "--no-privileges", "-1", "-d"]);
        let took = timed(command.arg(server.url(&name)).arg(from));
        run(&mut superuser, &format!("drop database \"{name}\"")).await;
        took
    }

    /// Lets the admin role leave out the checks of each row, or not.
    async fn write_as_a_replica(&self, may: &str, of: &str) {
        let server = self.fixture.server();
        let mut superuser = server.connect_options("postgres").connect().await.unwrap();
        let role = self.fixture.admin_role();
        let sql = format!("{may} set on parameter session_replication_role {of} {role}");
        run(&mut superuser, &sql).await;
    }

    async fn clear_guest(&self) {
        let mut admin = admin(&self.fixture, "pool-1").await;
        for table in [
            "document_chunks",
            "documents",
            "conversation_transcripts",
            "conversations",
        ] {
            let sql = format!("delete from {table} where client_id = '{}'", self.guest);
            run(&mut admin, &sql).await;
            run(&mut admin, &format!("vacuum {table}")).await;
        }
    }

    async fn clear(&self, database: &str) {
        let mut admin = admin(&self.fixture, database).await;
        run(
            &mut admin,
            "truncate agents, documents, agent_documents, document_chunks, conversations,
                 conversation_transcripts, user_overviews",
        )
        .await;
    }
}

/// In seconds.
#[derive(Default)]
struct Times {
    dump: Vec<f64>,
    own: Vec<f64>,
    shared: Vec<f64>,
    shared_counted: Vec<f64>,
    restore: Vec<f64>,
    unchecked: Vec<f64>,
    loaded: Vec<f64>,
    loaded_counted: Vec<f64>,
    loaded_silent: Vec<f64>,
    loaded_shared: Vec<f64>,
}

fn timed(command: &mut Command) -> f64 {
    let began = Instant::now();
    let status = command.status().unwrap();
    assert!(status.success(), "{command:?}");
    began.elapsed().as_secs_f64()
}

fn median(mut of: Vec<f64>) -> f64 {
    of.sort_by(f64::total_cmp);
    of[of.len() / 2]
}

async fn admin(fixture: &Fixture, database: &str) -> PgConnection {
    let options = fixture.admin_options(&fixture.database(database));
    options.connect().await.unwrap()
}

async fn run(conn: &mut PgConnection, sql: &str) {
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned()))
        .execute(conn)
        .await
        .unwrap();
}
