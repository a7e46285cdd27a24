//! Tables of an application that had one client become those of many, while it goes on, and back.
#![expect(
    clippy::unwrap_used,
    reason = "the functions that the tests share panic like tests"
)]

mod attacks;
mod bridge;
mod crash;
mod findings;
mod journey;
mod old_application;
mod refusals;
mod rules;
mod waiting;

use sqlx::PgConnection;
use sqlx::migrate::Migrator;
use tenantry::testing::Fixture;
use tenantry::{Assign, ClientId, Retrofit};

use crate::sql::{connect, one, rows, run};

type Outcome = Result<(), Box<dyn std::error::Error>>;

/// The host has no migrations of its own for the database that is retrofitted.
static NONE: Migrator = Migrator::DEFAULT;

/// What an application made that had one client.
const TABLES: &str = "
    create table runs (
        id      bigserial primary key,
        name    text not null unique,
        tenant  text
    );
    create table documents (
        id       bigserial primary key,
        run_id   bigint references runs (id) on delete set null,
        filename text not null,
        email    text not null,
        tenant   text,
        done     integer not null default 0,
        warn     integer not null default 0,
        failed   integer not null default 0,
        constraint documents_of_whom unique (filename, email)
    );
    create unique index documents_once_failed on documents (lower(filename)) include (done) where failed > 1000000;
    create index documents_by_email on documents (email);
    create table lines (
        document_id bigint not null references documents (id) on delete cascade,
        number      integer not null,
        text        text not null default '',
        primary key (document_id, number) deferrable initially deferred
    );
    comment on constraint documents_of_whom on documents is 'one''s file';
    comment on index documents_once_failed is 'rarely';";

/// A database with such tables, registered as a pool, and the role that the application logs in as.
struct Stage {
    fixture: Fixture,
    /// The client that the application was all the time.
    house: ClientId,
    old_role: String,
}

impl Stage {
    async fn start() -> Self {
        let fixture = Fixture::start(&NONE).await.unwrap();
        let house = fixture.shared_client("house").await.unwrap().id;
        let old_role = fixture.database("old");
        let stage = Self {
            fixture,
            house,
            old_role,
        };
        let mut superuser = stage.superuser().await;
        let role = &stage.old_role;
        run(
            &mut superuser,
            &format!("create role {role} login password 'old'"),
        )
        .await;
        let mut admin = stage.admin().await;
        run(&mut admin, TABLES).await;
        run(
            &mut admin,
            &format!(
                "grant select, insert, update, delete, truncate on all tables in schema public to {role};
                 grant select on runs to public; grant select (id, name) on runs to {role} with grant option;
                 grant usage on all sequences in schema public to {role}"
            ),
        )
        .await;
        stage
    }

    fn retrofit(&self) -> Retrofit {
        self.retrofit_as(Assign::to(self.house))
    }

    fn retrofit_as(&self, assign: Assign) -> Retrofit {
        let platform = self.fixture.platform().clone();
        Retrofit::new(platform, self.fixture.pool(), assign).bridge(self.old_role.as_str(), self.house)
    }

    fn database(&self) -> String {
        self.fixture.database("pool-1")
    }

    async fn admin(&self) -> PgConnection {
        connect(self.fixture.admin_options(&self.database())).await
    }

    async fn superuser(&self) -> PgConnection {
        connect(self.fixture.server().connect_options(&self.database())).await
    }

    /// A connection of the old application.
    async fn old(&self) -> PgConnection {
        let options = self.fixture.server().connect_options(&self.database());
        connect(options.username(&self.old_role).password("old")).await
    }

    /// What there is, as the catalogue has it: columns, defaults, constraints, indexes, policies, triggers, rights,
    /// comments.
    async fn schema(&self) -> Vec<String> {
        let mut admin = self.admin().await;
        run(&mut admin, "set search_path = pg_catalog").await;
        let rows: Vec<(String,)> = rows(&mut admin, SCHEMA).await;
        rows.into_iter().map(|(row,)| row).collect()
    }

    async fn count(&self, sql: &str) -> i64 {
        one(&mut self.admin().await, sql).await
    }

    async fn close(self) {
        let mut superuser = self.superuser().await;
        let role = &self.old_role;
        run(&mut superuser, &format!("drop owned by {role}; drop role {role}")).await;
        drop(superuser);
        self.fixture.close().await;
    }
}

const SCHEMA: &str = "
with host as (select c.* from pg_class c where c.relnamespace = 'public'::regnamespace)
select format('column %s.%s %s %s %s %s', c.relname, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull,
              pg_get_expr(d.adbin, d.adrelid), a.attidentity)
from host c join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
left join pg_attrdef d on d.adrelid = c.oid and d.adnum = a.attnum where c.relkind in ('r', 'S')
union all
select format('constraint %s.%s %s %s %s', c.relname, r.conname, pg_get_constraintdef(r.oid), r.convalidated,
              obj_description(r.oid, 'pg_constraint'))
from host c join pg_constraint r on r.conrelid = c.oid where r.contype <> 'n'
union all
select format('index %s %s %s', pg_get_indexdef(i.indexrelid), i.indisvalid, obj_description(i.indexrelid, 'pg_class'))
from host c join pg_index i on i.indrelid = c.oid
union all
select format('policy %s.%s', c.relname, p.polname) from host c join pg_policy p on p.polrelid = c.oid
union all
select format('trigger %s.%s', c.relname, t.tgname) from host c join pg_trigger t on t.tgrelid = c.oid where not t.tgisinternal
union all
select format('security %s %s %s', c.relname, c.relrowsecurity, c.relforcerowsecurity) from host c where c.relkind = 'r'
union all
select format('right %s %s %s %s', c.relname, x.grantee::regrole, x.privilege_type, x.is_grantable)
from host c, aclexplode(coalesce(c.relacl, acldefault(case c.relkind when 'S' then 's' else 'r' end::\"char\", c.relowner))) x
where c.relkind in ('r', 'S')
union all
select format('right %s.%s %s %s %s', c.relname, a.attname, x.grantee::regrole, x.privilege_type, x.is_grantable)
from host c join pg_attribute a on a.attrelid = c.oid, aclexplode(a.attacl) x where c.relkind = 'r'
order by 1";
