use super::bind::{Value, held};
use super::select::{Select, related};
use super::source::Source;
use super::verb::Shape;
use super::verb::sealed::Verb;
use super::writer::Writer;
use crate::error::Result;
use crate::schema::Column;
use crate::schema::vectors::Metric;

/// A search by meaning, as it is spelt.
pub(super) struct Ranking<'q, 't> {
    pub(super) select: &'q Select<'t>,
    pub(super) column: &'q str,
    pub(super) vector: &'q dyn Value,
    pub(super) metric: Metric,
    pub(super) rows: u32,
    /// No further away than this, where that is for the database to see to.
    pub(super) within: Option<f64>,
    pub(super) distance: &'q str,
    pub(super) way: Way,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// Every row of the client is measured.
    Exact,
    /// By the client's own index, of half precision: twice as many as are wanted, which are put in order by their
    /// exact distance.
    Approximate,
}

impl Verb for Ranking<'_, '_> {
    const NAME: &'static str = "search";
    const WRITES: bool = false;

    /// A threshold in the scan in order would make it run on, so it is applied to the nearest alone. `+ 0` keeps an
    /// index out of an exact search, whoever made it.
    fn write(&self, source: &Source<'_>, writer: &mut Writer<'_>, _shape: Shape) -> Result<()> {
        let what = || format!("search {}", source.table);
        if !self.select.is_plain() {
            return writer.refuse(what(), "it is of rows, not of groups of them");
        }
        let (joined, relations) = related(source, writer)?;
        let (_, column) = relations.column(self.column)?;
        let Some(vector) = VectorType::of(column) else {
            return writer.refuse(what(), "the column is no vector");
        };
        writer.push("with nearest as materialized (");
        self.select.write_list(writer, &relations)?;
        let at = writer.bind(self.vector, self.column)?;
        let distance = |writer: &mut Writer<'_>| {
            writer.push(&vector.operator(self.metric));
            writer.place(at);
            writer.push("::");
            writer.push(&vector.name());
        };
        writer.push(", (");
        writer.column(&relations, self.column)?;
        distance(writer);
        writer.push(if self.way == Way::Exact {
            ") + 0 as "
        } else {
            ") as "
        });
        writer.label(self.distance)?;
        let joint = Select::write_from(source, writer, &joined, &relations)?;
        writer.push(joint);
        writer.column(&relations, self.column)?;
        writer.push(" is not null");
        match self.way {
            Way::Exact => {
                writer.push(" order by ");
                writer.label(self.distance)?;
            }
            Way::Approximate => {
                if writer.is_scoped() && relations.base().is_tenant() {
                    // A literal, by which the planner knows that the client's index has all its rows.
                    writer.push(" and ");
                    if relations.is_qualified() {
                        relations.base().write(writer);
                    }
                    writer.push(&format!("client_id = '{}'", writer.client()));
                }
                writer.push(" order by ");
                writer.column(&relations, self.column)?;
                writer.push("::");
                writer.push(&vector.half());
                writer.push(&vector.operator(self.metric));
                writer.place(at);
                writer.push("::");
                writer.push(&vector.half());
            }
        }
        let candidates = match self.way {
            Way::Exact => i64::from(self.rows),
            Way::Approximate => 2 * i64::from(self.rows),
        };
        writer.push(" limit ");
        writer.value_of_one_type(&held(candidates), "limit")?;
        writer.push(") select * from nearest");
        if let Some(within) = self.within {
            writer.push(" where ");
            writer.label(self.distance)?;
            writer.push(" <= ");
            writer.value_of_one_type(&held(within), "a distance")?;
        }
        writer.push(" order by ");
        writer.label(self.distance)?;
        if self.way == Way::Approximate {
            writer.push(" limit ");
            writer.value_of_one_type(&held(i64::from(self.rows)), "limit")?;
        }
        Ok(())
    }
}

/// A type of vectors, as the database spells it.
struct VectorType<'c> {
    /// With a dot, where the types of vectors are not on the search path.
    schema: &'c str,
    name: &'c str,
    /// In parentheses.
    dimensions: &'c str,
}

impl<'c> VectorType<'c> {
    fn of(column: &'c Column) -> Option<Self> {
        let (name, dimensions) = match column.type_sql.find('(') {
            Some(at) => column.type_sql.split_at(at),
            None => (column.type_sql.as_str(), ""),
        };
        let (schema, name) = match name.rfind('.') {
            Some(at) => name.split_at(at + 1),
            None => ("", name),
        };
        matches!(name, "vector" | "halfvec").then_some(Self {
            schema,
            name,
            dimensions,
        })
    }

    fn name(&self) -> String {
        format!("{}{}", self.schema, self.name)
    }

    fn half(&self) -> String {
        format!("{}halfvec{}", self.schema, self.dimensions)
    }

    fn operator(&self, metric: Metric) -> String {
        match self.schema {
            "" => format!(" {} ", metric.operator()),
            schema => format!(" operator({schema}{}) ", metric.operator()),
        }
    }
}

impl std::fmt::Debug for Ranking<'_, '_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ranking")
            .field("column", &self.column)
            .field("way", &self.way)
            .finish_non_exhaustive()
    }
}
