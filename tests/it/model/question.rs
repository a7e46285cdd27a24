//! Random reads: asked of the builder, and answered by the model.

use std::cmp::Ordering;

use tenantry::{Order, Result, Select, TenantDb, TenantQuery};

use super::ask::ask;
use super::cell::{Cell, Fetched, Kind, spelt};
use super::condition::{Joined, Place, Relations, Test, test};
use super::eval::{Tuple, cell, joined, meets, relations, shown};
use super::groups::Groups;
use super::random::Random;
use super::schema::{KEY, Rows, Schema};

/// A read.
#[derive(Clone, Debug)]
pub(super) struct Question {
    pub(super) table: usize,
    pub(super) joins: Vec<Joined>,
    pub(super) tests: Vec<Test>,
    pub(super) form: Form,
}

#[derive(Clone, Debug)]
pub(super) enum Form {
    Rows(Shape),
    Groups(Groups),
    Count,
    Exists,
}

#[derive(Clone, Debug)]
pub(super) struct Shape {
    pub(super) columns: Vec<Place>,
    pub(super) distinct: bool,
    pub(super) order: Vec<(Place, Order)>,
    pub(super) limit: Option<u32>,
    pub(super) offset: Option<u32>,
    /// Asks only how many there are.
    pub(super) counts: bool,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// In this order.
    Ordered(Vec<String>),
    /// In whatever order.
    Rows(Vec<String>),
    Count(u64),
    Exists(bool),
}

pub(super) const ORDERS: [Order; 4] = [
    Order::Asc,
    Order::Desc,
    Order::AscNullsFirst,
    Order::DescNullsLast,
];

impl Question {
    pub(super) fn random(random: &mut Random, schema: &Schema) -> Self {
        let table = random.below(schema.tables.len());
        let (joins, relations) = Self::joins(random, schema, table, 35);
        let tests = random.some(3, |random| test(random, &relations, 2));
        let form = match random.below(10) {
            0 => Form::Count,
            1 => Form::Exists,
            2..4 => Form::Groups(Groups::random(random, &relations)),
            _ => Form::Rows(Shape::random(random, &relations)),
        };
        Self {
            table,
            joins,
            tests,
            form,
        }
    }

    /// Tables beside one, in so many of a hundred cases.
    pub(super) fn joins<'s>(
        random: &mut Random,
        schema: &'s Schema,
        table: usize,
        percent: usize,
    ) -> (Vec<Joined>, Relations<'s>) {
        let mut joins = Vec::new();
        let mut all = Relations::of(schema, table);
        while joins.len() < 3 && random.chance(percent) {
            let alias = format!(
                "{}{}",
                random.pick(&["j", "Odd \"j\" ", "select ", "'"]),
                joins.len()
            );
            let Some(join) = all.joined(random, alias) else {
                break;
            };
            joins.push(join);
            all = relations(schema, table, &joins);
        }
        (joins, all)
    }

    /// Conditions and joins as the builder is asked for them.
    pub(super) fn asked<'t>(&self, db: &TenantDb, relations: &Relations<'_>) -> TenantQuery<'t, Select<'t>> {
        let query = db.query(relations.schema.tables[self.table].name.clone());
        let query = self
            .joins
            .iter()
            .fold(query, |query, join| query.join(relations.join(join)));
        ask(query, db, &self.tests, relations)
    }

    pub(super) async fn answer(&self, db: &TenantDb, schema: &Schema) -> Result<Answer> {
        let relations = relations(schema, self.table, &self.joins);
        let query = self.asked(db, &relations);
        match &self.form {
            Form::Count => query.count().await.map(Answer::Count),
            Form::Exists => query.exists().await.map(Answer::Exists),
            Form::Rows(shape) => {
                let query = shape.asked(query, &relations);
                if shape.counts {
                    return query.count().await.map(Answer::Count);
                }
                let rows: Vec<Fetched> = query.fetch_all().await?;
                Ok(Answer::rows(rows, !shape.order.is_empty()))
            }
            Form::Groups(groups) => {
                let query = groups.asked(query, &relations);
                if groups.counts {
                    return query.count().await.map(Answer::Count);
                }
                Ok(Answer::rows(query.fetch_all().await?, !groups.by.is_empty()))
            }
        }
    }

    pub(super) fn found<'r>(&self, rows: &'r Rows) -> Vec<Tuple<'r>> {
        let mut tuples = joined(rows, self.table, &self.joins);
        tuples.retain(|tuple| meets(&self.tests, tuple, rows));
        tuples
    }

    pub(super) fn expected(&self, rows: &Rows) -> Answer {
        let tuples = self.found(rows);
        match &self.form {
            Form::Count => Answer::Count(tuples.len() as u64),
            Form::Exists => Answer::Exists(!tuples.is_empty()),
            Form::Rows(shape) => shape.expected(tuples),
            Form::Groups(groups) => groups.expected(tuples),
        }
    }

    /// The same with less, one thing at a time.
    pub(super) fn smaller(&self) -> Vec<Self> {
        let mut all = Vec::new();
        for at in 0..self.tests.len() {
            let mut smaller = self.clone();
            let test = smaller.tests.remove(at);
            all.push(smaller.clone());
            if let Test::Any(inner) | Test::All(inner) | Test::NoneOf(inner) = test {
                for left_out in 0..inner.len() {
                    let mut fewer = inner.clone();
                    fewer.remove(left_out);
                    let mut smaller = self.clone();
                    smaller.tests[at] = match &self.tests[at] {
                        Test::Any(_) => Test::Any(fewer),
                        Test::All(_) => Test::All(fewer),
                        _ => Test::NoneOf(fewer),
                    };
                    all.push(smaller);
                }
            }
        }
        if let Form::Rows(shape) = &self.form {
            let parts = [
                shape.offset.is_some(),
                shape.limit.is_some(),
                !shape.order.is_empty(),
            ];
            for part in (0..3).filter(|part| parts[*part]) {
                let mut shape = shape.clone();
                match part {
                    0 => shape.offset = None,
                    1 => shape.limit = None,
                    _ => shape.order.clear(),
                }
                if shape.order.is_empty() && (shape.limit.is_some() || shape.offset.is_some()) {
                    continue;
                }
                all.push(Self {
                    form: Form::Rows(shape),
                    ..self.clone()
                });
            }
        }
        all
    }
}

impl Answer {
    fn rows(rows: Vec<Fetched>, ordered: bool) -> Self {
        let rows: Vec<Vec<Cell>> = rows.into_iter().map(|row| row.0).collect();
        Self::of(&rows, ordered)
    }

    pub(super) fn of(rows: &[Vec<Cell>], ordered: bool) -> Self {
        let mut rows = spelt(rows);
        if ordered {
            return Self::Ordered(rows);
        }
        rows.sort();
        Self::Rows(rows)
    }
}

impl Shape {
    fn random(random: &mut Random, relations: &Relations<'_>) -> Self {
        let distinct = random.chance(20);
        let mut columns = vec![Place {
            relation: 0,
            column: KEY,
        }];
        if distinct {
            columns.clear();
        }
        while columns.is_empty() || random.chance(60) {
            columns.extend(relations.place(random, |_| true));
        }
        let mut order = Vec::new();
        if distinct {
            // Rows are whole in their order, or in none.
            if random.chance(50) && columns.iter().all(|place| relations.kind(*place).is_ordered()) {
                order = columns
                    .iter()
                    .map(|place| (*place, *random.pick(&ORDERS)))
                    .collect();
            }
        } else if random.chance(60) {
            for _ in 0..random.below(3) {
                let place = relations.place(random, Kind::is_ordered);
                order.extend(place.map(|place| (place, *random.pick(&ORDERS))));
            }
            // The keys decide between equals.
            for relation in 0..relations.list.len() {
                order.push((
                    Place {
                        relation,
                        column: KEY,
                    },
                    *random.pick(&ORDERS),
                ));
            }
        }
        let ends = !order.is_empty();
        let mut rows =
            |percent| (ends && random.chance(percent)).then(|| u32::try_from(random.below(6)).unwrap_or(1));
        Self {
            columns,
            distinct,
            limit: rows(50),
            offset: rows(30),
            counts: random.chance(15),
            order,
        }
    }

    fn asked<'t>(
        &self,
        query: TenantQuery<'t, Select<'t>>,
        relations: &Relations<'_>,
    ) -> TenantQuery<'t, Select<'t>> {
        let mut query = query.columns(self.columns.iter().map(|place| relations.name(*place)));
        if self.distinct {
            query = query.distinct();
        }
        for (place, order) in &self.order {
            query = query.order_by(relations.name(*place), *order);
        }
        if let Some(limit) = self.limit {
            query = query.limit(limit);
        }
        if let Some(offset) = self.offset {
            query = query.offset(offset);
        }
        query
    }

    fn expected(&self, mut tuples: Vec<Tuple<'_>>) -> Answer {
        tuples.sort_by(|one, other| in_order(&self.order, one, other));
        let mut rows: Vec<Vec<Cell>> = Vec::new();
        for tuple in &tuples {
            let row = shown(tuple, &self.columns);
            let same = |known: &Vec<Cell>| known.iter().zip(&row).all(|(one, other)| one.is_same(other));
            if !(self.distinct && rows.iter().any(same)) {
                rows.push(row);
            }
        }
        if self.counts {
            return Answer::Count(rows.len() as u64);
        }
        let part = |rows: Option<u32>, otherwise| rows.map_or(otherwise, |rows| rows.try_into().unwrap_or(0));
        let (offset, limit) = (part(self.offset, 0), part(self.limit, usize::MAX));
        let rows: Vec<_> = rows.into_iter().skip(offset).take(limit).collect();
        Answer::of(&rows, !self.order.is_empty())
    }
}

/// How two tuples come after each other.
pub(super) fn in_order(order: &[(Place, Order)], one: &Tuple<'_>, other: &Tuple<'_>) -> Ordering {
    let compare = |(place, order): &(Place, Order)| {
        let (one, other) = (cell(one, *place), cell(other, *place));
        let nulls_first = matches!(order, Order::Desc | Order::AscNullsFirst);
        let descending = matches!(order, Order::Desc | Order::DescNullsLast);
        match one.compare(other) {
            Some(ordering) if descending => ordering.reverse(),
            Some(ordering) => ordering,
            None if nulls_first => other.is_null().cmp(&one.is_null()),
            None => one.is_null().cmp(&other.is_null()),
        }
    };
    order
        .iter()
        .map(compare)
        .find(|ordering| ordering.is_ne())
        .unwrap_or(Ordering::Equal)
}
