use serde_json::Value;

/// A part of a plan that reads a table.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Scan {
    pub(super) kind: String,
    pub(super) schema: String,
    pub(super) table: String,
    pub(super) index: Option<String>,
    /// What the index is asked for.
    pub(super) index_conditions: Vec<String>,
    /// What is asked of each row that is read.
    pub(super) filters: Vec<String>,
    /// Both.
    pub(super) conditions: Vec<String>,
    /// Whether it is known that it is never read.
    pub(super) never: bool,
}

/// All of a plan, as `explain (format json)` tells it.
pub(super) fn scans(plan: &Value) -> Vec<Scan> {
    let mut scans = Vec::new();
    for statement in plan.as_array().into_iter().flatten() {
        gather(&statement["Plan"], &mut scans);
    }
    scans
}

fn gather(node: &Value, scans: &mut Vec<Scan>) {
    let text = |key: &str| node[key].as_str().map(str::to_owned);
    let children = node["Plans"].as_array().into_iter().flatten();
    let kind = text("Node Type").unwrap_or_default();
    if let Some(table) = text("Relation Name").filter(|_| kind.ends_with("Scan")) {
        let mut scan = Scan {
            schema: text("Schema").unwrap_or_default(),
            table,
            index: text("Index Name"),
            filters: ["Filter"].iter().filter_map(|key| text(key)).collect(),
            index_conditions: ["Index Cond", "Recheck Cond", "TID Cond"]
                .iter()
                .filter_map(|key| text(key))
                .collect(),
            kind,
            ..Scan::default()
        };
        // A bitmap names its indexes below.
        for child in node["Plans"].as_array().into_iter().flatten() {
            bitmap(child, &mut scan);
        }
        scan.conditions = scan
            .index_conditions
            .iter()
            .chain(&scan.filters)
            .cloned()
            .collect();
        scans.push(scan);
        for child in children.filter(|child| !is_bitmap(child)) {
            gather(child, scans);
        }
        return;
    }
    for child in children {
        gather(child, scans);
    }
}

fn is_bitmap(node: &Value) -> bool {
    node["Node Type"]
        .as_str()
        .is_some_and(|kind| kind.starts_with("Bitmap"))
}

fn bitmap(node: &Value, scan: &mut Scan) {
    if !is_bitmap(node) {
        return;
    }
    if let Some(condition) = node["Index Cond"].as_str() {
        scan.index_conditions.push(condition.to_owned());
    }
    if scan.index.is_none() {
        scan.index = node["Index Name"].as_str().map(str::to_owned);
    }
    for child in node["Plans"].as_array().into_iter().flatten() {
        bitmap(child, scan);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn scans_are_found_wherever_they_are_and_bitmaps_are_one() {
        let plan = json!([{ "Plan": { "Node Type": "Nested Loop", "Plans": [
            { "Node Type": "Result", "One-Time Filter": "x" },
            { "Node Type": "Bitmap Heap Scan", "Schema": "public", "Relation Name": "a", "Recheck Cond": "(client_id = 1)",
              "Filter": "(b @> c)",
              "Plans": [{ "Node Type": "Bitmap Index Scan", "Index Name": "a_b", "Index Cond": "(b = 1)" }] },
            { "Node Type": "Seq Scan", "Schema": "public", "Relation Name": "c" },
        ] } }]);
        let scans = scans(&plan);
        assert_eq!(scans.len(), 2);
        assert_eq!(scans[0].index.as_deref(), Some("a_b"));
        assert_eq!(scans[0].conditions.len(), 3);
        assert_eq!(scans[1].table, "c");
    }
}
