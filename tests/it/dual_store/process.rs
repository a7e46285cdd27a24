//! Another process writes, and is killed; or the sessions of this one are ended.
#![expect(clippy::disallowed_methods, reason = "has tasks that write")]
#![expect(
    clippy::print_stdout,
    reason = "the other process tells this one what it does"
)]

use std::fmt::Debug;
use std::io::{BufRead as _, BufReader, Lines};
use std::path::Path;
use std::process::{Child, ChildStdout, Stdio};
use std::time::Duration;

use async_trait::async_trait;
use secrecy::{SecretBox, SecretString};
use sha2::{Digest as _, Sha256};
use tempfile::tempdir;
use tenantry::{
    ClientConnectionManager, ClientId, DualStore, DualStoreOptions, JsonRepository, Keyring, ManagerOptions,
    PlatformDirectory, PostgresRepository, Repository, RepositoryError, StorePhase,
};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

use super::{Agent, Outcome, Stage, agent};
use crate::private_server::{helper_of, this_program};
use crate::sql;

const PLATFORM: &str = "TENANTRY_DUAL_STORE_PLATFORM";
const NAME: &str = "TENANTRY_DUAL_STORE_NAME";
const CLIENT: &str = "TENANTRY_DUAL_STORE_CLIENT";
const FILE: &str = "TENANTRY_DUAL_STORE_FILE";
const PART: &str = "TENANTRY_DUAL_STORE_PART";

const SECRET: &str = "plantedsecret-of-a-record";

/// Another process that writes.
struct Writer {
    child: Child,
    told: Lines<BufReader<ChildStdout>>,
}

impl Writer {
    fn start(stage: &Stage, file: &Path, part: &str) -> Self {
        let name = stage.fixture.database("");
        let mut child = helper_of(module_path!(), &this_program())
            .env(
                PLATFORM,
                stage.fixture.admin_url(&stage.fixture.database("platform")),
            )
            .env(NAME, name.trim_end_matches('_'))
            .env(CLIENT, stage.new.to_string())
            .env(FILE, file)
            .env(PART, part)
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let told = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, told }
    }

    /// The next thing that it tells.
    fn tells(&mut self) -> Option<String> {
        let mut told = self.told.by_ref().map_while(Result::ok);
        told.find_map(|line| line.strip_prefix("TOLD ").map(str::to_owned))
    }

    /// Kills it: by SIGKILL, on Unix.
    fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a second store does that is asked to create a record.
#[derive(Clone, Copy)]
enum Creating {
    Hangs,
    Quotes,
}

struct Second(Creating);

#[async_trait]
impl Repository for Second {
    type Record = Agent;

    async fn create(&self, record: &Agent) -> Result<(), RepositoryError> {
        match self.0 {
            Creating::Hangs => {
                println!("\nTOLD between");
                std::future::pending().await
            }
            Creating::Quotes => Err(quoting(record)),
        }
    }

    async fn get(&self, _key: &str) -> Result<Option<Agent>, RepositoryError> {
        Ok(None)
    }

    async fn list(&self, _after: Option<&str>, _limit: u32) -> Result<Vec<Agent>, RepositoryError> {
        Ok(Vec::new())
    }

    async fn update(&self, record: &Agent) -> Result<(), RepositoryError> {
        Err(quoting(record))
    }

    async fn delete(&self, _key: &str) -> Result<(), RepositoryError> {
        Ok(())
    }
}

fn quoting(record: &impl Debug) -> RepositoryError {
    RepositoryError::refused(std::io::Error::other(format!("does not like {record:?}")))
}

/// Tells all that is logged.
struct Telling;

impl Subscriber for Telling {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        span.record(&mut Told);
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, values: &Record<'_>) {
        values.record(&mut Told);
    }

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        event.record(&mut Told);
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

struct Told;

impl Visit for Told {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        println!("LOGGED {field} {value:?}");
    }
}

/// Not a test: the process that writes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "the other process of other tests"]
async fn helper_process() {
    let (Ok(platform), Ok(name), Ok(client), Ok(file), Ok(part)) = (
        std::env::var(PLATFORM),
        std::env::var(NAME),
        std::env::var(CLIENT),
        std::env::var(FILE),
        std::env::var(PART),
    ) else {
        return;
    };
    let old: JsonRepository<Agent> = JsonRepository::new(file).lock_wait(sql::PATIENCE);
    if part == "files" {
        for number in 0.. {
            let slug = format!("theirs-{number}");
            old.create(&agent(&slug, &"long ".repeat(500))).await.unwrap();
            println!("\nTOLD {slug}");
        }
    }
    // The key of the fixture, which only its name tells.
    let mut key: [u8; 32] = Sha256::digest(name).into();
    key[..13].copy_from_slice(b"plantedsecret");
    let keyring = Keyring::new(1, SecretBox::new(Box::new(key)));
    let url = SecretString::from(platform);
    let platform = PlatformDirectory::connect(&url, keyring.clone()).await.unwrap();
    let client = ClientId::from(client.parse::<uuid::Uuid>().unwrap());
    let options = DualStoreOptions::default();
    match &*part {
        "between" => {
            let second = Second(Creating::Hangs);
            let store = DualStore::open(platform, client, "agents", old, second, options)
                .await
                .unwrap();
            store.create(&agent("first", "Ada")).await.unwrap();
        }
        "quoting" => {
            tracing::subscriber::set_global_default(Telling).unwrap();
            let second = Second(Creating::Quotes);
            let store = DualStore::open(platform, client, "agents", old, second, options)
                .await
                .unwrap();
            store.create(&agent("first", SECRET)).await.unwrap();
            let _ = store.repair().await.unwrap();
            println!("{:?}", store.status().await.unwrap());
            store.close().await;
        }
        "writing" => {
            let manager = ClientConnectionManager::connect(ManagerOptions::new(url, keyring))
                .await
                .unwrap();
            let new = PostgresRepository::new(manager.tenant(client).await.unwrap(), "agents", "slug");
            let store = DualStore::open(platform, client, "agents", old, new, options)
                .await
                .unwrap();
            for number in 0.. {
                store
                    .create(&agent(&format!("theirs-{number}"), "theirs"))
                    .await
                    .unwrap();
                println!("\nTOLD theirs-{number}");
                store
                    .update(&agent(&format!("theirs-{number}"), "changed"))
                    .await
                    .unwrap();
                println!("\nTOLD theirs-{number} changed");
            }
        }
        _ => unreachable!(),
    }
}

type Moving = DualStore<JsonRepository<Agent>, PostgresRepository<Agent>>;

async fn open(stage: &Stage, file: &Path, options: DualStoreOptions) -> Moving {
    let new = stage.of(stage.new).await;
    let platform = stage.fixture.platform().clone();
    DualStore::open(
        platform,
        stage.new,
        "agents",
        JsonRepository::new(file),
        new,
        options,
    )
    .await
    .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_is_killed_between_both_writes_loses_nothing() -> Outcome {
    let stage = Stage::set().await;
    let folder = tempdir()?;
    let file = folder.path().join("agents.json");
    let lead = open(&stage, &file, DualStoreOptions::default()).await;
    lead.change_phase(StorePhase::DualWrite).await?;
    lead.close().await;
    let mut writer = Writer::start(&stage, &file, "between");
    assert_eq!(writer.tells().as_deref(), Some("between"));
    writer.kill();
    let (old, new) = (JsonRepository::<Agent>::new(&file), stage.of(stage.new).await);
    assert_eq!(old.get("first").await?, Some(agent("first", "Ada")));
    assert_eq!(new.get("first").await?, None);
    assert_eq!(lead.status().await?.under_way, 1);
    // Whoever comes next repairs it, by its note.
    let next = open(
        &stage,
        &file,
        DualStoreOptions::default().settled_after(Duration::from_millis(1)),
    )
    .await;
    super::between::until(async || new.get("first").await.unwrap().is_some()).await;
    super::between::until(async || next.status().await.unwrap().under_way == 0).await;
    assert!(next.verify().await?.is_clean());
    stage.close().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_is_killed_at_any_moment_loses_nothing_that_it_acknowledged() -> Outcome {
    let stage = Stage::set().await;
    let folder = tempdir()?;
    let file = folder.path().join("agents.json");
    let options = DualStoreOptions::default().settled_after(Duration::from_millis(200));
    let ours = open(&stage, &file, options).await;
    ours.change_phase(StorePhase::DualWrite).await?;
    let (old, new) = (JsonRepository::<Agent>::new(&file), stage.of(stage.new).await);
    for told in [1, 4, 7] {
        let mut writer = Writer::start(&stage, &file, "writing");
        let mut last = None;
        for _ in 0..told {
            last = writer.tells();
        }
        // It writes on meanwhile.
        ours.create(&agent("ours", "of another process")).await?;
        writer.kill();
        let last = last.unwrap();
        let (slug, is_changed) = last
            .split_once(' ')
            .map_or((&*last, false), |(slug, _)| (slug, true));
        let there = old.get(slug).await?.unwrap();
        assert!(!is_changed || there.name == "changed", "{there:?}");
        super::between::until(async || {
            let status = ours.status().await.unwrap();
            status.under_way == 0 && status.to_be_repaired == 0
        })
        .await;
        assert!(ours.verify().await?.is_clean());
        let all = old.list(None, 1_000).await?;
        assert_eq!(new.list(None, 1_000).await?.len(), all.len());
        for record in all {
            ours.delete(&record.slug).await?;
        }
    }
    stage.close().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_processes_write_a_file_and_one_is_killed() -> Outcome {
    let stage = Stage::set().await;
    let folder = tempdir()?;
    let file = folder.path().join("agents.json");
    let ours: JsonRepository<Agent> = JsonRepository::new(&file).lock_wait(sql::PATIENCE);
    let mut acknowledged = Vec::new();
    let mut number = 0;
    for _ in 0..3 {
        let mut writer = Writer::start(&stage, &file, "files");
        acknowledged.push(writer.tells().unwrap());
        // Both at once, for a while.
        let until = number + 20;
        while number < until {
            let slug = format!("ours-{number}");
            ours.create(&agent(&slug, "ours")).await?;
            acknowledged.push(slug);
            number += 1;
        }
        acknowledged.extend(writer.tells());
        writer.kill();
        while let Some(told) = writer.tells() {
            acknowledged.push(told);
        }
        let there: Vec<String> = ours
            .list(None, 10_000)
            .await?
            .into_iter()
            .map(|one| one.slug)
            .collect();
        for slug in &acknowledged {
            assert!(there.contains(slug), "{slug} was lost");
        }
        for slug in there.iter().filter(|slug| slug.starts_with("theirs")) {
            ours.delete(slug).await?;
        }
        acknowledged.retain(|slug| slug.starts_with("ours"));
    }
    stage.close().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_that_is_ended_in_the_middle_of_a_write_loses_nothing() -> Outcome {
    let stage = Stage::set().await;
    let folder = tempdir()?;
    let file = folder.path().join("agents.json");
    let options = DualStoreOptions::default()
        .settled_after(Duration::from_millis(200))
        .repair_every(Duration::from_millis(50));
    let store = open(&stage, &file, options).await;
    store.change_phase(StorePhase::DualWrite).await?;
    let (pool, platform) = (
        stage.fixture.database("pool-1"),
        stage.fixture.database("platform"),
    );
    let mut admin = sql::connect(stage.fixture.admin_options(&pool)).await;
    let mut superuser = sql::connect(stage.fixture.server().connect_options(&pool)).await;
    let at_the_table = "select pid from pg_locks where relation = 'agents'::regclass and not granted
                        and database = (select oid from pg_database where datname = current_database())";
    for (slug, ended) in [
        ("of-the-table", at_the_table.to_owned()),
        (
            "of-the-hold",
            format!(
                "select l.pid from pg_locks l join pg_database d on d.oid = l.database
                 where d.datname = '{platform}' and l.locktype = 'advisory' and l.granted"
            ),
        ),
    ] {
        sql::run(&mut admin, "begin; lock table agents in exclusive mode").await;
        let writing = {
            let store = store.clone();
            tokio::spawn(async move { store.create(&agent(slug, "Ada")).await })
        };
        // It is in the first store, and at the second.
        sql::until(&mut superuser, &format!("select exists ({at_the_table})")).await;
        sql::run(
            &mut superuser,
            &format!("select pg_terminate_backend(pid) from ({ended}) ended"),
        )
        .await;
        sql::run(&mut admin, "commit").await;
        // It is acknowledged: the store that decides has it.
        writing.await??;
        let new = stage.of(stage.new).await;
        super::between::until(async || new.get(slug).await.unwrap() == Some(agent(slug, "Ada"))).await;
        super::between::until(async || {
            let status = store.status().await.unwrap();
            status.under_way == 0 && status.to_be_repaired == 0
        })
        .await;
    }
    assert!(store.verify().await?.is_clean());
    store.change_phase(StorePhase::DualRead).await?;
    store.change_phase(StorePhase::CutOver).await?;
    stage.close().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_second_store_says_of_a_record_is_neither_logged_nor_kept() -> Outcome {
    let stage = Stage::set().await;
    let folder = tempdir()?;
    let file = folder.path().join("agents.json");
    let lead = open(&stage, &file, DualStoreOptions::default()).await;
    lead.change_phase(StorePhase::DualWrite).await?;
    lead.close().await;
    let mut writer = Writer::start(&stage, &file, "quoting");
    let mut told = String::new();
    for line in writer.told.by_ref() {
        told.push_str(&line?);
        told.push('\n');
    }
    assert!(writer.child.wait()?.success(), "{told}");
    assert!(
        told.contains("is to be repaired") && told.contains("the new store: refused"),
        "{told}"
    );
    assert!(
        told.contains("LOGGED") && !told.contains("plantedsecret"),
        "{told}"
    );
    stage.close().await;
    Ok(())
}
