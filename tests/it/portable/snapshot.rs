//! What is exported is what was there at one moment.

use tenantry::{ExportOptions, RestoreOptions};
use tokio::io::AsyncReadExt as _;

use super::{Outcome, Place, all_rows, assert_same, shared};
use crate::sql::{connect, run};

#[tokio::test]
async fn a_write_during_the_export_is_in_none_of_its_tables() -> Outcome {
    let mut place = Place::set().await?;
    let platform = place.fixture.platform();
    let wanted = all_rows(&mut place.admin, Some(place.acme)).await;
    let database = place.fixture.database("pool-1");
    let mut writer = connect(place.fixture.admin_options(&database)).await;
    let acme = place.acme;

    // The export waits for its reader behind a few bytes: the snapshot was taken, and no table was read.
    let (mut from, to) = tokio::io::duplex(64);
    let options = ExportOptions::default();
    let read = async {
        let mut file = vec![0; 64];
        from.read_exact(&mut file).await?;
        let write = format!(
            "begin;
             insert into nodes values ('{acme}', 1001, 1);
             insert into events values ('{acme}', 1001, '2024-01-01', 1001);
             update nodes set parent = null where client_id = '{acme}' and id = 1;
             delete from kinds where client_id = '{acme}';
             commit"
        );
        run(&mut writer, &write).await;
        from.read_to_end(&mut file).await?;
        Ok::<_, std::io::Error>(file)
    };
    let (exported, file) = tokio::join!(platform.export_client(acme, to, &options), read);
    exported?;
    let restored = platform
        .restore_client(shared("twin"), &file?[..], &RestoreOptions::default())
        .await?;
    assert_same(
        &all_rows(&mut place.admin, Some(restored.client)).await,
        &wanted,
        "here",
    );
    assert!(all_rows(&mut place.admin, Some(acme)).await != wanted);
    place.fixture.close().await;
    Ok(())
}
