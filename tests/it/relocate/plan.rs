//! What is found before a row is touched.

use tenantry::testing::Fixture;
use tenantry::{Error, Finding, RelocateTo, RelocationError};

use super::{Outcome, own_database, relocation};
use crate::sql::{connect, one, run};
use crate::support::{HOST, fill};

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "a table of cases")]
async fn what_stands_against_it_is_found_before_a_row_is_touched() -> Outcome {
    let fixture = Fixture::start(&HOST).await?;
    let acme = fixture.shared_client("acme").await?.id;
    let manager = fixture.manager().await?;
    fill(&manager.tenant(acme).await?, "acme").await?;
    let to = own_database(&fixture, "own", acme).await;
    let relocation = relocation(&fixture);
    let mut target = connect(fixture.admin_options(&fixture.database("own"))).await;
    let mut source = connect(fixture.admin_options(&fixture.database("pool-1"))).await;
    // The test itself is connected to the target.
    let found = relocation.plan(acme, &to).await?.findings;
    assert!(
        matches!(found[..], [Finding::ForeignSessions { sessions: 1 }]),
        "{found:?}"
    );

    // On the target: what is done, what undoes it, and what is found.
    let agents = || "public.agents".to_owned();
    let cases: [(&str, &str, Finding); 9] = [
        (
            "alter table user_overviews rename to overviews",
            "alter table overviews rename to user_overviews",
            Finding::MissingTable {
                side: "target",
                table: "public.user_overviews".into(),
            },
        ),
        (
            "alter table agents rename name to title",
            "alter table agents rename title to name",
            Finding::MissingColumn {
                side: "target",
                table: agents(),
                column: "name".into(),
            },
        ),
        (
            "alter table agents alter name type varchar(100)",
            "alter table agents alter name type text",
            Finding::TypeDiffers {
                table: agents(),
                column: "name".into(),
                source: "text".into(),
                target: "character varying(100)".into(),
            },
        ),
        (
            "alter table agents drop constraint agents_client_id_slug_key",
            "alter table agents add unique (client_id, slug)",
            Finding::ConstraintDiffers {
                side: "target",
                table: agents(),
                constraint: "unique slug".into(),
            },
        ),
        (
            "create table notes (id integer)",
            "drop table notes",
            Finding::MissingTable {
                side: "source",
                table: "public.notes".into(),
            },
        ),
        (
            "insert into agents (slug, name) values ('here', 'Here')",
            "delete from agents",
            Finding::NotEmpty { table: agents() },
        ),
        (
            "alter table user_overviews drop constraint user_overviews_pkey",
            "alter table user_overviews add primary key (client_id, id)",
            Finding::NoKey {
                table: "public.user_overviews".into(),
            },
        ),
        (
            "alter table agents add check (name <> 'nobody')",
            "alter table agents drop constraint agents_name_check1",
            Finding::ConstraintDiffers {
                side: "source",
                table: agents(),
                constraint: "check CHECK ((name <> 'nobody'::text))".into(),
            },
        ),
        (
            "alter table tenantry.relocations rename to gone",
            "alter table tenantry.gone rename to relocations",
            Finding::NoKernel { side: "target" },
        ),
    ];
    for (doing, undoing, finding) in cases {
        run(&mut target, doing).await;
        let plan = relocation.plan(acme, &to).await?;
        assert!(plan.findings.contains(&finding), "{doing}: {:?}", plan.findings);
        assert_eq!(plan.is_possible(), !finding.stops());
        if finding.stops() {
            let started = relocation.start(acme, &to).await;
            assert!(
                matches!(&started, Err(Error::Relocation { source: RelocationError::Stopped { findings }, .. })
                    if findings.contains(&finding.to_string())),
                "{started:?}"
            );
            assert!(relocation.status(acme).await?.is_none());
        }
        run(&mut target, undoing).await;
    }

    // On the source.
    for (doing, undoing, finding) in [
        (
            "create table notes (id integer)",
            "drop table notes",
            Finding::UnclassifiedTable {
                side: "source",
                table: "public.notes".into(),
            },
        ),
        (
            "create function touch() returns trigger language plpgsql as 'begin return new; end';
             create trigger touch before update on agents for each row execute function touch()",
            "drop function touch() cascade",
            Finding::TriggersRun {
                side: "source",
                table: agents(),
                triggers: vec!["touch".into()],
            },
        ),
    ] {
        run(&mut source, doing).await;
        let plan = relocation.plan(acme, &to).await?;
        assert!(plan.findings.contains(&finding), "{doing}: {:?}", plan.findings);
        assert!(!plan.is_possible());
        run(&mut source, undoing).await;
    }
    let log = "select count(*) from pg_class where relname ~ '^change_'";
    assert_eq!(one::<i64>(&mut source, log).await, 0);
    manager.close().await;
    fixture.close().await;
    Ok(())
}

#[tokio::test]
async fn a_pool_without_room_and_the_pool_that_it_is_in_are_refused() -> Outcome {
    let fixture = Fixture::start(&HOST).await?;
    let second = fixture.add_pool("pool-2", 1).await?;
    let acme = fixture.shared_client("acme").await?.id;
    let bolt = fixture.shared_client("bolt").await?.id;
    let relocation = relocation(&fixture);
    relocation.start(bolt, &RelocateTo::Pool(second)).await?;
    let plan = relocation.plan(acme, &RelocateTo::Pool(second)).await?;
    assert_eq!(plan.findings, [Finding::NoRoom]);
    let here = relocation.plan(acme, &RelocateTo::Pool(fixture.pool())).await;
    assert!(matches!(here, Err(Error::Refused { .. })), "{here:?}");
    fixture.close().await;
    Ok(())
}

#[tokio::test]
async fn so_it_is_where_the_target_is_a_pool() -> Outcome {
    let fixture = Fixture::start(&HOST).await?;
    let second = RelocateTo::Pool(fixture.add_pool("pool-2", 10).await?);
    let acme = fixture.shared_client("acme").await?.id;
    let mut superuser = connect(fixture.server().connect_options(&fixture.database("pool-2"))).await;
    let relocation = relocation(&fixture);
    let agents = || "public.agents".to_owned();
    let cases = [
        (
            "create table notes (id integer)".to_owned(),
            "drop table notes".to_owned(),
            Finding::UnclassifiedTable {
                side: "target",
                table: "public.notes".into(),
            },
        ),
        (
            "create function touch() returns trigger language plpgsql as 'begin return new; end';
             create trigger touch before update on agents for each row execute function touch()"
                .to_owned(),
            "drop function touch() cascade".to_owned(),
            Finding::TriggersRun {
                side: "target",
                table: agents(),
                triggers: vec!["touch".into()],
            },
        ),
        (
            "alter table agents owner to current_user".to_owned(),
            format!("alter table agents owner to {}", fixture.admin_role()),
            Finding::NotOwned {
                side: "target",
                table: agents(),
            },
        ),
        (
            "alter table agents add column voice text".to_owned(),
            "alter table agents drop column voice".to_owned(),
            Finding::MissingColumn {
                side: "source",
                table: agents(),
                column: "voice".into(),
            },
        ),
    ];
    for (doing, undoing, finding) in cases {
        run(&mut superuser, &doing).await;
        let plan = relocation.plan(acme, &second).await?;
        assert_eq!(plan.findings, [finding], "{doing}");
        assert!(!plan.is_possible());
        run(&mut superuser, &undoing).await;
    }
    assert_eq!(relocation.plan(acme, &second).await?.findings, []);
    fixture.close().await;
    Ok(())
}

#[tokio::test]
async fn a_source_whose_rights_cannot_be_taken_is_refused() -> Outcome {
    let fixture = Fixture::start(&HOST).await?;
    let vast = fixture.dedicated_client("vast").await?.id;
    let mut superuser = connect(fixture.server().connect_options(&fixture.database("vast"))).await;
    run(
        &mut superuser,
        &format!("alter table agents owner to {}", fixture.app_role()),
    )
    .await;
    let plan = relocation(&fixture)
        .plan(vast, &RelocateTo::Pool(fixture.pool()))
        .await?;
    for finding in [
        Finding::RightsRemain {
            role: fixture.app_role().to_owned(),
        },
        Finding::NotOwned {
            side: "source",
            table: "public.agents".to_owned(),
        },
    ] {
        assert!(plan.findings.contains(&finding), "{:?}", plan.findings);
    }
    fixture.close().await;
    Ok(())
}

#[tokio::test]
async fn a_client_that_an_old_application_is_bound_to_is_refused() -> Outcome {
    let fixture = Fixture::start(&HOST).await?;
    let acme = fixture.shared_client("acme").await?.id;
    let other = fixture.shared_client("other").await?.id;
    let role = fixture.database("old");
    let mut superuser = connect(fixture.server().connect_options(&fixture.database("pool-1"))).await;
    run(&mut superuser, &format!("create role {role} login")).await;
    let mut admin = connect(fixture.admin_options(&fixture.database("pool-1"))).await;
    run(
        &mut admin,
        &format!("select tenantry.open_bridge('{role}', '{other}')"),
    )
    .await;
    let to = own_database(&fixture, "own", acme).await;
    assert!(relocation(&fixture).plan(acme, &to).await?.is_possible());
    run(
        &mut admin,
        &format!("select tenantry.open_bridge('{role}', '{acme}')"),
    )
    .await;
    let plan = relocation(&fixture).plan(acme, &to).await?;
    assert_eq!(plan.findings, [Finding::Bridged { role: role.clone() }]);
    assert!(!plan.is_possible());
    run(&mut admin, &format!("select tenantry.close_bridge('{role}')")).await;
    run(&mut superuser, &format!("drop role {role}")).await;
    fixture.close().await;
    Ok(())
}
