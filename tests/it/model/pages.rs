//! Pages, walked to the end and back.

use tenantry::{Cursor, Order, Result, TenantDb};

use super::cell::{Cell, Fetched, Kind, spelt};
use super::condition::{Place, Test, test};
use super::eval::{Tuple, relations, shown};
use super::question::{Form, ORDERS, Question, in_order};
use super::random::Random;
use super::schema::{KEY, Rows, Schema};

/// A query that is read in pages.
#[derive(Clone, Debug)]
pub(super) struct Walk {
    pub(super) question: Question,
    pub(super) columns: Vec<Place>,
    pub(super) order: Vec<(Place, Order)>,
    pub(super) limit: u32,
}

/// The rows of each page.
pub(super) type Pages = Vec<Vec<Vec<Cell>>>;

impl Walk {
    pub(super) fn random(random: &mut Random, schema: &Schema) -> Self {
        let table = random.below(schema.tables.len());
        let (joins, all) = Question::joins(random, schema, table, 25);
        let tests: Vec<Test> = random.some(1, |random| test(random, &all, 1));
        let mut order = Vec::new();
        for _ in 0..random.below(4) {
            let place = all.place(random, Kind::is_ordered);
            order.extend(place.map(|place| (place, *random.pick(&ORDERS))));
        }
        let mut columns: Vec<Place> = order.iter().map(|(place, _)| *place).collect();
        columns.extend((0..all.list.len()).map(|relation| Place {
            relation,
            column: KEY,
        }));
        Self {
            question: Question {
                table,
                joins,
                tests,
                form: Form::Count,
            },
            columns,
            order,
            limit: 1 + u32::try_from(random.below(5)).unwrap_or_default(),
        }
    }

    /// One page.
    pub(super) async fn page(
        &self,
        db: &TenantDb,
        schema: &Schema,
        from: Option<&Cursor>,
    ) -> Result<tenantry::Page<Fetched>> {
        let relations = relations(schema, self.question.table, &self.question.joins);
        let mut query = self.question.asked(db, &relations).limit(self.limit);
        query = query.columns(self.columns.iter().map(|place| relations.name(*place)));
        for (place, order) in &self.order {
            query = query.order_by(relations.name(*place), *order);
        }
        query.fetch_page(from).await
    }

    /// All pages, there and back.
    pub(super) async fn pages(&self, db: &TenantDb, schema: &Schema) -> Result<(Pages, Pages)> {
        let (mut there, mut back): (Pages, Pages) = (Vec::new(), Vec::new());
        let mut from = None;
        let mut previous = loop {
            let page = self.page(db, schema, from.as_ref()).await?;
            there.push(of(&page.rows));
            match page.next {
                // Past any number of rows that there are.
                Some(next) if there.len() < 2_000 => from = Some(next),
                _ => break page.previous,
            }
        };
        back.extend(there.last().cloned());
        while let Some(cursor) = previous {
            let page = self.page(db, schema, Some(&cursor)).await?;
            back.push(of(&page.rows));
            previous = page.previous.filter(|_| back.len() < 2_000);
        }
        back.reverse();
        Ok((there, back))
    }

    /// What is wrong with pages, if anything is.
    pub(super) fn fault(&self, (there, back): &(Pages, Pages), rows: &Rows) -> Option<String> {
        let mut tuples: Vec<Tuple<'_>> = self.question.found(rows);
        let mut order = self.order.clone();
        if self.question.joins.is_empty() {
            let descending = matches!(self.order.last(), Some((_, Order::Desc | Order::DescNullsLast)));
            let last = if descending { Order::Desc } else { Order::Asc };
            order.push((
                Place {
                    relation: 0,
                    column: KEY,
                },
                last,
            ));
        }
        tuples.sort_by(|one, other| in_order(&order, one, other));
        let all: Vec<Vec<Cell>> = tuples.iter().map(|tuple| shown(tuple, &self.columns)).collect();
        let limit = self.limit.try_into().unwrap_or(usize::MAX);
        let sizes_differ = there.iter().rev().skip(1).any(|page| page.len() != limit)
            || there.len() != all.len().div_ceil(limit).max(1);
        if sizes_differ {
            return Some(format!("pages of other sizes; expected {:#?}", spelt(&all)));
        }
        let found = there.concat();
        if spelt(&found) != spelt(&back.concat()) || there.len() != back.len() {
            return Some(format!("another way back: {back:#?}"));
        }
        if self.question.joins.is_empty() {
            return (spelt(&found) != spelt(&all)).then(|| format!("expected {:#?}", spelt(&all)));
        }
        // What decides between equals is not the model's to say.
        let in_any_order = |rows: &[Vec<Cell>]| {
            let mut rows = spelt(rows);
            rows.sort();
            rows
        };
        let heads = |rows: &[Vec<Cell>]| {
            let heads: Vec<Vec<Cell>> = rows.iter().map(|row| row[..order.len()].to_vec()).collect();
            spelt(&heads)
        };
        let same = in_any_order(&found) == in_any_order(&all) && heads(&found) == heads(&all);
        (!same).then(|| format!("expected {:#?}", spelt(&all)))
    }
}

fn of(rows: &[Fetched]) -> Vec<Vec<Cell>> {
    rows.iter().map(|row| row.0.clone()).collect()
}
