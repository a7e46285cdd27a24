//! Every condition, on the books 1 to 5.

use sqlx::postgres::types::PgRange;
use tenantry::{Compare, Error, Expr, Order, Pattern, Select, TenantDb, TenantQuery, TextSearch};

use super::{Failure, Library, Outcome};

type Books = TenantQuery<'static, Select<'static>>;

impl Library {
    /// The books that meet the condition, and as many when they are counted.
    async fn books(&self, conditions: impl Fn(Books) -> Books + Send + Sync) -> Result<Vec<i64>, Failure> {
        self.alike(async |db| {
            let query = || conditions(db.query("books").columns(["id"]));
            let ids: Vec<i64> = query().order_by("id", Order::Asc).fetch_scalars().await?;
            assert_eq!(query().count().await?, ids.len() as u64);
            assert_eq!(query().exists().await?, !ids.is_empty());
            Ok(ids)
        })
        .await
    }
}

#[tokio::test]
async fn comparisons_meet_the_same_rows() -> Outcome {
    let library = Library::start().await?;
    let none: [i64; 0] = [];
    assert_eq!(library.books(|all| all).await?, [1, 2, 3, 4, 5]);
    assert_eq!(library.books(|all| all.eq("pages", 120)).await?, [1, 4]);
    assert_eq!(library.books(|all| all.eq("pages", None::<i32>)).await?, none);
    assert_eq!(library.books(|all| all.eq("pages", 120_i64)).await?, [1, 4]);
    assert_eq!(library.books(|all| all.ne("pages", 120)).await?, [2, 5]);
    assert_eq!(library.books(|all| all.lt("pages", 80)).await?, [5]);
    assert_eq!(library.books(|all| all.le("pages", 80)).await?, [2, 5]);
    assert_eq!(library.books(|all| all.gt("pages", 80)).await?, [1, 4]);
    assert_eq!(library.books(|all| all.ge("pages", 80)).await?, [1, 2, 4]);
    assert_eq!(library.books(|all| all.between("pages", 9, 80)).await?, [2, 5]);
    assert_eq!(library.books(|all| all.is_null("pages")).await?, [3]);
    assert_eq!(library.books(|all| all.is_not_null("pages")).await?, [1, 2, 4, 5]);
    assert_eq!(
        library.books(|all| all.is_in("id", vec![1_i64, 9, 3])).await?,
        [1, 3]
    );
    assert_eq!(
        library.books(|all| all.is_in("id", Vec::<i64>::new())).await?,
        none
    );
    assert_eq!(
        library.books(|all| all.is_not_in("pages", vec![120, 1])).await?,
        [2, 5]
    );
    assert_eq!(
        library
            .books(|all| all.is_not_in("pages", Vec::<i32>::new()))
            .await?,
        [1, 2, 3, 4, 5]
    );
    // Two columns of one row; nulls are the same as nulls alone.
    let compared = |how| library.books(move |all| all.compare("author_id", how, "editor_id"));
    assert_eq!(compared(Compare::Eq).await?, [4]);
    assert_eq!(compared(Compare::Ne).await?, [1, 3]);
    assert_eq!(compared(Compare::Same).await?, [4, 5]);
    assert_eq!(compared(Compare::Differs).await?, [1, 2, 3]);
    assert_eq!(compared(Compare::Lt).await?, [1]);
    assert_eq!(compared(Compare::Le).await?, [1, 4]);
    assert_eq!(compared(Compare::Gt).await?, [3]);
    assert_eq!(compared(Compare::Ge).await?, [3, 4]);
    assert_eq!(
        library
            .books(|all| all.eq(Expr::column("pages").plus(1), 121))
            .await?,
        [1, 4]
    );
    assert_eq!(
        library
            .books(|all| all.eq(Expr::column("title").upper(), "GÄRTEN"))
            .await?,
        [3]
    );
    assert_eq!(
        library
            .books(|all| all.lt(Expr::column("pages").or(1).times(2).minus(1), 18))
            .await?,
        [3, 5]
    );
    library.close().await
}

#[tokio::test]
async fn groups_of_conditions_nest() -> Outcome {
    let library = Library::start().await?;
    let none: [i64; 0] = [];
    assert_eq!(
        library
            .books(|all| all.any_of(|any| any.eq("id", 1_i64).is_null("pages")))
            .await?,
        [1, 3]
    );
    assert_eq!(library.books(|all| all.any_of(|any| any)).await?, none);
    assert_eq!(
        library.books(|all| all.all_of(|every| every)).await?,
        [1, 2, 3, 4, 5]
    );
    assert_eq!(
        library.books(|all| all.none_of(|every| every)).await?,
        [1, 2, 3, 4, 5]
    );
    // Of the third it is neither true nor false.
    assert_eq!(
        library
            .books(|all| all.none_of(|any| any.eq("pages", 9).eq("id", 1_i64)))
            .await?,
        [2, 4]
    );
    assert_eq!(
        library
            .books(|all| {
                all.gt("id", 1_i64).any_of(|any| {
                    any.eq("pages", 9)
                        .all_of(|both| both.eq("author_id", 2_i64).none_of(|not| not.is_null("pages")))
                })
            })
            .await?,
        [4, 5]
    );
    library.close().await
}

#[tokio::test]
async fn marks_in_a_users_text_stand_for_themselves() -> Outcome {
    let library = Library::start().await?;
    let none: [i64; 0] = [];
    let found = |pattern: Pattern| library.books(move |all| all.like("title", pattern.clone()));
    assert_eq!(found(Pattern::starting_with("50%")).await?, [2]);
    assert_eq!(found(Pattern::starting_with("5%")).await?, none);
    assert_eq!(found(Pattern::containing("f_l")).await?, [2]);
    assert_eq!(found(Pattern::containing("g_")).await?, none);
    assert_eq!(found(Pattern::ending_with("\\")).await?, [2]);
    assert_eq!(found(Pattern::containing("%")).await?, [2]);
    assert_eq!(found(Pattern::containing("'s")).await?, [5]);
    assert_eq!(found(Pattern::of_sql("_ngines%")).await?, [4]);
    assert_eq!(found(Pattern::of_sql("%engines")).await?, [1]);
    assert_eq!(found(Pattern::containing("")).await?, [1, 2, 3, 4, 5]);
    let found = library
        .books(|all| all.ilike("title", Pattern::containing("ENGINES")))
        .await?;
    assert_eq!(found, [1, 4]);
    library.close().await
}

#[tokio::test]
async fn json_arrays_and_ranges_are_asked_what_they_hold() -> Outcome {
    let library = Library::start().await?;
    for db in library.homes() {
        ranges(db).await?;
    }
    let json = serde_json::json!({ "nested": { "number": 3 } });
    assert_eq!(
        library.books(|all| all.contains("meta", json.clone())).await?,
        [3]
    );
    let whole = serde_json::json!({ "mark": "ours", "nested": { "number": 3 }, "list": [3], "more": 1 });
    assert_eq!(
        library
            .books(|all| all.contained_in("meta", whole.clone()))
            .await?,
        [3]
    );
    assert_eq!(
        library.books(|all| all.has_key("meta", "nested")).await?,
        [1, 2, 3, 4, 5]
    );
    assert_eq!(
        library.books(|all| all.has_key("meta", "number")).await?,
        [0_i64; 0]
    );
    assert_eq!(
        library
            .books(|all| all.eq(Expr::json_text("meta", ["nested", "number"]), "4"))
            .await?,
        [4]
    );
    assert_eq!(
        library
            .books(|all| all.eq(Expr::json("meta", ["list", "0"]), serde_json::json!(2)))
            .await?,
        [2]
    );
    assert_eq!(
        library
            .books(|all| all.is_null(Expr::json_text("meta", ["list", "1"])))
            .await?,
        [1, 2, 3, 4, 5]
    );

    let words = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect::<Vec<String>>();
    assert_eq!(
        library
            .books(|all| all.contains("tags", words(&["engines"])))
            .await?,
        [1, 4]
    );
    assert_eq!(
        library
            .books(|all| all.overlaps("tags", words(&["songs", "weaving"])))
            .await?,
        [1, 5]
    );
    assert_eq!(
        library
            .books(|all| all.contained_in("tags", words(&["gärten", "x"])))
            .await?,
        [3]
    );
    assert_eq!(
        library.books(|all| all.eq("tags", words(&["gärten"]))).await?,
        [3]
    );

    assert_eq!(library.books(|all| all.contains("years", 1815)).await?, [1]);
    assert_eq!(
        library
            .books(|all| all.overlaps("years", PgRange::from(1810..1900)))
            .await?,
        [1, 2]
    );
    library.close().await
}

async fn ranges(db: &TenantDb) -> tenantry::Result<()> {
    for (id, years) in [(1_i64, 1810..1820), (2, 1820..1830)] {
        let update = db.update("books").set("years", PgRange::from(years)).eq("id", id);
        assert_eq!(update.execute().await?, 1);
    }
    Ok(())
}

#[tokio::test]
async fn words_are_found_in_documents_and_in_texts() -> Outcome {
    let library = Library::start().await?;
    let none: [i64; 0] = [];
    let found = |column: &'static str, search: TextSearch<'static>| {
        library.books(move |all| all.matches(column, search.clone()))
    };
    let english = |search: TextSearch<'static>| search.language("english");
    for column in ["words", "title"] {
        // The stem is the same, and no mark of a search engine is an error.
        assert_eq!(
            found(column, english(TextSearch::web("engine"))).await?,
            [1, 4],
            "{column}"
        );
        assert_eq!(
            found(column, english(TextSearch::web("engine -night"))).await?,
            [1]
        );
        assert_eq!(
            found(
                column,
                english(TextSearch::web("song or \"weave engine\" ) ' :*"))
            )
            .await?,
            [1, 5]
        );
        assert_eq!(
            found(column, english(TextSearch::words("night engine"))).await?,
            [4]
        );
        assert_eq!(
            found(column, english(TextSearch::phrase("night engine"))).await?,
            none
        );
        assert_eq!(
            found(column, english(TextSearch::phrase("engine weave"))).await?,
            none
        );
    }
    assert_eq!(
        found("title", TextSearch::words("engine").language("simple")).await?,
        none
    );
    assert_eq!(found("title", TextSearch::words("Gärten")).await?, [3]);
    for db in library.homes() {
        let search = TextSearch::words("x").language("english'), ('x");
        let error = db
            .query("books")
            .matches("title", search)
            .count()
            .await
            .unwrap_err();
        assert!(matches!(error, Error::StatementRefused { .. }), "{error:?}");
    }
    library.close().await
}

#[tokio::test]
async fn sql_of_the_hosts_own_stands_in_parentheses() -> Outcome {
    let library = Library::start().await?;
    assert_eq!(
        library
            .books(|all| {
                all.raw(|sql| {
                    sql.push("length(title) > ")
                        .push_bind(15)
                        .push(" or pages = ")
                        .push_bind(9)
                })
                .ne("id", 1_i64)
            })
            .await?,
        [4, 5]
    );
    // An `or` that is not in parentheses would meet the neighbour's rows were it not for row-level security, and
    // one that closes them is never sent.
    assert_eq!(
        library
            .books(|all| all.raw(|sql| sql.push("false or true")))
            .await?
            .len(),
        5
    );
    for db in library.homes() {
        for raw in ["true) or (true", "true -- ", "", "  "] {
            let count = db.query("books").raw(|sql| sql.push(raw)).count().await;
            assert!(
                matches!(count, Err(Error::StatementRefused { .. })),
                "{raw}: {count:?}"
            );
        }
        // The kernel's answer is not the host's to give, and a value is never text.
        let mark = "x' or true --".to_owned();
        let count = db
            .query("books")
            .raw(|sql| sql.push("label = ").push_bind(mark))
            .count();
        assert_eq!(count.await?, 0);
    }
    library.close().await
}
