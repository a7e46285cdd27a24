//! Extensions, settings and the server.

use super::Plant;

pub(in crate::audit) const ALL: &[Plant] = &[
    Plant::extension(
        "an extension to other servers",
        "dblink",
        &["extension.other_servers"],
    ),
    Plant::extension(
        "an extension that reads pages",
        "pageinspect",
        &["extension.files"],
    ),
    Plant::extension(
        "an extension with an untrusted language",
        "plpython3u",
        &["extension.untrusted_language"],
    ),
    Plant::extension(
        "an extension that shows statements",
        "pg_stat_statements",
        &["extension.statements"],
    ),
    Plant::extension("an extension that runs jobs", "pg_cron", &["extension.jobs"]),
    Plant::by_superuser(
        "a pgvector that leaks",
        "update pg_extension set extversion = '0.8.1' where extname = 'vector'",
        &["extension.known_leak"],
    )
    .unmended(),
    Plant::by_superuser(
        "an event trigger",
        "create function e() returns event_trigger language plpgsql as $$ begin end $$;
         alter function e owner to {admin}; create event trigger e on ddl_command_end execute function e()",
        &["event_trigger.there"],
    ),
    Plant::by_superuser(
        "a publication of everything",
        "create publication p for all tables",
        &["publication.all_tables"],
    ),
    Plant::by_superuser(
        "a publication of a table",
        "create publication p for table agents",
        &["publication.tenant_table"],
    ),
    Plant::by_superuser(
        "a publication of a schema",
        "create publication p for tables in schema public",
        &["publication.tenant_table"],
    ),
    Plant::by_superuser(
        "a publication of one client",
        "create publication p for table agents where (client_id = '00000000-0000-4000-8000-000000000001')",
        &["publication.row_filter"],
    ),
    Plant::by_superuser(
        "a subscription",
        "create subscription s connection 'host=/nowhere' publication p with (connect = false, slot_name = none)",
        &["subscription.there"],
    ),
];
