//! A store of JSON files: what it leaves alone, what it says of what is wrong, and who waits for whom.

use std::fs::{self, File};
use std::time::Duration;

use tempfile::tempdir;
use tenantry::{BadRecordKind, JsonLayout, JsonRepository, Repository as _, RepositoryError};

use super::{Agent, Outcome, agent};

fn bad(outcome: Result<impl std::fmt::Debug, RepositoryError>) -> tenantry::BadRecord {
    match outcome {
        Err(RepositoryError::BadFile(bad)) => *bad,
        other => unreachable!("{other:?}"),
    }
}

#[tokio::test]
async fn what_is_not_written_stays_byte_for_byte_what_it_was() -> Outcome {
    let folder = tempdir()?;
    let path = folder.path().join("agents.json");
    let old = "{ \"slug\" :\"old\",\n    \"name\": \"\\u0041da\", \"nobody\": [1.0, {\"knows\": null}] }";
    fs::write(
        &path,
        format!("\u{FEFF}[ {old} ,{{\"slug\":\"b\",\"name\":\"B\"}}]"),
    )?;
    let store: JsonRepository<Agent> = JsonRepository::new(&path);
    store.update(&agent("b", "Bea")).await?;
    store.create(&agent("c", "Cy")).await?;
    let text = fs::read_to_string(&path)?;
    assert!(text.contains(old), "{text}");
    assert_eq!(store.list(None, 9).await?.len(), 3);
    store.delete("b").await?;
    let text = fs::read_to_string(&path)?;
    assert!(text.contains(old) && !text.contains("Bea"), "{text}");
    let found: serde_json::Value = serde_json::from_str(&text)?;
    assert_eq!(found[0]["nobody"][1]["knows"], serde_json::Value::Null);
    Ok(())
}

#[tokio::test]
async fn a_file_that_is_wrong_says_where_and_tells_no_value() -> Outcome {
    let folder = tempdir()?;
    let path = folder.path().join("agents.json");
    let store: JsonRepository<Agent> = JsonRepository::new(&path);
    let good = r#"{"slug": "good", "name": "Good"}"#;
    for (content, record, line, column, kind) in [
        (
            format!("[{good},\n {{\"slug\": \"b\", \"name\": 7123}}]"),
            Some(2),
            2,
            27,
            BadRecordKind::WrongField {
                path: "name".to_owned(),
            },
        ),
        (
            format!("[{good},\n {{\"slug\": \"planted\"}}]"),
            Some(2),
            2,
            20,
            BadRecordKind::MissingField {
                field: "name".to_owned(),
            },
        ),
        (
            format!("[\n\"planted\", {good}]"),
            Some(1),
            2,
            1,
            BadRecordKind::NotAnObject,
        ),
        (
            format!("[{good}, {{\"slug\": \"\", \"name\": \"\"}}]"),
            Some(2),
            1,
            36,
            BadRecordKind::NoKey,
        ),
        (
            format!("[{good},\n\n{good}]"),
            Some(2),
            3,
            1,
            BadRecordKind::DuplicateKey {
                key: "good".to_owned(),
                first_in: path.clone(),
                first: 1,
            },
        ),
        (
            format!("{{\"good\": {good}, \"other\": {{\"slug\": \"x\", \"name\": \"\"}}}}"),
            Some(2),
            1,
            53,
            BadRecordKind::FiledElsewhere { key: "x".to_owned() },
        ),
    ] {
        fs::write(&path, &content)?;
        let found = bad(store.list(None, 9).await);
        assert_eq!(found.kind, kind, "{content}");
        assert_eq!(
            (found.at.record, found.at.line, found.at.column),
            (record, line, column),
            "{content}"
        );
        assert_eq!(found.at.file, path);
        assert!(
            !found.to_string().contains("planted") && !found.to_string().contains("7123"),
            "{found}"
        );
        // A key that may be that of the bad one is neither there nor not.
        assert_eq!(bad(store.get("none").await), found);
        assert_eq!(bad(store.create(&agent("none", "")).await), found);
        if !matches!(kind, BadRecordKind::DuplicateKey { .. }) {
            assert_eq!(store.get("good").await?, Some(agent("good", "Good")));
        }
        assert_eq!(fs::read_to_string(&path)?, content);
    }
    for content in ["", "7", "[", "[{}", "[] 7", "[{},]"] {
        fs::write(&path, content)?;
        assert_eq!(bad(store.get("good").await).at.file, path, "{content}");
    }
    fs::write(&path, b"[{\"slug\": \"a\",\n \"name\": \"\xFF\"}]")?;
    let found = bad(store.list(None, 9).await);
    assert_eq!(
        (found.kind, found.at.line, found.at.column),
        (BadRecordKind::NotUtf8, 2, 11)
    );
    let small = store.clone().largest_file(10);
    assert!(matches!(
        small.get("a").await,
        Err(RepositoryError::Damaged { .. })
    ));
    Ok(())
}

#[tokio::test]
async fn bad_records_are_set_aside_and_the_others_served() -> Outcome {
    let folder = tempdir()?;
    let path = folder.path().join("agents.json");
    fs::write(
        &path,
        r#"[{"slug": "a", "name": "A"}, {"slug": "b", "nome": "B"}, 7, {"slug": "c", "name": "1"}, {"slug": "c", "name": "2"}]"#,
    )?;
    let store: JsonRepository<Agent> = JsonRepository::new(&path);
    assert_eq!(store.set_aside().await?.len(), 3);
    assert_eq!(store.list(None, 9).await?, [agent("a", "A")]);
    let aside = fs::read_to_string(folder.path().join("agents.json.bad"))?;
    for record in [
        r#"{"slug": "b", "nome": "B"}"#,
        "7",
        r#"{"slug": "c", "name": "1"}"#,
        r#"{"slug": "c", "name": "2"}"#,
    ] {
        assert!(aside.lines().any(|line| line == record), "{aside}");
    }
    assert!(store.set_aside().await?.is_empty());
    assert_eq!(fs::read_to_string(folder.path().join("agents.json.bad"))?, aside);
    Ok(())
}

#[tokio::test]
async fn a_writer_waits_for_whoever_has_the_lock_and_gives_up_in_time() -> Outcome {
    let folder = tempdir()?;
    let path = folder.path().join("agents.json");
    let store: JsonRepository<Agent> = JsonRepository::new(&path).lock_wait(Duration::from_millis(20));
    store.create(&agent("a", "A")).await?;
    // As another process holds it.
    let lock = File::options()
        .write(true)
        .open(folder.path().join(".agents.json.lock"))?;
    lock.lock()?;
    let refused = store.update(&agent("a", "B")).await;
    assert!(
        matches!(refused, Err(RepositoryError::Busy { .. })),
        "{refused:?}"
    );
    assert_eq!(store.get("a").await?, Some(agent("a", "A")));
    lock.unlock()?;
    store.update(&agent("a", "B")).await?;
    assert_eq!(store.get("a").await?, Some(agent("a", "B")));
    Ok(())
}

#[cfg(unix)]
#[tokio::test]
async fn a_write_keeps_rights_and_links_and_removes_what_a_dead_one_left() -> Outcome {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    let folder = tempdir()?;
    let (path, link) = (folder.path().join("agents.json"), folder.path().join("link.json"));
    fs::write(&path, "[]")?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640))?;
    symlink(&path, &link)?;
    fs::write(folder.path().join(".agents.json.tmp"), "half of a")?;
    let store: JsonRepository<Agent> = JsonRepository::new(&link);
    store.create(&agent("a", "A")).await?;
    assert!(fs::symlink_metadata(&link)?.is_symlink());
    assert_eq!(fs::metadata(&path)?.permissions().mode() & 0o777, 0o640);
    assert_eq!(JsonRepository::new(&path).get("a").await?, Some(agent("a", "A")));
    assert!(!folder.path().join(".agents.json.tmp").exists());
    // Nothing was written where the place for it is not to be had.
    fs::create_dir_all(folder.path().join(".agents.json.tmp/full"))?;
    let refused = store.update(&agent("a", "B")).await;
    assert!(
        matches!(&refused, Err(error) if error.is_refusal()),
        "{refused:?}"
    );
    assert_eq!(store.get("a").await?, Some(agent("a", "A")));
    // A folder that is not there is no empty store.
    let nowhere: JsonRepository<Agent> = JsonRepository::new(folder.path().join("none/agents.json"));
    assert!(matches!(nowhere.get("a").await, Err(RepositoryError::Io { .. })));
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_see_a_file_as_a_whole_while_several_write_it() -> Outcome {
    let folder = tempdir()?;
    let path = folder.path().join("agents.json");
    let open = || JsonRepository::<Agent>::new(&path).layout(JsonLayout::ByKey);
    open().create(&agent("a", "0")).await?;
    let writers = (0..3).map(|number| {
        // A handle each, as in processes of their own.
        let store = open();
        async move {
            for at in 0..15 {
                store
                    .create(&agent(&format!("{number}-{at}"), &"long ".repeat(200)))
                    .await
                    .unwrap();
            }
        }
    });
    let reader = open();
    let reading = async {
        let mut most = 0;
        while most < 46 {
            let found = reader.list(None, 100).await.unwrap().len();
            assert!(found >= most, "a write was undone");
            most = found;
        }
    };
    futures_util::future::join(futures_util::future::join_all(writers), reading).await;
    Ok(())
}
