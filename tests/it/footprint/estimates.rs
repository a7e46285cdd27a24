//! What statistics tell.

use std::time::{Duration, SystemTime};

use tenantry::{Error, Figure, FootprintError, Footprints, LatestChange, Limit, PoolFootprint};
use uuid::Uuid;

use super::{NOTES, Outcome, Town, last_of};
use crate::sql::{one, rows, run};

fn near(estimate: u64, truth: u64, factor: f64) -> bool {
    #[expect(clippy::cast_precision_loss, reason = "numbers of rows of a test")]
    let ratio = estimate as f64 / truth as f64;
    (1.0 / factor..=factor).contains(&ratio)
}

fn rows_of(pool: &PoolFootprint, table: &str) -> Vec<Figure> {
    (pool.clients.iter())
        .map(|client| client.table(table).unwrap().rows)
        .collect()
}

#[tokio::test]
async fn large_clients_are_estimated_closely_and_all_together_are_the_table() -> Outcome {
    let mut town = Town::settled(150).await;
    town.analyze().await;
    let pool = town.footprints().pool(town.fixture.pool()).await?;
    let ids: Vec<_> = pool.clients.iter().map(|client| client.client).collect();
    assert_eq!(ids, town.clients, "in the order that they were created in");

    let notes = rows_of(&pool, "public.notes");
    for (figure, truth) in notes.iter().zip(NOTES).take(3) {
        let Figure::Estimated {
            amount,
            guessed: 0,
            analysed: Some(at),
        } = *figure
        else {
            panic!("sampled: {figure:?}");
        };
        assert!(near(amount, u64::from(truth), 1.1), "{amount} of {truth}");
        assert!(SystemTime::now().duration_since(at).unwrap_or_default() < Duration::from_mins(10));
    }
    let table = pool
        .tables
        .iter()
        .find(|table| table.table == "public.notes")
        .unwrap();
    let truth: i64 = one(&mut town.admin, "select count(*) from notes").await;
    let sum: u64 = notes.iter().map(|figure| figure.amount().unwrap()).sum();
    assert!(near(sum, truth.unsigned_abs(), 1.02), "{sum} of {truth}");
    assert!(
        near(table.rows.amount().unwrap(), truth.unsigned_abs(), 1.02),
        "{table:?}"
    );
    let files: i64 = one(&mut town.admin, "select pg_total_relation_size('notes')").await;
    assert_eq!(table.bytes, files.unsigned_abs());
    let bytes: u64 = (pool.clients.iter())
        .map(|client| client.table("public.notes").unwrap().bytes.amount().unwrap())
        .sum();
    assert!(
        near(bytes + table.others_bytes.amount().unwrap(), table.bytes, 1.02),
        "{bytes}"
    );
    assert!(table.others_rows.amount().unwrap() < 500, "{table:?}");
    let database: i64 = one(&mut town.admin, "select pg_database_size(current_database())").await;
    assert!(near(pool.bytes, database.unsigned_abs(), 1.1), "{}", pool.bytes);

    // One client by itself is told the same.
    for at in [0, 1, 149] {
        let alone = town.footprints().estimate(town.clients[at]).await?;
        assert_eq!(alone.tables, pool.clients[at].tables);
    }
    town.fixture.close().await;
    Ok(())
}

#[tokio::test]
async fn a_partition_is_divided_among_those_alone_whom_its_bounds_let_in() -> Outcome {
    let mut town = Town::settled(12).await;
    let largest = town.clients[0];
    let mine: String = one(
        &mut town.admin,
        &format!("select tableoid::regclass::text from parts where client_id = '{largest}' limit 1"),
    )
    .await;
    let neighbours: Vec<(Uuid,)> =
        rows(&mut town.admin, &format!("select distinct client_id from {mine}")).await;
    assert!((1..12).contains(&neighbours.len()), "{neighbours:?}");
    for n in 0..4 {
        let part = format!("parts_{n}");
        if part != mine {
            run(&mut town.admin, &format!("analyze {part}")).await;
        }
    }
    // What was not analysed is unknown of those alone who may have rows in it.
    let pool = town.footprints().pool(town.fixture.pool()).await?;
    for (client, figure) in pool.clients.iter().zip(rows_of(&pool, "public.parts")) {
        let is_neighbour = neighbours.contains(&(client.client.as_uuid(),));
        assert_eq!(figure == Figure::Unknown, is_neighbour, "{figure:?}");
    }

    town.analyze().await;
    let pool = town.footprints().pool(town.fixture.pool()).await?;
    for table in ["parts", "spans"] {
        let truth: i64 = one(&mut town.admin, &format!("select count(*) from {table}")).await;
        let figures = rows_of(&pool, &format!("public.{table}"));
        let all: u64 = figures.iter().map(|figure| figure.amount().unwrap()).sum();
        assert!(near(all, truth.unsigned_abs(), 1.02), "{all} of {truth}");
        assert!(near(figures[0].amount().unwrap(), 2_000, 1.1), "{figures:?}");
    }
    town.fixture.close().await;
    Ok(())
}

#[tokio::test]
async fn what_was_never_analysed_is_unknown_and_not_nothing() -> Outcome {
    let mut town = Town::settled(3).await;
    let (client, footprints) = (town.clients[0], town.footprints());
    let before = footprints.estimate(client).await?;
    assert_eq!(before.table("public.notes").unwrap().rows, Figure::Unknown);
    assert_eq!(before.table("public.notes").unwrap().bytes, Figure::Unknown);
    // That has no page.
    assert_eq!(before.table("public.tags").unwrap().rows, Figure::Exact(0));
    assert_eq!(before.rows().unknown_tables, 3);

    // Analysed while it was empty, and filled then.
    run(&mut town.admin, "analyze tags").await;
    run(
        &mut town.admin,
        &format!("insert into tags select '{client}', n::text from generate_series(1, 100) n"),
    )
    .await;
    // Vacuumed: its rows are known, and not whose they are.
    run(&mut town.admin, "vacuum notes").await;
    let pool = footprints.pool(town.fixture.pool()).await?;
    let mine = &pool.clients[0];
    for table in ["public.notes", "public.tags", "public.parts", "public.spans"] {
        assert_eq!(mine.table(table).unwrap().rows, Figure::Unknown, "{table}");
    }
    let notes = pool
        .tables
        .iter()
        .find(|table| table.table == "public.notes")
        .unwrap();
    assert!(near(notes.rows.amount().unwrap(), 31_000, 1.02), "{notes:?}");
    assert_eq!(notes.others_rows, Figure::Unknown);
    assert_eq!((mine.rows().amount, mine.rows().unknown_tables), (0, 4));
    assert!(!mine.rows().is_exact());

    town.analyze().await;
    let after = footprints.estimate(client).await?;
    assert_eq!(after.rows().unknown_tables, 1);
    assert!(near(after.rows().amount, 24_000, 1.1), "{:?}", after.rows());
    town.fixture.close().await;
    Ok(())
}

#[tokio::test]
async fn rows_of_who_is_not_placed_there_are_nobody_elses() -> Outcome {
    let mut town = Town::settled(3).await;
    town.analyze().await;
    town.fixture.platform().delete_client(town.clients[1]).await?;
    let pool = town.footprints().pool(town.fixture.pool()).await?;
    assert_eq!(pool.clients.len(), 2);
    let notes = pool
        .tables
        .iter()
        .find(|table| table.table == "public.notes")
        .unwrap();
    assert!(near(notes.others_rows.amount().unwrap(), 8_000, 1.1), "{notes:?}");
    assert!(!notes.others_rows.is_guess());
    assert!(near(
        pool.clients[0]
            .table("public.notes")
            .unwrap()
            .rows
            .amount()
            .unwrap(),
        20_000,
        1.1
    ));
    town.fixture.close().await;
    Ok(())
}

#[tokio::test]
async fn statistics_that_are_hidden_from_the_role_are_an_error_and_not_unknown() -> Outcome {
    let town = Town::settled(1).await;
    let fixture = &town.fixture;
    let database = fixture.database("pool-1");
    let (app, admin) = (fixture.app_url(&database), fixture.admin_url(&database));
    let platform = fixture.platform();
    platform
        .set_pool_connections(fixture.pool(), &app.clone().into(), &app.into())
        .await?;
    for outcome in [
        town.footprints().estimate(town.clients[0]).await,
        town.footprints().exact(town.clients[0]).await,
    ] {
        let error = outcome.unwrap_err();
        assert!(
            matches!(
                &error,
                Error::Footprint { source: FootprintError::Hidden { table }, .. } if table == "public.notes"
            ),
            "{error:?}"
        );
    }
    platform
        .set_pool_connections(fixture.pool(), &fixture.app_url(&database).into(), &admin.into())
        .await?;
    town.footprints().estimate(town.clients[0]).await?;
    town.fixture.close().await;
    Ok(())
}

#[tokio::test]
async fn the_latest_change_is_that_of_an_index_and_calls_are_those_that_were_metered() -> Outcome {
    let mut town = Town::settled(3).await;
    let client = town.clients[1];
    run(
        &mut town.admin,
        "update parts set updated_at = '2025-01-01'; update notes set updated_at = 'infinity' where id = 1",
    )
    .await;
    let manager = town.fixture.manager().await?;
    let db = manager.tenant(client).await?;
    db.meter(Limit::API_CALLS_PER_MONTH).await?;
    manager.close().await;

    let told = town.footprints().estimate(client).await?;
    let LatestChange::Column { at, table, not_asked } = &told.latest_change else {
        panic!("{told:?}");
    };
    assert_eq!((table.as_str(), *at), ("public.notes", last_of(8_000)));
    assert_eq!(
        not_asked,
        &["public.parts", "public.spans", "public.tags"],
        "no index leads there"
    );
    assert!(told.last_seen.is_some());
    assert_eq!(told.calls.len(), 1, "{:?}", told.calls);
    assert_eq!(
        (&told.calls[0].limit, told.calls[0].used),
        (&Limit::API_CALLS_PER_MONTH, 1)
    );

    let other = town.footprints().estimate(town.clients[2]).await?;
    assert_eq!((other.calls.len(), other.last_seen), (0, None));
    // Nothing is named that would tell.
    let untold = Footprints::new(town.fixture.platform().clone())
        .estimate(client)
        .await?;
    assert_eq!(untold.latest_change, LatestChange::Unknown);
    let counted = town.footprints().exact(client).await?;
    assert!(
        matches!(&counted.latest_change, LatestChange::Column { not_asked, .. } if *not_asked == ["public.spans", "public.tags"]),
        "{counted:?}"
    );
    town.fixture.close().await;
    Ok(())
}
