//! Views, functions and triggers.

use super::Plant;

pub(in crate::audit) const ALL: &[Plant] = &[
    Plant::new("a view with its owner's rights", "create view v as select * from agents; grant select on v to {app}", &["view.not_invoker"]),
    Plant::new(
        "a view that says no",
        "create view v with (security_invoker = off) as select * from agents; grant select on v to {app}",
        &["view.not_invoker"],
    ),
    Plant::new(
        "a view with a barrier alone",
        "create view v with (security_barrier) as select * from agents; grant select on v to {app}",
        &["view.not_invoker"],
    ),
    Plant::new(
        "a view of a view",
        "create view inner_v as select * from agents; create view v as select * from inner_v; grant select on v to {app}",
        &["view.not_invoker"],
    ),
    Plant::new("a view for everybody", "create view v as select * from agents; grant select on v to public", &["view.not_invoker"]),
    Plant::new(
        "a column of a view",
        "create view v as select * from agents; grant select (name) on v to {app}",
        &["view.not_invoker"],
    ),
    Plant::new(
        "a view of nothing of the clients'",
        "create view v as select * from models; grant select on v to {app}",
        &["view.not_invoker"],
    ),
    Plant::new(
        "a materialized view",
        "create materialized view m as select client_id, slug from agents with no data; grant select on m to {app}",
        &["view.materialized"],
    ),
    Plant::by_superuser(
        "a foreign table",
        "create foreign data wrapper nowhere; create server far foreign data wrapper nowhere;
         create foreign table f (a int) server far; grant select on f to {app}; alter foreign table f owner to {admin}",
        &["foreign_table.reached"],
    ),
    Plant::new("a rule", "create rule r as on update to agents do also delete from documents", &["rule.on_table"]),
    Plant::new(
        "a rule of a view",
        "create view v with (security_invoker) as select * from agents; grant select on v to {app};
         create rule r as on insert to v do instead insert into documents (client_id, title) values (new.client_id, new.name)",
        &["rule.on_table"],
    ),
    Plant::new(
        "a trigger with its owner's rights",
        "create function t() returns trigger language plpgsql security definer set search_path = pg_catalog, pg_temp
             as $$ begin return new; end $$;
         create trigger t before insert on agents for each row execute function t()",
        &["trigger.definer"],
    ),
    Plant::new(
        "a trigger without a search path",
        "create function t() returns trigger language plpgsql as $$ begin return new; end $$;
         create trigger t before insert on agents for each row execute function t()",
        &["trigger.unpinned"],
    ),
    Plant::new(
        "a trigger that changes the client",
        "create function t() returns trigger language plpgsql set search_path = pg_catalog, pg_temp
             as $$ begin new.client_id := gen_random_uuid(); return new; end $$;
         create trigger t before insert on agents for each row execute function t()",
        &["trigger.sets_client_id"],
    ),
    Plant::by_superuser("foreign keys that are turned off", "alter table conversations disable trigger all", &["trigger.foreign_keys_off"]),
    Plant::new(
        "a function with the rights of the admin role",
        "create function f() returns bigint language sql security definer set search_path = pg_catalog, pg_temp
             return (select 1)",
        &["function.definer"],
    ),
    Plant::by_superuser(
        "a function with the rights of a superuser",
        "create function f() returns bigint language plpgsql security definer set search_path = pg_catalog, pg_temp
             as $$ begin return (select count(*) from public.agents); end $$",
        &["function.definer"],
    ),
    Plant::new(
        "a procedure with the rights of the admin role",
        "create procedure f() language plpgsql security definer set search_path = pg_catalog, pg_temp
             as $$ begin delete from public.agents; end $$",
        &["function.definer"],
    ),
    Plant::by_superuser(
        "a function with somebody's rights and no search path",
        "create function f() returns bigint language plpgsql security definer as $$ begin return 1; end $$;
         alter function f owner to {other}",
        &["function.definer_unpinned"],
    ),
    Plant::by_superuser(
        "a function that looks for temporary tables first",
        "create function f() returns bigint language plpgsql security definer set search_path = pg_catalog, public
             as $$ begin return 1; end $$;
         alter function f owner to {other}",
        &["function.temp_first"],
    ),
    Plant::by_superuser(
        "a function that is called leakproof",
        "create function f(text) returns boolean language plpgsql leakproof as $$ begin raise notice '%', $1; return true; end $$;
         alter function f owner to {admin}",
        &["function.leakproof"],
    ),
    Plant::by_superuser(
        "a function in an untrusted language",
        "create function f(double precision) returns void language internal as 'pg_sleep'; alter function f owner to {admin}",
        &["function.untrusted_language"],
    ),
    Plant::new(
        "a function that turns row-level security off",
        "create function f() returns bigint language plpgsql set row_security = off as $$ begin return 1; end $$",
        &["function.changes_guard"],
    ),
    Plant::by_superuser(
        "a function that turns triggers off",
        "create function f() returns bigint language plpgsql set session_replication_role = replica as $$ begin return 1; end $$;
         alter function f owner to {admin}",
        &["function.changes_guard"],
    ),
    Plant::new(
        "an immutable function that asks for the client",
        "create function f() returns uuid language plpgsql immutable as $$ begin return tenantry.current_client(); end $$",
        &["function.immutable_scope"],
    ),
    Plant::new(
        "a parallel safe function that asks for the client",
        "create function f() returns uuid language plpgsql parallel safe as $$ begin return tenantry.current_client(); end $$",
        &["function.parallel_scope"],
    ),
];
