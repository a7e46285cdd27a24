//! What checkers of other projects would say of what is planted, by what they document of their rules.
//!
//! A rule counts where it names the weakness and says nothing of the schema that is as it should be. The roles of
//! Splinter's rules (`anon`, `authenticated`) stand for the app role. Squawk reads statements and no database: a rule of
//! it counts where it is about such a statement, though it says the same of one that is right.

/// Splinter (github.com/supabase/splinter), its rules by name.
pub(super) const SPLINTER: &[(&str, &str)] = &[
    ("a table without row-level security", "policy_exists_rls_disabled"),
    ("a new table that nobody protected", "rls_disabled_in_public"),
    (
        "a table that nobody was granted yet and nobody protected",
        "rls_disabled_in_public",
    ),
    (
        "a copy of a table, which comes without row-level security",
        "rls_disabled_in_public",
    ),
    (
        "a table without client_id that the app role reads",
        "rls_disabled_in_public",
    ),
    (
        "a table without client_id that everybody reads",
        "rls_disabled_in_public",
    ),
    ("one column of such a table", "rls_disabled_in_public"),
    ("a partition without row-level security", "rls_disabled_in_public"),
    (
        "a new partition, which comes without row-level security",
        "rls_disabled_in_public",
    ),
    (
        "a partition of a partition without row-level security",
        "rls_disabled_in_public",
    ),
    (
        "a table that inherits, without row-level security",
        "rls_disabled_in_public",
    ),
    ("no policy at all", "rls_enabled_no_policy"),
    (
        "a second permissive policy that widens the first",
        "multiple_permissive_policies",
    ),
    ("a policy by a setting", "auth_rls_initplan"),
    (
        "a function without a search path in a policy",
        "function_search_path_mutable",
    ),
    ("a table without a key", "no_primary_key"),
    ("a table without an index by client", "no_primary_key"),
    ("an index that was not built", "invalid_index"),
    ("a view with its owner's rights", "security_definer_view"),
    ("a view that says no", "security_definer_view"),
    ("a view with a barrier alone", "security_definer_view"),
    ("a view of a view", "security_definer_view"),
    ("a view for everybody", "security_definer_view"),
    ("a column of a view", "security_definer_view"),
    ("a view of nothing of the clients'", "security_definer_view"),
    ("a materialized view", "materialized_view_in_api"),
    ("a foreign table", "foreign_table_in_api"),
    ("a trigger without a search path", "function_search_path_mutable"),
    (
        "a function with the rights of the admin role",
        "authenticated_security_definer_function_executable",
    ),
    (
        "a function with the rights of a superuser",
        "authenticated_security_definer_function_executable",
    ),
    (
        "a function with somebody's rights and no search path",
        "function_search_path_mutable",
    ),
    (
        "a function that looks for temporary tables first",
        "authenticated_security_definer_function_executable",
    ),
    ("a pgvector that leaks", "extension_versions_outdated"),
];

/// Squawk (squawkhq.com), its rules by name; many are off until they are asked for.
pub(super) const SQUAWK: &[(&str, &str)] = &[
    (
        "a table without row-level security",
        "ban-alter-row-level-security (opt-in)",
    ),
    (
        "row-level security that is not forced",
        "ban-alter-row-level-security (opt-in)",
    ),
    (
        "a partition without row-level security",
        "ban-alter-row-level-security (opt-in)",
    ),
    (
        "a partition of a partition without row-level security",
        "ban-alter-row-level-security (opt-in)",
    ),
    (
        "a partition that does not force it",
        "ban-alter-row-level-security (opt-in)",
    ),
    ("client_id that may be null", "ban-drop-not-null"),
    ("client_id without a default", "ban-drop-default (opt-in)"),
    (
        "client_id with a constant as its default",
        "ban-set-default (opt-in)",
    ),
    (
        "client_id with a setting as its default",
        "ban-set-default (opt-in)",
    ),
    ("no policy at all", "ban-drop-policy (opt-in)"),
    ("an open policy alone", "ban-drop-policy (opt-in)"),
    ("a restrictive policy alone", "ban-drop-policy (opt-in)"),
    ("foreign keys that are turned off", "ban-disable-trigger (opt-in)"),
    (
        "a trigger in the kernel that is off",
        "ban-disable-trigger (opt-in)",
    ),
    ("a kernel without a constraint", "ban-drop-constraint (opt-in)"),
    ("a kernel without a trigger", "ban-drop-trigger (opt-in)"),
    ("a kernel that is not whole", "ban-drop-function (opt-in)"),
    ("a stable kernel", "ban-alter-function-options (opt-in)"),
    ("an immutable kernel", "ban-alter-function-options (opt-in)"),
    ("a parallel safe kernel", "ban-alter-function-options (opt-in)"),
    (
        "a kernel with the rights of whoever asks",
        "ban-alter-function-options (opt-in)",
    ),
    (
        "a kernel without its search path",
        "ban-alter-function-options (opt-in)",
    ),
    (
        "a kernel that answers with anybody",
        "ban-replace-view-function (opt-in)",
    ),
    ("a kernel without its fence", "ban-replace-view-function (opt-in)"),
    ("the app role is a superuser", "ban-alter-role-options (opt-in)"),
    ("the app role has BYPASSRLS", "ban-alter-role-options (opt-in)"),
    ("the app role has CREATEROLE", "ban-alter-role-options (opt-in)"),
    ("the app role has CREATEDB", "ban-alter-role-options (opt-in)"),
    ("the app role has REPLICATION", "ban-alter-role-options (opt-in)"),
    ("no kernel", "ban-drop-schema (opt-in)"),
];
