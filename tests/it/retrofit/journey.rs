//! There and back, under the old application.

use tenantry::{Assign, RetrofitFinding, RetrofitPhase, RetrofitState};

use super::old_application::OldApplication;
use super::{Outcome, Stage};
use crate::sql::{one, refused, run};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_old_application_goes_on_while_its_tables_become_the_tenants_and_back() -> Outcome {
    let stage = Stage::start().await;
    let before = stage.schema().await;
    let application = OldApplication::begin(&stage, 3).await;
    let retrofit = stage.retrofit();

    let plan = retrofit.plan().await?;
    assert!(plan.is_possible(), "{plan}");
    assert!(plan.findings.contains(&RetrofitFinding::SetsNull {
        table: "public.documents".into(),
        constraint: "documents_run_id_fkey".into(),
    }));
    let printed = plan.to_string();
    for part in [
        "add column client_id uuid not null default",
        "create unique index concurrently",
        "(client_id, filename, email)",
        "on delete set null (run_id)",
        "tenantry.protect('\"public\".\"documents\"'::regclass)",
    ] {
        let part = part.replace("\"public\".\"documents\"", "public.documents");
        assert!(printed.contains(&part), "no {part} in\n{printed}");
    }
    assert_eq!(stage.schema().await, before, "a plan changes nothing");

    let status = retrofit.start().await?;
    assert_eq!(status.state, RetrofitState::Prepared);
    assert_eq!(status.next, Some(RetrofitPhase::Protection));
    application.has_written(20).await;
    let status = retrofit.protect().await?;
    assert_eq!(status.state, RetrofitState::Protected);
    application.has_written(20).await;

    let house = stage.house;
    for table in ["runs", "documents", "lines"] {
        let elsewhere = format!("select count(*) from {table} where client_id <> '{house}'");
        assert_eq!(stage.count(&elsewhere).await, 0, "{table}");
    }
    let old_indexes = "select count(*) from pg_index i join pg_class c on c.oid = i.indrelid
        where c.relnamespace = 'public'::regnamespace and c.relname <> '_sqlx_migrations' and i.indisunique and not exists (
            select from pg_attribute a where a.attrelid = c.oid and a.attname = 'client_id' and a.attnum = i.indkey[0])";
    assert_eq!(stage.count(old_indexes).await, 0);
    let named = "select count(*) from pg_class where relname like 'tenantry%' and relnamespace = 'public'::regnamespace";
    assert_eq!(stage.count(named).await, 0);
    // The new application, beside the old one, on the same rows.
    let manager = stage.fixture.manager().await?;
    let db = manager.tenant(house).await?;
    db.insert("documents")
        .set("filename", "new")
        .set("email", "new")
        .execute()
        .await?;
    let (client,): (String,) = db
        .query("documents")
        .columns(["email"])
        .eq("filename", "new")
        .fetch_one()
        .await?;
    assert_eq!(client, "new");
    let seen: i64 = one(
        &mut stage.old().await,
        "select count(*) from documents where email = 'new'",
    )
    .await;
    assert_eq!(seen, 1);

    retrofit.rollback().await?;
    application.has_written(20).await;
    assert_eq!(stage.schema().await, before);
    application.end(&stage).await;
    manager.close().await;
    stage.close().await;
    Ok(())
}

#[tokio::test]
async fn finished_the_old_application_is_refused_and_rolled_back_it_is_not() -> Outcome {
    let stage = Stage::start().await;
    let before = stage.schema().await;
    let mut old = stage.old().await;
    run(&mut old, "insert into runs (name) values ('first')").await;
    let retrofit = stage.retrofit();
    retrofit.start().await?;
    retrofit.protect().await?;
    run(&mut old, "insert into runs (name) values ('second')").await;
    let status = retrofit.finish().await?;
    assert_eq!((status.state, status.next), (RetrofitState::Finished, None));
    for sql in ["select * from runs", "insert into runs (name) values ('third')"] {
        assert_eq!(refused(&mut old, sql).await.code, "42501", "{sql}");
    }
    retrofit.rollback().await?;
    run(&mut old, "insert into runs (name) values ('third')").await;
    assert_eq!(stage.schema().await, before);
    // Once more: what was before leaves nothing.
    retrofit.start().await?;
    retrofit.protect().await?;
    retrofit.rollback().await?;
    assert_eq!(stage.schema().await, before);
    assert_eq!(stage.count("select count(*) from runs").await, 3);
    stage.close().await;
    Ok(())
}

#[tokio::test]
async fn a_constant_is_no_write_of_rows() -> Outcome {
    let stage = Stage::start().await;
    let mut admin = stage.admin().await;
    run(
        &mut admin,
        "insert into runs (name) select n::text from generate_series(1, 2000) n",
    )
    .await;
    let file = "select relfilenode::int8 + (select sum(xmin::text::int8) from runs)::int8 from pg_class where oid = 'runs'::regclass";
    let before: i64 = one(&mut admin, file).await;
    stage.retrofit_as(Assign::to(stage.house)).start().await?;
    assert_eq!(one::<i64>(&mut admin, file).await, before);
    stage.close().await;
    Ok(())
}
