//! What every repository does alike, whatever it keeps its records in.

use std::collections::BTreeSet;

use tempfile::tempdir;
use tenantry::{JsonLayout, JsonRepository, Repository, RepositoryError};

use super::{Agent, Outcome, Stage, agent};

/// What is shown of a store by two handles of it, each as another process has one.
async fn conforms<T: Repository<Record = Agent>>(store: &T, other: &T) -> Outcome {
    assert_eq!(store.get("first").await?, None);
    assert!(store.list(None, 10).await?.is_empty());
    let missing = agent("first", "nobody");
    for refused in [store.update(&missing).await, store.delete("first").await] {
        assert!(
            matches!(&refused, Err(RepositoryError::Missing { key }) if key == "first"),
            "{refused:?}"
        );
    }

    let ada = agent("first", "Ada \"the\" first,\n[of] {many} \u{1F600}");
    store.create(&ada).await?;
    assert_eq!(other.get("first").await?, Some(ada.clone()));
    let again = other.create(&agent("first", "Eve")).await;
    assert!(
        matches!(&again, Err(RepositoryError::Exists { key }) if key == "first"),
        "{again:?}"
    );
    assert_eq!(store.get("first").await?, Some(ada));
    other.update(&agent("first", "Ada")).await?;
    assert_eq!(store.get("first").await?, Some(agent("first", "Ada")));

    // Pages, in an order that stays: each record once.
    let slugs = ["b-2", "a", "b-10", "z", "b1", "c"];
    for slug in slugs {
        store.create(&agent(slug, slug)).await?;
    }
    for limit in [1, 2, 3, 7, 100] {
        let (mut found, mut after) = (Vec::new(), None);
        loop {
            let page = other.list(after.as_deref(), limit).await?;
            assert!(page.len() <= limit as usize);
            after = page.last().map(|one| one.slug.clone());
            let is_last = page.len() < limit as usize;
            found.extend(page.into_iter().map(|one| one.slug));
            if is_last {
                break;
            }
        }
        let expected: BTreeSet<String> = slugs
            .iter()
            .copied()
            .chain(["first"])
            .map(str::to_owned)
            .collect();
        assert_eq!(found.len(), expected.len(), "{found:?}");
        assert_eq!(found.into_iter().collect::<BTreeSet<_>>(), expected);
    }

    // Many at once: those that are there, and those that are not.
    let keys = ["a", "none", "z", "b1"].map(str::to_owned);
    let found: BTreeSet<String> = other
        .get_many(&keys)
        .await?
        .into_iter()
        .map(|one| one.slug)
        .collect();
    assert_eq!(found, BTreeSet::from(["a", "z", "b1"].map(str::to_owned)));
    assert!(store.get_many(&[]).await?.is_empty());
    store
        .put_many(&[agent("a", "changed"), agent("new", "created")])
        .await?;
    store.put_many(&[]).await?;
    assert_eq!(other.get("a").await?, Some(agent("a", "changed")));
    assert_eq!(other.get("new").await?, Some(agent("new", "created")));
    assert_eq!(other.get("z").await?, Some(agent("z", "z")));

    other.delete("a").await?;
    assert_eq!(store.get("a").await?, None);
    assert!(matches!(
        store.delete("a").await,
        Err(RepositoryError::Missing { .. })
    ));
    store.create(&agent("a", "again")).await?;
    assert_eq!(other.get("a").await?, Some(agent("a", "again")));
    Ok(())
}

/// Of several that create one key, one does; of several that change different keys, all do.
async fn is_atomic<T: Repository<Record = Agent> + Clone>(store: &T) -> Outcome {
    let mut all = Vec::new();
    for number in 0..6 {
        let store = store.clone();
        all.push(async move {
            store
                .create(&agent(&format!("of-{number}"), "one"))
                .await
                .unwrap();
            store
                .create(&agent("contested", &number.to_string()))
                .await
                .is_ok()
        });
    }
    let created = futures_util::future::join_all(all).await;
    assert_eq!(created.iter().filter(|created| **created).count(), 1);
    for number in 0..6 {
        assert!(store.get(&format!("of-{number}")).await?.is_some());
    }
    Ok(())
}

#[tokio::test]
async fn a_table_of_a_pool_and_of_a_database_of_its_own_conform() -> Outcome {
    let stage = Stage::set().await;
    for client in [stage.old, stage.new] {
        conforms(&stage.of(client).await, &stage.of(client).await).await?;
        is_atomic(&std::sync::Arc::new(stage.of(client).await)).await?;
    }
    stage.close().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn json_files_of_both_layouts_conform() -> Outcome {
    let folder = tempdir()?;
    for (name, layout) in [
        ("list.json", JsonLayout::List),
        ("by_key.json", JsonLayout::ByKey),
    ] {
        let open = || JsonRepository::new(folder.path().join(name)).layout(layout);
        conforms(&open(), &open()).await?;
        is_atomic(&open()).await?;
        let text = std::fs::read_to_string(folder.path().join(name))?;
        assert!(text.starts_with(if layout == JsonLayout::List { '[' } else { '{' }));
    }
    Ok(())
}
