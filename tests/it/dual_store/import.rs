//! Files on their way into a repository: what is told, what is done again, and what is never done.
#![expect(clippy::disallowed_methods, reason = "has tasks that write")]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use async_trait::async_trait;
use tempfile::tempdir;
use tenantry::{
    BadRecordKind, DualStore, DualStoreOptions, Error, JsonError, JsonImport, JsonRepository, OnBadRecord,
    OnChanged, PostgresRepository, Repository, RepositoryError, StorePhase,
};

use super::{Agent, Outcome, Stage, agent};
use crate::sql;

/// A repository that fails after so many batches, and remembers the largest.
struct Watched<T> {
    inner: T,
    left: AtomicUsize,
    largest: AtomicUsize,
}

impl<T> Watched<T> {
    fn new(inner: T, batches: usize) -> Self {
        Self {
            inner,
            left: AtomicUsize::new(batches),
            largest: AtomicUsize::new(0),
        }
    }
}

#[async_trait]
impl<T: Repository> Repository for Watched<T> {
    type Record = T::Record;

    async fn create(&self, record: &T::Record) -> Result<(), RepositoryError> {
        self.inner.create(record).await
    }

    async fn get(&self, key: &str) -> Result<Option<T::Record>, RepositoryError> {
        self.inner.get(key).await
    }

    async fn list(&self, after: Option<&str>, limit: u32) -> Result<Vec<T::Record>, RepositoryError> {
        self.inner.list(after, limit).await
    }

    async fn update(&self, record: &T::Record) -> Result<(), RepositoryError> {
        self.inner.update(record).await
    }

    async fn delete(&self, key: &str) -> Result<(), RepositoryError> {
        self.inner.delete(key).await
    }

    async fn get_many(&self, keys: &[String]) -> Result<Vec<T::Record>, RepositoryError> {
        self.inner.get_many(keys).await
    }

    async fn put_many(&self, records: &[T::Record]) -> Result<(), RepositoryError> {
        self.largest.fetch_max(records.len(), Ordering::AcqRel);
        if self.left.load(Ordering::Acquire) == 0 {
            return Err(RepositoryError::unknown(std::io::Error::other("cut off")));
        }
        self.left.fetch_sub(1, Ordering::AcqRel);
        self.inner.put_many(records).await
    }
}

fn file_of(folder: &Path, records: impl IntoIterator<Item = Agent>) -> PathBuf {
    let path = folder.join("agents.json");
    let records: Vec<Agent> = records.into_iter().collect();
    fs::write(&path, serde_json::to_vec_pretty(&records).unwrap()).unwrap();
    path
}

fn many(count: usize) -> impl Iterator<Item = Agent> {
    (0..count).map(|number| agent(&format!("a-{number}"), &format!("number {number}")))
}

#[tokio::test]
async fn an_import_is_verified_and_run_again_finds_nothing_new() -> Outcome {
    let stage = Stage::set().await;
    let folder = tempdir()?;
    let path = file_of(folder.path(), many(250));
    let target = Watched::new(stage.of(stage.new).await, usize::MAX);
    let import = JsonImport::new([&path]).batch(40);
    let first = import.into_repository(&target).await?;
    assert_eq!((first.created(), first.unchanged(), first.bad()), (250, 0, 0));
    assert!(first.verified.unwrap().is_the_same());
    assert_eq!(target.largest.swap(0, Ordering::AcqRel), 40);
    let again = import.into_repository(&target).await?;
    assert_eq!((again.created(), again.unchanged(), again.changed()), (0, 250, 0));
    // What is there as it is is not written.
    assert_eq!(target.largest.load(Ordering::Acquire), 0);

    target.update(&agent("a-7", "otherwise")).await?;
    target.delete("a-8").await?;
    let verified = import.verify(&target).await?;
    assert_eq!(
        (verified.differing, verified.missing, verified.agreed),
        (1, 1, 248)
    );
    assert_eq!(verified.differences[0].record, Some(8));
    let keeping = JsonImport::new([&path]).on_changed(OnChanged::Keep);
    let kept = keeping.into_repository(&target).await?;
    assert_eq!((kept.created(), kept.changed()), (1, 1));
    assert!(!kept.verified.unwrap().is_the_same());
    assert_eq!(target.get("a-7").await?, Some(agent("a-7", "otherwise")));
    let changed = import.into_repository(&target).await?;
    assert_eq!((changed.created(), changed.changed()), (0, 1));
    assert!(changed.verified.unwrap().is_the_same());
    target.create(&agent("extra", "of the table alone")).await?;
    let verified = import.verify(&target).await?;
    assert_eq!((verified.extra, verified.is_the_same()), (1, false));
    stage.close().await;
    Ok(())
}

#[tokio::test]
async fn an_import_that_is_cut_off_anywhere_goes_on_where_it_was() -> Outcome {
    let stage = Stage::set().await;
    let folder = tempdir()?;
    let path = file_of(folder.path(), many(100));
    let import = JsonImport::new([&path]).batch(10);
    let new = stage.of(stage.new).await;
    let mut there = 0;
    for batches in [0, 1, 3] {
        let target = Watched::new(stage.of(stage.new).await, batches);
        let cut = import.into_repository(&target).await;
        let Err(Error::Json { source, .. }) = cut else {
            unreachable!("{cut:?}")
        };
        assert!(matches!(*source, JsonError::Target(_)), "{source:?}");
        // Whole batches.
        there += batches * 10;
        assert_eq!(new.list(None, 1_000).await?.len(), there);
    }
    let rest = import.into_repository(&new).await?;
    assert_eq!((rest.unchanged(), rest.created()), (40, 60));
    assert!(rest.verified.unwrap().is_the_same());
    stage.close().await;
    Ok(())
}

#[tokio::test]
async fn bad_records_are_told_by_file_and_position_and_the_others_are_imported() -> Outcome {
    let stage = Stage::set().await;
    let folder = tempdir()?;
    let (one, two) = (folder.path().join("one.json"), folder.path().join("two.json"));
    fs::write(
        &one,
        b"[\n {\"slug\": \"a\", \"name\": \"A\"},\n {\"slug\": \"b\"},\n {\"slug\": \"c\", \"name\": [\"planted\"]},\n \
          {\"slug\": \"a\", \"name\": \"again\"},\n \"planted\",\n {\"slug\": \"d\", \"name\": \"\xFF\"},\n \
          {\"slug\": \"e\", \"name\" \"planted\"},\n {\"slug\": \"Not A Slug\", \"name\": \"planted\"},\n \
          {\"slug\": \"g\", \"name\": \"0123456789012345678901234567890123456789\"},\n {\"slug\": \"h\", \"name\": \"H\"}\n]",
    )?;
    fs::write(
        &two,
        b"[{\"slug\": \"h\", \"name\": \"of two\"}, {\"slug\": \"i\", \"name\": \"I\"}, {\"slug\": ",
    )?;
    let new = stage.of(stage.new).await;
    let imported = JsonImport::new([&one, &two])
        .largest_record(60)
        .into_repository(&new)
        .await?;
    let bad: Vec<_> = imported.files[0]
        .bad_records
        .iter()
        .map(|bad| (bad.at.line, bad.at.record))
        .collect();
    assert_eq!(
        bad,
        [
            (3, Some(2)),
            (4, Some(3)),
            (5, Some(4)),
            (6, Some(5)),
            (7, Some(6)),
            (8, Some(7)),
            (10, Some(9)),
            (9, Some(8))
        ]
    );
    let kinds: Vec<_> = imported.files[0]
        .bad_records
        .iter()
        .map(|bad| bad.kind.clone())
        .collect();
    assert!(
        matches!(
            &kinds[..],
            [
                BadRecordKind::MissingField { .. },
                BadRecordKind::WrongField { .. },
                BadRecordKind::DuplicateKey { first: 1, .. },
                BadRecordKind::NotAnObject,
                BadRecordKind::NotUtf8,
                BadRecordKind::NotJson { .. },
                BadRecordKind::TooLarge { largest: 60 },
                BadRecordKind::Refused { .. },
            ]
        ),
        "{kinds:?}"
    );
    let told = imported.to_string();
    assert!(
        told.contains("two.json:1:63 (record 3): the file ends within it"),
        "{told}"
    );
    assert!(
        told.contains("h is record 10 of") && told.contains("SQLSTATE 23514"),
        "{told}"
    );
    assert!(
        !told.contains("planted") && !format!("{imported:?}").contains("planted"),
        "{told}"
    );
    assert_eq!((imported.created(), imported.bad()), (3, 10));
    let found: Vec<_> = new.list(None, 9).await?.into_iter().map(|one| one.slug).collect();
    assert_eq!(found, ["a", "h", "i"]);
    assert_eq!(new.get("h").await?, Some(agent("h", "H")));

    let checked = JsonImport::<Agent>::new([&one, &two])
        .largest_record(60)
        .check()
        .await?;
    assert_eq!(
        (checked.bad(), checked.files[0].records, checked.created()),
        (9, 3, 0)
    );

    new.delete("a").await?;
    let stopped = JsonImport::<Agent>::new([&one])
        .on_bad(OnBadRecord::Stop)
        .into_repository(&new)
        .await;
    assert!(
        matches!(&stopped, Err(Error::Json { source, .. }) if matches!(&**source, JsonError::BadRecord(bad) if bad.at.line == 3)),
        "{stopped:?}"
    );
    assert_eq!(new.get("a").await?, None);
    stage.close().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_import_under_traffic_undoes_no_write() -> Outcome {
    let stage = Stage::set().await;
    let folder = tempdir()?;
    let path = file_of(folder.path(), many(60));
    let old = || JsonRepository::<Agent>::new(&path);
    let new: PostgresRepository<Agent> = stage.of(stage.new).await;
    let platform = stage.fixture.platform().clone();
    let store = DualStore::open(
        platform,
        stage.new,
        "agents",
        old(),
        new,
        DualStoreOptions::default(),
    )
    .await?;
    let outcome = JsonImport::new([&path]).into_dual_store(&store).await;
    assert!(outcome.is_err(), "there is no second store yet");
    store.change_phase(StorePhase::DualWrite).await?;
    let (stop, begun) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let writer = {
        let (store, stop, begun) = (store.clone(), Arc::clone(&stop), Arc::clone(&begun));
        tokio::spawn(async move {
            let mut at = 0_usize;
            while !stop.load(Ordering::Acquire) {
                let slug = format!("a-{}", at % 60);
                if at % 3 == 2 {
                    store.delete(&slug).await.unwrap();
                    store
                        .create(&agent(&slug, &format!("created {at}")))
                        .await
                        .unwrap();
                } else {
                    store
                        .update(&agent(&slug, &format!("changed {at}")))
                        .await
                        .unwrap();
                }
                begun.store(true, Ordering::Release);
                at += 1;
            }
            at
        })
    };
    while !begun.load(Ordering::Acquire) {
        tokio::task::yield_now().await;
    }
    // What the file held long ago.
    let long_ago = folder.path().join("stale.json");
    fs::write(&long_ago, serde_json::to_vec(&many(61).collect::<Vec<_>>())?)?;
    for _ in 0..3 {
        let imported = JsonImport::new([&long_ago])
            .batch(7)
            .into_dual_store(&store)
            .await?;
        assert_eq!((imported.bad(), imported.files[0].records), (0, 61));
        assert!(imported.files[0].gone >= 1);
    }
    stop.store(true, Ordering::Release);
    assert!(writer.await? > 0);
    assert!(store.verify().await?.is_clean());
    let new = stage.of(stage.new).await;
    assert_eq!(new.get("a-60").await?, None);
    assert_eq!(new.list(None, 100).await?.len(), 60);
    for record in old().list(None, 100).await? {
        assert_eq!(new.get(&record.slug).await?, Some(record));
    }
    store.close().await;
    stage.close().await;
    Ok(())
}

#[tokio::test]
async fn a_batch_is_one_transaction_of_the_table() -> Outcome {
    let stage = Stage::set().await;
    let folder = tempdir()?;
    let path = file_of(folder.path(), many(30));
    let new = stage.of(stage.new).await;
    JsonImport::new([&path]).batch(10).into_repository(&new).await?;
    let pool = stage.fixture.database("pool-1");
    let mut admin = sql::connect(stage.fixture.admin_options(&pool)).await;
    let transactions = "select count(distinct xmin::text) from agents where slug like 'a-%'";
    assert_eq!(sql::one::<i64>(&mut admin, transactions).await, 3);
    stage.close().await;
    Ok(())
}
