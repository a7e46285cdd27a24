use super::source::Source;
use super::writer::Writer;
use super::written::Written;
use crate::error::Result;

/// What a statement is to answer with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(unnameable_types, reason = "a parameter of the sealed trait")]
pub enum Shape {
    /// Its rows; of a write, what it returns.
    Rows,
    /// How many rows a write met.
    Done,
    /// The number of rows that there are.
    Count,
    /// Whether there are any.
    Exists,
}

/// Verbs that take conditions.
pub trait Filtered: sealed::Verb {}

/// Verbs that write and can return what they wrote.
pub trait Writes<'t>: sealed::Verb {
    #[doc(hidden)]
    fn written_mut(&mut self) -> &mut Written<'t>;
}

/// How many rows a verb adds.
#[derive(Clone, Copy, Debug)]
#[expect(unnameable_types, reason = "a result of the sealed trait")]
pub struct Adds {
    /// So many at most.
    pub(super) rows: usize,
    /// Whether fewer where some are there already.
    pub(super) may_be_there: bool,
}

/// Conditions by themselves, which are joined by [`any_of`](super::TenantQuery::any_of) and its kin.
#[derive(Debug, Default)]
pub struct Group;

impl Filtered for Group {}

impl sealed::Verb for Group {
    const NAME: &'static str = "conditions on";
    const WRITES: bool = false;

    fn write(&self, source: &Source<'_>, writer: &mut Writer<'_>, _shape: Shape) -> Result<()> {
        writer.refuse(format!("conditions on {}", source.table), "they are no statement")
    }
}

pub(super) mod sealed {
    use super::{Adds, Shape};
    use crate::error::Result;
    use crate::query::copy::Copy;
    use crate::query::source::Source;
    use crate::query::writer::Writer;

    /// How a verb is spelt in SQL.
    #[expect(unnameable_types, reason = "sealed")]
    pub trait Verb: Send + Sync {
        /// The verb as a person would say it.
        const NAME: &'static str;

        /// Whether it changes rows.
        const WRITES: bool;

        #[doc(hidden)]
        fn write(&self, source: &Source<'_>, writer: &mut Writer<'_>, shape: Shape) -> Result<()>;

        /// Why it may not be sent by itself, outside a transaction of the caller's.
        #[doc(hidden)]
        fn needs_transaction(&self) -> Option<&'static str> {
            None
        }

        /// Takes off what is too much for one statement.
        #[doc(hidden)]
        fn split(&mut self) -> Option<Self>
        where
            Self: Sized,
        {
            None
        }

        /// How many rows it adds, where it adds any.
        #[doc(hidden)]
        fn adds(&self) -> Option<Adds> {
            None
        }

        /// As a COPY, where that does the same and is faster.
        #[doc(hidden)]
        fn copy(&self, _source: &Source<'_>, _writer: &Writer<'_>) -> Result<Option<Copy>> {
            Ok(None)
        }

        /// Whether it is an error to meet no row.
        #[doc(hidden)]
        fn expects_version(&self) -> bool {
            false
        }
    }
}
