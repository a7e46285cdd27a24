//! What does not fit is refused by name, before a row is kept.

use tenantry::{ClientStatus, Error, ErrorKind, ExportOptions, PortableError, RestoreOptions};

use super::{Outcome, Place, ROWS, count, portable, shared};
use crate::sql::{connect, one, run};

#[tokio::test]
async fn a_table_that_nobody_classified_stops_the_export() -> Outcome {
    let mut place = Place::set().await?;
    let platform = place.fixture.platform();
    let none = ExportOptions::default();
    run(&mut place.admin, "create table scraps (id integer)").await;
    let error = portable(platform.export_client(place.acme, tokio::io::sink(), &none).await);
    assert!(
        matches!(&error, PortableError::UnclassifiedTable { table } if table == "public.scraps"),
        "{error:?}"
    );
    assert!(error.to_string().contains("public.scraps"));
    // A clone says so, too, and leaves nobody behind.
    let error = platform
        .clone_client(place.acme, shared("twin"), &none)
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Installation);
    let error = portable::<()>(Err(error));
    assert!(
        matches!(error, PortableError::UnclassifiedTable { .. }),
        "{error:?}"
    );
    let mut conn = connect(place.fixture.admin_options(&place.fixture.database("platform"))).await;
    let clients = "select count(*) from platform.clients";
    assert_eq!(one::<i64>(&mut conn, clients).await, 1);

    // Named, it is left out; so is what has no such name.
    let left_out = ExportOptions::default().leave_out(["public.scraps"]);
    let report = platform
        .clone_client(place.acme, shared("twin"), &left_out)
        .await?;
    assert_eq!(count(&mut place.admin, report.client).await, ROWS);
    let misspelt = ExportOptions::default().leave_out(["public.scraps", "public.scrap"]);
    let error = portable(
        platform
            .export_client(place.acme, tokio::io::sink(), &misspelt)
            .await,
    );
    assert!(matches!(error, PortableError::UnknownTable { .. }), "{error:?}");
    place.fixture.close().await;
    Ok(())
}

#[tokio::test]
async fn a_target_that_differs_or_has_rows_is_refused() -> Outcome {
    let mut place = Place::set().await?;
    let platform = place.fixture.platform();
    let file = place.export().await?;
    let options = RestoreOptions::default();

    // It has rows, and be it one.
    let error = portable(platform.restore_client(place.acme, &file[..], &options).await);
    assert!(matches!(error, PortableError::NotEmpty { .. }), "{error:?}");
    let bolt = place.fixture.shared_client("bolt").await?.id;
    run(
        &mut place.admin,
        &format!("insert into empties values ('{bolt}', gen_random_uuid())"),
    )
    .await;
    let error = portable(platform.restore_client(bolt, &file[..], &options).await);
    assert!(
        matches!(&error, PortableError::NotEmpty { table } if table == "public.empties"),
        "{error:?}"
    );
    assert_eq!(count(&mut place.admin, bolt).await, 1);

    // It is not served.
    platform.set_status(bolt, ClientStatus::Suspended).await?;
    let error = platform
        .restore_client(bolt, &file[..], &options)
        .await
        .unwrap_err();
    assert!(matches!(error, Error::NotServed { .. }), "{error:?}");

    // Its tables differ: by a type, a column, a table, or what a trigger makes of the rows.
    let (old, mut admin) = place.legacy("old").await?;
    for (change, back, said) in [
        (
            "alter table nodes alter parent type bigint",
            "alter table nodes alter parent type integer",
            "public.nodes is not the same on both sides: column parent is integer in the file, and bigint",
        ),
        (
            "alter table nodes add more text",
            "alter table nodes drop more",
            "public.nodes is not the same on both sides: the file does not have column more",
        ),
        (
            "alter table nodes rename parent to mother",
            "alter table nodes rename mother to parent",
            "public.nodes is not the same on both sides: column parent is only in the file",
        ),
        (
            "create table later ()",
            "drop table later",
            "public.later is not the same on both sides: the file does not have it",
        ),
        (
            "alter table nodes rename to knots",
            "alter table knots rename to nodes",
            "public.nodes is not the same on both sides: the database to restore into has no such table",
        ),
        (
            "create function f() returns trigger language plpgsql as
                 $$begin new.parent := coalesce(new.parent, 7); return new; end$$;
             create trigger t before insert on nodes for each row execute function f()",
            "drop trigger t on nodes",
            "public.nodes does not have after loading what it had: the same number of rows",
        ),
        (
            "create function g() returns trigger language plpgsql as
                 $$begin return case when new.id <> 5 then new end; end$$;
             create trigger t before insert on nodes for each row execute function g()",
            "drop trigger t on nodes",
            "public.nodes does not have after loading what it had: 99 rows, and not 100",
        ),
    ] {
        run(&mut admin, change).await;
        let error = portable(platform.restore_client(old, &file[..], &options).await);
        assert!(error.to_string().contains(said), "{error}");
        run(&mut admin, back).await;
    }
    // A row that breaks a rule of the database there.
    run(&mut admin, "alter table sailors add check (crew <> 2)").await;
    let error = platform
        .restore_client(old, &file[..], &options)
        .await
        .unwrap_err();
    assert!(matches!(error, Error::Constraint { .. }), "{error:?}");
    run(
        &mut admin,
        "alter table sailors drop constraint sailors_crew_check",
    )
    .await;
    assert_eq!(one::<i64>(&mut admin, "select count(*) from nodes").await, 0);
    platform.restore_client(old, &file[..], &options).await?;
    place.fixture.close().await;
    Ok(())
}

#[tokio::test]
async fn rows_of_another_in_a_database_of_ones_own_are_not_taken_for_its() -> Outcome {
    let place = Place::set().await?;
    let platform = place.fixture.platform();
    let vast = place.fixture.dedicated_client("vast").await?.id;
    let mut admin = connect(place.fixture.admin_options(&place.fixture.database("vast"))).await;
    super::fill(&mut admin, vast, "vast").await;
    let none = ExportOptions::default();
    platform.export_client(vast, tokio::io::sink(), &none).await?;
    run(
        &mut admin,
        &format!("insert into empties values ('{}', gen_random_uuid())", place.acme),
    )
    .await;
    let error = portable(platform.export_client(vast, tokio::io::sink(), &none).await);
    assert!(
        matches!(&error, PortableError::ForeignRows { table } if table == "public.empties"),
        "{error:?}"
    );
    place.fixture.close().await;
    Ok(())
}
