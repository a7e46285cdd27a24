//! Many tasks of two processes over few server connections, each of which sees its own client's rows and loses none.

use std::collections::{BTreeMap, BTreeSet};
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;

use pgvector::Vector;
use sqlx::Row as _;
use tenantry::{ClientConnectionManager, ClientId, Error, TenantDb};
use uuid::Uuid;

use super::{Behind, Outcome};
use crate::support::{Rows, embedding, fill};

const TASKS: usize = 16;
const CLIENTS: usize = 9;
const SERVER_CONNECTIONS: usize = 4;

/// Each is of one to five statements. `TENANTRY_LONG=1` in the environment asks for many more.
fn steps_of_a_task() -> usize {
    if std::env::var("TENANTRY_LONG").is_ok_and(|value| value == "1") {
        20_000
    } else {
        120
    }
}

/// One client, and the rows that it had at the start.
#[derive(Clone, Copy, Debug)]
struct Known {
    id: ClientId,
    number: usize,
    rows: Rows,
}

impl Known {
    fn name(&self) -> String {
        format!("agent of client-{}", self.number)
    }
}

/// The slugs of the agents that a task made for a client.
#[derive(Debug, Default)]
struct Made {
    /// The library said that they are there.
    acknowledged: BTreeSet<String>,
    /// Nobody waited for what it said.
    unknown: BTreeSet<String>,
}

struct Task {
    number: usize,
    manager: ClientConnectionManager,
    clients: Vec<Known>,
    made: BTreeMap<ClientId, Made>,
    random: Random,
}

/// The same numbers in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        // xorshift
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).unwrap_or_default() % bound
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixteen_tasks_over_four_server_connections_never_mix_clients() -> Outcome {
    let Some(behind) = Behind::new(SERVER_CONNECTIONS).await? else {
        return Ok(());
    };
    let managers = [behind.process(8).await?, behind.process(8).await?];
    let mut clients = Vec::new();
    for number in 0..CLIENTS {
        let client = behind.fixture.shared_client(&format!("client-{number}")).await?;
        let db = managers[0].tenant(client.id).await?;
        clients.push(Known {
            id: client.id,
            number,
            rows: fill(&db, &format!("client-{number}")).await?,
        });
    }

    let tasks: Vec<_> = (0..TASKS)
        .map(|number| {
            let task = Task {
                number,
                manager: managers[number % 2].clone(),
                clients: clients.clone(),
                made: BTreeMap::new(),
                random: Random(0x9e37_79b9_7f4a_7c15 ^ (number as u64 + 1)),
            };
            tokio::spawn(task.run())
        })
        .collect();
    let mut made = Vec::new();
    for task in tasks {
        made.push(task.await??);
    }
    let mut admin = behind.admin().await?;
    let open: i64 = sqlx::query_scalar(
        "select count(*) from pg_stat_activity where usename = $1 and datname = current_database()",
    )
    .bind(behind.fixture.app_role())
    .fetch_one(&mut admin)
    .await?;
    assert!(usize::try_from(open)? <= SERVER_CONNECTIONS, "{open}");
    // Waits for what is repaired behind the callers.
    for manager in managers {
        manager.close().await;
    }

    for client in &clients {
        let found: Vec<(String, String)> =
            sqlx::query_as("select slug, name from agents where client_id = $1 and slug <> 'guide'")
                .bind(client.id)
                .fetch_all(&mut admin)
                .await?;
        for (slug, name) in &found {
            assert_eq!(*name, client.name(), "{slug}");
        }
        let found: BTreeSet<String> = found.into_iter().map(|(slug, _)| slug).collect();
        let of_client = || made.iter().filter_map(|made| made.get(&client.id));
        for made in of_client() {
            assert!(made.acknowledged.is_subset(&found), "{client:?} lost rows");
        }
        for slug in &found {
            let known =
                of_client().any(|made| made.acknowledged.contains(slug) || made.unknown.contains(slug));
            assert!(known, "{slug} of {client:?} is not to be there");
        }
    }
    behind.close().await;
    Ok(())
}

impl Task {
    async fn run(mut self) -> tenantry::Result<BTreeMap<ClientId, Made>> {
        for step in 0..steps_of_a_task() {
            let client = self.clients[self.random.below(self.clients.len())];
            let db = self.manager.tenant(client.id).await?;
            Box::pin(self.step(step, client, &db)).await?;
        }
        Ok(self.made)
    }

    fn made(&mut self, client: Known) -> &mut Made {
        self.made.entry(client.id).or_default()
    }

    /// In the description of every agent that the task made.
    fn mark(&self) -> String {
        format!("by task {}", self.number)
    }

    async fn step(&mut self, step: usize, client: Known, db: &TenantDb) -> tenantry::Result<()> {
        let slug = format!("t{}-{step}", self.number);
        let (name, mark) = (client.name(), self.mark());
        let insert = db
            .insert("agents")
            .set("slug", slug.clone())
            .set("name", name.clone())
            .set("description", mark.clone());
        let one_made = self.made(client).acknowledged.first().cloned();
        match self.random.below(16) {
            0..=2 => {
                assert_eq!(insert.execute().await?, 1);
                self.made(client).acknowledged.insert(slug);
            }
            3 => {
                if let Some(made) = one_made {
                    let update = db.update("agents").set("system_prompt", slug.as_str());
                    assert_eq!(update.eq("slug", made.as_str()).execute().await?, 1);
                    let (prompt, id): (String, Uuid) = db
                        .query("agents")
                        .columns(["system_prompt", "id"])
                        .eq("slug", made.as_str())
                        .fetch_one()
                        .await?;
                    assert_eq!(prompt, slug);
                    assert_ne!(id, client.rows.agent);
                }
            }
            4 => {
                if let Some(made) = one_made {
                    assert_eq!(db.delete("agents").eq("slug", made.as_str()).execute().await?, 1);
                    self.made(client).acknowledged.remove(&made);
                }
            }
            5 | 6 => {
                let found: Vec<(String, String)> = db
                    .query("agents")
                    .columns(["slug", "name"])
                    .eq("description", mark)
                    .fetch_all()
                    .await?;
                self.expect(client, found);
            }
            7 => {
                let count = db.query("agents").eq("description", mark).count().await?;
                let count = usize::try_from(count).unwrap();
                let made = self.made(client);
                let least = made.acknowledged.len();
                assert!((least..=least + made.unknown.len()).contains(&count), "{count}");
            }
            8 => call(client, db).await?,
            9 => {
                // A type that the connection may not know yet, in the answer.
                let (content, vector): (String, Vector) = db
                    .query("document_chunks")
                    .columns(["content", "embedding"])
                    .fetch_one()
                    .await?;
                assert_eq!(content, format!("chunk of client-{}", client.number));
                assert_eq!(vector, embedding());
            }
            10 => {
                self.transaction(client, db, &slug).await?.commit().await?;
                self.made(client).acknowledged.insert(slug);
            }
            11 => self.transaction(client, db, &slug).await?.rollback().await?,
            12 => drop(self.transaction(client, db, &slug).await?),
            13 => fail(client, db).await?,
            14 => {
                let polls = self.random.below(12) + 1;
                let done = dropped_after(polls, insert.execute()).await;
                self.note(client, slug, done.map(|done| done.map(drop)))?;
            }
            _ => {
                let polls = self.random.below(30) + 1;
                let whole = async {
                    let tx = self.transaction(client, db, &slug).await?;
                    tx.commit().await
                };
                let done = dropped_after(polls, Box::pin(whole)).await;
                self.note(client, slug, done)?;
            }
        }
        Ok(())
    }

    /// Raw statements with arguments: an agent is added, and all that is seen is the client's.
    async fn transaction(
        &self,
        client: Known,
        db: &TenantDb,
        slug: &str,
    ) -> tenantry::Result<tenantry::TenantTx> {
        let failed = |error| Error::from_sqlx(client.id, error);
        let mut tx = db.begin().await?;
        let owner: ClientId = sqlx::query_scalar(
            "insert into agents (slug, name, description) values ($1, $2, $3) returning client_id",
        )
        .bind(slug)
        .bind(client.name())
        .bind(self.mark())
        .fetch_one(&mut tx)
        .await
        .map_err(failed)?;
        assert_eq!(owner, client.id);
        let seen = sqlx::query("select client_id, name, slug = $1 as mine from agents")
            .bind(slug)
            .fetch_all(&mut tx)
            .await
            .map_err(failed)?;
        let mine = seen.iter().filter(|row| row.get::<bool, _>("mine")).count();
        assert_eq!(mine, 1, "{slug}");
        for row in &seen {
            let (owner, name): (ClientId, String) = (row.get("client_id"), row.get("name"));
            assert_eq!((owner, name), (client.id, client.name()));
        }
        let count = tx.query("agents").eq("slug", slug).count().await?;
        assert_eq!(count, 1, "{slug}");
        Ok(tx)
    }

    /// What the task sees of its own agents is what it was told, and perhaps what it did not wait for.
    fn expect(&mut self, client: Known, found: Vec<(String, String)>) {
        let made = self.made(client);
        let mut slugs = BTreeSet::new();
        for (slug, name) in found {
            assert_eq!(name, client.name(), "{slug}");
            assert!(
                made.acknowledged.contains(&slug) || made.unknown.contains(&slug),
                "{slug} is not to be there"
            );
            slugs.insert(slug);
        }
        assert!(made.acknowledged.is_subset(&slugs), "lost of {client:?}");
    }

    fn note(
        &mut self,
        client: Known,
        slug: String,
        done: Option<tenantry::Result<()>>,
    ) -> tenantry::Result<()> {
        match done {
            Some(result) => {
                result?;
                self.made(client).acknowledged.insert(slug);
            }
            None => {
                self.made(client).unknown.insert(slug);
            }
        }
        Ok(())
    }
}

/// Functions that know the client by their argument and by the scope.
async fn call(client: Known, db: &TenantDb) -> tenantry::Result<()> {
    db.rpc("require_client").execute().await?;
    let overviews: Vec<(Uuid, String, Option<Uuid>, serde_json::Value)> = db
        .rpc("get_user_overview_for_agent")
        .arg("p_user_id", "ada")
        .arg("p_agent_id", client.rows.agent)
        .fetch_all()
        .await?;
    let of = serde_json::json!({ "of": format!("client-{}", client.number) });
    assert_eq!(overviews.len(), 1);
    assert_eq!((overviews[0].0, &overviews[0].3), (client.rows.overview, &of));
    let chunks: Vec<(Uuid, Uuid)> = db
        .rpc("match_documents")
        .arg("p_query_embedding", embedding())
        .fetch_all()
        .await?;
    assert_eq!(chunks, [(client.rows.chunk, client.rows.document)]);
    Ok(())
}

/// Failures that are told as what they are, and leave nothing.
async fn fail(client: Known, db: &TenantDb) -> tenantry::Result<()> {
    let taken = db.insert("agents").set("slug", "guide").set("name", "x");
    let error = taken.execute().await.unwrap_err();
    assert_eq!(error.sqlstate().as_deref(), Some("23505"), "{error:?}");
    let unknown = db.query("nowhere").count().await.unwrap_err();
    assert!(matches!(unknown, Error::UnknownTable { .. }), "{unknown:?}");

    let mut tx = db.begin().await?;
    tx.update("agents")
        .set("name", "half done")
        .all()
        .execute()
        .await?;
    let error = sqlx::query("select 1 / $1::int4")
        .bind(0)
        .execute(&mut tx)
        .await
        .map_err(|error| Error::from_sqlx(client.id, error))
        .unwrap_err();
    assert_eq!(error.sqlstate().as_deref(), Some("22012"), "{error:?}");
    let error = tx.commit().await.unwrap_err();
    assert_eq!(error.sqlstate().as_deref(), Some("25P02"), "{error:?}");
    Ok(())
}

/// Drops the future when it has been polled so often.
async fn dropped_after<F: Future>(polls: usize, future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    let mut left = polls;
    poll_fn(|context| {
        if let Poll::Ready(output) = future.as_mut().poll(context) {
            return Poll::Ready(Some(output));
        }
        left -= 1;
        if left == 0 {
            Poll::Ready(None)
        } else {
            Poll::Pending
        }
    })
    .await
}
