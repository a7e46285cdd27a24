#![expect(clippy::disallowed_methods, reason = "reads the catalogue of a database")]

use std::collections::HashMap;
use std::fmt;

use sha2::{Digest, Sha256};
use sqlx::PgConnection;

use crate::client::ClientId;

/// How far two vectors are from each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Metric {
    /// 1 less the cosine of the angle between them: pgvector's `<=>`.
    #[default]
    Cosine,
    /// The Euclidean distance: pgvector's `<->`.
    L2,
    /// The inner product, negated so that the nearest is the least: pgvector's `<#>`.
    InnerProduct,
}

impl Metric {
    pub(crate) const ALL: [Self; 3] = [Self::Cosine, Self::L2, Self::InnerProduct];

    /// The metric as `tenantry.approximate` spells it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Cosine => "cosine",
            Self::L2 => "l2",
            Self::InnerProduct => "inner_product",
        }
    }

    /// The operator that measures by it.
    pub(crate) const fn operator(self) -> &'static str {
        match self {
            Self::Cosine => "<=>",
            Self::L2 => "<->",
            Self::InnerProduct => "<#>",
        }
    }

    /// The operator class that indexes vectors of half precision by it.
    pub(crate) const fn half_class(self) -> &'static str {
        match self {
            Self::Cosine => "halfvec_cosine_ops",
            Self::L2 => "halfvec_l2_ops",
            Self::InnerProduct => "halfvec_ip_ops",
        }
    }
}

impl fmt::Display for Metric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A column of vectors: the schema, the table, or the root of its partitions, and the column, none of them quoted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct VectorColumn<'a> {
    pub(crate) schema: &'a str,
    pub(crate) table: &'a str,
    pub(crate) column: &'a str,
}

impl VectorColumn<'_> {
    /// The name of the client's own index on it, which is a hash of what the index is for: it fits whatever the
    /// names are, and no two indexes share it. `tenantry.approximate` says the same in SQL.
    pub(crate) fn index_name(&self, client: ClientId, metric: Metric) -> String {
        let Self {
            schema,
            table,
            column,
        } = self;
        let (schema_length, table_length) = (schema.chars().count(), table.chars().count());
        let told = format!("{metric} {client} {schema_length} {table_length} {schema}{table}{column}");
        format!("tenantry_nearest_{}", hex::encode(&Sha256::digest(told)[..16]))
    }
}

/// The own indexes of all clients of a database. One look at its catalogue: cheap enough to be read again and again
/// by who must hear of those that other processes make.
#[derive(Clone, Debug, Default)]
pub(crate) struct OwnIndexes {
    by_name: HashMap<String, OwnIndex>,
}

/// A client's own approximate index on a column of vectors.
#[derive(Clone, Debug, PartialEq, sqlx::FromRow)]
pub(crate) struct OwnIndex {
    pub(crate) name: String,
    /// Schema and name, quoted.
    pub(crate) sql: String,
    /// Whether it was built to the end.
    pub(crate) valid: bool,
    /// How many vectors it has, as of the last time that they were counted.
    pub(crate) rows: i64,
    /// How it was built.
    pub(crate) m: i32,
    pub(crate) ef_construction: i32,
}

impl OwnIndexes {
    /// Reads what any role may read. Its statement has no name, as those of the catalogue.
    pub(crate) async fn load(conn: &mut PgConnection) -> sqlx::Result<Self> {
        let indexes: Vec<OwnIndex> = sqlx::query_as(OWN_INDEXES)
            .persistent(false)
            .fetch_all(conn)
            .await?;
        Ok(Self::of(indexes))
    }

    /// What [`OWN_INDEXES`] answered.
    pub(crate) fn of(indexes: Vec<OwnIndex>) -> Self {
        let by_name = indexes.into_iter().map(|index| (index.name.clone(), index));
        Self {
            by_name: by_name.collect(),
        }
    }

    /// The client's own index on the column for that metric, built to the end or not.
    pub(crate) fn find(
        &self,
        column: VectorColumn<'_>,
        client: ClientId,
        metric: Metric,
    ) -> Option<&OwnIndex> {
        self.by_name.get(&column.index_name(client, metric))
    }
}

/// Every row is an [`OwnIndex`].
pub(crate) const OWN_INDEXES: &str = "
select i.relname::text as name, format('%I.%I', n.nspname, i.relname) as sql, x.indisvalid as valid,
       greatest(i.reltuples, 0)::int8 as rows,
       coalesce((select option_value from pg_options_to_table(i.reloptions) where option_name = 'm')::int4, 16) as m,
       coalesce((select option_value from pg_options_to_table(i.reloptions) where option_name = 'ef_construction')::int4, 64)
           as ef_construction
from pg_class i
join pg_namespace n on n.oid = i.relnamespace
join pg_index x on x.indexrelid = i.oid
where i.relname like 'tenantry\\_nearest\\_%' and i.relkind = 'i'";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_is_named_for_all_that_it_is_for() {
        let column = |schema, table, column| VectorColumn {
            schema,
            table,
            column,
        };
        let (one, other) = (ClientId::new(), ClientId::new());
        let embedding = column("public", "chunks", "embedding");
        let name = embedding.index_name(one, Metric::Cosine);
        assert!(name.len() <= 63, "{name}");
        assert_eq!(name, embedding.index_name(one, Metric::Cosine));
        for different in [
            embedding.index_name(other, Metric::Cosine),
            embedding.index_name(one, Metric::L2),
            column("publicc", "hunks", "embedding").index_name(one, Metric::Cosine),
            column("public", "chunkse", "mbedding").index_name(one, Metric::Cosine),
        ] {
            assert_ne!(name, different);
        }
    }
}
