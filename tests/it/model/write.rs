//! Random updates and deletes, inside a transaction.

use tenantry::{Delete, Expr, Result, TenantDb, TenantQuery, TenantTx, Update};

use super::ask::ask;
use super::cell::{Cell, Fetched, Kind, Native, of_kind, spelt};
use super::condition::{Relations, Test, test};
use super::eval::meets;
use super::random::Random;
use super::schema::{KEY, NATURAL, Rows, Schema};

#[derive(Clone, Debug)]
pub(super) struct Write {
    pub(super) table: usize,
    pub(super) tests: Vec<Test>,
    /// Columns and what they become; of a delete, none.
    pub(super) set: Vec<(usize, New)>,
    pub(super) commits: bool,
}

#[derive(Clone, Debug)]
pub(super) enum New {
    Value(Cell),
    /// What another column was.
    Column(usize),
    /// So much more than it was.
    More(f64),
    Lower,
}

/// What a write returned, and all rows after it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Effect {
    pub(super) met: Vec<String>,
    pub(super) after: Vec<String>,
}

impl Write {
    pub(super) fn random(random: &mut Random, schema: &Schema) -> Self {
        let table = 1 + random.below(schema.tables.len() - 1);
        let of = &schema.tables[table];
        let relations = Relations::of(schema, table);
        let tests = random.some(3, |random| test(random, &relations, 2));
        let is_free = |column: &usize| {
            *column != KEY && *column != NATURAL && of.references.iter().all(|known| known.column != *column)
        };
        let free: Vec<usize> = (0..of.columns.len()).filter(is_free).collect();
        let mut set: Vec<(usize, New)> = Vec::new();
        if random.chance(65) {
            let column = *random.pick(&free);
            set.push((column, New::random(random, schema, table, column)));
            let other = *random.pick(&free);
            if other != column {
                set.push((other, New::random(random, schema, table, other)));
            }
        }
        // A delete of what others refer to would be refused.
        let commits = random.chance(30) && (!set.is_empty() || !schema.is_referred_to(table));
        Self {
            table,
            tests,
            set,
            commits,
        }
    }

    /// The rows of the model that the write meets, as it returns them, and all rows after it.
    pub(super) fn apply(&self, rows: &mut Rows) -> Effect {
        let before = rows.clone();
        let mut met = Vec::new();
        let mut after = Vec::new();
        for row in &before[self.table] {
            if !meets(&self.tests, &vec![Some(row)], &before) {
                after.push(row.clone());
                continue;
            }
            let mut new = row.clone();
            for (column, value) in &self.set {
                new[*column] = match (value, &row[*column]) {
                    (New::Value(value), _) => value.clone(),
                    (New::Column(other), _) => row[*other].clone(),
                    (New::More(more), Cell::Double(was)) => Cell::Double(was + more),
                    (New::Lower, Cell::Text(was)) => Cell::Text(was.to_ascii_lowercase()),
                    (_, was) => was.clone(),
                };
            }
            if !self.set.is_empty() {
                after.push(new.clone());
            }
            met.push(new);
        }
        rows[self.table].clone_from(&after);
        Effect::of(&met, &after)
    }

    pub(super) async fn run(&self, db: &TenantDb, tx: &mut TenantTx, schema: &Schema) -> Result<Effect> {
        let table = &schema.tables[self.table];
        let relations = Relations::of(schema, self.table);
        let names: Vec<String> = table.columns.iter().map(|column| column.name.clone()).collect();
        let met: Vec<Fetched> = if self.set.is_empty() {
            let query: TenantQuery<'_, Delete<'_>> = tx.delete(table.name.clone()).all();
            let query = ask(query, db, &self.tests, &relations);
            query.returning(names.clone()).fetch_all().await?
        } else {
            let query: TenantQuery<'_, Update<'_>> = tx.update(table.name.clone()).all();
            let mut query = ask(query, db, &self.tests, &relations);
            for (column, new) in &self.set {
                let (name, kind) = (names[*column].clone(), table.columns[*column].kind);
                query = match new {
                    New::Value(cell) => of_kind!(kind, T => query.set(name, <T as Native>::of(cell))),
                    New::Column(other) => query.set_expr(name, names[*other].clone()),
                    New::More(more) => query.set_expr(name.clone(), Expr::column(name).plus(*more)),
                    New::Lower => query.set_expr(name.clone(), Expr::column(name).lower()),
                };
            }
            query.returning(names.clone()).fetch_all().await?
        };
        let after: Vec<Fetched> = tx.query(table.name.clone()).columns(names).fetch_all().await?;
        let cells = |rows: Vec<Fetched>| rows.into_iter().map(|row| row.0).collect::<Vec<_>>();
        Ok(Effect::of(&cells(met), &cells(after)))
    }
}

impl New {
    fn random(random: &mut Random, schema: &Schema, table: usize, column: usize) -> Self {
        let columns = &schema.tables[table].columns;
        let of = &columns[column];
        let fits =
            |other: &usize| columns[*other].kind == of.kind && (of.nullable || !columns[*other].nullable);
        let others: Vec<usize> = (0..columns.len()).filter(fits).collect();
        match (random.below(4), of.kind) {
            (0, _) => Self::Column(*random.pick(&others)),
            (1, Kind::Double) => Self::More(1.5),
            (1, Kind::Text) => Self::Lower,
            _ if of.nullable && random.chance(25) => Self::Value(Cell::Null),
            (_, kind) => Self::Value(kind.value(random)),
        }
    }
}

impl Effect {
    fn of(met: &[Vec<Cell>], after: &[Vec<Cell>]) -> Self {
        let sorted = |rows: &[Vec<Cell>]| {
            let mut rows = spelt(rows);
            rows.sort();
            rows
        };
        Self {
            met: sorted(met),
            after: sorted(after),
        }
    }
}
