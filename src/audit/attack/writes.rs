use super::arena::{Arena, Stage};
use super::attempt::{Attempt, Reached};
use super::ground::{Reference, Table};
use super::reads::protect;
use super::rows::{Who, insert};
use super::values::{Salt, literal};
use crate::audit::AuditSeverity;
use crate::error::Result;

/// What is tried to change, remove, overwrite, give away or refer to rows across clients.
pub(super) fn attempts(arena: &Arena<'_>, table: &Table, own: bool) -> Vec<Attempt> {
    let victims = arena.victims(table);
    let sql = &table.sql;
    let variant = arena.rows.variant(table);
    let mut attempts = Vec::new();
    let mut add = |id, meaning, statement: String| {
        attempts.push(Attempt::new(id, sql, meaning, Reached::Affected, statement).mend(protect(table)));
    };
    let changed = changeable(table);
    if let Some(column) = &changed {
        add(
            "attack.write",
            "a client changes rows of another",
            format!("update {sql} t set {column} = t.{column} where {victims}"),
        );
    }
    add(
        "attack.delete",
        "a client removes rows of another",
        format!("delete from {sql} t where {victims}"),
    );
    add(
        "attack.merge",
        "a client removes rows of another",
        format!("merge into {sql} t using (select 1) s on {victims} when matched then delete"),
    );
    if table.client().is_some() {
        let (attacker, victim) = (arena.attacker.client, arena.victim.client);
        let of_victim = Salt {
            client: victim,
            ..Salt::new(attacker)
        };
        if let Some(values) = arena.rows.values(table, &of_victim, Who::Victim, variant) {
            add(
                "attack.insert",
                "a client adds rows to those of another",
                insert(table, &values, ""),
            );
        }
        if let (Some(made), Some(column), Some(key)) =
            (arena.rows.made(table, Who::Victim), &changed, primary_key(table))
        {
            add(
                "attack.upsert",
                "a client overwrites rows of another",
                format!(
                    "{} on conflict ({key}) do update set {column} = excluded.{column}",
                    made.insert
                ),
            );
        }
        if table.client().is_some_and(|client| !client.required) {
            let nobody = Salt::new(attacker);
            if let Some(mut values) = arena.rows.values(table, &nobody, Who::Attacker, variant) {
                for (attnum, value) in &mut values {
                    if table.is_client(*attnum) {
                        "null".clone_into(value);
                    }
                }
                add(
                    "attack.insert",
                    "a client adds rows that are nobody's, which others may see",
                    insert(table, &values, ""),
                );
            }
        }
    }
    attempts.extend(unconditioned(arena, table, changed.as_deref(), own));
    attempts.extend(oracle(arena, table));
    attempts.extend(
        table
            .references
            .iter()
            .filter_map(|reference| refer(arena, table, reference)),
    );
    for (id, statement, meaning) in [
        (
            "attack.truncate",
            format!("truncate {sql}"),
            "a client removes all rows of all",
        ),
        (
            "attack.ddl",
            format!("alter table {sql} no force row level security"),
            "a client takes the guards off a table",
        ),
    ] {
        // No other client waits for what is rolled back in the same message.
        let statement = format!("{statement}; rollback to savepoint attack");
        attempts.push(Attempt::new(id, sql, meaning, Reached::Accepted, statement));
    }
    attempts
}

/// A statement that reads no column is held by the policies of its own command alone, and not by those of SELECT. It
/// is stopped by a division at the first row beyond the attacker's own, and concerns none.
fn unconditioned(arena: &Arena<'_>, table: &Table, changed: Option<&str>, own: bool) -> Vec<Attempt> {
    if table.client().is_none() {
        return Vec::new();
    }
    let (sql, attacker) = (&table.sql, arena.attacker.client);
    let count = "'tenantry_attack.rows'";
    let stop = format!(
        "1 / (case when pg_catalog.set_config({count}, (pg_catalog.current_setting({count})::int8 + 1)::text, true)::int8
             > (select count(*) from {sql} own where own.client_id = '{attacker}') then 0 else 1 end)"
    );
    let begin = "set local tenantry_attack.rows = 0";
    let delete = format!("{begin}; delete from {sql} where {stop} = 0");
    let told = |id, meaning, reached, statement| {
        Attempt::new(id, sql, meaning, reached, statement).mend(protect(table))
    };
    let mut attempts = vec![told(
        "attack.delete",
        "a client removes rows of another",
        Reached::Divides,
        delete,
    )];
    if let Some(column) = changed {
        let update = format!("{begin}; update {sql} set {column} = default where {stop} = 0");
        let meaning = "a client changes rows of another";
        attempts.push(told("attack.write", meaning, Reached::Divides, update));
    }
    if own {
        let victim = arena.victim.client;
        let give = format!("{begin}; update {sql} set client_id = '{victim}' where {stop} = 1");
        let meaning = "a client makes its rows those of another";
        let attempt = told("attack.give_away", meaning, Reached::Affected, give);
        attempts.push(attempt.held_by(&["22012"]));
    }
    attempts
}

/// A column that may be changed, quoted.
pub(super) fn changeable(table: &Table) -> Option<String> {
    let plain = |column: &&super::ground::Column| {
        !column.generated && !column.identity_always && !table.is_client(column.attnum)
    };
    let columns = || table.columns.iter().filter(plain);
    let column = columns()
        .find(|column| column.updates && !table.in_key(column.attnum))
        .or_else(|| columns().find(|column| column.updates))
        .or_else(|| columns().next());
    column.map(|column| column.sql.clone())
}

fn primary_key(table: &Table) -> Option<String> {
    let key = table.keys.iter().find(|key| key.primary)?;
    let columns = key.columns.as_ref()?.iter();
    let names: Option<Vec<&str>> = columns
        .map(|attnum| Some(table.column(*attnum)?.sql.as_str()))
        .collect();
    names.map(|names| names.join(", "))
}

/// One more row of the attacker's, its own being away: nothing but rows of others can stand in its way. Its values
/// are new.
fn another(arena: &Arena<'_>, table: &Table) -> Option<(String, Vec<(i16, String)>)> {
    let salt = Salt::new(arena.attacker.client);
    let variant = arena.rows.variant(table);
    let values = arena.rows.values(table, &salt, Who::Attacker, variant)?;
    // In a circle it is referred to, and stays.
    let of = arena.ground.position(table.oid)?;
    let mut parents = arena.ground.with_parents(&[of]).into_iter();
    let is_referred_to = parents.any(|parent| {
        let mut references = arena.ground.tables[parent].references.iter();
        parent != of && references.any(|reference| reference.to == table.oid)
    });
    let away = if table.deletes && table.client().is_some() && !is_referred_to {
        format!(
            "delete from {} t where t.client_id = '{}'; ",
            table.sql, arena.attacker.client
        )
    } else {
        String::new()
    };
    Some((away, values))
}

/// A row that has the keys of the victim's, but for the client.
fn oracle(arena: &Arena<'_>, table: &Table) -> Option<Attempt> {
    table.client()?;
    let (away, mut values) = another(arena, table)?;
    let theirs = arena.rows.made(table, Who::Victim)?;
    let mut same = Vec::new();
    for column in table.columns.iter() {
        let attnum = column.attnum;
        if column.generated
            || table.is_client(attnum)
            || !table.in_key(attnum)
            || table.reference_of(attnum).is_some()
        {
            continue;
        }
        if let Some(Some(value)) = theirs.values.get(&column.name) {
            same.push((attnum, literal(value, &column.type_sql)));
        }
    }
    if same.is_empty() {
        return None;
    }
    for (attnum, value) in same {
        let Some(at) = values.iter().position(|(other, _)| *other == attnum) else {
            values.push((attnum, value));
            continue;
        };
        // What refers to the row itself goes with it.
        let before = values[at].1.clone();
        for (_, other) in values.iter_mut().filter(|(_, other)| *other == before) {
            other.clone_from(&value);
        }
    }
    Some(
        Attempt::new(
            "attack.oracle",
            &table.sql,
            "a key that all clients share tells one of them what the others have, and stops it from having the same",
            Reached::Collides,
            format!("{away}{}", insert(table, &values, "")),
        )
        .severity(AuditSeverity::Medium),
    )
}

/// A row that refers to what is the victim's.
fn refer(arena: &Arena<'_>, table: &Table, reference: &Reference) -> Option<Attempt> {
    let parent = &arena.ground.tables[arena.ground.position(reference.to)?];
    parent.client()?;
    let sql = referring(arena, table, reference)?;
    Some(
        Attempt::new(
            "attack.reference",
            format!("{} ({})", table.sql, reference.name),
            "a client refers to rows of another: it learns that they are there, and holds them",
            Reached::Refers,
            sql,
        )
        .severity(AuditSeverity::High),
    )
}

fn referring(arena: &Arena<'_>, table: &Table, reference: &Reference) -> Option<String> {
    let (away, mut values) = another(arena, table)?;
    let theirs = arena.rows.parent(reference, Who::Victim)?;
    let mut refers = false;
    for (attnum, value) in theirs {
        if table.is_client(attnum) {
            continue;
        }
        refers = true;
        let column = table.column(attnum)?;
        values.retain(|(other, _)| *other != attnum);
        values.push((attnum, literal(&value, &column.type_sql)));
    }
    refers.then(|| format!("{away}{}", insert(table, &values, "")))
}

/// Where a reference to the other client's row was taken: whether what that one does to its row is done to the first
/// one's.
pub(super) async fn cascades(arena: &mut Arena<'_>, stage: &mut Stage, table: &Table) -> Result<()> {
    let references = table.references.iter().filter(|reference| reference.cascades);
    let found: Vec<&Reference> = references
        .filter(|reference| {
            let object = format!("{} ({})", table.sql, reference.name);
            let findings = &arena.report.findings;
            findings
                .iter()
                .any(|finding| finding.id == "attack.reference" && finding.object == object)
        })
        .collect();
    for reference in found {
        let Some(parent) = arena.ground.position(reference.to) else {
            continue;
        };
        let parent = arena.ground.tables[parent].clone();
        let Some(refer) = referring(arena, table, reference) else {
            continue;
        };
        let (sql, attacker) = (&table.sql, arena.attacker.client);
        let refer = format!("rollback to savepoint attack; {refer}; savepoint referred");
        if arena.send(stage, &refer).await?.refused.is_some() {
            continue;
        }
        let columns = reference
            .columns
            .iter()
            .filter_map(|attnum| table.column(*attnum));
        let set: Vec<String> = columns.map(|column| format!("t.{}", column.sql)).collect();
        let of_own = format!(
            "select coalesce(string_agg(concat_ws(',', {}), ';'), '') from {sql} t where t.client_id = '{attacker}'",
            set.join(", ")
        );
        let before = arena.send(stage, &of_own).await?.last(0);
        let delete = format!("delete from {} t where {}", parent.sql, arena.victims(&parent));
        arena.enter(stage, Who::Victim, &delete).await?;
        let after = arena.enter(stage, Who::Attacker, &of_own).await?;
        if after.refused.is_none() && after.last(0) != before {
            let attempt = Attempt::new(
                "attack.cascade",
                format!("{sql} ({})", reference.name),
                "what a client does to its row is done to rows of another",
                Reached::Affected,
                delete,
            );
            let told = "rows of one client are gone, or changed, after another removed its own".to_owned();
            arena.told(&attempt, &super::attempt::Verdict::Reached(told));
        }
        arena.send(stage, "rollback to savepoint attack").await?;
    }
    Ok(())
}
