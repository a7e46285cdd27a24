//! Who has outgrown a pool, and where there is room.

use tenantry::{
    CapacityReport, ClientFilter, Error, GrowthBounds, Hosting, Limit, Limits, Outgrowth, Tier, TierCatalog,
    TierName,
};

use super::{Outcome, Town};
use crate::sql::run;

#[tokio::test]
async fn a_report_says_who_has_outgrown_a_pool_and_where_there_is_room() -> Outcome {
    let mut town = Town::settled(20).await;
    town.analyze().await;
    let (fixture, platform) = (&town.fixture, town.fixture.platform());
    let roomy = fixture.add_pool("roomy", 10).await?;
    let full = fixture.add_pool("full", 1).await?;
    let closed = fixture.add_pool("closed", 10).await?;
    let gone = fixture.add_pool("gone", 10).await?;
    platform.set_pool_active(closed, false).await?;
    let nowhere = fixture.admin_url("no_such_database");
    platform
        .set_pool_connections(gone, &nowhere.clone().into(), &nowhere.into())
        .await?;
    for active in [false, true] {
        platform.set_pool_active(fixture.pool(), active).await?;
        platform.set_pool_active(roomy, active).await?;
        if !active {
            fixture.shared_client("last").await?;
        }
    }
    let last = platform
        .clients(&ClientFilter::default().pool(full), None, 10)
        .await?;
    assert_eq!(last.clients.len(), 1, "it is full");

    let footprints = town.footprints();
    let bounds = GrowthBounds::default().rows(5_000).share(0.2).largest(4);
    let report = footprints.report(&bounds).await?;
    let who: Vec<_> = report
        .outgrown
        .iter()
        .map(|outgrown| outgrown.client.client)
        .collect();
    assert_eq!(who, town.clients[..2], "{report}");
    let first = &report.outgrown[0];
    assert!(
        matches!(
            first.by[..],
            [Outgrowth::Rows { bound: 5_000, .. }, Outgrowth::Share { .. }]
        ),
        "{first:?}"
    );
    assert!(
        matches!(report.outgrown[1].by[..], [Outgrowth::Rows { .. }]),
        "{report}"
    );
    assert_eq!(first.pools_with_room, [roomy], "{report}");
    assert_eq!(
        first.dedicated_tier.as_ref().map(TierName::as_str),
        Some("champion")
    );

    let names: Vec<_> = report
        .pools
        .iter()
        .map(|pool| (pool.name.as_str(), pool.room))
        .collect();
    assert_eq!(
        names,
        [("pool-1", 980), ("roomy", 10), ("full", 0), ("closed", 0)]
    );
    let pool = &report.pools[0];
    assert_eq!(pool.largest.len(), 4);
    assert_eq!(pool.largest[0].client, town.clients[0]);
    let frees = &first.frees;
    assert_eq!(frees.leaves + frees.bytes.amount, pool.bytes);
    #[expect(clippy::cast_precision_loss, reason = "bytes of a test")]
    let share = frees.bytes.amount as f64 / pool.bytes as f64;
    assert!((frees.share - share).abs() < 1e-9 && share > 0.2, "{frees:?}");
    assert_eq!(report.unread.len(), 1);
    assert!(
        matches!(report.unread[0].error, Error::Unreachable { .. }),
        "{:?}",
        report.unread
    );

    expect_shown(&report);

    // Where a pool is to be no larger than it is, none of the others has room for a client that takes more.
    let smallest = report.pools[1].bytes;
    let tight = footprints.report(&bounds.pool_bytes(smallest + 1)).await?;
    assert_eq!(tight.outgrown[0].pools_with_room, []);
    assert_eq!(tight.pools[0].room_bytes, Some(0));

    // Nothing that was not said bounds anybody.
    let free = footprints.report(&GrowthBounds::default()).await?;
    assert!(
        free.outgrown.is_empty() && free.to_string().contains("nobody has outgrown"),
        "{free}"
    );
    town.fixture.close().await;
    Ok(())
}

/// As a table and as JSON.
fn expect_shown(report: &CapacityReport) {
    let shown = report.to_string();
    for told in [
        "client-0",
        "tier champion, roomy",
        "gone: not read",
        "after a vacuum",
        "20/1000",
    ] {
        assert!(shown.contains(told), "{told}: {shown}");
    }
    let json = serde_json::to_value(report).unwrap();
    assert_eq!(json["outgrown"][0]["slug"], "client-0");
    assert_eq!(json["pools"][0]["room"], 980);
    assert!(
        json["unread"][0]["error"]
            .as_str()
            .is_some_and(|text| text.contains("cannot be reached"))
    );
}

#[tokio::test]
async fn the_limits_of_a_plan_say_who_has_outgrown_it_and_which_tier_lifts_them() -> Outcome {
    let mut town = Town::settled(4).await;
    town.analyze().await;
    run(
        &mut town.admin,
        &format!("insert into tags values ('{}', 'one')", town.clients[0]),
    )
    .await;
    let platform = town.fixture.platform();
    // Without a grace, by which what a limit allowed before is allowed for some time.
    let small = Tier::new("adventurer", Hosting::Shared).limit(Limit::MAX_DOCUMENTS, Some(50));
    let tiers = TierCatalog::new([small, Tier::new("champion", Hosting::Dedicated)])?;
    platform.apply_tiers(&tiers).await?;
    let own = Limits::default().with(Limit::MAX_DOCUMENTS, Some(7_000));
    platform.set_limits(town.clients[1], &own).await?;
    let manager = town.fixture.manager().await?;
    let metered = Limits::default().with(Limit::API_CALLS_PER_MONTH, Some(1));
    platform.set_limits(town.clients[3], &metered).await?;
    manager
        .tenant(town.clients[3])
        .await?
        .meter(Limit::API_CALLS_PER_MONTH)
        .await?;
    manager.close().await;

    let bounds = GrowthBounds::default()
        .limit_of_rows(Limit::MAX_DOCUMENTS, "public.notes")
        .limit_of_calls(Limit::API_CALLS_PER_MONTH);
    let report = town.footprints().report(&bounds).await?;
    let who: Vec<_> = report
        .outgrown
        .iter()
        .map(|outgrown| outgrown.client.client)
        .collect();
    assert_eq!(who, town.clients, "{report}");
    let of = |client| {
        report
            .outgrown
            .iter()
            .find(|outgrown| outgrown.client.client == client)
            .unwrap()
    };
    // The tier's limit is lifted by another tier, a limit of one's own by none.
    assert!(
        matches!(&of(town.clients[0]).by[..], [Outgrowth::Limit { limit, lifted_by: Some(_), .. }] if *limit == Limit::MAX_DOCUMENTS),
        "{report}"
    );
    assert!(
        matches!(
            &of(town.clients[1]).by[..],
            [Outgrowth::Limit {
                allowed: 7_000,
                lifted_by: None,
                ..
            }]
        ),
        "{report}"
    );
    assert!(
        matches!(&of(town.clients[3]).by[..], [Outgrowth::Limit { limit, has: 1, allowed: 1, .. }] if *limit == Limit::API_CALLS_PER_MONTH),
        "{report}"
    );
    // A table that was never analysed is told, and a client that may be in it is not said to be small.
    assert_eq!(report.pools[0].unknown_tables, ["public.tags"]);
    assert!(
        report
            .to_string()
            .contains("never analysed, and left out: public.tags")
    );
    assert_eq!(report.pools[0].largest[0].rows.unknown_tables, 1);

    let storage = Limits::default().with(Limit::MAX_STORAGE_GB, Some(1));
    for client in &town.clients[2..] {
        platform.set_limits(*client, &storage).await?;
    }
    // As if a gigabyte were that.
    let bounds = GrowthBounds::default().limit_of_bytes(Limit::MAX_STORAGE_GB, 100_000);
    let report = town.footprints().report(&bounds).await?;
    let who: Vec<_> = report
        .outgrown
        .iter()
        .map(|outgrown| outgrown.client.client)
        .collect();
    assert_eq!(who, [town.clients[2]], "{report}");
    town.fixture.close().await;
    Ok(())
}
