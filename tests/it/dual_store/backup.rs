//! A copy of the files that is finished or not there, and that says when it was changed.

use std::fs;
use std::path::Path;

use tempfile::tempdir;
use tenantry::{Error, JsonBackup, JsonError};

use super::Outcome;

/// What becomes of a backup.
type Change = fn(&Path) -> std::io::Result<()>;

fn against<T: std::fmt::Debug>(outcome: tenantry::Result<T>) -> JsonError {
    match outcome {
        Err(Error::Json { source, .. }) => *source,
        outcome => unreachable!("{outcome:?}"),
    }
}

fn data(folder: &Path) -> std::io::Result<()> {
    for (path, content) in [
        ("acme/roles.json", "[1]"),
        ("acme/users.json", "[2, \"bad"),
        ("bolt/roles.json", "[]"),
        ("bolt/.roles.json.lock", ""),
    ] {
        let path = folder.join(path);
        fs::create_dir_all(path.parent().unwrap())?;
        fs::write(path, content)?;
    }
    Ok(())
}

#[tokio::test]
async fn a_backup_holds_every_file_as_it_is_and_is_never_written_over() -> Outcome {
    let folder = tempdir()?;
    let (live, backups) = (folder.path().join("data"), folder.path().join("backups"));
    data(&live)?;
    let backup = JsonBackup::take(&live, &backups, "2031-01-01").await?;
    assert_eq!(backup.path(), backups.join("2031-01-01"));
    assert_eq!(backup.verify().await?, 3);
    assert_eq!(JsonBackup::open(backup.path()).await?, backup);
    fs::write(live.join("acme/roles.json"), "[1, 2]")?;
    assert!(matches!(
        against(JsonBackup::take(&live, &backups, "2031-01-01").await),
        JsonError::AlreadyThere
    ));
    assert_eq!(fs::read_to_string(backup.path().join("acme/roles.json"))?, "[1]");
    for name in ["", ".", "..", "../x", "a/b", ".hidden"] {
        assert!(
            matches!(
                against(JsonBackup::take(&live, &backups, name).await),
                JsonError::BadName
            ),
            "{name}"
        );
    }

    let restored = folder.path().join("restored");
    backup.restore(&restored).await?;
    for path in ["acme/roles.json", "acme/users.json", "bolt/roles.json"] {
        assert_eq!(
            fs::read(restored.join(path))?,
            fs::read(backup.path().join(path))?
        );
    }
    assert_eq!(fs::read_dir(&restored)?.count(), 2);
    assert!(matches!(
        against(backup.restore(&restored).await),
        JsonError::AlreadyThere
    ));
    assert!(matches!(
        against(backup.restore(&live).await),
        JsonError::AlreadyThere
    ));
    assert_eq!(fs::read_to_string(live.join("acme/roles.json"))?, "[1, 2]");
    Ok(())
}

#[tokio::test]
async fn a_backup_that_was_changed_says_so_and_is_not_restored() -> Outcome {
    let folder = tempdir()?;
    let (live, backups) = (folder.path().join("data"), folder.path().join("backups"));
    data(&live)?;
    let changes: [(&str, Change); 4] = [
        ("acme/roles.json was changed", |at| {
            fs::write(at.join("acme/roles.json"), "[7]")
        }),
        ("acme/roles.json is missing", |at| {
            fs::remove_file(at.join("acme/roles.json"))
        }),
        ("acme/more.json was added", |at| {
            fs::write(at.join("acme/more.json"), "[]")
        }),
        ("", |at| fs::remove_file(at.join(".manifest.json"))),
    ];
    for (number, (told, change)) in changes.into_iter().enumerate() {
        let backup = JsonBackup::take(&live, &backups, number.to_string()).await?;
        change(backup.path())?;
        let restored = folder.path().join("restored");
        for outcome in [backup.verify().await.map(drop), backup.restore(&restored).await] {
            match against(outcome) {
                JsonError::Damaged { files } => assert_eq!(files, [told]),
                error => assert!(
                    told.is_empty() && matches!(error, JsonError::NoBackup { .. }),
                    "{error}"
                ),
            }
        }
        assert!(!restored.exists());
    }
    Ok(())
}

#[tokio::test]
async fn a_backup_that_fails_or_dies_leaves_nothing_that_looks_like_one() -> Outcome {
    let folder = tempdir()?;
    let (live, backups) = (folder.path().join("data"), folder.path().join("backups"));
    data(&live)?;
    // What one that was killed leaves: it has no name.
    fs::create_dir_all(backups.join(".nightly.unfinished/acme"))?;
    fs::write(backups.join(".nightly.unfinished/acme/roles.json"), "ha")?;
    assert!(matches!(
        against(JsonBackup::open(backups.join(".nightly.unfinished")).await),
        JsonError::NoBackup { .. }
    ));
    // While somebody else makes one.
    let lock = fs::File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(backups.join(".tenantry.lock"))?;
    lock.lock()?;
    assert!(matches!(
        against(JsonBackup::take(&live, &backups, "nightly").await),
        JsonError::Busy
    ));
    lock.unlock()?;
    // A file that cannot be copied to its end.
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink(live.join("none"), live.join("acme/dangling.json"))?;
        let failed = against(JsonBackup::take(&live, &backups, "nightly").await);
        assert!(matches!(failed, JsonError::Io { .. }), "{failed}");
        assert!(!backups.join("nightly").exists());
        fs::remove_file(live.join("acme/dangling.json"))?;
    }
    let backup = JsonBackup::take(&live, &backups, "nightly").await?;
    assert_eq!(backup.verify().await?, 3);
    assert!(!backups.join(".nightly.unfinished").exists());
    Ok(())
}
