#![expect(clippy::disallowed_methods, reason = "reads the catalogue of a database")]

use sqlx::PgConnection;

/// More than a row can have columns no query asks for. Rows of tables are no types of columns.
const TYPES: &str = "
select 'select ' || string_agg(format('null::%s', t.oid::regtype), ', ')
from (
    select t.oid from pg_type t
    left join pg_class c on c.oid = t.typrelid
    where (t.oid >= 16384
           or t.oid in (select a.atttypid from pg_attribute a join pg_class of on of.oid = a.attrelid
                        where of.oid >= 16384 and of.relkind in ('r', 'p', 'v', 'm', 'c') and a.attnum > 0))
      and t.typtype in ('b', 'c', 'e', 'm', 'r') and (t.typrelid = 0 or c.relkind = 'c')
      and has_schema_privilege(t.typnamespace, 'usage') and has_type_privilege(t.oid, 'usage')
    order by t.oid
    limit 1600
) t";

/// A query of one value of each type that the database has beyond PostgreSQL's own, or uses of those.
pub(crate) async fn value_of_each_type(conn: &mut PgConnection) -> sqlx::Result<Option<String>> {
    sqlx::query_scalar(TYPES).persistent(false).fetch_one(conn).await
}
