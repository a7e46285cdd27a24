//! What is counted.

use std::time::Duration;

use tenantry::{Error, ErrorKind, Figure, FootprintError, Footprints};

use super::{Outcome, Town, options};
use crate::sql::{connect, one, run, until};

#[tokio::test]
async fn what_is_counted_is_what_there_is_of_the_one_client() -> Outcome {
    let mut town = Town::settled(5).await;
    for (client, rows) in [(town.clients[0], [20_000, 2_000]), (town.clients[4], [20, 2])] {
        let told = town.footprints().exact(client).await?;
        let figures: Vec<_> = told
            .tables
            .iter()
            .map(|table| (table.table.as_str(), table.rows))
            .collect();
        assert_eq!(
            figures,
            [
                ("public.notes", Figure::Exact(rows[0])),
                ("public.parts", Figure::Exact(rows[1])),
                ("public.spans", Figure::Exact(rows[1])),
                ("public.tags", Figure::Exact(0))
            ]
        );
        let by_hand: i64 = one(
            &mut town.admin,
            &format!(
                "select sum(28 + pg_column_size(client_id) + pg_column_size(id) + pg_column_size(body)
                            + pg_column_size(size) + pg_column_size(updated_at))::int8
                 from notes where client_id = '{client}'"
            ),
        )
        .await;
        assert_eq!(told.tables[0].bytes, Figure::Exact(by_hand.unsigned_abs()));
        assert!(told.rows().is_exact() && told.bytes().is_exact());
    }
    town.fixture.close().await;
    Ok(())
}

#[tokio::test]
async fn a_database_of_its_own_is_counted_whole_with_and_without_the_clients_column() -> Outcome {
    let town = Town::start().await;
    let fixture = &town.fixture;
    let vast = fixture.dedicated_client("vast").await?;
    let mut admin = connect(fixture.admin_options(&fixture.database("vast"))).await;
    run(
        &mut admin,
        "insert into notes (id, body) select n, repeat('x', 100) from generate_series(1, 5000) n;
         insert into parts (id) select n from generate_series(1, 300) n; analyze notes",
    )
    .await;
    let files: i64 = one(&mut admin, "select pg_total_relation_size('notes')").await;
    let told = town.footprints().estimate(vast.id).await?;
    let names: Vec<_> = told.tables.iter().map(|table| table.table.as_str()).collect();
    assert_eq!(
        names,
        ["public.notes", "public.parts", "public.spans", "public.tags"],
        "shared tables are nobody's"
    );
    assert!(told.pool.is_none());
    assert!(
        matches!(
            told.tables[0].rows,
            Figure::Estimated {
                amount: 5_000,
                guessed: 0,
                ..
            }
        ),
        "{told:?}"
    );
    assert_eq!(told.tables[0].bytes, Figure::Exact(files.unsigned_abs()));
    assert_eq!(told.tables[1].rows, Figure::Unknown);
    let counted = town.footprints().exact(vast.id).await?;
    let rows: Vec<_> = counted.tables.iter().map(|table| table.rows).collect();
    assert_eq!(rows, [5_000, 300, 0, 0].map(Figure::Exact));

    let old = fixture
        .legacy_client(
            "old",
            "create table notes (id bigint primary key, body text, updated_at timestamptz default now());
             create index on notes (updated_at);
             insert into notes select n, repeat('x', 50) from generate_series(1, 700) n;
             create table _sqlx_migrations (version bigint); insert into _sqlx_migrations values (1);
             create table cache (id bigint); insert into cache values (1); analyze",
        )
        .await?;
    let footprints =
        Footprints::new(fixture.platform().clone()).options(options().leave_out(["public.cache"]));
    for told in [
        footprints.estimate(old.id).await?,
        footprints.exact(old.id).await?,
    ] {
        assert_eq!(told.tables.len(), 1, "{told:?}");
        assert_eq!(told.table("public.notes").unwrap().rows.amount(), Some(700));
        assert!(
            matches!(told.latest_change, tenantry::LatestChange::Column { .. }),
            "{told:?}"
        );
    }
    town.fixture.close().await;
    Ok(())
}

#[tokio::test]
async fn a_count_that_takes_too_long_is_an_error_that_names_client_and_table() -> Outcome {
    let mut town = Town::settled(1).await;
    let client = town.clients[0];
    // The rows of its partitions are read through it, and measured without.
    run(
        &mut town.admin,
        "begin; lock table only spans in access exclusive mode",
    )
    .await;
    let (bound, patient) = (Duration::from_secs(1), Duration::from_mins(1));
    let footprints = Footprints::new(town.fixture.platform().clone());
    let late = footprints
        .clone()
        .options(options().statement_timeout(bound).lock_timeout(patient))
        .exact(client)
        .await
        .unwrap_err();
    assert!(
        matches!(
            &late,
            Error::Footprint { source: FootprintError::TimedOut { client: whose, table, after }, .. }
                if *whose == client && table == "public.spans" && *after == bound
        ),
        "{late:?}"
    );
    assert_eq!(late.kind(), ErrorKind::Database);
    let locked = footprints
        .options(options().statement_timeout(patient).lock_timeout(bound))
        .exact(client)
        .await
        .unwrap_err();
    assert_eq!(locked.kind(), ErrorKind::Temporary, "{locked:?}");
    run(&mut town.admin, "rollback").await;
    town.footprints().exact(client).await?;
    town.fixture.close().await;
    Ok(())
}

#[tokio::test]
async fn a_client_that_moved_while_it_was_counted_is_not_told() -> Outcome {
    let town = Town::settled(2).await;
    let client = town.clients[0];
    let mut watcher = connect(town.fixture.admin_options(&town.fixture.database("pool-1"))).await;
    let mut admin = town.admin;
    run(&mut admin, "begin; lock table notes in access exclusive mode").await;
    let footprints = Footprints::new(town.fixture.platform().clone()).options(options());
    let meanwhile = async {
        until(
            &mut watcher,
            "select exists (select from pg_stat_activity where datname = current_database()
                            and application_name = 'tenantry footprint' and wait_event_type = 'Lock')",
        )
        .await;
        // Another epoch: it is not where it was looked for.
        let mut catalogue = connect(town.fixture.admin_options(&town.fixture.database("platform"))).await;
        run(
            &mut catalogue,
            &format!("update platform.clients set epoch = epoch + 1 where id = '{client}'"),
        )
        .await;
        run(&mut admin, "rollback").await;
    };
    let (counted, ()) = tokio::join!(footprints.exact(client), meanwhile);
    let error = counted.unwrap_err();
    assert!(
        matches!(error, Error::Moved { client: moved } if moved == client),
        "{error:?}"
    );
    town.fixture.close().await;
    Ok(())
}
