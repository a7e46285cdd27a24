use std::fmt;

use sqlx::Arguments as _;
use sqlx::postgres::{PgArguments, PgRow};

use super::notes::Tested;
use super::run::{Statement, Step, decode};
use super::send::statement;
use super::tenant_query::TenantQuery;
use super::verb::Shape;
use super::verb::sealed::Verb;
use super::writer::Writer;
use crate::database::Mode;
use crate::error::{Error, Result};

/// Whether a statement that is explained is also run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Explain {
    /// It is not.
    #[default]
    Plan,
    /// A read is, and the plan says how long each part took. A write is refused.
    Analyze,
}

/// The plan of a statement, as it is run under the scope.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Explained {
    /// What PostgreSQL says, a line each.
    pub plan: Vec<String>,
    /// Indexes that would serve a condition, were it not for row-level security: on a pool database only
    /// operators that are leakproof reach an index.
    pub warnings: Vec<String>,
}

impl fmt::Display for Explained {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in &self.plan {
            writeln!(f, "{line}")?;
        }
        for warning in &self.warnings {
            writeln!(f, "warning: {warning}")?;
        }
        Ok(())
    }
}

impl<V: Verb> TenantQuery<'_, V> {
    /// The plan of the statement as it is run here: bound to the client, under row-level security where that
    /// is in force, with its values. Reads as [`fetch_all`](Self::fetch_all) sends them, writes as
    /// [`execute`](TenantQuery::execute) does.
    ///
    /// ```no_run
    /// # use tenantry::Explain;
    /// # async fn example(acme: tenantry::TenantDb) -> tenantry::Result<()> {
    /// let explained = acme.query("agents").eq("slug", "guide").explain(Explain::Plan).await?;
    /// println!("{explained}");
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// As [`fetch_all`](Self::fetch_all), and [`Error::StatementRefused`] where a write is to be analysed.
    ///
    /// # Cancel safety
    /// As [`fetch_all`](Self::fetch_all).
    pub async fn explain(mut self, explain: Explain) -> Result<Explained> {
        self.expect_sendable()?;
        let client = self.source.client;
        let options = match explain {
            Explain::Plan => "explain ",
            Explain::Analyze if V::WRITES => {
                return Err(Error::StatementRefused {
                    client,
                    what: self.step().into(),
                    reason: "analysing a write would write",
                });
            }
            Explain::Analyze => "explain (analyze, buffers) ",
        };
        let shape = if V::WRITES { Shape::Done } else { Shape::Rows };
        self.on.renew().await?;
        let mut statement = statement(&self.on, &self.source, &self.verb, shape).await?;
        statement.sql.insert_str(0, options);
        let step = statement.step;
        let rows: Vec<PgRow> = statement.run(&mut self.on).await?;
        let lines: Vec<(String,)> = (rows.iter())
            .map(|row| decode(client, step, row))
            .collect::<Result<_>>()?;
        let plan: Vec<String> = lines.into_iter().map(|(line,)| line).collect();
        let warnings = self.unused_indexes(&plan, shape).await?;
        Ok(Explained { plan, warnings })
    }

    async fn unused_indexes(&mut self, plan: &[String], shape: Shape) -> Result<Vec<String>> {
        let client = self.source.client;
        let tested = {
            let catalogue = self.on.catalogue().await?;
            let scoped = self.on.db().is_scoped();
            let mut writer = Writer::new(client, &catalogue, scoped);
            writer.take_notes();
            self.verb.write(&self.source, &mut writer, shape)?;
            if scoped {
                writer.finish()?.notes.tested
            } else {
                Vec::new()
            }
        };
        if tested.is_empty() {
            return Ok(Vec::new());
        }
        let column = |of: fn(&Tested) -> &String| tested.iter().map(of).cloned().collect::<Vec<_>>();
        let mut arguments = PgArguments::default();
        for names in [
            column(|tested| &tested.table),
            column(|tested| &tested.column),
            column(|tested| &tested.operator),
        ] {
            arguments.add(names).map_err(|source| Error::Encode {
                client,
                column: "a name".to_owned(),
                source: source.into(),
            })?;
        }
        let step = Step("explain", "indexes");
        let statement = Statement {
            sql: UNUSED.to_owned(),
            arguments,
            step,
            mode: Mode::ReadOnly,
            residue: false,
        };
        let rows: Vec<PgRow> = statement.run(&mut self.on).await?;
        let mut warnings = Vec::new();
        for row in &rows {
            let (table, column, operator, index): (String, String, String, String) =
                decode(client, step, row)?;
            if !plan.iter().any(|line| line.contains(&index)) {
                warnings.push(format!(
                    "row-level security keeps the condition {table}.{column} {operator} from the index {index}: \
                     the operator is not leakproof"
                ));
            }
        }
        Ok(warnings)
    }
}

/// Operators on columns that are not leakproof, though an index on the column has them. For a pattern a B-tree
/// serves by its order, which is that of bytes.
const UNUSED: &str = "
select distinct q.table_name, q.column_name, q.operator, x.relname::text
from unnest($1, $2, $3) q(table_name, column_name, operator)
join pg_attribute a on a.attrelid = q.table_name::regclass and a.attname = q.column_name
join pg_index i on i.indrelid = a.attrelid and i.indisvalid
join pg_class x on x.oid = i.indexrelid
join pg_operator o on o.oprname = q.operator
join pg_proc p on p.oid = o.oprcode and not p.proleakproof
where (a.attnum = any (i.indkey)
       or exists (select from pg_depend d
                  where d.classid = 'pg_class'::regclass and d.objid = i.indexrelid
                    and d.refclassid = 'pg_class'::regclass and d.refobjid = a.attrelid and d.refobjsubid = a.attnum))
  and exists (
    select from unnest(i.indclass) with ordinality c(oid, at)
    join pg_opclass oc on oc.oid = c.oid
    left join pg_collation l on l.oid = i.indcollation[c.at - 1]
    left join pg_amop m on m.amopfamily = oc.opcfamily and m.amopopr = o.oid
    where (m.oid is not null and o.oprleft in (a.atttypid, oc.opcintype))
       or (o.oprname = '~~' and o.oprleft = 'text'::regtype and i.indkey[c.at - 1] = a.attnum
           and (oc.opcname in ('text_pattern_ops', 'varchar_pattern_ops') or l.collcollate = 'C' or l.collname = 'C')))
order by 1, 2, 4";
