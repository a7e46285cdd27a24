use tenantry::{Cursor, Error, Expr, Join, Order, Page, Select, TenantDb, TenantQuery};

use super::{Failure, Library, Outcome};

type Books = TenantQuery<'static, Select<'static>>;

/// The ids of a page, which has its key at the end of each row.
async fn page(query: Books, from: Option<&Cursor>) -> tenantry::Result<Page<(i64, Vec<Option<String>>)>> {
    query.columns(["id"]).fetch_page(from).await
}

fn ids(page: &Page<(i64, Vec<Option<String>>)>) -> Vec<i64> {
    page.rows.iter().map(|(id, _)| *id).collect()
}

/// All pages forwards, and then all pages backwards, which are the same.
async fn all_pages(make: impl Fn() -> Books) -> tenantry::Result<Vec<Vec<i64>>> {
    let (mut forwards, mut from) = (Vec::new(), None);
    let mut last = loop {
        let page = page(make(), from.as_ref()).await?;
        assert_eq!(page.previous.is_none(), forwards.is_empty());
        forwards.push(ids(&page));
        match page.next {
            Some(ref cursor) => from = Some(cursor.clone()),
            None => break page,
        }
    };
    let mut backwards = vec![ids(&last)];
    while let Some(cursor) = last.previous {
        last = page(make(), Some(&cursor)).await?;
        assert!(last.next.is_some());
        backwards.insert(0, ids(&last));
    }
    let flat = |pages: &[Vec<i64>]| pages.concat();
    assert_eq!(flat(&forwards), flat(&backwards));
    Ok(forwards)
}

#[tokio::test]
async fn pages_have_each_row_once_in_every_order() -> Outcome {
    let library = Library::start().await?;
    let orders: [&[(&'static str, Order)]; 8] = [
        &[],
        &[("pages", Order::Asc)],
        &[("pages", Order::Desc)],
        &[("pages", Order::AscNullsFirst)],
        &[("pages", Order::DescNullsLast)],
        &[("author_id", Order::Desc), ("pages", Order::Asc)],
        &[("author_id", Order::AscNullsFirst), ("title", Order::Desc)],
        &[("id", Order::Desc)],
    ];
    for order in orders {
        for limit in [1, 2, 4, 5, 9] {
            let pages = library
                .alike(async |db| {
                    let ordered = || {
                        order.iter().fold(db.query("books"), |query, (column, order)| {
                            query.order_by(*column, *order)
                        })
                    };
                    let pages = all_pages(|| ordered().limit(limit)).await?;
                    let last = order.last().map_or(Order::Asc, |(_, order)| *order);
                    let tie = if matches!(last, Order::Desc | Order::DescNullsLast) {
                        Order::Desc
                    } else {
                        Order::Asc
                    };
                    let whole: Vec<i64> = ordered()
                        .order_by("id", tie)
                        .columns(["id"])
                        .fetch_scalars()
                        .await?;
                    assert_eq!(pages.concat(), whole, "{order:?}");
                    Ok(pages)
                })
                .await?;
            assert_eq!(
                pages.len(),
                5_usize.div_ceil(limit as usize),
                "{order:?} by {limit}"
            );
        }
    }
    library.close().await
}

#[tokio::test]
async fn rows_that_come_and_go_between_pages_shift_nothing() -> Outcome {
    let library = Library::start().await?;
    let seen = library
        .alike(async |db| {
            let by_title = || db.query("books").order_by("title", Order::Asc).limit(2);
            let first = page(by_title(), None).await?;
            let shift = async |delete: i64, add: i64, title: &'static str| {
                db.delete("shelf_books").eq("book_id", delete).execute().await?;
                db.delete("books").eq("id", delete).execute().await?;
                db.insert("books")
                    .set("id", add)
                    .set("title", title)
                    .execute()
                    .await
            };
            // The row that the cursor was made of, and one before it.
            shift(ids(&first)[1], 7, "A first one").await?;
            let second = page(by_title(), first.next.as_ref()).await?;
            shift(ids(&second)[0], 8, "Zebras").await?;
            let third = page(by_title(), second.next.as_ref()).await?;
            let back = page(by_title(), third.previous.as_ref()).await?;
            let text = serde_json::to_string(&first.next).unwrap();
            let read: Option<Cursor> = serde_json::from_str(&text).unwrap();
            assert_eq!(read, first.next);
            Ok((ids(&first), ids(&second), ids(&third), ids(&back)))
        })
        .await?;
    // By the collation of the database, which is the same in each.
    assert_eq!(seen.0.len(), 2);
    assert_eq!(seen.2.last(), Some(&8));
    assert!(!seen.1.contains(&7));
    library.close().await
}

#[tokio::test]
async fn a_row_that_is_joined_to_several_is_on_a_page_for_each() -> Outcome {
    let library = Library::start().await?;
    let found = library
        .alike(async |db| {
            let wrote = || {
                db.query("authors")
                    .join(Join::left("books").by("author_id"))
                    .columns(["slug", "books.id"])
            };
            let mut whole: Vec<(String, Option<i64>)> = wrote().fetch_all().await?;
            let (mut paged, mut from) = (Vec::new(), None);
            loop {
                let page: Page<(String, Option<i64>, Vec<Option<String>>)> = wrote()
                    .order_by("slug", Order::Asc)
                    .limit(1)
                    .fetch_page(from.as_ref())
                    .await?;
                paged.extend(page.rows.into_iter().map(|(slug, id, _)| (slug, id)));
                from = page.next;
                if from.is_none() {
                    break;
                }
            }
            whole.sort();
            paged.sort();
            assert_eq!(paged, whole);
            Ok(paged)
        })
        .await?;
    assert_eq!(found.len(), 5);
    // To one row at most: the order stays that of the table's key.
    let pages = library
        .alike(async |db| {
            let query = || {
                let joined = db.query("books").join(Join::left("authors").by("author_id"));
                joined.order_by("authors.born", Order::Desc).limit(2)
            };
            all_pages(query).await
        })
        .await?;
    assert_eq!(pages.concat().len(), 5);
    library.close().await
}

#[tokio::test]
async fn a_cursor_is_good_for_its_client_table_and_order_alone() -> Outcome {
    let library = Library::start().await?;
    let cursor = async |db: &TenantDb| -> Result<Cursor, Failure> {
        let page = page(db.query("books").order_by("pages", Order::Asc).limit(1), None).await?;
        page.next.ok_or_else(|| "there are more".into())
    };
    let foreign = cursor(&library.neighbour).await?;
    for db in library.homes() {
        let own = cursor(db).await?;
        let ordered = || db.query("books").order_by("pages", Order::Asc);
        assert_eq!(ids(&page(ordered(), Some(&own)).await?), [2, 1, 4, 3]);
        let forged = |text: &str| Cursor::new(text);
        for (query, cursor) in [
            (ordered(), foreign.clone()),
            (db.query("books").order_by("pages", Order::Desc), own.clone()),
            (db.query("books").order_by("id", Order::Asc), own.clone()),
            (db.query("books"), own.clone()),
            (db.query("shelves"), own.clone()),
            (ordered(), forged("")),
            (ordered(), forged("' or true --")),
            (ordered(), forged(&own.as_str()[..own.as_str().len() - 4])),
            (ordered(), forged(&"A".repeat(20_000))),
        ] {
            let error = page(query, Some(&cursor)).await.unwrap_err();
            assert!(matches!(error, Error::InvalidCursor { .. }), "{error:?}");
        }
        let refused = [
            db.query("notes")
                .columns(["subject"])
                .fetch_page::<(i64,)>(None)
                .await
                .map(drop),
            page(
                db.query("books")
                    .order_by(Expr::column("title").lower(), Order::Asc),
                None,
            )
            .await
            .map(drop),
        ];
        for refused in refused {
            assert!(
                matches!(refused, Err(Error::StatementRefused { .. })),
                "{refused:?}"
            );
        }
    }
    library.close().await
}

#[tokio::test]
async fn a_page_of_a_table_of_one_row_a_client_has_it() -> Outcome {
    let library = Library::empty().await?;
    let themes = library
        .alike(async |db| {
            db.insert("settings").set("theme", "dark").execute().await?;
            let page: Page<(String, Vec<String>)> = db.query("settings").limit(1).fetch_page(None).await?;
            assert!(page.next.is_none() && page.previous.is_none());
            Ok(page.rows)
        })
        .await?;
    assert_eq!(themes, [("dark".to_owned(), vec![])]);
    library.close().await
}
