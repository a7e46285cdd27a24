#![expect(
    clippy::disallowed_methods,
    reason = "asks the database which values meet a table's conditions"
)]

use std::collections::{BTreeSet, HashMap};

use sqlx::postgres::PgRow;
use sqlx::{AssertSqlSafe, PgConnection, Row};

use super::ground::{Check, Column, Table};
use super::values::{Salt, candidates, literal};

/// So many combinations are looked at.
const MOST: usize = 20_000;

/// Values that meet the conditions of the table and of its domains, by column: the first that do. Those of other
/// columns are free. What the database cannot evaluate is left to the insert to fail with.
///
/// No table is read: the conditions are evaluated over the values alone.
pub(super) async fn solve(
    admin: &mut PgConnection,
    table: &Table,
    salt: &Salt,
    fixed: &HashMap<i16, String>,
) -> HashMap<i16, String> {
    let mut solved = HashMap::new();
    let mut choices: HashMap<i16, Vec<String>> = HashMap::new();
    for column in table.columns.iter().filter(|column| !column.generated) {
        let values = if table.is_client(column.attnum) {
            vec![literal(&salt.client.to_string(), "uuid")]
        } else if let Some(value) = fixed.get(&column.attnum) {
            vec![literal(value, &column.type_sql)]
        } else {
            let all = candidates(table, column, salt);
            let allowed = allowed(admin, column, &all).await;
            if !column.domain_checks.is_empty() {
                solved.extend(allowed.first().map(|value| (column.attnum, value.clone())));
            }
            allowed
        };
        choices.insert(column.attnum, values);
    }
    // Rows that are in every key are best, and those that the table takes are good.
    for with_keys in [false, true] {
        for (columns, conditions) in together(table, with_keys) {
            if let Some(values) = first_of(admin, table, &columns, &conditions, &choices).await {
                solved.extend(columns.iter().copied().zip(values));
            }
        }
        if table.partial_keys.is_empty() {
            break;
        }
    }
    solved
}

/// Those that the domains of the column allow.
async fn allowed(admin: &mut PgConnection, column: &Column, values: &[String]) -> Vec<String> {
    if column.domain_checks.is_empty() {
        return values.to_vec();
    }
    let conditions = column
        .domain_checks
        .iter()
        .map(|check| format!("({check}) is not false"));
    let sql = format!(
        "select place from (values {}) candidate (value, place) where {} order by place",
        numbered(values),
        conditions.collect::<Vec<_>>().join(" and ")
    );
    let places: Vec<i32> = sqlx::query_scalar(AssertSqlSafe(sql))
        .persistent(false)
        .fetch_all(admin)
        .await
        .unwrap_or_default();
    let at = |place: i32| values.get(usize::try_from(place).ok()?).cloned();
    places.into_iter().filter_map(at).collect()
}

/// The columns that share conditions, and those.
fn together(table: &Table, with_keys: bool) -> Vec<(Vec<i16>, Vec<String>)> {
    let keys: &[Check] = if with_keys { &table.partial_keys } else { &[] };
    let mut groups: Vec<(BTreeSet<i16>, Vec<String>)> = Vec::new();
    let checks = table.checks.iter().map(|check| (check, "is not false"));
    for (check, holds) in checks.chain(keys.iter().map(|key| (key, "is true"))) {
        let mut columns: BTreeSet<i16> = check.columns.iter().copied().collect();
        let mut conditions = vec![format!("({}) {holds}", check.sql)];
        groups.retain_mut(|(others, more)| {
            let apart = others.is_disjoint(&columns);
            if !apart {
                columns.append(others);
                conditions.append(more);
            }
            apart
        });
        groups.push((columns, conditions));
    }
    let sorted = |(columns, conditions): (BTreeSet<i16>, _)| (columns.into_iter().collect(), conditions);
    groups.into_iter().map(sorted).collect()
}

async fn first_of(
    admin: &mut PgConnection,
    table: &Table,
    columns: &[i16],
    conditions: &[String],
    choices: &HashMap<i16, Vec<String>>,
) -> Option<Vec<String>> {
    let mut most = MOST;
    let mut each = Vec::new();
    for (at, attnum) in columns.iter().enumerate() {
        let left = u32::try_from(columns.len() - at).ok()?;
        let share = (1..=MOST)
            .take_while(|n| n.saturating_pow(left) <= most)
            .last()
            .unwrap_or(1);
        let values = choices.get(attnum)?;
        let values = &values[..values.len().min(share.max(1))];
        most /= values.len().max(1);
        each.push((table.column(*attnum)?, values));
    }
    let from = each.iter().enumerate().map(|(at, (column, values))| {
        format!(
            "(values {}) as v{at} ({}, place{at})",
            numbered(values),
            column.sql
        )
    });
    let places: Vec<String> = (0..each.len()).map(|at| format!("place{at}")).collect();
    let sql = format!(
        "select {} from {} where {} order by {} limit 1",
        places.join(", "),
        from.collect::<Vec<_>>().join(", "),
        conditions.join(" and "),
        places.join(" + ")
    );
    let found: sqlx::Result<Option<PgRow>> = sqlx::query(AssertSqlSafe(sql))
        .persistent(false)
        .fetch_optional(admin)
        .await;
    let row = found.ok().flatten()?;
    each.iter()
        .enumerate()
        .map(|(at, (_, values))| {
            let place = usize::try_from(row.try_get::<i32, _>(at).ok()?).ok()?;
            values.get(place).cloned()
        })
        .collect()
}

fn numbered(values: &[String]) -> String {
    let rows = values
        .iter()
        .enumerate()
        .map(|(at, value)| format!("({value}, {at})"));
    rows.collect::<Vec<_>>().join(", ")
}
