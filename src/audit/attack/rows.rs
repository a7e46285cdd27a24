use std::collections::HashMap;

use super::ground::{Column, Ground, Reference, Table};
use super::values::{Salt, candidates, literal, literals};

/// Who a made-up row is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Who {
    Attacker,
    Victim,
}

/// A row that a table took.
#[derive(Clone, Debug)]
pub(super) struct Made {
    /// What inserts it again.
    pub(super) insert: String,
    /// Its values as text, by column; none where the app role may not read them.
    pub(super) values: HashMap<String, Option<String>>,
    /// How it was made up.
    pub(super) variant: Variant,
}

/// How much of a row is made up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fill {
    /// All that has no default, and what is in a key.
    Rich,
    /// What has to be there, and what is in a key.
    Lean,
    /// What has to be there.
    Bare,
}

/// One way to make up a row of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Variant {
    pub(super) fill: Fill,
    /// Which of the table's partitions.
    pub(super) bound: usize,
}

impl Variant {
    /// The ways, in turn.
    pub(super) fn nth(at: usize) -> Self {
        let fill = match at % 3 {
            0 => Fill::Rich,
            1 => Fill::Lean,
            _ => Fill::Bare,
        };
        Self { fill, bound: at }
    }
}

/// The rows of both clients, as far as they are made up.
#[derive(Debug, Default)]
pub(super) struct Rows {
    made: HashMap<(i64, Who), Made>,
    /// Values that meet the conditions of their table, by column.
    pub(super) solved: HashMap<(i64, Who), HashMap<i16, String>>,
    /// A row of each table that all clients read, by its columns.
    pub(super) shared: HashMap<i64, HashMap<String, Option<String>>>,
}

/// A value for each column that is given one.
pub(super) type Values = Vec<(i16, String)>;

impl Rows {
    pub(super) fn made(&self, table: &Table, who: Who) -> Option<&Made> {
        self.made.get(&(table.oid, who))
    }

    /// How a row of the table is made up that it takes.
    pub(super) fn variant(&self, table: &Table) -> Variant {
        let made = self.made(table, Who::Victim);
        made.map_or(Variant::nth(0), |made| made.variant)
    }

    pub(super) fn keep(&mut self, table: &Table, who: Who, made: Made) {
        self.made.insert((table.oid, who), made);
    }

    /// What a reference of the row leads to, for the columns of the reference: the parent's row of that client.
    pub(super) fn parent(&self, reference: &Reference, who: Who) -> Option<HashMap<i16, String>> {
        let values = match self.made.get(&(reference.to, who)) {
            Some(made) => &made.values,
            None => self.shared.get(&reference.to)?,
        };
        let columns = reference.columns.iter().zip(&reference.to_columns);
        let mut found = HashMap::new();
        for (attnum, to) in columns {
            found.insert(*attnum, values.get(to)?.clone()?);
        }
        Some(found)
    }

    /// A row of the table: its values are of the salt, and what it refers to is of `who`.
    ///
    /// `None` where something that it has to refer to could not be made up.
    pub(super) fn values(&self, table: &Table, salt: &Salt, who: Who, variant: Variant) -> Option<Values> {
        let solved = self.solved.get(&(table.oid, who));
        let mut values: Values = Vec::new();
        let mut of_itself = Vec::new();
        for column in table.columns.iter() {
            let attnum = column.attnum;
            if column.generated {
                continue;
            }
            if table.is_client(attnum) {
                values.push((attnum, literal(&salt.client.to_string(), "uuid")));
                continue;
            }
            if let Some(reference) = table.reference_of(attnum) {
                if let Some(value) = self
                    .parent(reference, who)
                    .and_then(|parent| parent.get(&attnum).cloned())
                    .filter(|_| reference.to != table.oid)
                {
                    values.push((attnum, literal(&value, &column.type_sql)));
                } else if column.required && !column.default {
                    if reference.to != table.oid && self.shared.contains_key(&reference.to) {
                        return None;
                    }
                    of_itself.push((attnum, reference));
                }
                continue;
            }
            let bounds = bounds(table, column);
            if !bounds.is_empty() {
                let bound = &bounds[variant.bound % bounds.len()];
                values.push((attnum, literal(bound, &column.base_sql)));
                continue;
            }
            let given = match variant.fill {
                Fill::Rich => !column.default || table.in_key(attnum) || has_condition(table, attnum),
                Fill::Lean => (column.required && !column.default) || table.in_key(attnum),
                Fill::Bare => column.required && !column.default,
            };
            if !given || !column.inserts {
                continue;
            }
            let value = match solved.and_then(|solved| solved.get(&attnum)) {
                Some(value) => Some(value.clone()),
                None => candidates(table, column, salt).into_iter().next(),
            };
            values.push((attnum, value?));
        }
        // A row that has to refer to one of its own table refers to itself; one in a circle to what will be there.
        for (attnum, reference) in of_itself {
            let at = reference.columns.iter().position(|column| *column == attnum)?;
            let to = table
                .named(&reference.to_columns[at])
                .filter(|_| reference.to == table.oid);
            let own = to.and_then(|to| values.iter().find(|(column, _)| *column == to.attnum));
            let value = match own {
                Some((_, value)) => value.clone(),
                None => candidates(table, table.column(attnum)?, salt)
                    .into_iter()
                    .next()?,
            };
            values.push((attnum, value));
        }
        Some(values)
    }
}

/// What begins the partitions of a table by that column, as far as it can be told: of ranges, and of lists.
fn bounds(table: &Table, column: &Column) -> Vec<String> {
    if !table.partition_columns.contains(&column.attnum) {
        return Vec::new();
    }
    let bounds = table.bounds.iter().filter(|bound| !bound.contains("WITH ("));
    let first = bounds.filter_map(|bound| literals(bound).into_iter().next());
    let is_date = |text: &str| text.len() >= 10 && text.chars().filter(|c| *c == '-').count() >= 2;
    let fits = |text: &String| match column.kind.category.as_str() {
        "D" => is_date(text),
        "N" => text.parse::<f64>().is_ok(),
        "U" => column.kind.base != "uuid" || text.len() == 36,
        _ => !is_date(text),
    };
    first.filter(fits).collect()
}

fn has_condition(table: &Table, attnum: i16) -> bool {
    let mut conditions = table.checks.iter().chain(table.partial_keys.iter());
    conditions.any(|check| check.columns.contains(&attnum))
}

/// The statement that inserts those values, followed by what is given.
pub(super) fn insert(table: &Table, values: &Values, then: &str) -> String {
    let column = |attnum| table.column(attnum);
    let names: Vec<&str> = values
        .iter()
        .filter_map(|(attnum, _)| Some(column(*attnum)?.sql.as_str()))
        .collect();
    if names.is_empty() {
        return format!("insert into {} as t default values {then}", table.sql);
    }
    let always = values
        .iter()
        .any(|(attnum, _)| column(*attnum).is_some_and(|column| column.identity_always));
    let overriding = if always { "overriding system value " } else { "" };
    let values: Vec<&str> = values.iter().map(|(_, value)| value.as_str()).collect();
    format!(
        "insert into {} as t ({}) {overriding}values ({}) {then}",
        table.sql,
        names.join(", "),
        values.join(", ")
    )
}

/// What has a statement answer with a row's values as text.
pub(super) fn returning(table: &Table) -> String {
    if !table.reads {
        return String::new();
    }
    let columns = table
        .columns
        .iter()
        .map(|column| format!("t.{}::text", column.sql));
    format!("returning {}", columns.collect::<Vec<_>>().join(", "))
}

/// A table that is to have a row before it, and has none. In a circle of references there is no before.
pub(super) fn missing_parent<'g>(ground: &'g Ground, rows: &Rows, at: usize) -> Option<&'g Table> {
    let table = &ground.tables[at];
    table.references.iter().find_map(|reference| {
        let position = ground.position(reference.to)?;
        let parent = &ground.tables[position];
        if position > at && is_circular(ground, rows, at) {
            return None;
        }
        let needed = reference.columns.iter().any(|attnum| {
            let column = table.column(*attnum);
            column.is_some_and(|column| column.required && !table.is_client(*attnum))
        });
        (needed && parent.oid != table.oid && rows.made(parent, Who::Victim).is_none()).then_some(parent)
    })
}

/// Whether it refers, by way of others perhaps, to a table that comes after it and has no row yet.
pub(super) fn is_circular(ground: &Ground, rows: &Rows, at: usize) -> bool {
    ground.with_parents(&[at]).into_iter().any(|parent| {
        parent != at && {
            let later = ground.tables[parent].references.iter();
            let mut back = later.filter_map(|reference| ground.position(reference.to));
            parent > at && rows.made(&ground.tables[parent], Who::Victim).is_none() && back.any(|to| to <= at)
        }
    })
}
