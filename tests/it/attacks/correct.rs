use sqlx::migrate::Migrator;
use tenantry::testing::Fixture;

use super::{HOST, Outcome, SHOP, attacked};

static KINDS: Migrator = sqlx::migrate!("tests/it/attacks/kinds");

#[tokio::test]
async fn nothing_is_reached_on_the_reference_platform() -> Outcome {
    let fixture = Fixture::start(&HOST).await?;
    let report = attacked(&fixture).await?;
    assert!(report.is_clean(), "{report}");
    assert_eq!(report.tables.len(), 7, "{report:#?}");
    assert_eq!(report.functions.len(), 6, "{report:#?}");
    assert_eq!(report.left_out, Vec::<String>::new());
    // What PostgreSQL gives away is seen, not assumed.
    for told in ["large objects", "lock a table", "explain (analyze)"] {
        let seen = report.tolerated.iter().any(|tolerated| tolerated.contains(told));
        assert!(seen, "{told}: {:#?}", report.tolerated);
    }
    fixture.close().await;
    Ok(())
}

#[tokio::test]
async fn nothing_is_reached_in_a_shop() -> Outcome {
    let fixture = Fixture::start(&SHOP).await?;
    let report = attacked(&fixture).await?;
    assert!(report.is_clean(), "{report}");
    assert_eq!(report.tables.len(), 3, "{report:#?}");
    assert_eq!(report.left_out, Vec::<String>::new());
    assert!(report.side_effects.len() > 3, "{report:#?}");
    fixture.close().await;
    Ok(())
}

#[tokio::test]
async fn tables_of_every_kind_are_filled() -> Outcome {
    let fixture = Fixture::start(&KINDS).await?;
    let report = attacked(&fixture).await?;
    assert!(report.is_clean(), "{report}");
    assert_eq!(report.tables.len(), 10, "{report:#?}");
    // A function of a whole row is called with one.
    assert_eq!(report.left_out, Vec::<String>::new());
    assert!(
        report.functions.contains(&"public.label_of(stay)".to_owned()),
        "{report:#?}"
    );
    fixture.close().await;
    Ok(())
}
