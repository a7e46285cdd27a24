use sqlx::{Encode, Postgres, Type};

/// A value that can be bound to a statement: whatever sqlx encodes for PostgreSQL.
pub trait Bind: for<'q> Encode<'q, Postgres> + Type<Postgres> + Send {}

impl<T> Bind for T where T: for<'q> Encode<'q, Postgres> + Type<Postgres> + Send {}
