use std::fmt;

/// What applying data sets did, or would do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SeedReport {
    /// By client or database, and table.
    pub tables: Vec<SeededTable>,
}

/// What was done to one table. Of a client, `(client)` is what it is in the platform database, `(keys)` the keys that
/// lead to it, and `(credentials)` its secrets.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SeededTable {
    /// The slug of the client, or which database.
    pub within: String,
    /// The table.
    pub table: String,
    /// Rows that were not there.
    pub created: u64,
    /// Rows that were there and differed.
    pub changed: u64,
    /// Rows that were there as they are described.
    pub unchanged: u64,
    /// Rows that are there and are not described, which are left alone; `None` where they were not
    /// [asked for](crate::Extra).
    pub extra: Option<u64>,
}

/// How what is there compares with the data sets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SeedVerification {
    /// By client or database, and table.
    pub tables: Vec<VerifiedTable>,
    /// The rows that are missing or differ; of each table as many as
    /// [`findings`](crate::Seed::findings) says.
    pub findings: Vec<SeedFinding>,
}

/// The counts of one table.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct VerifiedTable {
    /// The slug of the client, or which database.
    pub within: String,
    /// The table.
    pub table: String,
    /// How many rows are described.
    pub expected: u64,
    /// How many of them are there as they are described.
    pub equal: u64,
    /// How many are there and differ.
    pub different: u64,
    /// How many are not there.
    pub missing: u64,
    /// How many rows there are in all; `None` where nobody counts.
    pub in_database: Option<u64>,
}

/// A row that is not there as it is described. It tells no value but those of the natural key.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SeedFinding {
    /// The slug of the client, or which database.
    pub within: String,
    /// The table.
    pub table: String,
    /// The place in the data set.
    pub at: String,
    /// The natural key, as the data set writes it.
    pub key: String,
    /// What is wrong.
    pub kind: SeedFindingKind,
}

/// What is wrong with a row.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SeedFindingKind {
    /// It is not there.
    Missing,
    /// It differs in these columns.
    Different {
        /// Their names.
        columns: Vec<String>,
    },
}

/// What was found or done in one table, from which both are told.
#[derive(Clone, Debug, Default)]
pub(super) struct Outcome {
    pub(super) within: String,
    pub(super) table: String,
    pub(super) created: u64,
    pub(super) changed: u64,
    pub(super) unchanged: u64,
    pub(super) in_database: Option<u64>,
    pub(super) findings: Vec<SeedFinding>,
}

impl SeedReport {
    /// How many rows were created, in all.
    pub fn created(&self) -> u64 {
        self.tables.iter().map(|table| table.created).sum()
    }

    /// How many rows were changed, in all.
    pub fn changed(&self) -> u64 {
        self.tables.iter().map(|table| table.changed).sum()
    }

    /// How many rows were there as they are described, in all.
    pub fn unchanged(&self) -> u64 {
        self.tables.iter().map(|table| table.unchanged).sum()
    }

    /// Where nothing was created yet, what would be is not there.
    pub(super) fn of(outcomes: Vec<Outcome>, was_created: bool) -> Self {
        let tables = outcomes.into_iter().map(|outcome| SeededTable {
            extra: outcome.in_database.map(|all| {
                let created = if was_created { outcome.created } else { 0 };
                all.saturating_sub(created + outcome.changed + outcome.unchanged)
            }),
            within: outcome.within,
            table: outcome.table,
            created: outcome.created,
            changed: outcome.changed,
            unchanged: outcome.unchanged,
        });
        Self {
            tables: tables.collect(),
        }
    }
}

impl SeedVerification {
    /// Whether everything is there as it is described.
    pub fn is_complete(&self) -> bool {
        self.tables.iter().all(|table| table.equal == table.expected)
    }

    pub(super) fn of(outcomes: Vec<Outcome>) -> Self {
        let mut verified = Self::default();
        for outcome in outcomes {
            verified.findings.extend(outcome.findings);
            verified.tables.push(VerifiedTable {
                within: outcome.within,
                table: outcome.table,
                expected: outcome.created + outcome.changed + outcome.unchanged,
                equal: outcome.unchanged,
                different: outcome.changed,
                missing: outcome.created,
                in_database: outcome.in_database,
            });
        }
        verified
    }
}

impl fmt::Display for SeedReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let heading = ["", "", "created", "changed", "unchanged", "extra"];
        let rows = self.tables.iter().map(|table| {
            let extra = table
                .extra
                .map_or_else(|| "-".to_owned(), |extra| extra.to_string());
            [
                table.within.clone(),
                table.table.clone(),
                table.created.to_string(),
                table.changed.to_string(),
                table.unchanged.to_string(),
                extra,
            ]
        });
        let all = [
            "in all".to_owned(),
            String::new(),
            self.created().to_string(),
            self.changed().to_string(),
            self.unchanged().to_string(),
            String::new(),
        ];
        write_table(f, heading, rows.chain([all]).collect())
    }
}

impl fmt::Display for SeedVerification {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let heading = ["", "", "expected", "equal", "different", "missing", "in database"];
        let rows = self.tables.iter().map(|table| {
            let all = table
                .in_database
                .map_or_else(|| "-".to_owned(), |all| all.to_string());
            [
                table.within.clone(),
                table.table.clone(),
                table.expected.to_string(),
                table.equal.to_string(),
                table.different.to_string(),
                table.missing.to_string(),
                all,
            ]
        });
        write_table(f, heading, rows.collect())?;
        for finding in &self.findings {
            write!(f, "\n{finding}")?;
        }
        Ok(())
    }
}

impl fmt::Display for SeedFinding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} {} ", self.within, self.table, self.key)?;
        match &self.kind {
            SeedFindingKind::Missing => f.write_str("is missing")?,
            SeedFindingKind::Different { columns } => write!(f, "differs in {}", columns.join(", "))?,
        }
        write!(f, " ({})", self.at)
    }
}

/// Text to the left in the first two columns, numbers to the right in the others.
fn write_table<const N: usize>(
    f: &mut fmt::Formatter<'_>,
    heading: [&str; N],
    rows: Vec<[String; N]>,
) -> fmt::Result {
    let rows: Vec<_> = std::iter::once(heading.map(str::to_owned)).chain(rows).collect();
    let widths: [usize; N] = std::array::from_fn(|column| {
        let lengths = rows
            .iter()
            .filter_map(|row| row.get(column))
            .map(|cell| cell.chars().count());
        lengths.max().unwrap_or_default()
    });
    for (number, row) in rows.iter().enumerate() {
        let mut line = String::new();
        for (column, (cell, width)) in row.iter().zip(widths).enumerate() {
            let cell = if column < 2 {
                format!("{cell:<width$}  ")
            } else {
                format!("{cell:>width$}  ")
            };
            line.push_str(&cell);
        }
        let end = if number + 1 < rows.len() { "\n" } else { "" };
        write!(f, "{}{end}", line.trim_end())?;
    }
    Ok(())
}
