//! Writing rows over those that are there: what the statements say.

use sqlx::PgConnection;

use super::arrive::{Writing, insert_waiting, keys_of, rows_of};
use super::session::Side;
use super::tables::Pair;
use crate::error::Result;

const STEP: &str = "writing what changed";

/// The rows whose keys wait, as `t`, to stand behind `from`.
pub(super) fn named(side: &Side, pair: &Pair, arrived: bool) -> String {
    let table = if arrived { &pair.to } else { &pair.from };
    let only = if table.partitioned { "" } else { "only " };
    let of_key: Vec<String> = (pair.key_columns().iter())
        .map(|(from, to)| if arrived { &to.sql } else { &from.sql })
        .map(|column| format!("t.{column} = k.{column}"))
        .collect();
    let mine = if table.has_client() {
        format!(" and t.client_id = '{}'::pg_catalog.uuid", side.client)
    } else {
        String::new()
    };
    format!(
        "{only}{} t join {} k on {}{mine}",
        table.sql,
        keys_of(pair),
        all_of(&of_key)
    )
}

fn all_of(conditions: &[String]) -> String {
    if conditions.is_empty() {
        "true".to_owned()
    } else {
        conditions.join(" and ")
    }
}

/// Writes what waits at the target.
pub(super) async fn write(
    side: &Side,
    conn: &mut PgConnection,
    changed: &[&Pair],
    writing: Writing,
) -> Result<()> {
    if writing == Writing::Replica {
        // Nothing is checked, so one table after the other.
        for pair in changed {
            side.run(conn, STEP, delete(side, pair, Whose::All)).await?;
            side.run(conn, STEP, insert_waiting(side.client, pair)).await?;
        }
        return Ok(());
    }
    let sql = format!(
        "savepoint changes; {}; release savepoint changes",
        at_once(side, changed, false)
    );
    match side.run(conn, STEP, sql).await {
        Ok(_) => Ok(()),
        // Rows took values from each other that are unique: all of them are to go before one comes.
        Err(error)
            if matches!(error.sqlstate().as_deref(), Some("23505" | "23P01"))
                && changed.iter().all(|pair| pair.can_insert_again) =>
        {
            side.run(conn, STEP, "rollback to savepoint changes").await?;
            side.run(conn, STEP, at_once(side, changed, true)).await.map(drop)
        }
        Err(error) => Err(error),
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Whose {
    /// Of all keys.
    All,
    /// Of those whose rows are gone.
    Gone,
}

fn delete(side: &Side, pair: &Pair, whose: Whose) -> String {
    let keys = pair.key_columns();
    let same = |one: &str, other: &str| {
        let same: Vec<String> = (keys.iter())
            .map(|(_, to)| format!("{one}.{0} = {other}.{0}", to.sql))
            .collect();
        all_of(&same)
    };
    let mine = if pair.to.has_client() {
        format!(" and t.client_id = '{}'::pg_catalog.uuid", side.client)
    } else {
        String::new()
    };
    let gone = match whose {
        Whose::All => String::new(),
        Whose::Gone => format!(
            " and not exists (select from {} r where {})",
            rows_of(pair),
            same("r", "k")
        ),
    };
    format!(
        "delete from {}{} t using {} k where {}{mine}{gone}",
        if pair.to.partitioned { "" } else { "only " },
        pair.to.sql,
        keys_of(pair),
        same("t", "k")
    )
}

/// All deletions and all insertions as one statement, at whose end the server checks who refers to whom; deletions
/// first, since what is unique must be free.
fn at_once(side: &Side, changed: &[&Pair], anew: bool) -> String {
    let is_anew = |pair: &Pair| anew || pair.is_written_anew();
    let deletes: Vec<String> = (changed.iter())
        .map(|pair| {
            format!(
                "d{} as ({} returning 1)",
                pair.number,
                delete(side, pair, if is_anew(pair) { Whose::All } else { Whose::Gone })
            )
        })
        .collect();
    let counts: Vec<String> = (changed.iter())
        .map(|pair| format!("(select count(*) from d{})", pair.number))
        .collect();
    let writes: Vec<String> = (changed.iter())
        .map(|pair| {
            let insert = insert_waiting(side.client, pair);
            let conflict = if is_anew(pair) {
                String::new()
            } else {
                on_conflict(pair)
            };
            format!(
                "w{} as ({insert} where (select n from gone) >= 0{conflict})",
                pair.number
            )
        })
        .collect();
    format!(
        "with {}, gone as (select {} as n), {} select",
        deletes.join(", "),
        counts.join(" + "),
        writes.join(", ")
    )
}

fn on_conflict(pair: &Pair) -> String {
    let keys = pair.key_columns();
    let mut key: Vec<&str> = keys.iter().map(|(_, to)| to.sql.as_str()).collect();
    if pair.key_has_client {
        key.insert(0, "client_id");
    }
    let set: Vec<String> = (pair.columns().iter())
        .filter(|(from, _)| !pair.key.contains(&from.name))
        .map(|(_, to)| format!("{0} = excluded.{0}", to.sql))
        .collect();
    let action = if set.is_empty() {
        "nothing".to_owned()
    } else {
        format!("update set {}", set.join(", "))
    };
    format!(" on conflict ({}) do {action}", key.join(", "))
}
