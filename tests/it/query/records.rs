//! What serde makes of a struct, read by the database as the types of the columns.

use pgvector::Vector;
use serde::{Serialize, Serializer};
use sqlx::types::chrono::{DateTime, Utc};
use tenantry::{Error, Order, TenantDb};
use uuid::Uuid;

use super::{Library, Outcome};

#[derive(Clone, Debug, Serialize)]
struct Sample {
    id: i64,
    code: Option<Uuid>,
    #[serde(serialize_with = "rfc_3339")]
    taken_at: DateTime<Utc>,
    ratio: Option<f64>,
    small: i16,
    done: bool,
    meta: Meta,
    tags: Vec<String>,
    numbers: Option<Vec<Option<i32>>>,
    bytes: Vec<u8>,
    embedding: [f32; 3],
    mood: Mood,
    moods: Vec<Mood>,
    place: Place,
    label: &'static str,
}

#[derive(Clone, Debug, Serialize)]
struct Meta {
    kind: &'static str,
    nested: Vec<serde_json::Value>,
}

#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
enum Mood {
    Calm,
    Stern,
}

#[derive(Clone, Debug, Serialize)]
struct Place {
    shelf: &'static str,
    level: Option<i32>,
}

fn rfc_3339<S: Serializer>(at: &DateTime<Utc>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&at.to_rfc3339())
}

fn sample(id: i64) -> Sample {
    Sample {
        id,
        code: (id == 1).then(|| Uuid::from_u128(7)),
        taken_at: DateTime::UNIX_EPOCH,
        ratio: (id == 1).then_some(0.1),
        small: -7,
        done: true,
        meta: Meta {
            kind: "it's",
            nested: vec![serde_json::json!({ "a": [1, null] }), serde_json::json!(i64::MAX)],
        },
        tags: vec!["a,b".to_owned(), "\"c\"".to_owned()],
        numbers: (id == 1).then(|| vec![Some(1), None]),
        bytes: vec![0, 255, 92, 7],
        embedding: [1.0, 0.5, -2.0],
        mood: Mood::Stern,
        moods: vec![Mood::Calm, Mood::Stern],
        place: Place {
            shelf: "a, (b)",
            level: None,
        },
        label: "x",
    }
}

type Head = (
    i64,
    Option<Uuid>,
    DateTime<Utc>,
    Option<f64>,
    i16,
    bool,
    serde_json::Value,
    Vec<String>,
);
type Tail = (
    Option<Vec<Option<i32>>>,
    Vec<u8>,
    Vector,
    String,
    Vec<String>,
    Option<String>,
    Option<i32>,
    String,
);

async fn all(db: &TenantDb) -> tenantry::Result<Vec<(Head, Tail)>> {
    use tenantry::Expr;
    let query = || db.query("samples").order_by("id", Order::Asc);
    let head: Vec<Head> = query()
        .columns(["id", "code", "taken_at", "ratio", "small", "done", "meta", "tags"])
        .fetch_all()
        .await?;
    let tail: Vec<Tail> = query()
        .columns(["numbers", "bytes", "embedding"])
        .column_as(Expr::column("mood").as_text(), "mood")
        .column_as(Expr::raw(|sql| sql.push("moods::text[]")), "moods")
        .column_as(Expr::raw(|sql| sql.push("(place).shelf")), "shelf")
        .column_as(Expr::raw(|sql| sql.push("(place).level")), "level")
        .column_as("label", "label")
        .fetch_all()
        .await?;
    Ok(head.into_iter().zip(tail).collect())
}

#[tokio::test]
async fn a_struct_is_inserted_as_its_columns_types() -> Outcome {
    let library = Library::empty().await?;
    let rows = library
        .alike(async |db| {
            assert_eq!(db.insert("samples").record(&sample(1)).execute().await?, 1);
            let returned: Vec<i64> = db
                .insert("samples")
                .records([sample(3), sample(2)])
                .returning(["id"])
                .fetch_scalars()
                .await?;
            assert_eq!(returned, [3, 2]);
            all(db).await
        })
        .await?;
    let meta = serde_json::json!({ "kind": "it's", "nested": [{ "a": [1, null] }, i64::MAX] });
    let text = |text: &str| text.to_owned();
    let expected: Vec<(Head, Tail)> = (1..=3)
        .map(|id| {
            let head = (
                id,
                (id == 1).then(|| Uuid::from_u128(7)),
                DateTime::UNIX_EPOCH,
                (id == 1).then_some(0.1),
                -7,
                true,
                meta.clone(),
                vec![text("a,b"), text("\"c\"")],
            );
            let tail = (
                (id == 1).then(|| vec![Some(1), None]),
                vec![0, 255, 92, 7],
                Vector::from(vec![1.0, 0.5, -2.0]),
                text("stern"),
                vec![text("calm"), text("stern")],
                Some(text("a, (b)")),
                None,
                text("x"),
            );
            (head, tail)
        })
        .collect();
    assert_eq!(rows, expected);
    library.close().await
}

#[tokio::test]
async fn a_struct_updates_what_it_has_and_no_more() -> Outcome {
    #[derive(Serialize)]
    struct Change {
        label: &'static str,
        code: Option<Uuid>,
        bytes: [u8; 2],
        #[serde(skip_serializing_if = "Option::is_none")]
        small: Option<i16>,
    }
    let library = Library::empty().await?;
    let found = library
        .alike(async |db| {
            db.insert("samples")
                .records([sample(1), sample(2)])
                .execute()
                .await?;
            let change = Change {
                label: "new",
                code: None,
                bytes: [1, 2],
                small: None,
            };
            let update = db
                .update("samples")
                .record(&change)
                .set("done", false)
                .eq("id", 1_i64);
            assert_eq!(update.execute().await?, 1);
            db.query("samples")
                .columns(["label", "code", "bytes", "small", "done"])
                .order_by("id", Order::Asc)
                .fetch_all::<(String, Option<Uuid>, Vec<u8>, i16, bool)>()
                .await
        })
        .await?;
    assert_eq!(
        found,
        [
            ("new".into(), None, vec![1, 2], -7, false),
            ("x".into(), None, vec![0, 255, 92, 7], -7, true)
        ]
    );
    library.close().await
}

#[tokio::test]
async fn a_record_that_is_none_is_refused() -> Outcome {
    let library = Library::empty().await?;
    for db in library.homes() {
        let (own, other) = (db.client().id, library.neighbour.client().id);
        let record = |client: serde_json::Value| serde_json::json!({ "id": 1, "client_id": client });
        assert_eq!(
            db.insert("jobs")
                .record(&record(own.to_string().into()))
                .execute()
                .await?,
            1
        );
        for wrong in [
            db.insert("jobs")
                .record(&record(other.to_string().into()))
                .execute()
                .await,
            db.insert("jobs")
                .record(&record(serde_json::Value::Null))
                .execute()
                .await,
            db.insert("jobs").record(&record(7.into())).execute().await,
            db.update("jobs")
                .record(&record(other.to_string().into()))
                .all()
                .execute()
                .await,
        ] {
            assert!(matches!(wrong, Err(Error::ForeignClient { .. })), "{wrong:?}");
        }
        let refused = [
            db.insert("jobs").record(&7).execute().await,
            db.insert("jobs").record(&["id"]).execute().await,
            db.insert("jobs").record(&serde_json::json!({})).execute().await,
            db.insert("jobs").records(Vec::<Sample>::new()).execute().await,
            db.insert("jobs")
                .records([
                    serde_json::json!({ "id": 2 }),
                    serde_json::json!({ "state": "x" }),
                ])
                .execute()
                .await,
            db.insert("jobs")
                .set("id", 3_i64)
                .record(&serde_json::json!({ "id": 2 }))
                .execute()
                .await,
            db.update("jobs")
                .record(&serde_json::json!({}))
                .all()
                .execute()
                .await,
        ];
        for refused in refused {
            assert!(
                matches!(refused, Err(Error::StatementRefused { .. })),
                "{refused:?}"
            );
        }
        let unknown = db
            .insert("jobs")
            .record(&serde_json::json!({ "stat": 1 }))
            .execute()
            .await;
        assert!(
            matches!(&unknown, Err(Error::UnknownColumn { nearest_name: Some(name), .. }) if name == "state"),
            "{unknown:?}"
        );
        // Keys that are no texts, and numbers that JSON has not: neither is made into something else.
        let keys = std::collections::BTreeMap::from([(vec![1], 1)]);
        let unread = db.insert("jobs").record(&keys).execute().await;
        assert!(matches!(unread, Err(Error::Encode { .. })), "{unread:?}");
        let wide = std::collections::BTreeMap::from([("id", u128::MAX)]);
        let unread = db.insert("jobs").record(&wide).execute().await;
        assert!(matches!(unread, Err(Error::Encode { .. })), "{unread:?}");
        let beyond = db
            .insert("jobs")
            .record(&serde_json::json!({ "id": u64::MAX }))
            .execute()
            .await;
        assert_eq!(beyond.unwrap_err().sqlstate().as_deref(), Some("22003"));
        assert_eq!(db.query("jobs").count().await?, 1);
    }
    library.close().await
}
