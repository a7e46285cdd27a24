use std::collections::HashSet;

use super::arena::Arena;
use super::ground::{Argument, Object};
use super::options::Attacked;
use super::values::{Salt, literal, of_kind};
use super::watch::{Watch, Watched};
use crate::error::Result;

/// In so many tables rows are there when a function is called.
const TABLES: usize = 8;

/// Calls every function of the host that the app role may call, with what belongs to the other client.
pub(super) async fn attack(arena: &mut Arena<'_>) -> Result<()> {
    let functions: Vec<Object> = arena
        .ground
        .of_kind(&["function", "procedure"])
        .filter(|function| function.open)
        .cloned()
        .collect();
    let mut called = 0;
    for function in functions {
        let name = signature(&function);
        if arena.options.functions == Attacked::LeftOut {
            arena
                .report
                .left_out
                .push(format!("{name}: functions are left out"));
            continue;
        }
        if arena.is_left_out(&function.sql) {
            continue;
        }
        if called >= arena.options.max_functions || arena.is_over() {
            let told = "there were more functions, or less time, than the options allow";
            arena.report.unclear(&name, told);
            continue;
        }
        called += 1;
        let tables = behind(arena, &function);
        let (mut untold, mut told) = (None, false);
        for ask in calls(arena, &function) {
            let watched = Watched {
                id: "attack.function",
                object: name.clone(),
                meaning: if function.definer {
                    "a client reaches rows of another by a function with the rights of its owner"
                } else {
                    "a client reaches rows of another by a function"
                },
                ask,
                mend: function
                    .definer
                    .then(|| format!("alter {} {name} security invoker", function.kind)),
                writes: true,
            };
            match arena.watch(&tables, &watched).await? {
                Watch::Reached => {
                    told = true;
                    break;
                }
                Watch::Untold(why) => untold = Some(why),
                Watch::Apart => told = true,
            }
        }
        if let (Some(why), false) = (untold, told) {
            let told = format!("{name}: it failed however it was called: {why}");
            arena.report.left_out.push(told);
        }
        arena.report.functions.push(name);
    }
    Ok(())
}

fn signature(function: &Object) -> String {
    let types: Vec<&str> = function
        .arguments
        .iter()
        .map(|argument| argument.type_sql.as_str())
        .collect();
    format!("{}({})", function.sql, types.join(", "))
}

/// The tables that it names, and those that the functions and views it names do: where it names none, some.
fn behind(arena: &Arena<'_>, function: &Object) -> Vec<usize> {
    let mut words: HashSet<&str> = HashSet::new();
    let mut next: Vec<&Object> = vec![function];
    let mut seen = HashSet::new();
    while let Some(object) = next.pop() {
        if !seen.insert(&object.sql) {
            continue;
        }
        let new: HashSet<&str> = words_of(&object.definition).collect();
        next.extend(
            arena
                .ground
                .of_kind(&["function", "procedure"])
                .filter(|other| new.contains(bare_name(&other.sql))),
        );
        words.extend(new);
    }
    let of_views = arena
        .ground
        .of_kind(&["v"])
        .filter(|view| words.contains(bare_name(&view.sql)))
        .flat_map(|view| view.tables.iter().copied());
    let named = arena
        .ground
        .tables
        .iter()
        .filter(|table| words.contains(table.name.as_str()))
        .map(|table| table.oid);
    let named: Vec<i64> = named.chain(of_views).collect();
    let mut tables = arena.filled(&named);
    if tables.is_empty() {
        let all: Vec<i64> = arena.ground.tables.iter().map(|table| table.oid).collect();
        tables = arena.filled(&all);
    }
    tables.truncate(TABLES);
    tables
}

fn words_of(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !(c.is_alphanumeric() || c == '_'))
        .filter(|word| !word.is_empty())
}

fn bare_name(sql: &str) -> &str {
    sql.rsplit('.').next().unwrap_or(sql).trim_matches('"')
}

/// The ways that it is called in: all that it is given is the victim's; or all but the client; or its numbers, which
/// can be counts, are small.
fn calls(arena: &Arena<'_>, function: &Object) -> Vec<String> {
    let mut calls = Vec::new();
    let (attacker, victim) = (&arena.attacker, &arena.victim);
    let small = Salt {
        number: 10,
        ..victim.clone()
    };
    let sparse = Salt {
        client: attacker.client,
        ..small.clone()
    };
    let in_its_name = Salt {
        client: attacker.client,
        ..victim.clone()
    };
    for salt in [&small, &sparse, victim, &in_its_name] {
        let arguments: Vec<String> = function
            .arguments
            .iter()
            .map(|argument| value(arena, argument, salt))
            .collect();
        let arguments = arguments.join(", ");
        let call = if function.kind == "procedure" {
            format!("call {}({arguments})", function.sql)
        } else {
            format!("select t::text from {}({arguments}) t limit 100", function.sql)
        };
        if !calls.contains(&call) {
            calls.push(call);
        }
    }
    calls
}

fn value(arena: &Arena<'_>, argument: &Argument, salt: &Salt) -> String {
    let name = argument.name.to_lowercase();
    let is_client = name.contains("client") || name.contains("tenant");
    if is_client && argument.kind.base == "uuid" {
        return literal(&salt.client.to_string(), "uuid");
    }
    if is_client && argument.kind.category == "S" {
        return literal(&salt.client.to_string(), &argument.type_sql);
    }
    let names_table = ["table", "relation"].iter().any(|word| name.contains(word));
    if argument.kind.base == "regclass" || (names_table && argument.kind.category == "S") {
        let all: Vec<i64> = arena.ground.tables.iter().map(|table| table.oid).collect();
        let first = arena.filled(&all).into_iter().next();
        let first = first.map(|at| &arena.ground.tables[at]);
        let sql = first.map_or("pg_catalog.pg_class", |table| &table.sql);
        return literal(sql, &argument.type_sql);
    }
    if matches!(argument.kind.base.as_str(), "vector" | "halfvec" | "sparsevec") {
        return vector(arena, argument);
    }
    let value = of_kind(&argument.kind, -1, salt).into_iter().next();
    value.map_or_else(
        || format!("null::{}", argument.type_sql),
        |value| literal(&value, &argument.type_sql),
    )
}

/// As long as those of the first column of that type.
fn vector(arena: &Arena<'_>, argument: &Argument) -> String {
    let columns = arena.ground.tables.iter().flat_map(|table| table.columns.iter());
    let mut same = columns.filter(|column| column.kind.base == argument.kind.base && column.typmod > 0);
    let typmod = same.next().map_or(-1, |column| column.typmod);
    let value = of_kind(&argument.kind, typmod, &arena.victim).into_iter().next();
    literal(&value.unwrap_or_default(), &argument.type_sql)
}
