use std::collections::{HashMap, HashSet};

use crate::audit::catalogue::{Catalogue, Relation};

/// A catalogue, and what is worked out from it once.
#[derive(Debug)]
pub(in crate::audit) struct Look<'a> {
    pub(super) catalogue: &'a Catalogue,
    by_oid: HashMap<i64, &'a Relation>,
    shared: HashSet<i64>,
}

impl<'a> Look<'a> {
    pub(super) fn at(catalogue: &'a Catalogue) -> Self {
        Self {
            by_oid: catalogue.index(),
            shared: catalogue.shared.iter().copied().collect(),
            catalogue,
        }
    }

    pub(super) fn relation(&self, oid: i64) -> Option<&'a Relation> {
        self.by_oid.get(&oid).copied()
    }

    pub(super) fn is_shared(&self, oid: i64) -> bool {
        self.shared.contains(&oid)
    }

    /// Whether it holds rows of clients.
    pub(super) fn is_tenant(&self, relation: &Relation) -> bool {
        relation.is_table() && relation.client.is_some() && !self.is_shared(relation.oid)
    }

    pub(super) fn is_tenant_oid(&self, oid: i64) -> bool {
        self.relation(oid)
            .is_some_and(|relation| self.is_tenant(relation))
    }

    /// The tenant table that it is a partition of, or inherits from, at the top.
    pub(super) fn above(&self, relation: &Relation) -> Option<&'a Relation> {
        let mut at = relation;
        let mut top = None;
        // As many steps as there are relations: no catalogue has a circle, and none is to hang on one.
        for _ in 0..self.by_oid.len() {
            let parents = at.parents.iter();
            let parent = parents
                .filter_map(|parent| self.relation(*parent))
                .find(|parent| self.is_tenant(parent));
            match parent {
                Some(parent) => (top, at) = (Some(parent), parent),
                None => break,
            }
        }
        top
    }

    /// Tables of clients that stand for themselves, and not below another.
    pub(super) fn tenants(&self) -> impl Iterator<Item = &'a Relation> {
        let relations = self.catalogue.relations.iter();
        relations.filter(|relation| self.is_tenant(relation) && self.above(relation).is_none())
    }

    /// Partitions of tables of clients, and tables that inherit from them.
    pub(super) fn below(&self) -> impl Iterator<Item = (&'a Relation, &'a Relation)> {
        let relations = self.catalogue.relations.iter();
        relations
            .filter(|relation| relation.is_table())
            .filter_map(|relation| Some((relation, self.above(relation)?)))
    }

    /// Whether a view reads a table of clients, by other views as well.
    pub(super) fn reads_tenants(&self, relation: &Relation) -> bool {
        let mut seen = HashSet::new();
        let mut next: Vec<i64> = relation.reads.clone();
        while let Some(oid) = next.pop() {
            if !seen.insert(oid) {
                continue;
            }
            if let Some(read) = self.relation(oid) {
                if self.is_tenant(read) {
                    return true;
                }
                next.extend(&read.reads);
            }
        }
        false
    }
}

/// A text as SQL has it.
pub(in crate::audit) fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// A name as SQL has it.
pub(in crate::audit) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Whom a right was given to, as SQL has it.
pub(in crate::audit) fn grantee(name: &str) -> String {
    if name == "public" {
        name.to_owned()
    } else {
        quoted(name)
    }
}

/// What makes a table one of clients, as it should be.
pub(in crate::audit) fn protect(relation: &Relation) -> String {
    format!("select tenantry.protect({});", literal(&relation.sql))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_texts_are_quoted() {
        assert_eq!(literal("o'clock"), "'o''clock'");
        assert_eq!(quoted("a\"; drop table x; --"), "\"a\"\"; drop table x; --\"");
        assert_eq!(quoted("select"), "\"select\"");
        assert_eq!(grantee("public"), "public");
    }
}
