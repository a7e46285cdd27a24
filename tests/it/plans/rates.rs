use std::time::Duration;

use tenantry::testing::Fixture;
use tenantry::{Error, Limit, Limits};

use super::Outcome;
use crate::support::HOST;

const RATE: Limit = Limit::REQUESTS_PER_MINUTE;

#[tokio::test]
async fn a_rate_is_of_the_client_and_its_plan_whichever_handle_asks() -> Outcome {
    let fixture = Fixture::start(&HOST).await?;
    let (acme, bolt) = (
        fixture.shared_client("acme").await?,
        fixture.shared_client("bolt").await?,
    );
    let limited = |most| Limits::default().with(RATE, Some(most));
    for client in [&acme, &bolt] {
        fixture.platform().set_limits(client.id, &limited(3)).await?;
    }
    let manager = fixture.manager().await?;
    let db = manager.tenant(acme.id).await?;
    db.check_rate(RATE)?;
    db.check_rate(RATE)?;
    // By another name, so by another route.
    let again = manager.tenant(acme.slug.clone()).await?;
    again.check_rate(RATE)?;
    for db in [&db, &again] {
        let refused = db.check_rate(RATE).unwrap_err();
        let Error::RateLimited {
            client,
            limit,
            retry_after,
        } = &refused
        else {
            panic!("{refused:?}");
        };
        assert_eq!((client, limit), (&acme.id, &RATE));
        assert!(*retry_after > Duration::ZERO && *retry_after <= Duration::from_secs(20));
        assert_eq!(
            (refused.kind(), refused.is_retryable()),
            (tenantry::ErrorKind::Plan, false)
        );
    }
    manager.tenant(bolt.id).await?.check_rate(RATE)?;

    // Another plan is counted anew, once its route is asked for.
    fixture.platform().set_limits(acme.id, &limited(1)).await?;
    db.query("agents").count().await?;
    let db = manager.tenant(acme.id).await?;
    db.check_rate(RATE)?;
    assert!(matches!(db.check_rate(RATE), Err(Error::RateLimited { .. })));
    db.check_rate(Limit::REQUESTS_PER_SECOND)?;
    let refused = db.check_rate(Limit::MAX_DOCUMENTS).unwrap_err();
    assert!(matches!(refused, Error::StatementRefused { .. }), "{refused:?}");
    manager.close().await;
    fixture.close().await;
    Ok(())
}
