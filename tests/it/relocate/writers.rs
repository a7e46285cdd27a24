//! Clients of a relocation that is under way: what was acknowledged to them is there, once, and nothing else.
#![expect(clippy::disallowed_methods, reason = "has tasks that write")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tenantry::testing::Fixture;
use tenantry::{ClientConnectionManager, ClientId, Isolation, RunOptions, TransactionOptions};
use tokio::task::JoinHandle;

use super::Outcome;
use crate::sql::PATIENCE;

/// Writers of one client in several managers, each with routes of its own, which nobody tells anything.
pub(super) struct Writers {
    stop: Arc<AtomicBool>,
    done: Arc<AtomicU64>,
    tasks: Vec<JoinHandle<Written>>,
    managers: Vec<ClientConnectionManager>,
}

/// What was acknowledged to a writer.
#[derive(Debug, Default)]
struct Written {
    /// The titles of its documents that are there, with how often each was changed.
    documents: BTreeMap<String, u64>,
    /// How often its agent counted.
    counted: u64,
    agent: String,
}

/// How writers go about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum As {
    /// Statements by themselves.
    Statements,
    /// Transactions that are run until they are through.
    Transactions(Isolation),
}

impl Writers {
    /// Begins to write, and waits until each has.
    pub(super) async fn begin(fixture: &Fixture, client: ClientId, each: &[As]) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let done = Arc::new(AtomicU64::new(0));
        let (mut tasks, mut managers) = (Vec::new(), Vec::new());
        for (number, how) in each.iter().copied().enumerate() {
            // Who is killed between both places leaves the client served by none until the next one goes on.
            let options = fixture.manager_options().relocation_wait(PATIENCE);
            let manager = ClientConnectionManager::connect(options).await.unwrap();
            let (stop, done) = (Arc::clone(&stop), Arc::clone(&done));
            managers.push(manager.clone());
            tasks.push(tokio::spawn(async move {
                let agent = format!("writer-{number}");
                let mut written = Written {
                    agent: agent.clone(),
                    ..Written::default()
                };
                // One handle for all of it: its route is as stale as can be.
                let db = manager.tenant(client).await.unwrap();
                db.insert("agents")
                    .set("slug", agent.as_str())
                    .set("name", "0")
                    .execute()
                    .await
                    .unwrap();
                while !stop.load(Ordering::Acquire) {
                    written.write(&db, number, how).await;
                    done.fetch_add(1, Ordering::AcqRel);
                }
                written
            }));
        }
        let writers = Self {
            stop,
            done,
            tasks,
            managers,
        };
        writers.have_written(10).await;
        writers
    }

    /// Waits until so much more was written.
    pub(super) async fn have_written(&self, more: u64) {
        let aim = self.done.load(Ordering::Acquire) + more;
        while self.done.load(Ordering::Acquire) < aim {
            assert!(!self.tasks.iter().any(JoinHandle::is_finished), "a writer failed");
            tokio::task::yield_now().await;
        }
    }

    /// Ends the writing, and compares what was acknowledged with what there is.
    pub(super) async fn end(self, db: &tenantry::TenantDb) -> Outcome {
        self.stop.store(true, Ordering::Release);
        let mut acknowledged = BTreeMap::new();
        for task in self.tasks {
            let written = task.await?;
            let (name,): (String,) = db
                .query("agents")
                .columns(["name"])
                .eq("slug", written.agent.as_str())
                .fetch_one()
                .await?;
            assert_eq!(name, written.counted.to_string(), "{}", written.agent);
            acknowledged.extend(written.documents);
        }
        let there: Vec<(String, String)> = db
            .query("documents")
            .columns(["title", "content"])
            .like("title", tenantry::Pattern::starting_with("of "))
            .fetch_all()
            .await?;
        let mut found = BTreeMap::new();
        for (title, content) in there {
            assert!(
                found.insert(title.clone(), content.parse::<u64>()?).is_none(),
                "{title} is there twice"
            );
        }
        assert_eq!(found, acknowledged);
        for manager in self.managers {
            manager.close().await;
        }
        Ok(())
    }
}

impl Written {
    /// One more of each: a document that is new, one that is changed, one that is gone, and a count.
    async fn write(&mut self, db: &tenantry::TenantDb, number: usize, how: As) {
        let n = self.counted;
        let title = format!("of {number}: {n}");
        let earlier = format!("of {number}: {}", n / 2);
        let gone = (n % 3 == 2).then(|| format!("of {number}: {}", n / 3));
        match how {
            As::Statements => {
                let count = (n + 1).to_string();
                db.update("agents")
                    .set("name", count.as_str())
                    .eq("slug", self.agent.as_str())
                    .execute()
                    .await
                    .unwrap();
                db.insert("documents")
                    .set("title", title.as_str())
                    .set("content", "0")
                    .execute()
                    .await
                    .unwrap();
                if let Some(times) = self.documents.get(&earlier) {
                    let times = (times + 1).to_string();
                    let changed = db
                        .update("documents")
                        .set("content", times.as_str())
                        .eq("title", earlier.as_str());
                    assert_eq!(changed.execute().await.unwrap(), 1);
                }
                if let Some(gone) = &gone {
                    db.delete("documents")
                        .eq("title", gone.as_str())
                        .execute()
                        .await
                        .unwrap();
                }
            }
            As::Transactions(isolation) => {
                let options = RunOptions::default()
                    .attempts(100)
                    .transaction(TransactionOptions::default().isolation(isolation));
                let (slug, earlier, title, gone) = (&self.agent, &earlier, &title, &gone);
                let ran = db.run_with(options, async |mut tx| {
                    let (count,): (String,) = tx
                        .query("agents")
                        .columns(["name"])
                        .eq("slug", slug.as_str())
                        .fetch_one()
                        .await?;
                    let count = (count.parse::<u64>().unwrap() + 1).to_string();
                    tx.update("agents")
                        .set("name", count.as_str())
                        .eq("slug", slug.as_str())
                        .execute()
                        .await?;
                    tx.insert("documents")
                        .set("title", title.as_str())
                        .set("content", "0")
                        .execute()
                        .await?;
                    let times: Option<(String,)> = tx
                        .query("documents")
                        .columns(["content"])
                        .eq("title", earlier.as_str())
                        .fetch_optional()
                        .await?;
                    if let Some((times,)) = times.filter(|_| earlier != title) {
                        let times = (times.parse::<u64>().unwrap() + 1).to_string();
                        tx.update("documents")
                            .set("content", times.as_str())
                            .eq("title", earlier.as_str())
                            .execute()
                            .await?;
                    }
                    if let Some(gone) = gone {
                        tx.delete("documents")
                            .eq("title", gone.as_str())
                            .execute()
                            .await?;
                    }
                    Ok::<_, tenantry::Error>(())
                });
                ran.await.unwrap();
            }
        }
        self.counted += 1;
        if let Some(times) = self.documents.get_mut(&earlier) {
            *times += 1;
        }
        self.documents.insert(title, 0);
        if let Some(gone) = gone {
            self.documents.remove(&gone);
        }
    }
}
