//! The builder against a model of SQL: random tables, rows and questions, in a pool database of several clients
//! and in databases of one client's own.
//!
//! The same seed makes the same cases. A failure prints the seed, the tables, the rows and the question;
//! `TENANTRY_MODEL_SEED` asks for that seed again. `TENANTRY_LONG=1` asks for many seeds and many more questions.
#![expect(clippy::panic, reason = "the functions that the tests share panic like tests")]

mod ask;
mod cell;
mod condition;
mod eval;
mod groups;
mod hostile;
mod json;
mod pages;
mod question;
mod random;
mod schema;
mod stage;
mod write;

use std::ops::Range;

use futures_util::{StreamExt as _, stream};
use tenantry::testing::Fixture;
use tenantry::{ClientConnectionManager, ConnectionOptions, Error, Expr};

use self::cell::spelt;
use self::pages::Walk;
use self::question::Question;
use self::random::Random;
use self::stage::{CONNECTIONS, Stage};
use self::write::Write;
use crate::support::HOST;

type Outcome = Result<(), Box<dyn std::error::Error>>;

const CLIENTS: usize = 3;

fn is_long() -> bool {
    std::env::var("TENANTRY_LONG").is_ok_and(|value| value == "1")
}

/// The seeds of a test, and the cases of each.
fn plan(first: u64, cases: u64) -> (Range<u64>, u64) {
    let asked = std::env::var("TENANTRY_MODEL_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok());
    let first = asked.unwrap_or(first);
    match (asked, is_long()) {
        (None, true) => (first..first + 10, cases * 5),
        (_, true) => (first..first + 1, cases * 5),
        _ => (first..first + 1, cases),
    }
}

#[expect(clippy::future_not_send, reason = "the future of a test stays where it is")]
/// Runs each case, several at a time, and fails with what is wrong with the first that fails.
async fn each(stage: &Stage, cases: Range<u64>, run: impl AsyncFn(&Stage, u64) -> Result<(), String>) {
    let faults = stream::iter(cases)
        .map(|case| {
            let run = &run;
            async move { run(stage, case).await.err().map(|fault| (case, fault)) }
        })
        .buffer_unordered(CONNECTIONS)
        .filter_map(std::future::ready);
    if let Some((case, fault)) = std::pin::pin!(faults).next().await {
        panic!("{}\n{fault}", stage.replay(case));
    }
}

/// What is wrong with the answers to a question, if anything is.
async fn fault_of(stage: &Stage, client: usize, question: &Question) -> Option<String> {
    let expected = question.expected(&stage.rows[client]);
    for home in stage.homes_of(client) {
        let found = question.answer(&home.db, &stage.schema).await;
        match found {
            Ok(found) if found == expected => {}
            found => {
                return Some(format!(
                    "client {client} on {}\n{question:?}\nexpected {expected:#?}\nfound {found:#?}",
                    home.name
                ));
            }
        }
    }
    None
}

/// Asks a random question, and where its answer is wrong, smaller ones.
async fn ask(stage: &Stage, case: u64) -> Result<(), String> {
    let mut random = Random::new(stage.seed, case);
    let client = random.below(CLIENTS);
    let mut question = Question::random(&mut random, &stage.schema);
    let Some(mut fault) = fault_of(stage, client, &question).await else {
        return Ok(());
    };
    'smaller: loop {
        for smaller in question.smaller() {
            if let Some(smaller_fault) = fault_of(stage, client, &smaller).await {
                (question, fault) = (smaller, smaller_fault);
                continue 'smaller;
            }
        }
        return Err(fault);
    }
}

#[tokio::test]
async fn a_question_is_answered_as_the_model_answers_it_wherever_the_rows_are() -> Outcome {
    let (seeds, cases) = plan(1, 2_000);
    for seed in seeds {
        let mut stage = Stage::new(seed).await?;
        each(&stage, 0..cases * 3 / 4, ask).await;
        // And by the scope of the statement alone.
        stage.drop_policies().await;
        each(&stage, cases * 3 / 4..cases, ask).await;
        stage.close().await?;
    }
    Ok(())
}

#[tokio::test]
async fn pages_have_all_rows_once_there_and_back() -> Outcome {
    let (seeds, cases) = plan(2, 200);
    for seed in seeds {
        let stage = Stage::new(seed).await?;
        each(&stage, 0..cases, async |stage, case| {
            let mut random = Random::new(stage.seed, case);
            let client = random.below(CLIENTS);
            let walk = Walk::random(&mut random, &stage.schema);
            for home in stage.homes_of(client) {
                let pages = walk.pages(&home.db, &stage.schema).await;
                let fault = match &pages {
                    Ok(pages) => walk.fault(pages, &stage.rows[client]),
                    Err(error) => Some(error.to_string()),
                };
                if let Some(fault) = fault {
                    let found = pages.map(|(there, _)| there);
                    return Err(format!(
                        "client {client} on {}\n{walk:?}\n{fault}\nfound {found:#?}",
                        home.name
                    ));
                }
            }
            Ok(())
        })
        .await;
        stage.close().await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_write_changes_what_the_model_changes_and_no_row_of_another_client() -> Outcome {
    let (seeds, cases) = plan(3, 250);
    for seed in seeds {
        let mut stage = Stage::new(seed).await?;
        for case in 0..cases {
            // From there on, by the scope of the statement alone.
            if case == cases / 2 {
                stage.drop_policies().await;
            }
            let mut random = Random::new(stage.seed, case);
            let client = random.below(CLIENTS);
            let write = Write::random(&mut random, &stage.schema);
            let mut rows = stage.rows[client].clone();
            let expected = write.apply(&mut rows);
            for home in stage.homes_of(client) {
                let mut tx = home.db.begin().await?;
                let found = write.run(&home.db, &mut tx, &stage.schema).await;
                assert!(
                    matches!(&found, Ok(found) if *found == expected),
                    "{}\nclient {client} on {}\n{write:?}\nexpected {expected:#?}\nfound {found:#?}",
                    stage.replay(case),
                    home.name
                );
                if write.commits {
                    tx.commit().await?;
                } else {
                    tx.rollback().await?;
                }
            }
            if write.commits {
                stage.rows[client] = rows;
            }
            let (found, expected) = stage.pool_rows(write.table).await;
            assert_eq!(
                found,
                expected,
                "{}\nclient {client}\n{write:?}",
                stage.replay(case)
            );
        }
        stage.close().await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_cursor_that_was_not_given_out_shows_rows_of_its_client_or_none() -> Outcome {
    let (seeds, cases) = plan(4, 400);
    for seed in seeds {
        let stage = Stage::new(seed).await?;
        each(&stage, 0..cases, async |stage, case| {
            let mut random = Random::new(stage.seed, case);
            let client = random.below(CLIENTS);
            let walk = Walk::random(&mut random, &stage.schema);
            let other = Walk::random(&mut random, &stage.schema);
            let homes = stage.homes_of(client);
            let home = random.pick(&homes);
            let first = |walk: Walk, of: stage::Home| async move {
                let page = walk.page(&of.db, &stage.schema, None).await;
                page.map(|page| page.next)
                    .map_err(|error| format!("{walk:?} {error:?}"))
            };
            let is_refused = |page: &tenantry::Result<_>| matches!(page, Err(Error::InvalidCursor { .. }));
            let foreign = stage
                .homes
                .iter()
                .find(|known| known.db.client().id != home.db.client().id);
            let foreigners = [
                foreign.map(|foreign| (walk.clone(), foreign.clone())),
                (other.question.table != walk.question.table).then(|| (other.clone(), home.clone())),
            ];
            for (walk_of, of) in foreigners.into_iter().flatten() {
                if let Some(cursor) = first(walk_of, of).await? {
                    let page = walk.page(&home.db, &stage.schema, Some(&cursor)).await;
                    if !is_refused(&page) {
                        return Err(format!("{walk:?} from {cursor}\n{page:#?}"));
                    }
                }
            }
            let Some(real) = first(walk.clone(), home.clone()).await? else {
                return Ok(());
            };
            let all: Vec<_> = (walk.question.found(&stage.rows[client]).iter())
                .map(|tuple| eval::shown(tuple, &walk.columns))
                .collect();
            let all = spelt(&all);
            for _ in 0..3 {
                let cursor = hostile::cursor(&mut random, &real);
                let page = walk.page(&home.db, &stage.schema, Some(&cursor)).await;
                let is_good = match &page {
                    Ok(page) => {
                        let rows: Vec<_> = page.rows.iter().map(|row| row.0.clone()).collect();
                        spelt(&rows).iter().all(|row| all.contains(row))
                    }
                    Err(_) => is_refused(&page),
                };
                if !is_good {
                    return Err(format!(
                        "client {client} on {}\n{walk:?} from {cursor}\n{page:#?}",
                        home.name
                    ));
                }
            }
            Ok(())
        })
        .await;
        stage.close().await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_strange_value_is_compared_as_any_other_or_refused_as_what_it_is() -> Outcome {
    let (seeds, cases) = plan(5, 500);
    for seed in seeds {
        let stage = Stage::new(seed).await?;
        each(&stage, 0..cases, async |stage, case| {
            let mut random = Random::new(stage.seed, case);
            let client = random.below(CLIENTS);
            let question = hostile::question(&mut random, &stage.schema);
            let expected = question.expected(&stage.rows[client]);
            for home in stage.homes_of(client) {
                let found = question.answer(&home.db, &stage.schema).await;
                let is_good = match &found {
                    Ok(found) => *found == expected,
                    Err(error) => hostile::may_be_refused(&question, error),
                };
                if !is_good {
                    return Err(format!(
                        "client {client} on {}\n{question:?}\nexpected {expected:#?}\nfound {found:#?}",
                        home.name
                    ));
                }
            }
            Ok(())
        })
        .await;
        stage.close().await?;
    }
    Ok(())
}

/// A connection knows a prepared statement by its text.
#[tokio::test]
async fn values_of_types_of_one_width_are_not_taken_for_each_other() -> Outcome {
    let fixture = Fixture::start(&HOST).await?;
    let clients = [
        fixture.shared_client("acme").await?,
        fixture.dedicated_client("vast").await?,
    ];
    let one = || ConnectionOptions::default().max_connections(1);
    let options = fixture.manager_options().pool_connections(one());
    let manager = ClientConnectionManager::connect(options).await?;
    for client in clients {
        let db = manager.tenant(client.id).await?;
        db.insert("agents")
            .set("slug", "guide")
            .set("name", "Guide")
            .execute()
            .await?;
        let half = |value: Expr<'static>| db.query("agents").columns([value.as_double()]);
        for _ in 0..2 {
            assert_eq!(half(Expr::value(2_i64)).fetch_scalars::<f64>().await?, [2.0]);
            assert_eq!(half(Expr::value(0.5_f64)).fetch_scalars::<f64>().await?, [0.5]);
            assert_eq!(half(Expr::value(3_i32)).fetch_scalars::<f64>().await?, [3.0]);
        }
    }
    manager.close().await;
    fixture.close().await;
    Ok(())
}
