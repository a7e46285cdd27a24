//! The table of what is planted and who names it.

use std::collections::HashMap;
use std::fmt::Write as _;

use super::others::{SPLINTER, SQUAWK};
use super::weaknesses;

const TABLE: &str = include_str!("../../../src/audit/detection.md");

fn table() -> String {
    let (splinter, squawk): (HashMap<_, _>, HashMap<_, _>) = (
        SPLINTER.iter().copied().collect(),
        SQUAWK.iter().copied().collect(),
    );
    let names: Vec<&str> = weaknesses::all().map(|plant| plant.name).collect();
    for known in splinter.keys().chain(squawk.keys()) {
        assert!(names.contains(known), "{known} is not planted");
    }
    let by_default = SQUAWK
        .iter()
        .filter(|(_, rule)| !rule.ends_with("(opt-in)"))
        .count();
    let mut text = format!(
        "{all} weaknesses are planted, one at a time, in a schema that is as it should be; each is named as what it is, and \
         nothing is said of that schema. By what they document, Splinter's rules would name {splinter} of them, Squawk's \
         {by_default}, and {squawk} with all that are off by default. pgTAP has assertions and no rules of its own: it says \
         what somebody wrote a test for.\n\n| planted | named as | Splinter | Squawk |\n|---|---|---|---|\n",
        all = names.len(),
        splinter = splinter.len(),
        squawk = squawk.len(),
    );
    for plant in weaknesses::all() {
        let ids: Vec<String> = plant.expected.iter().map(|id| format!("`{id}`")).collect();
        let by = |rules: &HashMap<&str, &str>| {
            rules
                .get(plant.name)
                .map_or("–".to_owned(), |rule| (*rule).to_owned())
        };
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} |",
            plant.name,
            ids.join(", "),
            by(&splinter),
            by(&squawk)
        );
    }
    text
}

#[test]
fn the_table_of_what_is_planted_is_true() {
    let table = table();
    if std::env::var_os("TENANTRY_BLESS").is_some() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/audit/detection.md");
        std::fs::write(path, table).unwrap();
        return;
    }
    assert!(table == TABLE, "TENANTRY_BLESS=1 writes it anew");
}
