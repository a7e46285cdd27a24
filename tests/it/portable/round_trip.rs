//! Rows arrive as they were, wherever they go.

use tenantry::{ExportOptions, RestoreOptions};

use super::{Outcome, Place, ROWS, all_rows, assert_same, count, fill, rows_of, shared};
use crate::sql::{connect, one, run};

#[tokio::test]
async fn rows_of_every_kind_are_the_same_in_every_home() -> Outcome {
    let mut place = Place::set().await?;
    let bolt = place.fixture.shared_client("bolt").await?.id;
    fill(&mut place.admin, bolt, "planted-by-a-neighbour").await;
    let neighbours = all_rows(&mut place.admin, Some(bolt)).await;
    let long = format!(
        "update kinds set words = words || repeat('x', 1000000), bytes = convert_to(repeat('y', 1000000), 'UTF8')
         where client_id = '{}' and letter is null and small is not null",
        place.acme
    );
    run(&mut place.admin, &long).await;
    let wanted = all_rows(&mut place.admin, Some(place.acme)).await;
    assert!(wanted[0].contains("🦀") && wanted[0].len() > 1_000_000);
    let platform = place.fixture.platform();

    let mut file = Vec::new();
    let exported = platform
        .export_client(place.acme, &mut file, &ExportOptions::default())
        .await?;
    assert_eq!(exported.bytes, file.len() as u64);
    let rows = |table: &str| {
        let mut tables = exported.tables.iter();
        tables.find(|known| known.table == table).map(|known| known.rows)
    };
    assert_eq!(exported.tables.len(), 8);
    assert_eq!(rows("public.kinds"), Some(4));
    assert_eq!(rows("public.empties"), Some(0));
    assert_eq!(rows("public.events"), Some(100));
    assert_eq!(rows("public.colours"), None);
    let has = |text: &str| file.windows(text.len()).any(|part| part == text.as_bytes());
    assert!(has("acme") && !has("planted-by-a-neighbour"));

    // Beside the neighbour and itself, under an id of its own.
    let twin = shared("twin");
    let options = RestoreOptions::default();
    let restored = platform.restore_client(twin, &file[..], &options).await?;
    assert_eq!(restored.tables, exported.tables);
    assert_eq!(restored.exported_from, place.acme);
    let twin = restored.client;
    assert_same(&all_rows(&mut place.admin, Some(twin)).await, &wanted, "here");
    let manager = place.fixture.manager().await?;
    let found: Vec<(i64,)> = manager
        .tenant(twin)
        .await?
        .query("kinds")
        .columns(["id"])
        .fetch_all()
        .await?;
    assert_eq!(found.len(), 4);
    // What is computed was computed, and the names of the catalogue are those of this database.
    let computed = format!(
        "select count(*) from kinds a join kinds b on b.id = a.id and b.client_id = '{twin}'
         where a.client_id = '{}' and (a.doubled, a.searched, a.relation) is not distinct from
               (b.doubled, b.searched, b.relation)",
        place.acme
    );
    assert_eq!(one::<i64>(&mut place.admin, &computed).await, 4);

    // In a database of its own, with `client_id`, and one that an older system made, without it.
    let vast = place.fixture.dedicated_client("vast").await?.id;
    platform.restore_client(vast, &file[..], &options).await?;
    let mut admin = connect(place.fixture.admin_options(&place.fixture.database("vast"))).await;
    assert_same(&all_rows(&mut admin, Some(vast)).await, &wanted, "here");
    let (old, mut admin) = place.legacy("old").await?;
    platform.restore_client(old, &file[..], &options).await?;
    assert_same(&all_rows(&mut admin, None).await, &wanted, "here");
    let relation: String = one(&mut admin, "select min(relation::text) from kinds").await;
    assert_eq!(relation, "nodes");

    // And back from both. The older one has no foreign keys to order its tables by.
    for (from, slug) in [(vast, "from-vast"), (old, "from-old")] {
        let report = platform
            .clone_client(from, shared(slug), &ExportOptions::default())
            .await?;
        assert_same(
            &all_rows(&mut place.admin, Some(report.client)).await,
            &wanted,
            "here",
        );
    }
    assert_same(
        &all_rows(&mut place.admin, Some(bolt)).await,
        &neighbours,
        "the neighbour",
    );
    assert_same(
        &all_rows(&mut place.admin, Some(place.acme)).await,
        &wanted,
        "here",
    );
    assert_eq!(count(&mut place.admin, twin).await, ROWS);
    manager.close().await;
    place.fixture.close().await;
    Ok(())
}

#[tokio::test]
async fn sequences_go_on_where_they_were_and_never_back() -> Outcome {
    let mut place = Place::set().await?;
    let vast = place.fixture.dedicated_client("vast").await?.id;
    let insert = "insert into kinds (words) values ('next') returning id || ' ' || serial";
    run(
        &mut place.admin,
        "select setval('kinds_id_seq', 1000), setval('kinds_serial_seq', 50)",
    )
    .await;
    let file = place.export().await?;
    let platform = place.fixture.platform();
    let options = RestoreOptions::default();
    platform.restore_client(vast, &file[..], &options).await?;
    let mut admin = connect(place.fixture.admin_options(&place.fixture.database("vast"))).await;
    assert_eq!(one::<String>(&mut admin, insert).await, "1001 51");

    // Another pool client may take values meanwhile: what was restored lags behind.
    run(
        &mut place.admin,
        "select setval('kinds_id_seq', 5000), setval('kinds_serial_seq', 60)",
    )
    .await;
    platform
        .restore_client(shared("twin"), &file[..], &options)
        .await?;
    let now =
        "select (select last_value from kinds_id_seq) || ' ' || (select last_value from kinds_serial_seq)";
    assert_eq!(one::<String>(&mut place.admin, now).await, "5000 60");

    // Where the rows have values and no sequence, they count themselves.
    let (old, mut admin) = place.legacy("old").await?;
    run(&mut admin, "insert into kinds (id, serial) values (9000, 10)").await;
    let report = platform
        .clone_client(old, shared("from-old"), &ExportOptions::default())
        .await?;
    assert_eq!(one::<String>(&mut place.admin, now).await, "9000 60");
    assert!(
        !rows_of(&mut place.admin, "kinds", Some(report.client))
            .await
            .is_empty()
    );
    place.fixture.close().await;
    Ok(())
}
