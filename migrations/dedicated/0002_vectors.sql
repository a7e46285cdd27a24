-- What a host's search function asks before it goes by an index that may miss rows: the twin of that of a pool.

-- Whether the client has a valid index of its own on the column, made by `promote_vectors` for that
-- metric (`cosine`, `l2` or `inner_product`), with so many rows at least: below, reading all is as fast and exact.
--
-- By the name alone: that of a client's own index is the hash of what it is for. The lengths are part of it, so
-- that no two of schema, table and column run into each other.
create function tenantry.approximate(
    p_table regclass, p_column name, p_metric text default 'cosine', p_rows real default 4000
) returns boolean
language plpgsql stable parallel safe
set search_path = pg_catalog, pg_temp
as $$
declare
    -- The schema and the table: with this search path the text has both.
    v_table text[] := parse_ident(p_table::text);
    v_name  name   := 'tenantry_nearest_' || left(encode(sha256(convert_to(
        format('%s %s %s %s %s%s%s', p_metric, tenantry.current_client(), length(v_table[1]), length(v_table[2]),
               v_table[1], v_table[2], p_column), 'UTF8')), 'hex'), 32);
begin
    return exists (
        select from pg_class i join pg_index x on x.indexrelid = i.oid
        where i.relname = v_name and x.indisvalid and i.reltuples >= p_rows);
end
$$;
