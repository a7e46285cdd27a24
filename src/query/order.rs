/// The direction that rows are ordered in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// Smallest first.
    #[default]
    Asc,
    /// Largest first.
    Desc,
}

impl Order {
    pub(super) const fn sql(self) -> &'static str {
        match self {
            Self::Asc => "",
            Self::Desc => " desc",
        }
    }
}
