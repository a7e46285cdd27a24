//! What is read in pages.

use super::db;
use crate::error::Error;
use crate::query::{Compare, Expr, Order};

#[tokio::test]
async fn what_has_no_place_in_an_order_of_rows_has_no_pages() {
    let query = || {
        db().query("agents")
            .columns(["name"])
            .order_by("name", Order::Asc)
    };
    for query in [
        query().distinct(),
        query().distinct_on(["name"]),
        query().group_by(["name"]),
        query().having(Expr::count(), Compare::Gt, Expr::value(1)),
        query().offset(5),
    ] {
        let error = query.fetch_page::<(String,)>(None).await.unwrap_err();
        assert!(matches!(error, Error::StatementRefused { .. }), "{error}");
    }
}
