use tenantry::{Error, Expr, Order, TenantDb};

use super::{Library, Outcome};

async fn version(db: &TenantDb, id: i64) -> tenantry::Result<(String, i64)> {
    db.query("authors")
        .columns(["name", "version"])
        .eq("id", id)
        .fetch_one()
        .await
}

#[tokio::test]
async fn a_value_is_worked_out_of_the_row_as_it_was() -> Outcome {
    let library = Library::start().await?;
    let rows = library
        .alike(async |db| {
            let update = db
                .update("books")
                .set_expr("pages", Expr::column("pages").or(0).plus(1).times(2))
                .set_expr("title", Expr::column("label").upper())
                .set_expr(
                    "label",
                    Expr::raw(|sql| sql.push("left(title, ").push_bind(2).push(")")),
                )
                .set("author_id", None::<i64>)
                .gt("id", 2_i64)
                .returning(["id", "pages", "title", "label"]);
            let mut rows: Vec<(i64, i32, String, String)> = update.fetch_all().await?;
            rows.sort();
            let deleted: Vec<i64> = db
                .delete("notes")
                .eq("subject", 1_i64)
                .returning(["subject"])
                .fetch_scalars()
                .await?;
            Ok((rows, deleted))
        })
        .await?;
    assert_eq!(
        rows.0,
        [
            (3, 2, "OURS".into(), "Gä".into()),
            (4, 242, "OURS".into(), "En".into()),
            (5, 20, "OURS".into(), "No".into()),
        ]
    );
    assert_eq!(rows.1, [1, 1]);
    library.close().await
}

#[tokio::test]
async fn of_two_who_write_what_they_read_the_second_is_told() -> Outcome {
    let library = Library::start().await?;
    for db in library.homes() {
        let (_, read) = version(db, 1).await?;
        let write = |name: &'static str| {
            let update = db.update("authors").set("name", name).eq("id", 1_i64);
            update.expect_version("version", read)
        };
        assert_eq!(write("first").execute().await?, 1);
        let stale = [
            write("second").execute().await.map(drop),
            write("second").fetch_all::<(i64,)>().await.map(drop),
            write("second").fetch_optional::<(i64,)>().await.map(drop),
            write("second").fetch_one::<(i64,)>().await.map(drop),
            write("second").fetch_scalars::<i64>().await.map(drop),
            write("second").fetch_optional_scalar::<i64>().await.map(drop),
            db.delete("authors")
                .eq("id", 3_i64)
                .expect_version("version", 7_i64)
                .execute()
                .await
                .map(drop),
        ];
        for stale in stale {
            assert!(
                matches!(&stale, Err(Error::Stale { table, .. }) if table == "authors"),
                "{stale:?}"
            );
        }
        assert_eq!(version(db, 1).await?, ("first".into(), read + 1));
        let record = serde_json::json!({ "name": "by record" });
        let next: i64 = db
            .update("authors")
            .record(&record)
            .eq("id", 1_i64)
            .expect_version("version", read + 1)
            .returning(["version"])
            .fetch_scalar()
            .await?;
        assert_eq!(next, read + 2);
        assert_eq!(
            db.delete("authors")
                .eq("id", 3_i64)
                .expect_version("version", 1_i64)
                .execute()
                .await?,
            1
        );

        // At once: the second waits for the first, and then finds another version.
        let (mut one, mut two) = (db.begin().await?, db.begin().await?);
        let first = one.update("authors").set("name", "one").eq("id", 2_i64);
        assert_eq!(first.expect_version("version", 1_i64).execute().await?, 1);
        let second = two.update("authors").set("name", "two").eq("id", 2_i64);
        let (second, first) = tokio::join!(second.expect_version("version", 1_i64).execute(), one.commit());
        first?;
        assert!(matches!(second, Err(Error::Stale { .. })), "{second:?}");
        two.rollback().await?;
        assert_eq!(version(db, 2).await?, ("one".into(), 2));
    }
    let (_, theirs) = version(&library.neighbour, 1).await?;
    assert_eq!(theirs, 1);
    library.close().await
}

#[tokio::test]
async fn what_would_meet_every_row_says_so() -> Outcome {
    let library = Library::start().await?;
    for db in library.homes() {
        for refused in [
            db.update("authors").set("born", 1).execute().await,
            db.update("authors")
                .set("born", 1)
                .expect_version("version", 1_i64)
                .execute()
                .await,
            db.delete("authors").execute().await,
            db.update("authors").all().execute().await,
            db.update("authors").eq("id", 1_i64).execute().await,
            // The scope is no condition of the caller's.
            db.delete("authors")
                .eq("client_id", db.client().id)
                .execute()
                .await,
            db.delete("authors").none_of(|none| none).execute().await,
        ] {
            assert!(
                matches!(refused, Err(Error::StatementRefused { .. })),
                "{refused:?}"
            );
        }
        assert_eq!(db.delete("notes").any_of(|none| none).execute().await?, 0);
        let all: Vec<i64> = db
            .update("authors")
            .set("born", 1)
            .all()
            .returning(["id"])
            .fetch_scalars()
            .await?;
        assert_eq!(all.len(), 3);
        assert_eq!(
            db.query("authors")
                .eq("born", 1)
                .order_by("id", Order::Asc)
                .count()
                .await?,
            3
        );
    }
    assert_eq!(library.neighbour.query("authors").eq("born", 1).count().await?, 0);
    library.close().await
}
