//! Rows go where they belong: into tables of their kind, and to their own client.

use serde_json::{Value, json};
use tenantry::{Error, SeedError};

use super::{Outcome, Stage, bot, set, to, why};
use crate::sql::one;

#[tokio::test]
async fn rows_go_only_into_tables_of_their_kind() -> Outcome {
    let stage = Stage::with_all().await;
    for client in ["acme", "vast"] {
        let of = |shared: Value, each: Value| {
            let described = json!({ "of_client": { client: [] }, "shared": shared, "each_client": each });
            stage.seed().data(set(&described))
        };
        let provider =
            json!([{ "table": "providers", "key": ["slug"], "rows": [{ "slug": "of a client" }] }]);
        let tool = json!([{ "table": "tools", "key": ["slug"], "rows": [{ "slug": "of all" }] }]);
        for seed in [of(json!([]), provider), of(tool, json!([]))] {
            for refused in [seed.apply().await, seed.dry_run().await] {
                let refused = why(refused);
                assert!(
                    matches!(&refused, SeedError::WrongTable { .. }),
                    "{client}: {refused:?}"
                );
            }
        }
    }
    // Of no client and not shared: on a pool nobody has it.
    let stray = json!([{ "table": "stray", "key": ["id"], "rows": [{ "id": 1 }] }]);
    for described in [
        json!({ "shared": stray, "of_client": { "acme": [] } }),
        json!({ "of_client": { "acme": stray } }),
    ] {
        let refused = why(stage.seed().data(set(&described)).apply().await);
        assert!(
            matches!(
                &refused,
                SeedError::WrongTable { .. } | SeedError::UnknownTable { .. }
            ),
            "{refused:?}"
        );
    }
    // The kernel's own tables and the catalogue's are no tables to anybody.
    for table in [
        "tenantry.placement",
        "pg_catalog.pg_authid",
        "placement",
        "pg_class",
    ] {
        for of in ["shared", "each_client"] {
            let mut described = json!({ "of_client": { "acme": [] } });
            described[of] = json!([{ "table": table, "key": ["client"], "rows": [{ "client": "a" }] }]);
            let refused = why(stage.seed().data(set(&described)).apply().await);
            assert!(matches!(&refused, SeedError::UnknownTable { .. }), "{refused:?}");
        }
    }
    stage.close().await;
    Ok(())
}

#[tokio::test]
async fn no_row_of_another_client_is_referred_to_or_written() -> Outcome {
    let stage = Stage::with_acme().await;
    let bolt = stage.fixture.shared_client("bolt").await?;
    let theirs = json!({ "of_client": { "bolt": [{ "table": "tools", "key": ["slug"], "rows": [{ "slug": "theirs" }] }] } });
    stage.seed().data(set(&theirs)).apply().await?;
    let mut conn = stage.database("acme").await;
    let id: uuid::Uuid = one(&mut conn, "select id from tools where slug = 'theirs'").await;
    let acme = |row: Value| {
        let described =
            json!({ "of_client": { "acme": [{ "table": "tools", "key": ["slug"], "rows": [row] }] } });
        stage.seed().data(set(&described))
    };
    for by_key in [
        to("tools", "theirs"),
        json!({ "$ref": { "table": "tools", "key": { "id": id } } }),
    ] {
        let refused = why(acme(json!({ "slug": "a", "parent_id": by_key })).apply().await);
        assert!(
            matches!(&refused, SeedError::MissingReference { .. }),
            "{refused:?}"
        );
    }
    // By an id that somebody knows.
    let refused = acme(json!({ "slug": "a", "parent_id": id }))
        .apply()
        .await
        .unwrap_err();
    assert!(
        matches!(&refused, Error::Constraint { client, .. } if *client == stage.clients[0].id),
        "{refused:?}"
    );
    // A row of that id is the client's own.
    acme(json!({ "slug": "theirs", "id": id, "endpoint": "mine" }))
        .apply()
        .await?;
    let db = stage.manager.tenant(bolt.id).await?;
    let endpoint: (Option<String>,) = db.query("tools").columns(["endpoint"]).fetch_one().await?;
    assert_eq!(endpoint.0, None);
    // The admin role, who writes shared rows, sees the rows of all clients.
    let shared = json!({ "of_client": { "acme": [] }, "shared": [{ "table": "providers", "key": ["slug"], "rows": [
        { "slug": { "$ref": { "table": "tools", "key": { "slug": "theirs" }, "column": "endpoint" } } }] }] });
    let refused = why(stage.seed().data(set(&shared)).apply().await);
    assert!(matches!(&refused, SeedError::WrongTable { .. }), "{refused:?}");
    stage.close().await;
    Ok(())
}

#[tokio::test]
async fn what_a_constraint_refuses_leaves_nothing_of_the_client_s_rows() -> Outcome {
    let stage = Stage::with_acme().await;
    let mut described = bot(&["acme"]);
    described["of_client"]["acme"][0]["rows"][1]["role"] = json!("king");
    let refused = stage.seed().data(set(&described)).apply().await.unwrap_err();
    assert_eq!(refused.constraint(), Some("users_role_check"), "{refused:?}");
    assert!(refused.to_string().contains("seeding public.users"), "{refused}");
    let mut conn = stage.database("acme").await;
    for table in ["tools", "agents", "users"] {
        let rows: i64 = one(&mut conn, &format!("select count(*) from {table}")).await;
        assert_eq!(rows, 0, "{table}");
    }
    stage.close().await;
    Ok(())
}
