/// The direction that rows are ordered in. Nulls count as larger than any value unless it says otherwise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// Smallest first, nulls last.
    #[default]
    Asc,
    /// Nulls first, then the largest.
    Desc,
    /// Nulls first, then the smallest.
    AscNullsFirst,
    /// Largest first, nulls last.
    DescNullsLast,
}

impl Order {
    pub(super) const fn sql(self) -> &'static str {
        match self {
            Self::Asc => "",
            Self::Desc => " desc",
            Self::AscNullsFirst => " nulls first",
            Self::DescNullsLast => " desc nulls last",
        }
    }

    pub(super) const fn is_descending(self) -> bool {
        matches!(self, Self::Desc | Self::DescNullsLast)
    }

    pub(super) const fn has_nulls_first(self) -> bool {
        matches!(self, Self::Desc | Self::AscNullsFirst)
    }

    pub(super) const fn reversed(self) -> Self {
        match self {
            Self::Asc => Self::Desc,
            Self::Desc => Self::Asc,
            Self::AscNullsFirst => Self::DescNullsLast,
            Self::DescNullsLast => Self::AscNullsFirst,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reverse_puts_nulls_at_the_other_end() {
        for order in [
            Order::Asc,
            Order::Desc,
            Order::AscNullsFirst,
            Order::DescNullsLast,
        ] {
            assert_eq!(order.reversed().reversed(), order);
            assert_ne!(order.reversed().is_descending(), order.is_descending());
            assert_ne!(order.reversed().has_nulls_first(), order.has_nulls_first());
        }
    }
}
