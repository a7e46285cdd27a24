/// How a JSON file keeps its records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum JsonLayout {
    /// One list of records, each an object: `[{"slug": "guide", …}, …]`.
    #[default]
    List,
    /// One object of records by key: `{"guide": {"slug": "guide", …}, …}`. Each holds its key itself as well.
    ByKey,
}
