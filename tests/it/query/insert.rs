//! Values of every type, one row or many.

use pgvector::Vector;
use sqlx::types::chrono::{DateTime, NaiveDate, Utc};
use tenantry::{Error, Order, TenantDb};
use uuid::Uuid;

use super::{Library, Outcome};

#[derive(Clone, Copy, Debug, PartialEq, sqlx::Type)]
#[sqlx(type_name = "mood", rename_all = "lowercase")]
enum Mood {
    Calm,
    Stern,
}

#[derive(Clone, Debug, PartialEq, sqlx::Type)]
#[sqlx(type_name = "place")]
struct Place {
    shelf: String,
    level: Option<i32>,
}

/// Everything but arrays of what the database does not know by itself.
type Plain = (
    i64,
    Option<Uuid>,
    Option<DateTime<Utc>>,
    Option<NaiveDate>,
    Option<f64>,
    Option<i16>,
    Option<bool>,
    Option<serde_json::Value>,
    Option<Vec<u8>>,
    Option<Vector>,
    Option<Mood>,
    Option<String>,
);

/// Arrays, and what the host made itself.
type Odd = (i64, Vec<String>, Option<Vec<i32>>, Vec<Mood>, Place);

const PLAIN: [&str; 12] = [
    "id",
    "code",
    "taken_at",
    "day",
    "ratio",
    "small",
    "done",
    "meta",
    "bytes",
    "embedding",
    "mood",
    "label",
];

fn sample(id: i64) -> Plain {
    // Every second one has nothing.
    let has = id % 2 == 1;
    (
        id,
        has.then(|| Uuid::from_u128(u128::from(id.unsigned_abs()))),
        has.then_some(DateTime::UNIX_EPOCH),
        has.then(NaiveDate::default),
        has.then_some(0.25),
        has.then_some(-7),
        has.then_some(true),
        has.then(|| serde_json::json!({ "a": ["b", null, 1.5] })),
        has.then(|| vec![0, 255, 7]),
        has.then(|| Vector::from(vec![1.0, 2.0, 3.0])),
        has.then_some(Mood::Stern),
        has.then(|| "it's".to_owned()),
    )
}

async fn insert(db: &TenantDb, samples: Vec<Plain>) -> tenantry::Result<u64> {
    let insert = db.insert("samples").rows(samples, |row, sample| {
        row.set("id", sample.0)
            .set("code", sample.1)
            .set("taken_at", sample.2)
            .set("day", sample.3)
            .set("ratio", sample.4)
            .set("small", sample.5)
            .set("done", sample.6)
            .set("meta", sample.7)
            .set("bytes", sample.8)
            .set("embedding", sample.9)
            .set("mood", sample.10)
            .set("label", sample.11);
    });
    insert.execute().await
}

async fn all(db: &TenantDb) -> tenantry::Result<Vec<Plain>> {
    let query = db.query("samples").columns(PLAIN).order_by("id", Order::Asc);
    query.fetch_all().await
}

#[tokio::test]
async fn values_are_read_as_they_were_written_one_by_one_or_together() -> Outcome {
    let library = Library::empty().await?;
    let rows = library
        .alike(async |db| {
            assert_eq!(insert(db, vec![sample(1)]).await?, 1);
            assert_eq!(insert(db, (2..=5).map(sample).collect()).await?, 4);
            all(db).await
        })
        .await?;
    assert_eq!(rows, (1..=5).map(sample).collect::<Vec<_>>());
    library.close().await
}

#[tokio::test]
async fn loading_many_rows_writes_what_inserting_them_does() -> Outcome {
    let library = Library::empty().await?;
    let rows = library
        .alike(async |db| {
            assert_eq!(insert(db, (1..=1_500).map(sample).collect()).await?, 1_500);
            all(db).await
        })
        .await?;
    assert!(rows == (1..=1_500).map(sample).collect::<Vec<_>>());
    library.close().await
}

#[tokio::test]
async fn arrays_enums_and_composites_are_inserted_by_rows() -> Outcome {
    let library = Library::empty().await?;
    let place = |level| Place {
        shelf: "a, (b)".to_owned(),
        level,
    };
    for count in [1_i64, 3, 1_200] {
        let rows = library
            .alike(async |db| {
                let insert = db.insert("samples").rows(1..=count, |row, id| {
                    row.set("id", id)
                        .set("tags", vec!["x".to_owned(), format!("{id}")])
                        .set("numbers", (id % 2 == 0).then(|| vec![1, 2]))
                        .set("moods", vec![Mood::Calm, Mood::Stern])
                        .set("place", place((id == 1).then_some(4)));
                });
                assert_eq!(insert.execute().await?, count.unsigned_abs());
                let rows: Vec<Odd> = db
                    .query("samples")
                    .columns(["id", "tags", "numbers", "moods", "place"])
                    .order_by("id", Order::Asc)
                    .fetch_all()
                    .await?;
                db.delete("samples").all().execute().await?;
                Ok(rows)
            })
            .await?;
        let expected: Vec<_> = (1..=count)
            .map(|id| {
                let numbers = (id % 2 == 0).then(|| vec![1, 2]);
                let tags = vec!["x".to_owned(), format!("{id}")];
                (
                    id,
                    tags,
                    numbers,
                    vec![Mood::Calm, Mood::Stern],
                    place((id == 1).then_some(4)),
                )
            })
            .collect();
        assert!(rows == expected, "{count}");
    }
    library.close().await
}

#[tokio::test]
async fn values_of_several_types_go_into_one_column() -> Outcome {
    let library = Library::empty().await?;
    let found = library
        .alike(async |db| {
            let insert = db.insert("samples").rows(1..=4_i64, |row, id| {
                if id % 2 == 0 {
                    row.set("id", id).set("small", 7_i16).set("label", "text");
                } else {
                    row.set("label", "text".to_owned())
                        .set("small", 7_i16)
                        .set("id", i32::try_from(id).unwrap_or_default());
                }
            });
            let returned: Vec<(i64, i16, String)> =
                insert.returning(["id", "small", "label"]).fetch_all().await?;
            let defaults: (i64, String) = db.insert("jobs").set("id", 1_i64).fetch_one().await?;
            let ids: Vec<i64> = db
                .insert("shelves")
                .rows([(9_i64, "i"), (8, "h")], |row, (id, name)| {
                    row.set("id", id).set("name", name);
                })
                .returning(["id"])
                .fetch_scalars()
                .await?;
            Ok((returned, defaults, ids))
        })
        .await?;
    let text = || "text".to_owned();
    assert_eq!(
        found.0,
        [(1, 7, text()), (2, 7, text()), (3, 7, text()), (4, 7, text())]
    );
    assert_eq!(found.1, (1, "waiting".to_owned()));
    assert_eq!(found.2, [9, 8], "in the order that they were given in");
    library.close().await
}

#[tokio::test]
async fn a_row_says_its_own_client_or_none() -> Outcome {
    let library = Library::empty().await?;
    for db in library.homes() {
        let (own, other) = (db.client().id, library.neighbour.client().id);
        let insert = || db.insert("jobs").set("id", 1_i64);
        assert_eq!(insert().set("client_id", own).execute().await?, 1);
        for wrong in [
            insert().set("client_id", other).execute().await,
            insert().set("client_id", None::<Uuid>).execute().await,
            insert().set("client_id", "no uuid").execute().await,
            db.insert("jobs")
                .rows([(1_i64, own), (2, other)], |row, (id, client)| {
                    row.set("id", id).set("client_id", client);
                })
                .execute()
                .await,
            db.insert("jobs")
                .rows(1..=2_000_i64, |row, id| {
                    row.set("id", id)
                        .set("client_id", if id == 1_999 { other } else { own });
                })
                .execute()
                .await,
        ] {
            assert!(matches!(wrong, Err(Error::ForeignClient { .. })), "{wrong:?}");
        }
        assert_eq!(db.query("jobs").count().await?, 1);
    }
    assert_eq!(library.neighbour.query("jobs").count().await?, 0);
    library.close().await
}
