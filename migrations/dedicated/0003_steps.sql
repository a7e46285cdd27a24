-- What was done once for the client and is not to be done again, remembered in the transaction that did it: the
-- twin of that of a pool.

create table tenantry.steps (
    step     text        primary key check (char_length(step) between 1 and 200),
    taken_at timestamptz not null default now()
);

create function tenantry.take_step(p_step text) returns boolean
language plpgsql strict volatile parallel unsafe security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    insert into tenantry.steps (step) values (p_step) on conflict do nothing;
    return found;
end
$$;
