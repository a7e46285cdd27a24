//! The folders of the crate import one way.
#![expect(
    clippy::unwrap_used,
    reason = "the functions that the tests share panic like tests"
)]

use std::fs;
use std::path::{Path, PathBuf};

/// From the ground up. The parts of one row may import each other, and all rows before theirs.
const LAYERS: [&[&str]; 13] = [
    // An error names its client, a client its tier and its sealed credential.
    &["error", "client", "plan", "secret", "telemetry"],
    &["schema"],
    &["directory"],
    &["database", "usage"],
    &["tenant"],
    &["query"],
    &["routing"],
    &["resolver"],
    &["provision"],
    &["relocate"],
    &["dual_store", "fleet", "footprint", "retrofit", "seed"],
    &["audit", "doctor"],
    &["testing"],
];

fn layer_of(part: &str) -> Option<usize> {
    LAYERS.iter().position(|parts| parts.contains(&part))
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files
}

/// The code of a file alone: without comments, and without its own tests.
fn code(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap();
    let text = text.split("#[cfg(test)]\nmod ").next().unwrap();
    let lines = text.lines().map(|line| line.split("//").next().unwrap());
    lines.collect::<Vec<_>>().join("\n")
}

/// What `crate::` leads to, in imports and in the middle of the code: a part, or a name of lib.rs.
fn imported(code: &str) -> Vec<String> {
    let mut names = Vec::new();
    for (at, _) in code.match_indices("crate::") {
        let rest = &code[at + "crate::".len()..];
        let group = rest.strip_prefix('{').map(|rest| rest.split('}').next().unwrap());
        for path in group.unwrap_or(rest).split(',') {
            let path = path.trim_start();
            let end = path
                .find(|c: char| !(c.is_alphanumeric() || c == '_'))
                .unwrap_or(path.len());
            if end > 0 {
                names.push(path[..end].to_owned());
            }
            if group.is_none() {
                break;
            }
        }
    }
    names
}

/// The parts that the names of lib.rs come from.
fn exports(root: &Path) -> Vec<(String, String)> {
    let lib = code(&root.join("lib.rs"));
    let mut exports = Vec::new();
    for export in lib.split("pub use self::").skip(1) {
        let (part, names) = export.split(';').next().unwrap().split_once("::").unwrap();
        let names = names.trim_matches(['{', '}']).split(',').map(str::trim);
        exports.extend(names.map(|name| (name.to_owned(), part.to_owned())));
    }
    exports
}

#[test]
fn imports_go_one_way() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let exports = exports(&root);
    assert!(
        exports.contains(&("TenantDb".to_owned(), "tenant".to_owned())),
        "{exports:?}"
    );
    let (mut seen, mut wrong) = (0, Vec::new());
    for path in sources(&root) {
        let relative = path.strip_prefix(&root).unwrap();
        let part = relative.components().next().unwrap().as_os_str();
        let part = Path::new(part).file_stem().unwrap().to_str().unwrap();
        // A program is above all of them, and imports what anybody may.
        if part == "lib" || part == "bin" {
            continue;
        }
        let layer = layer_of(part);
        if layer.is_none() {
            wrong.push(format!("{} is in no layer", relative.display()));
            continue;
        }
        for name in imported(&code(&path)) {
            let export = exports.iter().find(|(export, _)| *export == name);
            let of = export.map_or(name.as_str(), |(_, part)| part.as_str());
            seen += 1;
            if of != part && (layer_of(of).is_none() || layer_of(of) > layer) {
                wrong.push(format!("{} imports {name} of {of}", relative.display()));
            }
        }
    }
    assert!(seen > 80, "only {seen} imports were seen");
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn imports_are_seen_wherever_they_stand() {
    let code =
        "use crate::query::Rpc;\nuse crate::{ClientId, tenant::TenantDb};\nfn f() -> crate::Result<()> {}";
    assert_eq!(imported(code), ["query", "ClientId", "tenant", "Result"]);
}
