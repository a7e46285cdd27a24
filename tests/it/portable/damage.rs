//! A file that was cut short or changed restores nothing.

use tenantry::{PortableError, RestoreOptions};

use super::{Outcome, Place, ROWS, count, portable, shared};

/// Where the sections of the file end, as its format has it.
fn ends(file: &[u8]) -> Vec<usize> {
    let mut ends = vec![18];
    while let Some(head) = file.get(ends[ends.len() - 1]..).filter(|rest| !rest.is_empty()) {
        let length = u32::from_be_bytes(*head[5..].first_chunk().unwrap());
        ends.push(ends[ends.len() - 1] + 9 + usize::try_from(length).unwrap() + 32);
    }
    ends
}

#[tokio::test]
async fn a_file_that_was_cut_or_changed_anywhere_restores_nothing() -> Outcome {
    let mut place = Place::set().await?;
    let platform = place.fixture.platform();
    let file = place.export().await?;
    let bolt = place.fixture.shared_client("bolt").await?.id;
    let options = RestoreOptions::default();
    let ends = ends(&file);
    assert!(ends.len() > 15 && ends.last() == Some(&file.len()), "{ends:?}");

    // Every section in turn is the last, or ends in the middle.
    let cuts = ends.iter().flat_map(|end| [*end, end.saturating_sub(1), end + 5]);
    for cut in cuts.filter(|cut| *cut < file.len()) {
        let outcome = platform.restore_client(bolt, &file[..cut], &options).await;
        let error = portable(outcome);
        assert!(matches!(error, PortableError::Damaged { .. }), "{cut}: {error:?}");
    }
    // A byte in every section, and elsewhere at random: sections with a million bytes have the most.
    let spread = (0..40).map(|n| n * (file.len() / 40) + n);
    let in_each = ends
        .windows(2)
        .map(|section| usize::midpoint(section[0], section[1]));
    for at in spread.chain(in_each).chain(ends[..ends.len() - 1].to_vec()) {
        let mut flipped = file.clone();
        flipped[at] ^= 1 << (at % 8);
        let error = portable(platform.restore_client(bolt, &flipped[..], &options).await);
        assert!(
            matches!(
                error,
                PortableError::Damaged { .. } | PortableError::UnknownVersion { .. }
            ),
            "{at}: {error:?}"
        );
    }
    assert_eq!(count(&mut place.admin, bolt).await, 0);

    // A client that was created for it is gone.
    let cut = &file[..file.len() - 1];
    let error = portable(platform.restore_client(shared("twin"), cut, &options).await);
    assert!(matches!(error, PortableError::Damaged { .. }), "{error:?}");
    let restored = platform
        .restore_client(shared("twin"), &file[..], &options)
        .await?;
    assert_eq!(count(&mut place.admin, restored.client).await, ROWS);
    // And what is whole is restored where all of that was not.
    platform.restore_client(bolt, &file[..], &options).await?;
    assert_eq!(count(&mut place.admin, bolt).await, ROWS);
    place.fixture.close().await;
    Ok(())
}
