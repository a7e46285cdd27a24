create extension if not exists vector;
select '[0]'::vector;

-- All clients of a pool are in one table, so that each could be found where another is searched.
create table spots (
    client_id uuid not null,
    id        integer not null,
    tag       integer not null,
    spot      vector(16),
    primary key (client_id, id)
);
select tenantry.protect('spots');

create table odd (
    client_id uuid not null,
    id        integer not null,
    words     text,
    half      halfvec(16),
    unsized   vector,
    wide      vector(4001),
    "Spot ""1""" vector(3),
    primary key (client_id, id)
);
select tenantry.protect('odd');

create table everyones (id integer primary key, spot vector(16));
select tenantry.share('everyones');

-- In several partitions of a client.
create table dated (
    client_id uuid not null,
    id        integer not null,
    spot      vector(16),
    primary key (client_id, id)
) partition by range (id);
create table dated_old partition of dated for values from (0) to (10);
create table dated_new partition of dated for values from (10) to (1000);
select tenantry.protect('dated');

create function near(
    p_client_id uuid, p_spot vector, p_tag integer default null, p_count integer default 10, p_rows real default 100
) returns table (id integer, approximately boolean)
language plpgsql volatile security invoker
set search_path = public, pg_temp
set enable_sort = off
set jit = off
set hnsw.iterative_scan = relaxed_order
as $$
begin
    if tenantry.approximate('spots', 'spot', 'cosine', p_rows) then
        return query execute format(
            'with candidates as materialized (
                 select s.id, s.spot from spots s
                 where s.client_id = %L and ($2 is null or s.tag = $2)
                 order by s.spot::halfvec(16) <=> $1::halfvec(16) limit 2 * $3
             )
             select c.id, true from candidates c order by c.spot <=> $1, c.id limit $3', p_client_id)
        using p_spot, p_tag, p_count;
    else
        return query
        select s.id, false from spots s
        where s.client_id = p_client_id and (p_tag is null or s.tag = p_tag)
        order by (s.spot <=> p_spot) + 0, s.id limit p_count;
    end if;
end
$$;
