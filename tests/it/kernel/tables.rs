//! Which tables are protected or shared, and what that makes of them.

use uuid::Uuid;

use super::Pool;
use crate::sql::{one, refused, rows, run};

/// Two tables to refer to: one that is as it should be, one whose keys are not.
const PARENTS: &str = "
    create table good (client_id uuid not null, id uuid not null, primary key (client_id, id));
    create table bad (client_id uuid not null, id uuid not null, primary key (id), unique (id, client_id),
                      unique (client_id, id));";

const NO_CLIENT: &str = "table public.t: a tenant table has a column client_id uuid not null";
const NOT_OWN: &str = "public.t is not a table of its own (a partition is protected through its parent)";

/// What is wrong with a table, how it is made, and what `protect` says.
const LEAKS: &[(&str, &str, &str)] = &[
    ("no client_id", "create table t (id uuid)", NO_CLIENT),
    ("client_id may be null", "create table t (client_id uuid)", NO_CLIENT),
    ("client_id is text", "create table t (client_id text not null)", NO_CLIENT),
    (
        "client_id was dropped",
        "create table t (client_id uuid not null, id int); alter table t drop column client_id",
        NO_CLIENT,
    ),
    (
        "primary key without the client",
        "create table t (client_id uuid not null, id uuid primary key)",
        "table public.t: the key or unique index t_pkey does not lead with client_id",
    ),
    (
        "primary key with the client last",
        "create table t (client_id uuid not null, id uuid, primary key (id, client_id))",
        "table public.t: the key or unique index t_pkey does not lead with client_id",
    ),
    (
        "unique constraint",
        "create table t (client_id uuid not null, email text unique)",
        "table public.t: the key or unique index t_email_key does not lead with client_id",
    ),
    (
        "unique index",
        "create table t (client_id uuid not null, email text); create unique index u on t (email)",
        "table public.t: the key or unique index u does not lead with client_id",
    ),
    (
        "partial unique index",
        "create table t (client_id uuid not null, email text); create unique index u on t (email) where email <> ''",
        "table public.t: the key or unique index u does not lead with client_id",
    ),
    (
        "unique index on an expression",
        "create table t (client_id uuid not null, email text); create unique index u on t (lower(email), client_id)",
        "table public.t: the key or unique index u does not lead with client_id",
    ),
    (
        "exclusion constraint",
        "create table t (client_id uuid not null, email text, constraint u exclude using btree (email with =))",
        "table public.t: the key or unique index u does not lead with client_id",
    ),
    (
        "unique index with the client included only",
        "create table t (client_id uuid not null, email text); create unique index u on t (email) include (client_id)",
        "table public.t: the key or unique index u does not lead with client_id",
    ),
    (
        "foreign key without the client",
        "create table t (client_id uuid not null, bad_id uuid references bad (id))",
        "table public.t: the foreign key t_bad_id_fkey does not lead with client_id on both sides",
    ),
    (
        "foreign key with the client last",
        "create table t (client_id uuid not null, bad_id uuid,
                         constraint f foreign key (bad_id, client_id) references bad (id, client_id))",
        "table public.t: the foreign key f does not lead with client_id on both sides",
    ),
    (
        "foreign key that leads with the client on this side alone",
        "create table t (client_id uuid not null, bad_id uuid,
                         constraint f foreign key (client_id, bad_id) references bad (id, client_id))",
        "table public.t: the foreign key f does not lead with client_id on both sides",
    ),
    (
        "foreign key that sets the client to null",
        "create table t (client_id uuid not null, good_id uuid,
                         constraint f foreign key (client_id, good_id) references good on delete set null)",
        "table public.t: the foreign key f would take client_id away",
    ),
    (
        "foreign key that names the client as set to null",
        "create table t (client_id uuid not null, good_id uuid,
                         constraint f foreign key (client_id, good_id) references good on delete set null (client_id))",
        "table public.t: the foreign key f would take client_id away",
    ),
    (
        "foreign key that sets the client to its default",
        "create table t (client_id uuid not null, good_id uuid,
                         constraint f foreign key (client_id, good_id) references good on delete set default)",
        "table public.t: the foreign key f would take client_id away",
    ),
    (
        "foreign key that sets the client to null on update",
        "create table t (client_id uuid not null, good_id uuid,
                         constraint f foreign key (client_id, good_id) references good on update set null)",
        "table public.t: the foreign key f would take client_id away",
    ),
    (
        "a partition",
        "create table whole (client_id uuid not null) partition by hash (client_id);
         create table t partition of whole for values with (modulus 1, remainder 0)",
        NOT_OWN,
    ),
    (
        "a temporary table",
        "create temporary table t (client_id uuid not null)",
        "t is not a table of its own (a partition is protected through its parent)",
    ),
    (
        "a view",
        "create view t as select * from good",
        NOT_OWN,
    ),
    (
        "a materialized view",
        "create materialized view t as select * from good",
        NOT_OWN,
    ),
    (
        "a shared table",
        "create table t (); select tenantry.share('t'); alter table t add client_id uuid not null",
        "table public.t is declared as shared",
    ),
    (
        "before the app role is known",
        "create table t (client_id uuid not null); update tenantry.installation set app_role = null",
        "the kernel does not know its app role: call tenantry.configure first",
    ),
];

#[tokio::test]
async fn a_table_that_would_leak_is_not_protected() {
    let mut pool = Pool::start().await;
    for (name, table, message) in LEAKS {
        run(&mut pool.admin, &format!("begin; {PARENTS} {table}")).await;
        let refusal = refused(&mut pool.admin, "select tenantry.protect('t')").await;
        assert_eq!((&*refusal.code, &*refusal.message), ("TN006", *message), "{name}");
        run(&mut pool.admin, "rollback").await;
    }
    // And the owner cannot be the app role, nor a table with a client be shared.
    let owner = refused(&mut pool.admin, "select tenantry.configure(current_user)").await;
    assert_eq!(owner.code, "TN006");
    let shared = refused(&mut pool.admin, "select tenantry.share('agents')").await;
    assert_eq!(
        (&*shared.code, &*shared.message),
        (
            "TN006",
            "table public.agents has a client_id: it is protected, not shared"
        )
    );
}

#[tokio::test]
async fn a_table_whose_keys_lead_with_the_client_is_protected() {
    let mut pool = Pool::start().await;
    for table in [
        "create table t (client_id uuid not null)",
        "create table t (client_id uuid primary key)",
        "create table t (client_id uuid not null, email text, unique (client_id, email));
         create unique index u on t (client_id, lower(email)); create index plain on t (email)",
        "create table t (client_id uuid not null, email text,
                         constraint u exclude using btree (client_id with =, email with =))",
        "create table t (client_id uuid not null, good_id uuid,
                         foreign key (client_id, good_id) references good on delete set null (good_id))",
        "create table t (client_id uuid not null, good_id uuid,
                         foreign key (client_id, good_id) references good on delete cascade on update cascade)",
        "create table t (client_id uuid not null, model text references models)",
        "create table t (client_id uuid not null, model text references models on delete set null)",
    ] {
        run(
            &mut pool.admin,
            &format!("begin; {PARENTS} {table}; select tenantry.protect('t'); rollback"),
        )
        .await;
    }
}

#[tokio::test]
async fn an_index_of_a_partition_alone_is_refused_like_one_of_the_table() {
    let mut pool = Pool::start().await;
    run(
        &mut pool.admin,
        "begin;
         create table t (client_id uuid not null, email text) partition by hash (client_id);
         create table t_0 partition of t for values with (modulus 1, remainder 0);
         create unique index u on t_0 (email)",
    )
    .await;
    let refusal = refused(&mut pool.admin, "select tenantry.protect('t')").await;
    assert_eq!(
        (&*refusal.code, &*refusal.message),
        (
            "TN006",
            "table public.t_0: the key or unique index u does not lead with client_id"
        )
    );
}

/// All that `protect` sets on a table, as one text.
const PROTECTION: &str = "
    select string_agg(fact, E'\\n' order by fact) from (
        select format('%s rls %s forced %s acl %s', oid::regclass, relrowsecurity, relforcerowsecurity, relacl) as fact
        from pg_class where oid in (select 't'::regclass union all select relid from pg_partition_tree('t'))
        union all
        select format('policy %s %s %s %s %s %s', polname, polpermissive, polcmd, polroles,
                      pg_get_expr(polqual, polrelid), pg_get_expr(polwithcheck, polrelid))
        from pg_policy where polrelid = 't'::regclass
        union all
        select format('default %s', pg_get_expr(adbin, adrelid)) from pg_attrdef
        where adrelid = 't'::regclass
    ) facts";

#[tokio::test]
async fn protecting_again_changes_nothing_and_mends_what_was_loosened() {
    let mut pool = Pool::start().await;
    run(
        &mut pool.admin,
        "create table t (client_id uuid not null, n bigserial) partition by hash (client_id);
         create table t_0 partition of t for values with (modulus 2, remainder 0);
         create table t_1 partition of t for values with (modulus 2, remainder 1) partition by hash (client_id);
         create table t_1_0 partition of t_1 for values with (modulus 1, remainder 0);
         select tenantry.protect('t')",
    )
    .await;
    let once: String = one(&mut pool.admin, PROTECTION).await;
    assert_eq!(once.matches("rls t forced t").count(), 4, "{once}");
    run(&mut pool.admin, "select tenantry.protect('t')").await;
    assert_eq!(one::<String>(&mut pool.admin, PROTECTION).await, once);

    let app = pool.fixture.app_role();
    for loosened in [
        "alter table t disable row level security".to_owned(),
        "alter table t no force row level security".to_owned(),
        "alter policy tenantry_scope on t using (true)".to_owned(),
        "alter policy tenantry_scope on t with check (true)".to_owned(),
        "drop policy tenantry_scope on t".to_owned(),
        "alter table t alter client_id drop default".to_owned(),
        format!("grant all on t, t_0, t_1_0 to {app}"),
        "grant select on t to public".to_owned(),
        "alter table t_1_0 disable row level security".to_owned(),
    ] {
        run(&mut pool.admin, &loosened).await;
        assert_ne!(
            one::<String>(&mut pool.admin, PROTECTION).await,
            once,
            "{loosened}"
        );
        run(&mut pool.admin, "select tenantry.protect('t')").await;
        assert_eq!(
            one::<String>(&mut pool.admin, PROTECTION).await,
            once,
            "{loosened}"
        );
    }
}

#[tokio::test]
async fn a_protected_table_stamps_the_client_and_gives_four_rights() {
    let mut pool = Pool::start().await;
    let id = pool.id();
    run(
        &mut pool.admin,
        "create table notes (client_id uuid not null, n bigserial, m int generated always as identity, text text,
                             primary key (client_id, n));
         grant all on notes to public;
         select tenantry.protect('notes')",
    )
    .await;
    let granted: Vec<(String,)> = rows(
        &mut pool.admin,
        &format!(
            "select privilege_type::text from pg_class, aclexplode(relacl) a
             where oid = 'notes'::regclass and a.grantee in (0, '{}'::regrole) order by 1",
            pool.fixture.app_role()
        ),
    )
    .await;
    let granted: Vec<_> = granted.iter().map(|(right,)| right.as_str()).collect();
    assert_eq!(granted, ["DELETE", "INSERT", "SELECT", "UPDATE"]);

    run(&mut pool.app, "begin").await;
    pool.bind().await;
    // The sequence of a serial column can be used, and no more than that.
    let stamped: Vec<(Uuid, i64, i32)> = rows(
        &mut pool.app,
        "insert into notes (text) values ('a'), ('b') returning client_id, n, m",
    )
    .await;
    assert_eq!(stamped, [(id, 1, 1), (id, 2, 2)]);
    run(&mut pool.app, "commit").await;
    for sql in [
        "select setval('notes_n_seq', 1000)",
        "select * from notes_n_seq",
        "truncate notes",
        "create trigger t after insert on notes for each row execute function suppress_redundant_updates_trigger()",
        "alter table notes add column x int",
        "copy notes from stdin",
    ] {
        let code = refused(&mut pool.app, sql).await.code;
        // COPY FROM is not possible under row-level security for anyone.
        let expected = if sql.starts_with("copy") { "0A000" } else { "42501" };
        assert_eq!(code, expected, "{sql}");
    }
}

#[tokio::test]
async fn a_shared_table_is_read_by_all_and_written_by_none() {
    let mut pool = Pool::start().await;
    run(
        &mut pool.admin,
        "create table kinds (id serial, name text); grant all on kinds to public; select tenantry.share('kinds');
         select tenantry.share('kinds'); insert into kinds (name) values ('one')",
    )
    .await;
    // Without a scope, too: it belongs to nobody.
    for table in ["kinds", "models"] {
        assert!(one::<i64>(&mut pool.app, &format!("select count(*) from {table}")).await > 0);
        for sql in [
            format!("insert into {table} default values"),
            format!("update {table} set id = id"),
            format!("delete from {table}"),
            format!("truncate {table}"),
            format!("select * from {table} for update"),
        ] {
            assert_eq!(refused(&mut pool.app, &sql).await.code, "42501", "{sql}");
        }
    }
    let known: i64 = one(
        &mut pool.app,
        "select count(*) from tenantry.kernel() k, unnest(k.shared_tables) t where t in ('kinds'::regclass, 'models'::regclass)",
    )
    .await;
    assert_eq!(known, 2);
}
