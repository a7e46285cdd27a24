//! Rows are assigned by what the host says of them, and never by a guess.

use tenantry::{Assign, Error, RetrofitError, RetrofitFinding, RetrofitState};

use super::{Outcome, Stage};
use crate::sql::{one, rows, run};

const ROWS: &str = "
    insert into runs (name, tenant) values ('of acme', 'acme'), ('of bolt', 'bolt');
    insert into documents (run_id, filename, email, tenant)
    select 1 + n % 2, n::text, 'a', case n % 2 when 0 then 'acme' else 'bolt' end from generate_series(1, 3000) n;
    insert into lines select id, 1 from documents";

#[tokio::test]
async fn rows_go_to_the_clients_that_their_columns_and_parents_say() -> Outcome {
    let stage = Stage::start().await;
    let acme = stage.fixture.shared_client("acme").await?.id;
    let bolt = stage.fixture.shared_client("bolt").await?.id;
    let mut admin = stage.admin().await;
    run(&mut admin, ROWS).await;
    let retrofit = stage
        .retrofit_as(Assign::from_column("tenant", [("acme", acme), ("bolt", bolt)]))
        .table("public.lines", Assign::from_parent("lines_document_id_fkey"));
    retrofit.start().await?;
    // The old application moves a row to another tenant, and adds some.
    let mut old = stage.old().await;
    run(
        &mut old,
        "insert into runs (name, tenant) values ('late', 'bolt');
         insert into documents (filename, email, tenant) values ('late', 'late', 'bolt');
         insert into lines select id, 2 from documents where filename = 'late';
         update runs set tenant = 'acme' where name = 'late'",
    )
    .await;
    retrofit.protect().await?;
    let wrong = format!(
        "select (select count(*) from runs where client_id <> case tenant when 'acme' then '{acme}'::uuid else '{bolt}' end)
              + (select count(*) from documents where client_id <> case tenant when 'acme' then '{acme}'::uuid else '{bolt}' end)
              + (select count(*) from lines l join documents d on d.id = l.document_id where l.client_id <> d.client_id)"
    );
    assert_eq!(stage.count(&wrong).await, 0);
    let manager = stage.fixture.manager().await?;
    for (client, documents) in [(acme, 1_500), (bolt, 1_501)] {
        assert_eq!(
            manager.tenant(client).await?.query("documents").count().await?,
            documents
        );
    }
    // Nobody is lost by going back: the columns still say whose each row is.
    retrofit.rollback().await?;
    manager.close().await;
    stage.close().await;
    Ok(())
}

#[tokio::test]
async fn rows_that_match_nothing_are_reported_and_stop_it() -> Outcome {
    let stage = Stage::start().await;
    let acme = stage.fixture.shared_client("acme").await?.id;
    let mut admin = stage.admin().await;
    run(
        &mut admin,
        "insert into runs (name, tenant) values ('a', 'acme'), ('b', 'bolt'), ('c', null)",
    )
    .await;
    let by_column = || Assign::from_column("tenant", [("acme", acme)]);
    let retrofit = stage.retrofit().table("public.runs", by_column());
    let unmatched = RetrofitFinding::Unmatched {
        table: "public.runs".into(),
        rows: 2,
        sample: vec!["[2]".into(), "[3]".into()],
    };
    let plan = retrofit.plan().await?;
    assert!(plan.findings.contains(&unmatched), "{:?}", plan.findings);
    assert!(matches!(
        retrofit.start().await,
        Err(Error::Retrofit { source: RetrofitError::Stopped { findings }, .. }) if findings == [unmatched.to_string()]
    ));
    assert!(retrofit.status().await?.is_none());

    // One that comes after the plan is nobody's either.
    run(&mut admin, "update runs set tenant = 'acme'").await;
    run(
        &mut admin,
        "create table gate (); insert into gate default values; create function late() returns event_trigger language plpgsql as $$ begin null; end $$",
    )
    .await;
    let mut superuser = stage.superuser().await;
    run(
        &mut superuser,
        "drop function late(); drop table gate;
         create function late() returns event_trigger language plpgsql as
             $$ begin if tg_tag = 'ALTER TABLE' then insert into public.runs (name, tenant) values ('late', 'elsewhere')
                on conflict do nothing; end if; end $$;
         create event trigger late on ddl_command_end when tag in ('ALTER TABLE') execute function late()",
    )
    .await;
    let stopped = retrofit.start().await;
    run(&mut superuser, "drop event trigger late; drop function late()").await;
    assert!(
        matches!(
            &stopped,
            Err(Error::Retrofit { source: RetrofitError::Unmatched { table, rows: 1, sample }, .. })
                if table == "public.runs" && sample.len() == 1
        ),
        "{stopped:?}"
    );
    let columns: Vec<(bool,)> = rows(
        &mut admin,
        "select attnotnull from pg_attribute where attrelid = 'runs'::regclass and attname = 'client_id'",
    )
    .await;
    assert_eq!(columns, [(false,)]);
    // With a rule for it, it goes on.
    let bolt = stage.fixture.shared_client("bolt").await?.id;
    let wider = Assign::from_column("tenant", [("acme", acme), ("elsewhere", bolt)]);
    let status = stage.retrofit().table("public.runs", wider).resume().await?;
    assert_eq!(status.state, RetrofitState::Prepared);
    let of_bolt: String = one(&mut admin, "select client_id::text from runs where name = 'late'").await;
    assert_eq!(of_bolt, bolt.to_string());
    stage.close().await;
    Ok(())
}

#[tokio::test]
async fn what_is_said_of_the_rest_counts_for_the_rest() -> Outcome {
    let stage = Stage::start().await;
    let acme = stage.fixture.shared_client("acme").await?.id;
    let mut admin = stage.admin().await;
    run(
        &mut admin,
        "insert into runs (name, tenant) values ('a', 'acme'), ('b', 'bolt'), ('c', null)",
    )
    .await;
    let rule = Assign::from_column("tenant", [("acme", acme)]).otherwise(stage.house);
    stage.retrofit().table("public.runs", rule).start().await?;
    run(
        &mut stage.old().await,
        "insert into runs (name, tenant) values ('d', 'x')",
    )
    .await;
    let of_house = format!("select count(*) from runs where client_id = '{}'", stage.house);
    assert_eq!(stage.count(&of_house).await, 3);
    stage.close().await;
    Ok(())
}
