#![expect(
    clippy::unwrap_used,
    reason = "the functions that the tests share panic like tests"
)]

use std::time::{Duration, SystemTime};

use sqlx::PgConnection;
use tenantry::testing::Fixture;
use tenantry::{
    ClientId, ClientRecord, ClientRef, Directory as _, Hosting, Limit, Limits, NewClient, Tier, TierCatalog,
};

use super::{Outcome, platform_connection};
use crate::sql::run;
use crate::support::HOST;

const DOCUMENTS: Limit = Limit::MAX_DOCUMENTS;

async fn record(fixture: &Fixture, id: ClientId) -> tenantry::Result<ClientRecord> {
    Ok(fixture.platform().client(&ClientRef::Id(id)).await?.unwrap())
}

/// What the tiers small and large allow; `None` for a tier that does not say.
fn tiers(small: i64, large: Option<i64>, grace_days: u32) -> TierCatalog {
    let small = Tier::new("small", Hosting::Shared).limit(DOCUMENTS, Some(small));
    let mut larger = Tier::new("large", Hosting::Shared);
    if large.is_some() {
        larger = larger.limit(DOCUMENTS, large);
    }
    TierCatalog::new([small.grace_days(grace_days), larger.grace_days(grace_days)]).unwrap()
}

/// Lets so many days pass for what is graced.
async fn pass(conn: &mut PgConnection, days: u32) {
    let sql = format!(
        "update platform.clients c set grace = (
             select jsonb_agg(jsonb_set(e, '{{until}}', to_jsonb((e ->> 'until')::int8 - {days} * 86400)))
             from jsonb_array_elements(c.grace) e)
         where grace <> '[]'"
    );
    run(conn, &sql).await;
}

#[tokio::test]
async fn what_was_allowed_stays_so_until_its_grace_ends_however_the_limit_fell() -> Outcome {
    let fixture = Fixture::start(&HOST).await?;
    let platform = fixture.platform();
    let mut conn = platform_connection(&fixture).await;
    platform.apply_tiers(&tiers(50, Some(80), 10)).await?;
    let large =
        |slug: &'static str| platform.create_client(NewClient::new(slug, slug.parse().unwrap(), "large"));
    let (acme, bolt) = (large("acme").await?.id, large("bolt").await?.id);
    let before = record(&fixture, acme).await?;
    assert_eq!(
        (before.limit(&DOCUMENTS), before.grace.iter().count()),
        (Some(80), 0)
    );

    // By the client's own limit, then by its tier's fall, then by another tier; each has its own end.
    platform
        .set_limits(bolt, &Limits::default().with(DOCUMENTS, Some(30)))
        .await?;
    platform.set_tier(acme, "small").await?;
    let fell = record(&fixture, acme).await?;
    assert_eq!(
        (fell.limits.get(&DOCUMENTS), fell.limit(&DOCUMENTS)),
        (Some(Some(50)), Some(80))
    );
    let (limit, allowed, until) = fell.grace.iter().next().unwrap();
    assert_eq!((limit, allowed), (&DOCUMENTS, Some(80)));
    let days = until.duration_since(SystemTime::now())?.as_secs_f64() / 86_400.0;
    assert!((9.9..10.1).contains(&days), "{days}");
    pass(&mut conn, 4).await;
    platform.apply_tiers(&tiers(20, Some(80), 10)).await?;
    assert_eq!(record(&fixture, acme).await?.limit(&DOCUMENTS), Some(80));
    assert_eq!(record(&fixture, bolt).await?.limit(&DOCUMENTS), Some(80));
    pass(&mut conn, 7).await;
    // The first grace is over, and the second is not; the tier's fall is nothing to whom it does not limit.
    assert_eq!(record(&fixture, acme).await?.limit(&DOCUMENTS), Some(50));
    assert_eq!(record(&fixture, bolt).await?.limit(&DOCUMENTS), Some(30));
    pass(&mut conn, 4).await;
    assert_eq!(record(&fixture, acme).await?.limit(&DOCUMENTS), Some(20));

    // From unlimited, declared or not, and of the column of its own.
    platform
        .set_limits(acme, &Limits::default().with(DOCUMENTS, None))
        .await?;
    assert_eq!(record(&fixture, acme).await?.limit(&DOCUMENTS), None);
    let limits = Limits::default()
        .with(Limit::MAX_USERS, Some(1))
        .with(Limit::MAX_SIDEKICKS, Some(1));
    platform.set_limits(acme, &limits).await?;
    let fell = record(&fixture, acme).await?;
    for limit in [&DOCUMENTS, &Limit::MAX_USERS, &Limit::MAX_SIDEKICKS] {
        assert_eq!(
            (fell.limits.get(limit).flatten().is_some(), fell.limit(limit)),
            (true, None)
        );
    }
    // What rises above the grace needs none.
    platform.set_limits(acme, &Limits::default()).await?;
    let rose = record(&fixture, acme).await?;
    assert_eq!(rose.limit(&Limit::MAX_USERS), None);
    assert!(
        rose.grace.iter().all(|(limit, ..)| *limit == DOCUMENTS),
        "{rose:?}"
    );
    fixture.close().await;
    Ok(())
}

#[tokio::test]
async fn without_grace_a_limit_falls_at_once_and_with_it_not_what_guards_the_neighbours() -> Outcome {
    let fixture = Fixture::start(&HOST).await?;
    let platform = fixture.platform();
    platform.apply_tiers(&tiers(50, None, 0)).await?;
    let acme = fixture.shared_client("acme").await?.id;
    platform.set_tier(acme, "large").await?;
    platform.set_tier(acme, "small").await?;
    assert_eq!(record(&fixture, acme).await?.limit(&DOCUMENTS), Some(50));

    platform.set_grace_days(acme, Some(1)).await?;
    let manager = fixture.manager().await?;
    platform
        .set_limits(
            acme,
            &Limits::default().with(Limit::STATEMENT_TIMEOUT_MS, Some(100)),
        )
        .await?;
    let mut tx = manager.tenant(acme).await?.begin().await?;
    let asked = crate::support::ask(&mut tx, "select current_setting('statement_timeout')").await;
    assert_eq!(asked, crate::support::Reply::one("100ms"));
    drop(tx);
    let until = record(&fixture, acme).await?.grace.iter().next().unwrap().2;
    assert!(until > SystemTime::now() + Duration::from_secs(80_000));
    manager.close().await;
    fixture.close().await;
    Ok(())
}
