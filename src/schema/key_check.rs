#![expect(clippy::disallowed_methods, reason = "reads the catalogue of a database")]

use sqlx::PgConnection;

/// A foreign key that rows must satisfy which were written without asking it.
#[derive(Clone, Debug, sqlx::FromRow)]
pub(crate) struct KeyCheck {
    /// The table that it is of, or one of whose partitions.
    pub(crate) root: i64,
    /// Whether it is of all rows of the table.
    pub(crate) whole: bool,
    pub(crate) name: String,
    schema: String,
    table: String,
    rows: String,
    parents: String,
    /// Whether what it leads to is not among the tables: others write there.
    pub(crate) leads_outside: bool,
    same: String,
    filled: String,
    /// The columns of either side, in one order.
    referenced: String,
    referring: String,
}

impl KeyCheck {
    /// Those of the tables, by their oids.
    pub(crate) async fn of(conn: &mut PgConnection, tables: &[i64]) -> sqlx::Result<Vec<Self>> {
        // Names tell their schemas then.
        sqlx::raw_sql("set search_path = pg_catalog")
            .execute(&mut *conn)
            .await?;
        let keys = sqlx::query_as(include_str!("key_checks.sql"))
            .bind(tables)
            .persistent(false)
            .fetch_all(&mut *conn)
            .await?;
        sqlx::raw_sql("reset search_path").execute(conn).await?;
        Ok(keys)
    }

    pub(crate) fn step(&self) -> String {
        format!(
            "checking the foreign key {} of {}.{}",
            self.name, self.schema, self.table
        )
    }

    /// The rows of its table that satisfy a condition.
    fn rows_where(&self, condition: &str) -> String {
        format!("(select * from {} where {condition})", self.rows)
    }

    /// The values that those rows refer by, as texts, so many at most.
    pub(crate) fn values(&self, rows: &str, most: usize) -> String {
        format!(
            "select array(select distinct jsonb_build_array({})::text from {rows} c where {} limit {most})",
            self.referring, self.filled
        )
    }

    /// How many of those values, an array of texts, lead nowhere.
    pub(crate) fn missing(&self) -> String {
        format!(
            "select count(*) from unnest($1::text[]) v (it)
             where not exists (select from {} p where jsonb_build_array({})::text = v.it)",
            self.parents, self.referenced
        )
    }

    /// [`check`](Self::check) for all rows of the client. The planner takes those that have just come for few, and would
    /// look each of them up among all.
    pub(crate) fn check_all(&self, mine: &str) -> String {
        format!(
            "set local enable_nestloop = off; {}; set local enable_nestloop to default",
            self.check(&self.rows_where(mine))
        )
    }

    /// What fails as the server does, unless each of those rows refers to one that there is. Where others write, that
    /// one stays until the end of the transaction.
    pub(crate) fn check(&self, rows: &str) -> String {
        let Self {
            parents,
            same,
            filled,
            ..
        } = self;
        let keep = if self.leads_outside {
            format!(
                "select count(*) from (select from {parents} p where exists (select from {rows} c where {same})
                     for key share of p) kept; "
            )
        } else {
            String::new()
        };
        let quoted = |text: &str| format!("'{}'", text.replace('\'', "''"));
        let message = format!(
            "rows of table \"{}\" violate foreign key constraint \"{}\"",
            self.table, self.name
        );
        let block = format!(
            "begin
                 if exists (select from {rows} c where {filled} and not exists (select from {parents} p where {same})) then
                     raise exception using message = {}, errcode = '23503', constraint = {}, table = {}, schema = {};
                 end if;
             end",
            quoted(&message),
            quoted(&self.name),
            quoted(&self.table),
            quoted(&self.schema),
        );
        format!("{keep}do {}", quoted(&block))
    }
}
