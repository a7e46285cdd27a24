//! Versions of the server and of pgvector that leak past row-level security.

use super::Look;
use crate::audit::catalogue::Catalogue;
use crate::audit::finding::AuditFinding;
use crate::schema::known_leaks;

checks! {
    OLD = "server.too_old", High,
        "PostgreSQL before 15 has no `security_invoker`, and gets no mends any more",
        "a newer PostgreSQL";
    LEAK = "server.known_leak", High,
        "this version of PostgreSQL lets rows past row-level security",
        "the newest minor version";
    VECTOR = "extension.known_leak", High,
        "this version of pgvector lets values of other rows through",
        "`alter extension vector update`, with 0.8.2 or newer installed";
}

pub(super) fn look(look: &Look<'_>, found: &mut Vec<AuditFinding>) {
    of(look.catalogue, found);
}

fn of(catalogue: &Catalogue, found: &mut Vec<AuditFinding>) {
    let here = &catalogue.installation;
    let number = format!("PostgreSQL {}.{}", here.version / 10_000, here.version % 10_000);
    if here.version < 150_000 {
        found.push(OLD.found("server", &number));
    }
    for leak in known_leaks(here.version, None) {
        found.push(LEAK.found("server", leak));
    }
    let vector = here
        .extensions
        .iter()
        .find(|extension| extension.name == "vector");
    if let Some(vector) = vector {
        // The server's own were said.
        for leak in known_leaks(180_000, Some(&vector.version)) {
            found.push(
                VECTOR
                    .found("extension vector", leak)
                    .mended_by("alter extension vector update;"),
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::audit::catalogue::Catalogue;
    use crate::audit::checks::look as look_at;

    fn ids(version: u32, vector: &str) -> Vec<&'static str> {
        let mut catalogue: Catalogue = serde_json::from_str(include_str!("../catalogue/empty.json")).unwrap();
        catalogue.installation.version = version;
        vector.clone_into(&mut catalogue.installation.extensions[0].version);
        let found = look_at(&catalogue);
        let versions = found.iter().map(|finding| finding.id);
        versions
            .filter(|id| id.ends_with("leak") || id.ends_with("old"))
            .collect()
    }

    #[test]
    fn versions_that_leak_are_named_and_others_are_not() {
        assert_eq!(ids(180_006, "0.8.6"), Vec::<&str>::new());
        assert_eq!(ids(150_014, "0.8.2"), Vec::<&str>::new());
        assert_eq!(ids(150_013, "0.8.2"), ["server.known_leak"]);
        assert_eq!(ids(160_009, "0.8.2"), ["server.known_leak"]);
        assert_eq!(
            ids(170_005, "0.8.1"),
            ["extension.known_leak", "server.known_leak"]
        );
        assert_eq!(ids(140_020, "0.8.2"), ["server.too_old"]);
    }
}
