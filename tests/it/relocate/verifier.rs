//! Is the comparison of both sides itself sound?

use tenantry::testing::Fixture;
use tenantry::{DifferenceKind, Error, Phase, PortableError, RelocateTo, RelocationError, RelocationOptions};

use super::{Outcome, hasty, own_database, relocation};
use crate::portable::{KINDS, all_rows, assert_same, fill};
use crate::sql::{self, connect, one, run};

#[tokio::test]
async fn rows_of_every_kind_are_the_same_on_every_way() -> Outcome {
    for plain in [0, 100_000] {
        let fixture = Fixture::start(&KINDS).await?;
        let second = fixture.add_pool("pool-2", 10).await?;
        let acme = fixture.shared_client("acme").await?.id;
        let bolt = fixture.shared_client("bolt").await?.id;
        let mut pool = connect(fixture.admin_options(&fixture.database("pool-1"))).await;
        for (client, mark) in [(acme, "acme"), (bolt, "bolt")] {
            fill(&mut pool, client, mark).await;
        }
        let (wanted, others) = (
            all_rows(&mut pool, Some(acme)).await,
            all_rows(&mut pool, Some(bolt)).await,
        );
        let relocation = relocation(&fixture).options(RelocationOptions::default().plain_up_to(plain));
        let own = own_database(&fixture, "own", acme).await;
        for (to, there) in [
            (own, "own"),
            (RelocateTo::Pool(second), "pool-2"),
            (RelocateTo::Pool(fixture.pool()), "pool-1"),
        ] {
            let moved = relocation.start(acme, &to).await?;
            assert_eq!(
                moved
                    .certificate
                    .unwrap()
                    .tables
                    .iter()
                    .map(|table| table.rows)
                    .sum::<u64>(),
                211
            );
            relocation.complete(acme).await?;
            let mut admin = connect(fixture.admin_options(&fixture.database(there))).await;
            assert_same(&all_rows(&mut admin, Some(acme)).await, &wanted, there);
        }
        assert_same(&all_rows(&mut pool, Some(bolt)).await, &others, "the neighbour");
        fixture.close().await;
    }
    Ok(())
}

#[tokio::test]
#[expect(
    clippy::too_many_lines,
    reason = "one state that takes long to reach, and many attacks on it"
)]
async fn one_row_missing_doubled_changed_in_any_column_or_of_somebody_else_is_found() -> Outcome {
    let fixture = Fixture::start(&KINDS).await?;
    let acme = fixture.shared_client("acme").await?.id;
    let mut source = connect(fixture.admin_options(&fixture.database("pool-1"))).await;
    fill(&mut source, acme, "acme").await;
    let columns: Vec<(String,)> = sql::rows(
        &mut source,
        "select quote_ident(attname) from pg_attribute where attrelid = 'kinds'::regclass and attnum > 0
         and not attisdropped and attgenerated = '' and attname not in ('client_id', 'id') order by attnum",
    )
    .await;
    let columns: Vec<String> = columns.into_iter().map(|(column,)| column).collect();
    let all = columns.join(", ");
    let (first, second): (i64, i64) = (
        one(&mut source, "select id from kinds where small = -7").await,
        one(&mut source, "select id from kinds where small = 1").await,
    );
    // A row for each column to change.
    run(
        &mut source,
        &format!(
            "insert into kinds (client_id, id, {all}) overriding system value
             select client_id, 1000 + n, {all} from kinds, generate_series(1, {}) n where id = {first}",
            columns.len()
        ),
    )
    .await;
    let to = own_database(&fixture, "own", acme).await;
    let relocation = relocation(&fixture);
    let mut writer = connect(fixture.admin_options(&fixture.database("pool-1"))).await;
    let hold = format!(
        "begin; select pg_advisory_xact_lock_shared(tenantry.lock_key(handle)) from tenantry.placement where client_id = '{acme}'"
    );
    run(&mut writer, &hold).await;
    let stopped = relocation.clone().options(hasty()).start(acme, &to).await;
    assert!(
        matches!(
            &stopped,
            Err(Error::Relocation {
                source: RelocationError::NotDrained { .. },
                ..
            })
        ),
        "{stopped:?}"
    );
    run(&mut writer, "rollback").await;
    assert!(relocation.differences(acme, None, 100).await?.rows.is_empty());

    let mut target = connect(fixture.admin_options(&fixture.database("own"))).await;
    let mut changed = Vec::new();
    for (column, id) in columns.iter().zip(1001_i64..) {
        let other = format!(
            "update kinds t set {column} = o.{column} from kinds o
             where t.id = {id} and o.id = {second} and t.{column}::text is distinct from o.{column}::text"
        );
        run(&mut target, &other).await;
        let same: bool = one(
            &mut target,
            &format!("select count(distinct {column}::text) + count(*) filter (where {column} is null) = 1 from kinds where id in ({id}, {first})"),
        )
        .await;
        if !same {
            changed.push(format!("({id})"));
        }
    }
    assert!(
        changed.len() >= 42,
        "only {} of {} columns were changed",
        changed.len(),
        columns.len()
    );
    let found = relocation.differences(acme, None, 1000).await?;
    let mut keys: Vec<String> = found.rows.iter().map(|row| row.key.clone()).collect();
    keys.sort();
    assert_eq!(keys, changed);
    assert!(
        found
            .rows
            .iter()
            .all(|row| row.table == "public.kinds" && row.kind == DifferenceKind::Changed)
    );
    // Bounded, and from a table on.
    assert_eq!(relocation.differences(acme, None, 5).await?.rows.len(), 5);
    assert!(
        relocation
            .differences(acme, Some("public.kinds"), 5)
            .await?
            .rows
            .is_empty()
    );
    let resumed = relocation.resume(acme).await;
    assert!(
        matches!(&resumed, Err(Error::Relocation { source: RelocationError::ContentDiffers { table, .. }, .. }) if table == "public.kinds"),
        "{resumed:?}"
    );
    // What the source changes is brought over anew, and with it what was wrong.
    run(&mut source, "update kinds set client_id = client_id").await;
    assert!(relocation.differences(acme, None, 100).await?.rows.is_empty());

    for (doing, undoing, kind) in [
        (
            "delete from events where id = 7",
            "insert into events (id, at, node) values (7, date '2019-12-08', 7)",
            DifferenceKind::Missing,
        ),
        (
            "insert into events (id, at) values (700, date '2019-12-08')",
            "delete from events where id = 700",
            DifferenceKind::Extra,
        ),
    ] {
        run(&mut target, doing).await;
        let found = relocation.differences(acme, None, 100).await?.rows;
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!((found[0].kind, found[0].table.as_str()), (kind, "public.events"));
        let resumed = relocation.resume(acme).await;
        assert!(
            matches!(&resumed, Err(Error::Relocation { source: RelocationError::ContentDiffers { table, .. }, .. }) if table == "public.events"),
            "{resumed:?}"
        );
        run(&mut target, undoing).await;
    }
    // Another's row, in a database of one.
    run(
        &mut target,
        "insert into events (client_id, id, at) values (gen_random_uuid(), 1, date '2019-12-08')",
    )
    .await;
    let resumed = relocation.resume(acme).await;
    assert!(
        matches!(&resumed, Err(Error::Portable { source: PortableError::ForeignRows { table }, .. }) if table == "public.events"),
        "{resumed:?}"
    );
    run(
        &mut target,
        &format!("delete from events where client_id <> '{acme}'"),
    )
    .await;
    assert_eq!(relocation.resume(acme).await?.phase, Phase::Moved);
    fixture.close().await;
    Ok(())
}
