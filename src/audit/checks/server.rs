//! Extensions, event triggers, publications and subscriptions.

use super::{Check, Look};
use crate::audit::catalogue::Relation;
use crate::audit::finding::AuditFinding;

checks! {
    OTHER_SERVERS = "extension.other_servers", High,
        "an extension connects to other servers, or to this one anew, past what the session is bound to",
        "`drop extension`, or another database for it";
    FILES = "extension.files", High,
        "an extension reads files or raw pages of the server, in which rows of all clients are",
        "`drop extension`";
    LANGUAGE = "extension.untrusted_language", High,
        "there is a language whose functions do as they like with the server",
        "`drop extension`";
    STATEMENTS = "extension.statements", Medium,
        "an extension shows statements: all clients are served by one role, and see each other's",
        "`revoke all` on its views, or `drop extension`";
    JOBS = "extension.jobs", Medium,
        "an extension runs statements or sends requests by itself, bound to nobody",
        "`drop extension`, or another database for it";
    EVENT_TRIGGER = "event_trigger.there", Medium,
        "code runs whenever anybody changes the schema, with the rights of whoever does",
        "`drop event trigger`, if it is none of yours";
    PUBLISHED_ALL = "publication.all_tables", Medium,
        "whoever subscribes gets the rows of all clients, and the keys of the kernel with them",
        "`drop publication`, or name the tables";
    PUBLISHED = "publication.tenant_table", Medium,
        "whoever subscribes gets the rows of all clients",
        "`alter publication … drop table`";
    FILTERED = "publication.row_filter", High,
        "a publication filters rows of a table of clients: updates and deletes of every client fail where its replica identity has not what the filter reads",
        "`alter publication … drop table`";
    SUBSCRIBED = "subscription.there", Medium,
        "another server writes into this database, past row-level security",
        "`drop subscription`, if it is none of yours";
}

/// What an extension of that name brings.
fn of(extension: &str) -> Option<&'static Check> {
    Some(match extension {
        "dblink" | "postgres_fdw" | "mysql_fdw" | "oracle_fdw" | "tds_fdw" | "mongo_fdw" | "redis_fdw"
        | "wrappers" | "pg_background" => &OTHER_SERVERS,
        "file_fdw" | "adminpack" | "pageinspect" | "pg_surgery" | "pg_walinspect" | "pg_visibility"
        | "pg_freespacemap" | "pg_logicalinspect" | "pgrowlocks" | "amcheck" | "pg_dirtyread" | "log_fdw"
        | "aws_s3" => &FILES,
        "plpython3u" | "plpython2u" | "plpythonu" | "plperlu" | "pltclu" | "pljavau" | "plsh" | "plrustu" => {
            &LANGUAGE
        }
        "pg_stat_statements" | "pg_stat_monitor" | "pg_qualstats" | "pg_buffercache" => &STATEMENTS,
        "pg_cron" | "pg_net" | "http" | "pgagent" | "pg_timetable" | "pgsql_http" => &JOBS,
        _ => return None,
    })
}

pub(super) fn look(look: &Look<'_>, found: &mut Vec<AuditFinding>) {
    let here = &look.catalogue.installation;
    for extension in &here.extensions {
        if let Some(check) = of(&extension.name) {
            let finding = check.found(
                format!("extension {}", extension.name),
                format!("version {} is installed", extension.version),
            );
            found.push(finding.mended_by(format!(
                "drop extension {};",
                super::look::quoted(&extension.name)
            )));
        }
    }
    for trigger in &here.event_triggers {
        let finding = EVENT_TRIGGER.found(
            format!("event trigger {}", trigger.name),
            format!("it calls {} on {}", trigger.function, trigger.event),
        );
        found.push(finding.mended_by(format!("-- as a superuser\ndrop event trigger {};", trigger.name)));
    }
    for publication in &here.publications {
        let object = format!("publication {}", publication.name);
        if publication.all_tables {
            let finding = PUBLISHED_ALL.found(&object, "it is for all tables");
            found.push(finding.mended_by(format!("drop publication {};", publication.name)));
        }
        for schema in &publication.schemas {
            let holds = |relation: &&Relation| {
                look.is_tenant(relation) && relation.sql.starts_with(&format!("{schema}."))
            };
            if let Some(table) = look.catalogue.relations.iter().find(holds) {
                let finding = PUBLISHED.found(
                    &object,
                    format!(
                        "it is for all tables of schema {schema}, {} among them",
                        table.sql
                    ),
                );
                found.push(finding.mended_by(format!(
                    "alter publication {} drop tables in schema {schema};",
                    publication.name
                )));
            }
        }
        for published in &publication.tables {
            let Some(table) = look
                .relation(published.relation)
                .filter(|table| look.is_tenant(table))
            else {
                continue;
            };
            let mend = format!("alter publication {} drop table {};", publication.name, table.sql);
            found.push(match &published.filter {
                Some(filter) => FILTERED
                    .found(&object, format!("{} where {filter}", table.sql))
                    .mended_by(mend),
                None => PUBLISHED
                    .found(&object, format!("it has {}", table.sql))
                    .mended_by(mend),
            });
        }
    }
    for subscription in &here.subscriptions {
        let finding = SUBSCRIBED.found(format!("subscription {subscription}"), "it is of this database");
        found.push(finding.mended_by(format!("-- as a superuser\ndrop subscription {subscription};")));
    }
}
