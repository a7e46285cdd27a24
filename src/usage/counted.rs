use crate::plan::Limit;

/// The tables whose rows count towards limits, as the host declared them.
#[derive(Clone, Debug, Default)]
pub(crate) struct CountedTables(Vec<(String, Limit)>);

impl CountedTables {
    pub(crate) fn add(&mut self, table: String, limit: Limit) {
        if !self.0.iter().any(|(name, of)| *name == table && *of == limit) {
            self.0.push((table, limit));
        }
    }

    /// Whether a table of that name may be counted: names tell by their last part, the catalogue tells for certain.
    pub(crate) fn may_have(&self, table: &str) -> bool {
        self.0.iter().any(|(name, _)| last_part(name) == last_part(table))
    }

    /// The limits that there are, each once.
    pub(crate) fn limits(&self) -> impl Iterator<Item = &Limit> {
        self.0
            .iter()
            .enumerate()
            .filter(|(at, (_, limit))| !self.0[..*at].iter().any(|(_, before)| before == limit))
            .map(|(_, (_, limit))| limit)
    }

    /// The tables that count towards a limit.
    pub(crate) fn tables_of<'a>(&'a self, limit: &'a Limit) -> impl Iterator<Item = &'a str> {
        self.0
            .iter()
            .filter(move |(_, of)| of == limit)
            .map(|(table, _)| table.as_str())
    }
}

fn last_part(name: &str) -> &str {
    name.rsplit_once('.').map_or(name, |(_, last)| last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_counts_the_tables_that_were_declared() {
        let mut counted = CountedTables::default();
        for table in ["documents", "public.notes", "documents"] {
            counted.add(table.to_owned(), Limit::MAX_DOCUMENTS);
        }
        counted.add("documents".to_owned(), Limit::MAX_STORAGE_GB);
        assert!(counted.may_have("documents") && counted.may_have("notes") && !counted.may_have("agents"));
        let limits: Vec<_> = counted.limits().collect();
        assert_eq!(limits, [&Limit::MAX_DOCUMENTS, &Limit::MAX_STORAGE_GB]);
        let limit = Limit::MAX_DOCUMENTS;
        let tables: Vec<_> = counted.tables_of(&limit).collect();
        assert_eq!(tables, ["documents", "public.notes"]);
    }
}
