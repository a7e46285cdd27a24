//! What stands against it is found before anything is touched.

use tenantry::{Assign, ClientId, Error, RetrofitError, RetrofitFinding};

use super::{Outcome, Stage};
use crate::sql::run;

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "a table of cases")]
async fn each_thing_that_stands_against_it_is_found() -> Outcome {
    let stage = Stage::start().await;
    let mut superuser = stage.superuser().await;
    let runs = || "public.runs".to_owned();
    let (admin, old) = (stage.fixture.admin_role(), stage.old_role.clone());
    let unsupported = |table: &str, what: &str| RetrofitFinding::Unsupported {
        table: table.into(),
        what: what.into(),
    };
    let cases = [
        (
            "alter table runs add column client_id text".to_owned(),
            "alter table runs drop column client_id".to_owned(),
            RetrofitFinding::HasClientColumn { table: runs() },
        ),
        (
            "alter table runs owner to current_user".to_owned(),
            format!("alter table runs owner to {admin}"),
            RetrofitFinding::NotOwned { table: runs() },
        ),
        (
            "alter table runs enable row level security".to_owned(),
            "alter table runs disable row level security".to_owned(),
            RetrofitFinding::HasPolicies { table: runs() },
        ),
        (
            format!("create table parts (id int) partition by list (id); alter table parts owner to {admin}"),
            "drop table parts".to_owned(),
            RetrofitFinding::NotPlain {
                table: "public.parts".into(),
            },
        ),
        (
            format!("create table loose (id int); alter table loose owner to {admin}"),
            "drop table loose".to_owned(),
            RetrofitFinding::NoPrimaryKey {
                table: "public.loose".into(),
            },
        ),
        (
            format!("create view seen as select * from runs; alter view seen owner to {admin}; grant select on seen to {old}"),
            "drop view seen".to_owned(),
            RetrofitFinding::SeenThrough {
                table: runs(),
                view: "public.seen".into(),
            },
        ),
        (
            format!("create materialized view kept as select * from runs; grant select on kept to {old}"),
            "drop materialized view kept".to_owned(),
            RetrofitFinding::SeenThrough {
                table: runs(),
                view: "public.kept".into(),
            },
        ),
        (
            "alter table runs replica identity using index runs_pkey".to_owned(),
            "alter table runs replica identity default".to_owned(),
            unsupported("public.runs", "the replica identity runs_pkey"),
        ),
        (
            "alter table runs add constraint apart exclude (name with =)".to_owned(),
            "alter table runs drop constraint apart".to_owned(),
            unsupported("public.runs", "the exclusion constraint apart"),
        ),
        (
            "alter table lines drop constraint lines_document_id_fkey, add constraint lines_document_id_fkey
                 foreign key (document_id) references documents on update set null"
                .to_owned(),
            "alter table lines drop constraint lines_document_id_fkey, add constraint lines_document_id_fkey
                 foreign key (document_id) references documents on delete cascade"
                .to_owned(),
            unsupported(
                "public.lines",
                "on update set null or default of the foreign key lines_document_id_fkey",
            ),
        ),
        (
            format!("create sequence ids; alter sequence ids owner to {admin}; alter table runs alter column id set default nextval('ids')"),
            "alter table runs alter column id set default nextval('runs_id_seq'); drop sequence ids".to_owned(),
            RetrofitFinding::SequenceOfNobody {
                table: runs(),
                sequence: "public.ids".into(),
            },
        ),
        (
            format!("grant {admin} to {old}"),
            format!("revoke {admin} from {old}"),
            RetrofitFinding::UnsafeRole {
                role: old.clone(),
                reason: "it is the app role, or takes its rights".into(),
            },
        ),
        (
            format!("alter role {old} bypassrls"),
            format!("alter role {old} nobypassrls"),
            RetrofitFinding::UnsafeRole {
                role: old.clone(),
                reason: "it is, or can become, a superuser or one with BYPASSRLS, CREATEROLE or REPLICATION".into(),
            },
        ),
        (
            "create function all_runs() returns setof runs language sql security definer as 'select * from runs'".to_owned(),
            "drop function all_runs".to_owned(),
            RetrofitFinding::UnsafeRole {
                role: old.clone(),
                reason: "it may run a SECURITY DEFINER function whose owner sees all rows".into(),
            },
        ),
        (
            format!("grant select on runs to {}", "pg_monitor"),
            "revoke select on runs from pg_monitor".to_owned(),
            RetrofitFinding::OtherRole {
                table: runs(),
                role: "pg_monitor".into(),
            },
        ),
    ];
    for (doing, undoing, finding) in cases {
        run(&mut superuser, &doing).await;
        let plan = stage.retrofit().plan().await?;
        assert!(plan.findings.contains(&finding), "{doing}: {:?}", plan.findings);
        assert_eq!(
            plan.is_possible(),
            !finding.stops(),
            "{doing}: {:?}",
            plan.findings
        );
        if finding.stops() {
            let before = stage.schema().await;
            let started = stage.retrofit().start().await;
            assert!(
                matches!(&started, Err(Error::Retrofit { source: RetrofitError::Stopped { findings }, .. })
                    if findings.contains(&finding.to_string())),
                "{started:?}"
            );
            assert_eq!(stage.schema().await, before);
        }
        run(&mut superuser, &undoing).await;
    }
    assert!(stage.retrofit().plan().await?.is_possible());
    stage.close().await;
    Ok(())
}

#[tokio::test]
async fn what_is_asked_for_and_cannot_be_had_is_found() -> Outcome {
    let stage = Stage::start().await;
    let nobody = ClientId::new();
    let documents = || "public.documents".to_owned();
    let mut superuser = stage.superuser().await;
    run(
        &mut superuser,
        "create function touch() returns trigger language plpgsql as 'begin return new; end';
         create trigger touch before update on documents for each row execute function touch()",
    )
    .await;
    let by = |column: &str| Assign::from_column(column, [("x", stage.house)]);
    let cases = [
        (
            stage.retrofit_as(Assign::to(nobody)),
            RetrofitFinding::ClientNotHere { client: nobody },
        ),
        (
            stage.retrofit().leave_out(["public.runs"]),
            RetrofitFinding::LeadsOutside {
                table: documents(),
                constraint: "documents_run_id_fkey".into(),
                to: "public.runs".into(),
            },
        ),
        (
            stage.retrofit().leave_out(["public.lines"]),
            RetrofitFinding::ReferredFromOutside {
                table: "public.lines".into(),
                constraint: "lines_document_id_fkey".into(),
                to: documents(),
            },
        ),
        (
            stage.retrofit().leave_out(["public.elsewhere"]),
            RetrofitFinding::NoSuchTable {
                table: "public.elsewhere".into(),
            },
        ),
        (
            stage.retrofit().table("public.documents", by("colour")),
            RetrofitFinding::NoSuchColumn {
                table: documents(),
                column: "colour".into(),
            },
        ),
        (
            stage.retrofit().table("public.documents", by("tenant")),
            RetrofitFinding::TriggersFire {
                table: documents(),
                triggers: vec!["touch".into()],
            },
        ),
        (
            stage
                .retrofit()
                .table("public.documents", Assign::from_parent("documents_of_whom")),
            RetrofitFinding::NoSuchParent {
                table: documents(),
                constraint: "documents_of_whom".into(),
            },
        ),
        (
            stage.retrofit().bridge("nobody_here", stage.house),
            RetrofitFinding::UnsafeRole {
                role: "nobody_here".into(),
                reason: "there is none".into(),
            },
        ),
    ];
    for (retrofit, finding) in cases {
        let plan = retrofit.plan().await?;
        assert!(plan.findings.contains(&finding), "{:?}", plan.findings);
        assert!(!plan.is_possible());
    }
    // A table that all read may be led to.
    let shared = stage.retrofit().share(["public.runs"]);
    shared.start().await?;
    shared.protect().await?;
    run(
        &mut stage.old().await,
        "insert into runs (name) values ('a'); insert into documents (filename, email, run_id) select 'a', 'a', id from runs",
    )
    .await;
    shared.rollback().await?;
    stage.close().await;
    Ok(())
}
