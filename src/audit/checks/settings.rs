//! What sessions of the app role begin with.

use super::look::quoted;
use super::{Check, Look};
use crate::audit::catalogue::Setting;
use crate::audit::finding::AuditFinding;

checks! {
    ROW_SECURITY = "setting.row_security", Medium,
        "sessions of the app role begin with row_security off: statements under a policy are refused, and what is past policies is not",
        "`alter role … reset row_security`";
    SEARCH_PATH = "setting.search_path", Medium,
        "sessions of the app role look for tables and functions elsewhere than those of others",
        "`alter role … reset search_path`";
    REPLICATION_ROLE = "setting.session_replication_role", Critical,
        "sessions of the app role fire no triggers: foreign keys are not checked, and relocations miss what changed",
        "`alter role … reset session_replication_role`";
    ROLE = "setting.role", High,
        "sessions of the app role become another role before anything is asked",
        "`alter role … reset role`";
    PRELOAD = "setting.preload", High,
        "sessions of the app role load code that the audit does not know",
        "`alter role … reset`";
    GUARD = "setting.guard", Medium,
        "a setting takes a guard away: row locks, constraints, or what is known of a plan",
        "`alter role … reset`";
}

fn of(name: &str) -> Option<&'static Check> {
    Some(match name {
        "row_security" => &ROW_SECURITY,
        "search_path" => &SEARCH_PATH,
        "session_replication_role" => &REPLICATION_ROLE,
        "role" | "session_authorization" => &ROLE,
        "session_preload_libraries" | "local_preload_libraries" | "dynamic_library_path" => &PRELOAD,
        "allow_system_table_mods"
        | "ignore_checksum_failure"
        | "zero_damaged_pages"
        | "lo_compat_privileges"
        | "backslash_quote"
        | "standard_conforming_strings"
        | "check_function_bodies"
        | "array_nulls"
        | "transform_null_equals"
        | "allow_in_place_tablespaces"
        | "restrict_nonsystem_relation_kind" => &GUARD,
        _ => return None,
    })
}

pub(super) fn look(look: &Look<'_>, found: &mut Vec<AuditFinding>) {
    for setting in &look.catalogue.installation.settings {
        let Some(check) = of(&setting.name) else { continue };
        if setting.name == "row_security" && setting.value.as_deref() == Some("on")
            || setting.name == "session_replication_role" && setting.value.as_deref() == Some("origin")
            || is_harmless_path(setting)
        {
            continue;
        }
        let value = setting
            .value
            .as_ref()
            .map_or_else(String::new, |value| format!(" to {value}"));
        let (object, mend) = place(setting);
        let finding = check.found(object, format!("it sets {}{value}", setting.name));
        found.push(finding.mended_by(format!("-- as a superuser\n{mend}")));
    }
}

/// A database may say where its tables are: all of its roles begin alike.
fn is_harmless_path(setting: &Setting) -> bool {
    setting.name == "search_path"
        && setting.role.is_none()
        && setting
            .value
            .as_deref()
            .is_some_and(|path| !path.contains("pg_temp") && !path.contains("$user"))
}

fn place(setting: &Setting) -> (String, String) {
    let name = quoted(&setting.name);
    match (&setting.role, &setting.database) {
        (Some(role), Some(database)) => (
            format!("role {role} in database {database}"),
            format!(
                "alter role {} in database {} reset {name};",
                quoted(role),
                quoted(database)
            ),
        ),
        (Some(role), None) => (
            format!("role {role}"),
            format!("alter role {} reset {name};", quoted(role)),
        ),
        (None, Some(database)) => (
            format!("database {database}"),
            format!("alter database {} reset {name};", quoted(database)),
        ),
        (None, None) => ("all roles".to_owned(), format!("alter role all reset {name};")),
    }
}
