//! Random conditions.

use tenantry::{Compare, Join};

use super::cell::{Cell, Kind, TEXTS};
use super::random::Random;
use super::schema::{KEY, Schema};

/// A column of one of the relations of a query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) relation: usize,
    pub(super) column: usize,
}

/// The relations of a query: each a table under a name.
#[derive(Clone, Debug)]
pub(super) struct Relations<'s> {
    pub(super) schema: &'s Schema,
    pub(super) list: Vec<(usize, String)>,
}

/// A table that is joined, or asked for a row.
#[derive(Clone, Debug)]
pub(super) struct Joined {
    pub(super) table: usize,
    pub(super) alias: String,
    pub(super) is_outer: bool,
    /// The relation it is connected to, the column there and its own.
    pub(super) near: Place,
    pub(super) column: usize,
    pub(super) said: Said,
}

/// How the caller says what connects them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Said {
    Nothing,
    By(String),
    On,
}

#[derive(Clone, Debug)]
pub(super) enum Test {
    Against(Place, Compare, Cell),
    Places(Place, Compare, Place),
    Between(Place, Cell, Cell),
    IsIn(Place, Vec<Cell>, bool),
    IsNull(Place, bool),
    Like(Place, Like, String, bool),
    Contains(Place, Cell),
    ContainedIn(Place, Cell),
    Overlaps(Place, Cell),
    HasKey(Place, String),
    JsonText(Place, Vec<String>, String),
    Lower(Place, String),
    Length(Place, Compare, i64),
    /// A column, or a value where it is null, against a value.
    Or(Place, Cell, Compare, Cell),
    Any(Vec<Test>),
    All(Vec<Test>),
    NoneOf(Vec<Test>),
    Within(Place, Box<Sub>, bool),
    Has(Box<Related>, bool),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Like {
    Starts,
    Ends,
    Holds,
    Sql,
}

/// A query of one column.
#[derive(Clone, Debug)]
pub(super) struct Sub {
    pub(super) table: usize,
    pub(super) column: usize,
    pub(super) tests: Vec<Test>,
    /// So many, by key.
    pub(super) limit: Option<u32>,
}

#[derive(Clone, Debug)]
pub(super) struct Related {
    pub(super) joined: Joined,
    pub(super) tests: Vec<Test>,
}

pub(super) const COMPARISONS: [Compare; 8] = [
    Compare::Eq,
    Compare::Ne,
    Compare::Lt,
    Compare::Le,
    Compare::Gt,
    Compare::Ge,
    Compare::Same,
    Compare::Differs,
];

const PATHS: [&[&str]; 7] = [&["a"], &["b"], &["k é"], &["a", "k"], &["b", "0"], &["0"], &[]];

impl<'s> Relations<'s> {
    pub(super) fn of(schema: &'s Schema, table: usize) -> Self {
        let name = schema.tables[table].name.clone();
        Self {
            schema,
            list: vec![(table, name)],
        }
    }

    pub(super) fn kind(&self, place: Place) -> Kind {
        self.schema.tables[self.list[place.relation].0].columns[place.column].kind
    }

    /// As the caller names it.
    pub(super) fn name(&self, place: Place) -> String {
        let (table, name) = &self.list[place.relation];
        let column = &self.schema.tables[*table].columns[place.column].name;
        match place.relation {
            0 => column.clone(),
            _ => format!("{name}.{column}"),
        }
    }

    /// A random column of such kinds.
    pub(super) fn place(&self, random: &mut Random, of: impl Fn(Kind) -> bool) -> Option<Place> {
        let relation = random.below(self.list.len());
        let columns = self.schema.columns(self.list[relation].0, of);
        if columns.is_empty() {
            return None;
        }
        let column = *random.pick(&columns);
        Some(Place { relation, column })
    }

    /// A random table along a foreign key, in either direction.
    pub(super) fn joined(&self, random: &mut Random, alias: String) -> Option<Joined> {
        let relation = random.below(self.list.len());
        let near = self.list[relation].0;
        let mut ways = Vec::new();
        for reference in &self.schema.tables[near].references {
            ways.push((reference.to, reference.column, KEY));
        }
        for (table, of) in self.schema.tables.iter().enumerate() {
            for reference in of.references.iter().filter(|reference| reference.to == near) {
                ways.push((table, KEY, reference.column));
            }
        }
        if ways.is_empty() {
            return None;
        }
        let (table, near_column, column) = *random.pick(&ways);
        let referring = if column == KEY {
            (near, near_column)
        } else {
            (table, column)
        };
        let by = self.schema.tables[referring.0].columns[referring.1].name.clone();
        let mut said = vec![Said::On];
        // Where it is the only one of them, and no other way round.
        if self.connections(table, Some(&by)) == 1 {
            said.push(Said::By(by));
        }
        if self.connections(table, None) == 1 {
            said.push(Said::Nothing);
        }
        Some(Joined {
            table,
            alias,
            is_outer: random.chance(50),
            near: Place {
                relation,
                column: near_column,
            },
            column,
            said: random.pick(&said).clone(),
        })
    }

    /// How many foreign keys connect a table to these; of that column, if one is named.
    fn connections(&self, table: usize, by: Option<&str>) -> usize {
        let tables = &self.schema.tables;
        let count = |from: usize, to: usize| {
            let named = |column: usize| by.is_none_or(|by| tables[from].columns[column].name == by);
            let references = tables[from].references.iter();
            references.filter(|of| of.to == to && named(of.column)).count()
        };
        let near = self.list.iter().map(|(near, _)| *near);
        near.map(|near| count(near, table) + count(table, near)).sum()
    }

    pub(super) fn join(&self, joined: &Joined) -> Join<'static> {
        let table = &self.schema.tables[joined.table];
        let join = if joined.is_outer {
            Join::left(table.name.clone())
        } else {
            Join::inner(table.name.clone())
        };
        let join = join.alias(joined.alias.clone());
        match &joined.said {
            Said::Nothing => join,
            Said::By(column) => join.by(column.clone()),
            Said::On => join.on(table.columns[joined.column].name.clone(), self.name(joined.near)),
        }
    }
}

/// A random condition that is so deep at most.
pub(super) fn test(random: &mut Random, relations: &Relations<'_>, depth: usize) -> Test {
    loop {
        if let Some(test) = maybe(random, relations, depth) {
            return test;
        }
    }
}

fn value(random: &mut Random, kind: Kind) -> Cell {
    if random.chance(4) {
        Cell::Null
    } else {
        kind.value(random)
    }
}

fn maybe(random: &mut Random, relations: &Relations<'_>, depth: usize) -> Option<Test> {
    if depth > 0 && random.chance(40) {
        return group(random, relations, depth);
    }
    leaf(random, relations)
}

/// A condition on a column, if there is one of its kind.
fn leaf(random: &mut Random, relations: &Relations<'_>) -> Option<Test> {
    let is = |wanted: Kind| move |kind: Kind| kind == wanted;
    let text = |random: &mut Random| (*random.pick(&TEXTS)).to_owned();
    Some(match random.below(16) {
        0..3 => {
            let place = relations.place(random, |_| true)?;
            let how = *random.pick(match relations.kind(place) {
                Kind::Json => &COMPARISONS[..2],
                _ => &COMPARISONS[..6],
            });
            Test::Against(place, how, value(random, relations.kind(place)))
        }
        3 => {
            let place = relations.place(random, Kind::is_ordered)?;
            let kind = relations.kind(place);
            let other = relations.place(random, |other| other == kind)?;
            Test::Places(place, *random.pick(&COMPARISONS), other)
        }
        4 => {
            let place = relations.place(random, Kind::is_ordered)?;
            let kind = relations.kind(place);
            Test::Between(place, value(random, kind), value(random, kind))
        }
        5..7 => {
            let place = relations.place(random, Kind::is_element)?;
            let kind = relations.kind(place);
            Test::IsIn(
                place,
                random.some(4, |random| value(random, kind)),
                random.chance(50),
            )
        }
        7 => Test::IsNull(relations.place(random, |_| true)?, random.chance(50)),
        8 => {
            let place = relations.place(random, is(Kind::Text))?;
            let like = *random.pick(&[Like::Starts, Like::Ends, Like::Holds, Like::Sql]);
            let text = match like {
                Like::Sql => (*random
                    .pick(&["%", "_", "a%", "%b", "_b", r"%\%%", r"a\_b", r"a\\b", "%é", "__"]))
                .to_owned(),
                // Marks of patterns stand for themselves.
                _ if random.chance(60) => {
                    (*random.pick(&["%", "_", r"\", "a_", "_b", "a%", r"a\"])).to_owned()
                }
                _ => text(random),
            };
            Test::Like(place, like, text, random.chance(40))
        }
        9 => {
            let place = relations.place(random, |kind| matches!(kind, Kind::Json | Kind::Texts))?;
            Test::Contains(place, value(random, relations.kind(place)))
        }
        10 => {
            let place = relations.place(random, |kind| matches!(kind, Kind::Json | Kind::Texts))?;
            Test::ContainedIn(place, value(random, relations.kind(place)))
        }
        11 => {
            let place = relations.place(random, is(Kind::Texts))?;
            Test::Overlaps(place, value(random, Kind::Texts))
        }
        12 => Test::HasKey(
            relations.place(random, is(Kind::Json))?,
            (*random.pick(&["a", "b", "k é", "", "k", "?"])).to_owned(),
        ),
        13 => {
            let place = relations.place(random, is(Kind::Json))?;
            let path = *random.pick(&PATHS);
            let text = if random.chance(50) {
                text(random)
            } else {
                (*random.pick(&["true", "1", "2"])).to_owned()
            };
            Test::JsonText(place, path.iter().map(|step| (*step).to_owned()).collect(), text)
        }
        14 => {
            let place = relations.place(random, is(Kind::Text))?;
            if random.chance(50) {
                Test::Lower(place, text(random).to_ascii_lowercase())
            } else {
                let length = i64::try_from(random.below(4)).unwrap_or_default();
                Test::Length(place, *random.pick(&COMPARISONS[..6]), length)
            }
        }
        _ => {
            let place = relations.place(random, Kind::is_ordered)?;
            let kind = relations.kind(place);
            let (or, against) = (value(random, kind), kind.value(random));
            Test::Or(place, or, *random.pick(&COMPARISONS), against)
        }
    })
}

/// A condition made of others.
fn group(random: &mut Random, relations: &Relations<'_>, depth: usize) -> Option<Test> {
    let inner = |random: &mut Random| random.some(3, |random| test(random, relations, depth - 1));
    Some(match random.below(10) {
        0..2 => Test::Any(inner(random)),
        2 => Test::All(inner(random)),
        3..5 => Test::NoneOf(inner(random)),
        5..7 => {
            let place = relations.place(random, |_| true)?;
            let kind = relations.kind(place);
            let table = random.below(relations.schema.tables.len());
            let columns = relations.schema.columns(table, |other| other == kind);
            if columns.is_empty() {
                return None;
            }
            let of = Relations::of(relations.schema, table);
            let sub = Sub {
                table,
                column: *random.pick(&columns),
                tests: random.some(2, |random| test(random, &of, depth - 1)),
                limit: random.chance(25).then_some(2),
            };
            Test::Within(place, Box::new(sub), random.chance(50))
        }
        _ => {
            let alias = (*random.pick(&["far", "related_1", "Odd \"far\"", "select"])).to_owned();
            let mut joined = relations.joined(random, alias)?;
            joined.alias += &"'".repeat(
                relations
                    .list
                    .iter()
                    .filter(|known| known.1 == joined.alias)
                    .count(),
            );
            let of = Relations::of(relations.schema, joined.table);
            let tests = random.some(2, |random| test(random, &of, depth - 1));
            Test::Has(Box::new(Related { joined, tests }), random.chance(50))
        }
    })
}
