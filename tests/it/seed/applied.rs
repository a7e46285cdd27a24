//! What is described is there, wherever a client lives, and nothing else has changed.

use serde_json::json;
use tenantry::{DataSet, Extra, SeedFindingKind, SharedRows};

use super::{Outcome, Stage, bot, counts, set, to, totals};
use crate::sql::{one, rows, run};

const ALL: [&str; 3] = ["acme", "vast", "olden"];

#[tokio::test]
async fn rows_are_there_wherever_the_client_lives_and_again_nothing_changes() -> Outcome {
    let stage = Stage::with_all().await;
    let seed = stage.seed().data(set(&bot(&ALL)));

    let planned = seed.dry_run().await?;
    let before = seed.verify().await?;
    assert!(!before.is_complete());
    let applied = seed.apply().await?;
    assert_eq!(applied, planned);
    // In each database 3 shared rows; for each client 3 tools, 1 agent, 2 of its tools, 2 users.
    assert_eq!(totals(&applied), [3 * 3 + 3 * 8, 0, 0]);
    assert_eq!(counts(&applied, "acme", "tools"), [3, 0, 0]);
    assert_eq!(counts(&applied, "pool pool-1", "models"), [2, 0, 0]);
    assert_eq!(counts(&applied, "database of olden", "providers"), [1, 0, 0]);

    for again in [seed.dry_run().await?, seed.apply().await?, seed.apply().await?] {
        assert_eq!(totals(&again), [0, 0, 33], "{again}");
    }
    let verified = seed.verify().await?;
    assert!(
        verified.is_complete() && verified.findings.is_empty(),
        "{verified}"
    );
    let tools = verified
        .tables
        .iter()
        .find(|of| of.within == "vast" && of.table == "tools")
        .unwrap();
    assert_eq!((tools.expected, tools.equal, tools.in_database), (3, 3, Some(3)));

    for client in ALL {
        let mut conn = stage.database(client).await;
        let search =
            "select settings::text || raw::text || tags::text || mood::text || share || price || notes
                          || extract(epoch from seen)::int8
                      from tools where slug = 'search'";
        let text: String = one(&mut conn, search).await;
        assert_eq!(
            text,
            r#"{"deep": [1, {"a": null}]}[1.5, "x"]{a,"b c"}brisk501.50short1767323045"#
        );
        let chain =
            "select array(select a.slug || ':' || t.slug || ':' || coalesce(p.slug, '') || ':' || m.tokens
                         from agents a join models m on m.id = a.model_id
                         join agent_tools l on l.agent_id = a.id join tools t on t.id = l.tool_id
                         left join tools p on p.id = t.parent_id order by t.slug)";
        let chain: Vec<String> = one(&mut conn, chain).await;
        assert_eq!(chain, ["guide:mail:base:200000", "guide:search:mail:200000"]);
    }
    stage.close().await;
    Ok(())
}

#[tokio::test]
async fn a_dry_run_and_a_verification_write_nothing() -> Outcome {
    let stage = Stage::with_all().await;
    let mut described = bot(&ALL);
    described["clients"] = json!([{ "slug": "newly", "name": "Newly", "tier": "adventurer",
        "keys": { "agent": ["a"] },
        "credentials": [{ "provider": "openai", "kind": "api_key", "secret": { "$secret": "KEY" } }] }]);
    let seed = stage.seed().data(set(&described));
    let planned = seed.dry_run().await?;
    // Those of the client that is not there, who is to have no users, and where it is to live is not known.
    assert_eq!(totals(&planned), [33 + 3 + 6, 0, 0], "{planned}");
    let verified = seed.verify().await?;
    assert!(!verified.is_complete());
    for client in ALL {
        let mut conn = stage.database(client).await;
        for table in ["providers", "models", "tools", "agents", "agent_tools", "users"] {
            let rows: i64 = one(&mut conn, &format!("select count(*) from {table}")).await;
            assert_eq!(rows, 0, "{client} {table}");
        }
    }
    assert_eq!(
        stage
            .manager
            .tenant("newly".parse::<tenantry::ClientSlug>()?)
            .await
            .unwrap_err()
            .kind(),
        tenantry::ErrorKind::Client
    );
    stage.close().await;
    Ok(())
}

#[tokio::test]
async fn what_is_described_is_changed_and_what_is_not_is_left() -> Outcome {
    let stage = Stage::with_all().await;
    stage.seed().data(set(&bot(&ALL))).apply().await?;
    for client in ALL {
        let scope = if client == "olden" { "" } else { "client_id, " };
        let own = if client == "olden" { "" } else { "client_id, " };
        let mut conn = stage.database(client).await;
        // What the host and its people did meanwhile.
        run(
            &mut conn,
            "update tools set endpoint = 'moved', notes = 'kept' where slug in ('mail', 'base')",
        )
        .await;
        run(&mut conn, "delete from agent_tools where rank = 1").await;
        run(&mut conn, "update agents set prompt = 'other'").await;
        run(
            &mut conn,
            &format!("insert into tools ({scope}slug) select {own} 'extra' from tools where slug = 'base'"),
        )
        .await;
    }
    let seed = stage.seed().data(set(&bot(&ALL))).extra(Extra::Report);
    let verified = seed.verify().await?;
    assert_eq!(verified.findings.len(), 9, "{verified}");
    let found = |client: &str, table: &str| {
        let found = verified
            .findings
            .iter()
            .find(|found| found.within == client && found.table == table);
        found.unwrap_or_else(|| panic!("nothing of {table}: {verified}"))
    };
    for client in ALL {
        let columns = |table| match &found(client, table).kind {
            SeedFindingKind::Different { columns } => columns.clone(),
            missing => panic!("{missing:?}"),
        };
        assert_eq!(columns("tools"), ["endpoint"]);
        assert_eq!(columns("agents"), ["prompt"]);
        let gone = found(client, "agent_tools");
        assert_eq!(gone.kind, SeedFindingKind::Missing);
        assert_eq!(gone.at, "set.json: each_client[0].rows[0]");
        assert_eq!(
            gone.key,
            r#"(agent_id=agents.(slug="guide"), tool_id=tools.(slug="search"))"#
        );
    }
    let planned = seed.dry_run().await?;
    let applied = seed.apply().await?;
    assert_eq!(applied, planned);
    assert_eq!(totals(&applied), [3, 6, 24]);
    assert_eq!(counts(&applied, "olden", "tools"), [0, 1, 2]);
    let extra = applied
        .tables
        .iter()
        .find(|of| of.within == "acme" && of.table == "tools")
        .unwrap();
    assert_eq!(extra.extra, Some(1));
    for client in ALL {
        let mut conn = stage.database(client).await;
        let kept: Vec<(String, Option<String>, Option<String>)> =
            rows(&mut conn, "select slug, endpoint, notes from tools order by slug").await;
        let kept: Vec<_> = kept
            .iter()
            .map(|(slug, at, notes)| (slug.as_str(), at.as_deref(), notes.as_deref()))
            .collect();
        assert_eq!(
            kept,
            [
                // The endpoint of base is not described.
                ("base", Some("moved"), Some("kept")),
                ("extra", None, None),
                ("mail", Some("https://mail.example"), Some("kept")),
                ("search", None, Some("short")),
            ]
        );
    }
    stage.close().await;
    Ok(())
}

#[tokio::test]
async fn nobody_else_s_rows_are_touched_and_a_client_that_is_named_alone_gets_only_its_own() -> Outcome {
    let stage = Stage::with_acme().await;
    let bolt = stage.fixture.shared_client("bolt").await?;
    stage.seed().data(set(&bot(&["acme", "bolt"]))).apply().await?;
    let other = json!({ "of_client": { "acme": [{ "table": "tools", "key": ["slug"],
        "rows": [{ "slug": "search", "endpoint": "of acme" }] }] } });
    let applied = stage.seed().data(set(&other)).apply().await?;
    assert_eq!(totals(&applied), [0, 1, 0]);
    let db = stage.manager.tenant(bolt.id).await?;
    assert_eq!(db.query("tools").eq("endpoint", "of acme").count().await?, 0);
    assert_eq!(db.query("tools").count().await?, 3);
    stage.close().await;
    Ok(())
}

#[tokio::test]
async fn batches_and_transactions_of_one_row_come_to_the_same() -> Outcome {
    let stage = Stage::with_all().await;
    let seed = stage
        .seed()
        .data(set(&bot(&ALL)))
        .batch_rows(1)
        .transaction_rows(1)
        .concurrency(1);
    let applied = seed.apply().await?;
    assert_eq!(totals(&applied), [33, 0, 0]);
    assert_eq!(totals(&seed.apply().await?), [0, 0, 33]);
    stage.close().await;
    Ok(())
}

#[tokio::test]
async fn data_sets_refer_to_each_other_s_rows_and_to_those_that_are_there() -> Outcome {
    let stage = Stage::with_acme().await;
    let first =
        json!({ "shared": [{ "table": "providers", "key": ["slug"], "rows": [{ "slug": "north" }] }] });
    let second = json!({
        "shared": [{ "table": "models", "key": ["slug"], "rows": [
            { "slug": "large", "provider_id": to("providers", "north"), "tokens": 1 }] }],
        "of_client": { "acme": [] }
    });
    let both = stage.seed().data(set(&second)).data(set(&first));
    assert_eq!(totals(&both.apply().await?), [2, 0, 0]);
    let alone = stage.seed().data(set(&second));
    assert_eq!(totals(&alone.apply().await?), [0, 0, 1]);
    stage.close().await;
    Ok(())
}

#[tokio::test]
async fn shared_rows_go_to_the_fleet_where_that_is_said() -> Outcome {
    let stage = Stage::with_all().await;
    let shared =
        json!({ "shared": [{ "table": "providers", "key": ["slug"], "rows": [{ "slug": "north" }] }] });
    let seed = stage.seed().data(set(&shared));
    assert!(matches!(
        super::why(seed.apply().await),
        tenantry::SeedError::NoDatabase
    ));
    let fleet = seed.shared_rows(SharedRows::OfFleet);
    let applied = fleet.apply().await?;
    assert_eq!(totals(&applied), [3, 0, 0], "{applied}");
    let told = applied.to_string();
    let lines: Vec<&str> = told.lines().collect();
    assert_eq!(
        lines[0],
        "                              created  changed  unchanged  extra"
    );
    assert_eq!(
        lines[4],
        "in all                              3        0          0"
    );
    stage.close().await;
    Ok(())
}

#[tokio::test]
async fn a_file_is_read_and_named_in_errors() -> Outcome {
    let file =
        std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{}.json", uuid::Uuid::new_v4()));
    std::fs::write(&file, bot(&["acme"]).to_string())?;
    let read = DataSet::read(&file).await?;
    assert_eq!(Some(read.name()), file.file_name().and_then(|name| name.to_str()));
    std::fs::write(&file, "{")?;
    let error = DataSet::read(&file).await.unwrap_err();
    assert!(error.to_string().contains(read.name()), "{error}");
    std::fs::remove_file(&file)?;
    assert!(DataSet::read(&file).await.is_err());
    Ok(())
}
