#![expect(clippy::disallowed_methods, reason = "reads the catalogue of a database")]

use sqlx::PgConnection;

/// More than a row can have columns no query asks for, the host's own first. Rows of tables are no types of
/// columns; sqlx cannot look up PostgreSQL's internal ones, nor multiranges.
const TYPES: &str = "
select 'select ' || string_agg(format('null::%s', t.oid::regtype), ', ')
from (
    select t.oid from pg_type t
    left join pg_class c on c.oid = t.typrelid
    left join pg_type e on e.oid = t.typelem
    left join pg_class ec on ec.oid = e.typrelid
    where t.typtype in ('b', 'c', 'e', 'r') and t.typcategory not in ('P', 'Z')
      and coalesce(e.typtype in ('b', 'c', 'e', 'r') and e.typcategory not in ('P', 'Z'), true)
      and coalesce(c.relkind = 'c', true) and coalesce(ec.relkind = 'c', true)
      and has_schema_privilege(t.typnamespace, 'usage') and has_type_privilege(t.oid, 'usage')
    order by t.oid desc
    limit 1600
) t";

/// A query of one value of each type that the database has.
pub(crate) async fn value_of_each_type(conn: &mut PgConnection) -> sqlx::Result<Option<String>> {
    sqlx::query_scalar(TYPES).persistent(false).fetch_one(conn).await
}
