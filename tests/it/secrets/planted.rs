//! Secrets that can be recognised are planted wherever there are any, everything that can be told is, and none of
//! them is found in it.
//!
//! The telling is done by another process, so that every level and target of tracing is heard, its panics and
//! whatever else it writes, and by a server of its own whose log is read as well. It shows the `Debug` of what it
//! handles, errors with their sources, the audit log, the texts of statements in progress, and what the server logged
//! of all statements on the platform database and a dedicated one. The passwords and keys of every fixture are
//! planted too: `.ci/run` looks for them in the output of all tests and examples.
#![expect(clippy::disallowed_methods, reason = "reads secrets and logs in SQL")]

use std::collections::BTreeMap;
use std::error::Error as StdError;
use std::fmt::{Debug, Write as _};
use std::io::Write as _;
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};

use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD_NO_PAD, BASE64_URL_SAFE_NO_PAD};
use secrecy::ExposeSecret as _;
use tenantry::testing::{Fixture, PgServer};
use tenantry::{
    ClientConnectionManager, ClientId, ClientSlug, CredentialKind, Error, KeyProvider as _, Keyring,
    ManagerOptions, NamedBy, NewClient, NewPool, NoDummies, PlatformDirectory, Provider, ResealOptions,
    ResolverOptions, Sealed, SealedFor, TenantRequest,
};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};
use uuid::Uuid;

use super::{Outcome, directory};
use crate::sql::{connect, rows, run};
use crate::support::HOST;

/// Where the process that tells leaves the secrets, in hex, a line each.
const LEFT_IN: &str = "TENANTRY_PLANTED_SECRETS";

#[test]
fn no_planted_secret_is_in_any_output() {
    let left_in = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(Uuid::new_v4().to_string());
    let told = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "secrets::planted::everything_is_told",
            "--ignored",
            "--nocapture",
        ])
        .env(LEFT_IN, &left_in)
        .env("RUST_BACKTRACE", "full")
        .output()
        .unwrap();
    let secrets = std::fs::read_to_string(&left_in).unwrap_or_default();
    let _ = std::fs::remove_file(&left_in);
    let output = [told.stdout, told.stderr].concat();
    let output = String::from_utf8_lossy(&output);
    assert!(told.status.success(), "{output}");
    // It was told, all of it.
    for heard in [
        "DEBUG span tenantry.resolve",
        "DEBUG event sqlx::query",
        "tenantry::statement",
        "panicked at",
        "clients.insert",
        "client_credentials.update",
        "LOG:  execute",
        "DETAIL:  ",
        "FOR THE LOG",
        "Keyring { keys: [1, 2], .. }",
        "cannot be opened",
    ] {
        assert!(output.contains(heard), "{heard} was not told");
    }
    let secrets: Vec<Vec<u8>> = secrets.lines().map(|line| hex::decode(line).unwrap()).collect();
    assert_eq!(secrets.len(), 12);
    let mut lines = 0;
    for line in output.lines() {
        lines += 1;
        for (number, secret) in secrets.iter().enumerate() {
            let form = forms(secret).into_iter().position(|form| line.contains(&form));
            assert_eq!(form, None, "secret {number}: {line}");
        }
    }
    assert!(lines > 500, "only {lines} lines were told");
}

/// How the bytes could be spelt.
fn forms(secret: &[u8]) -> Vec<String> {
    let mut list = format!("{:?}", &secret[..secret.len().min(8)]);
    list.pop();
    let hex = hex::encode(secret);
    let mut forms = vec![list.split_off(1), hex.to_uppercase(), hex];
    forms.extend(str::from_utf8(secret).map(str::to_owned));
    // Wherever in the text that was encoded it begins.
    for before in 0..3 {
        let padded = [&[0; 2][..before], secret].concat();
        let (from, to) = ((before * 8).div_ceil(6), padded.len() * 8 / 6);
        for text in [
            BASE64_STANDARD_NO_PAD.encode(&padded),
            BASE64_URL_SAFE_NO_PAD.encode(&padded),
        ] {
            forms.push(text[from..to].to_owned());
        }
    }
    forms
}

#[test]
fn a_secret_is_recognised_however_it_is_spelt() {
    let secret = b"planted secret of some bytes";
    let around = |before: &[u8]| [before, secret, b"behind"].concat();
    for told in [
        format!("{:?}", around(b"b")),
        format!("{:x?}", hex::encode(around(b"b"))),
        hex::encode_upper(around(b"b")),
        String::from_utf8(around(b"b")).unwrap(),
        BASE64_STANDARD_NO_PAD.encode(around(b"")),
        BASE64_URL_SAFE_NO_PAD.encode(around(b"b")),
        BASE64_STANDARD_NO_PAD.encode(around(b"be")),
        BASE64_STANDARD_NO_PAD.encode(around(b"bef")),
    ] {
        assert!(forms(secret).iter().any(|form| told.contains(form)), "{told}");
    }
}

/// Writes down every span and event there is.
#[derive(Default)]
struct Listener {
    spans: AtomicU64,
}

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let _ = write!(self.0, " {field}={value:?}");
    }
}

impl Listener {
    fn tell(metadata: &Metadata<'_>, what: &str, record: impl FnOnce(&mut Line)) {
        let name = if metadata.is_span() {
            metadata.name()
        } else {
            metadata.target()
        };
        let mut line = Line(format!("{} {what} {name}", metadata.level()));
        record(&mut line);
        tell(&line.0);
    }
}

impl Subscriber for Listener {
    fn enabled(&self, _metadata: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        Self::tell(span.metadata(), "span", |line| span.record(line));
        Id::from_u64(1 + self.spans.fetch_add(1, Ordering::Relaxed))
    }

    fn record(&self, _span: &Id, values: &Record<'_>) {
        let mut line = Line("values".to_owned());
        values.record(&mut line);
        tell(&line.0);
    }

    fn record_follows_from(&self, _span: &Id, _follows: &Id) {}

    fn event(&self, event: &Event<'_>) {
        Self::tell(event.metadata(), "event", |line| event.record(line));
    }

    fn enter(&self, _span: &Id) {}

    fn exit(&self, _span: &Id) {}
}

fn tell(line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}");
}

fn show(value: &dyn Debug) {
    tell(&format!("{value:?} {value:#?}"));
}

fn show_error(error: &(dyn StdError + 'static)) {
    let mut cause = Some(error);
    while let Some(error) = cause {
        tell(&format!("{error} {error:?} {error:#?}"));
        cause = error.source();
    }
}

fn planted(what: &str) -> String {
    format!("{what}{}", Uuid::new_v4().simple())
}

fn password(url: &str) -> String {
    let url = url::Url::parse(url).unwrap();
    let password = url.password().map(str::to_owned);
    let named: BTreeMap<_, _> = url.query_pairs().into_owned().collect();
    password.or_else(|| named.get("password").cloned()).unwrap()
}

/// The key that the kernel of the pool has, and what it keeps of it.
async fn scope_key(fixture: &Fixture, keyring: &Keyring) -> [Vec<u8>; 3] {
    let mut conn = connect(fixture.admin_options(&fixture.database("platform"))).await;
    let sealed: Sealed = sqlx::query_scalar("select scope_key from platform.pools where id = $1")
        .bind(fixture.pool())
        .fetch_one(&mut conn)
        .await
        .unwrap();
    let for_ = SealedFor {
        owner: fixture.pool().as_uuid(),
        column: "pools.scope_key",
    };
    let text = keyring.open(&sealed, for_).unwrap();
    let key = hex::decode(text.expose_secret()).unwrap();
    let padded = |pad: u8| key.iter().map(|byte| byte ^ pad).collect();
    [padded(0x36), padded(0x5c), key]
}

/// What there is to be told.
struct Stage {
    fixture: Fixture,
    platform: PlatformDirectory,
    keyring: Keyring,
    acme: ClientId,
    vast: ClientId,
    /// A credential of a client, the password of a database that nobody can reach, and a value of a row.
    api_key: String,
    lost: String,
    value: String,
}

const SECOND: [u8; 32] = *b"second planted key of 32 bytes!!";

impl Stage {
    async fn set() -> Result<Self, Box<dyn StdError>> {
        let fixture = Fixture::on(PgServer::private().await?, &HOST, 1_000, None).await?;
        let vast = fixture.dedicated_client("vast").await?.id;
        let acme = fixture.shared_client("acme").await?.id;
        // Not that of a pool: its kernel is given the key in a parameter, and tickets, which end with the connection.
        let mut superuser = connect(fixture.server().connect_options("postgres")).await;
        for database in ["platform", "vast"] {
            for setting in ["log_statement = 'all'", "log_min_messages = 'debug1'"] {
                let database = fixture.database(database);
                run(
                    &mut superuser,
                    &format!("alter database {database} set {setting}"),
                )
                .await;
            }
        }
        let first = hex::encode(fixture.keyring().key(1).await?.expose_secret());
        let keyring = Keyring::from_text(&format!("1:{first},2:{}", hex::encode(SECOND)).into())?;
        Ok(Self {
            platform: directory(&fixture, keyring.clone()).await,
            fixture,
            keyring,
            acme,
            vast,
            api_key: planted("sk-"),
            lost: planted("lost"),
            value: planted("row"),
        })
    }

    async fn secrets(&self) -> Result<Vec<Vec<u8>>, Box<dyn StdError>> {
        let [inner, outer, scope] = scope_key(&self.fixture, &self.keyring).await;
        Ok(vec![
            self.api_key.clone().into_bytes(),
            self.lost.clone().into_bytes(),
            self.value.clone().into_bytes(),
            password(&self.fixture.admin_url("x")).into_bytes(),
            password(&self.fixture.app_url("x")).into_bytes(),
            self.fixture.keyring().key(1).await?.expose_secret().to_vec(),
            SECOND.to_vec(),
            scope,
            inner,
            outer,
            // What a ticket begins with, behind its key's id.
            self.acme.as_uuid().simple().to_string().into_bytes(),
            b"plantedsecret".to_vec(),
        ])
    }

    /// Credentials, with the statements about them in the server's log.
    async fn tell_of_credentials(&self) -> Outcome {
        let (openai, kind, secret) = (
            Provider::OPENAI,
            CredentialKind::API_KEY,
            self.api_key.as_str().into(),
        );
        let Self { platform, acme, .. } = self;
        for _ in 0..2 {
            platform.set_credential(*acme, &openai, &kind, &secret).await?;
        }
        show(&platform.credential(*acme, &openai, &kind).await?);
        show(&platform.credentials(*acme).await?);
        show(&platform.reseal(ResealOptions::default()).await?);
        show(&platform.sealed_by_key().await?);
        show(platform);
        show(&self.keyring);
        show_error(&Keyring::from_text(&format!("1:{}", self.api_key).into()).unwrap_err());
        show_error(&self.api_key.to_uppercase().parse::<Provider>().unwrap_err());
        let strict = platform
            .clone()
            .validate_credentials(NoDummies::default().min_length(1_000));
        show(&strict);
        let other_key = directory(&self.fixture, Keyring::new(2, super::second())).await;
        for refused in [
            strict.set_credential(*acme, &openai, &kind, &secret).await,
            platform
                .set_credential(ClientId::new(), &openai, &kind, &secret)
                .await,
            other_key.credential(*acme, &openai, &kind).await.map(drop),
        ] {
            show_error(&refused.unwrap_err());
        }
        Ok(())
    }

    /// Databases that nobody can reach, by URLs that are right and wrong.
    async fn tell_of_what_is_lost(&self) -> Outcome {
        let Self { platform, lost, .. } = self;
        for (slug, url) in [
            (
                "nowhere",
                format!("postgres://app:{lost}@localhost/nowhere?host=/nowhere"),
            ),
            ("unreadable", format!("postgres://app:{lost}@db:port/x")),
        ] {
            let client =
                NewClient::new(slug, slug.parse()?, "champion").dedicated(url.as_str(), url.as_str());
            show(&client);
            show(&platform.create_client(client.clone()).await?);
            show_error(&platform.create_client(client).await.unwrap_err());
            let pool = NewPool::new(slug, self.fixture.app_url("x"), url.as_str());
            show(&pool);
            show_error(&platform.register_pool(pool).await.unwrap_err());
            let options = ManagerOptions::new(url.as_str(), self.keyring.clone());
            show(&options);
            show_error(&ClientConnectionManager::connect(options).await.unwrap_err());
        }
        Ok(())
    }

    async fn tell_of_statements(&self, manager: &ClientConnectionManager) -> Outcome {
        for slug in ["nowhere", "unreadable"] {
            let slug: ClientSlug = slug.parse()?;
            match manager.tenant(slug).await {
                Ok(db) => show_error(&db.query("agents").count().await.unwrap_err()),
                Err(error) => show_error(&error),
            }
        }
        for client in [self.acme, self.vast] {
            let db = manager.tenant(client).await?;
            db.query("agents").eq("slug", "guide").count().await?;
            let mut tx = db.begin().await?;
            tx.query("agents").count().await?;
            show(&tx);
            let failed = sqlx::query("select 'FOR THE LOG' from nowhere where 'x' = $1")
                .bind("x")
                .execute(&mut tx)
                .await
                .unwrap_err();
            show_error(&Error::from_sqlx(client, failed));
            tx.rollback().await?;
            show_error(&db.query("agent").count().await.unwrap_err());
            show(&db);
        }
        let db = manager.tenant(self.acme).await?;
        db.insert("agents")
            .set("slug", "guide")
            .set("name", &*self.value)
            .execute()
            .await?;
        db.query("agents").eq("name", &*self.value).count().await?;
        Ok(())
    }

    /// A request that has its secrets in the wrong places.
    async fn tell_of_a_request(&self, manager: &ClientConnectionManager) -> Outcome {
        let lookup = |_: &str, see: &mut dyn FnMut(&[u8])| see(self.api_key.as_bytes());
        let request = TenantRequest::default()
            .host(&self.api_key)
            .headers(&lookup)
            .query(&self.api_key);
        show(&request);
        let resolver = ResolverOptions::default()
            .header("authorization", NamedBy::Id)
            .build()?;
        show(&resolver);
        show_error(&resolver.tenant(manager, &request).await.unwrap_err());
        Ok(())
    }

    /// What the server has of it: rows, statements in progress, and its log.
    async fn tell_of_the_server(&self) -> Outcome {
        let server = self.fixture.server();
        let mut conn = connect(server.connect_options(&self.fixture.database("platform"))).await;
        for table in [
            "platform.audit_log",
            "platform.clients",
            "platform.pools",
            "platform.client_credentials",
            "pg_stat_activity",
        ] {
            let all: Vec<(String,)> = rows(&mut conn, &format!("select t::text from {table} t")).await;
            for (row,) in all {
                tell(&row);
            }
        }
        let log = server.directory().ok_or("the server has no log")?.join("log");
        tell(&String::from_utf8_lossy(&std::fs::read(log)?));
        Ok(())
    }
}

#[tokio::test]
#[ignore = "tells everything to no_planted_secret_is_in_any_output"]
async fn everything_is_told() -> Outcome {
    let Ok(left_in) = std::env::var(LEFT_IN) else {
        return Ok(());
    };
    tracing::subscriber::set_global_default(Listener::default())?;
    let stage = Stage::set().await?;
    let secrets: Vec<String> = stage.secrets().await?.iter().map(hex::encode).collect();
    std::fs::write(left_in, secrets.join("\n"))?;
    stage.tell_of_credentials().await?;
    stage.tell_of_what_is_lost().await?;
    let url = stage.fixture.admin_url(&stage.fixture.database("platform"));
    let manager = ClientConnectionManager::connect(ManagerOptions::new(url, stage.keyring.clone())).await?;
    stage.tell_of_statements(&manager).await?;
    stage.tell_of_a_request(&manager).await?;
    // The end of a thread that has hold of everything.
    let db = manager.tenant(stage.acme).await?;
    let held = (manager.clone(), db, stage.platform.clone(), stage.keyring.clone());
    let _ = std::thread::spawn(move || panic!("{held:?} {held:#?}")).join();
    stage.tell_of_the_server().await?;
    manager.close().await;
    Ok(())
}
