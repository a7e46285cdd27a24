-- Search by meaning over the rows of one client. Similarity is 1 - cosine distance.
--
-- Exact, until the client has an index of its own: then it is asked for twice as many as are wanted, and those are
-- put in order by their exact distance. The function decides, by the number of rows: the planner cannot price an
-- index that is asked again and again until enough rows pass the other conditions. Where few rows could pass them,
-- or too few did, the search is exact again.
--
-- Every function refuses a client that the connection is not bound to, and names the client for every
-- table, which prunes partitions; asked by an assignment, it needs no plan. Plans are custom: a generic one would keep the branches that an
-- argument of null turns off. A threshold in the where clause of the ordered scan would make it run on,
-- so it is applied to the nearest rows only. The "+ 0" keeps an approximate index out of an exact search.

-- The settings below are the vector library's: until it is loaded, only a superuser may name them.
select '[0]'::vector;

create function require_client(p_client_id uuid) returns void
language plpgsql security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
    if p_client_id is distinct from tenantry.current_client() then
        raise exception 'client % is not the one this connection is bound to', p_client_id
            using errcode = 'TN004';
    end if;
end
$$;

-- The nearest chunks by the client's own index, of those documents where they are given. Fewer than are asked for
-- where the index was asked for long enough.
--
-- The client is a literal, by which the planner knows that the index has all its rows. Without sorting it has no
-- other choice; the cost that this puts on the last sort is no reason to compile the plan.
create function nearest_chunks(
    p_client_id       uuid,
    p_query_embedding vector,
    p_document_ids    uuid[],
    p_count           integer
) returns setof document_chunks
language plpgsql volatile security invoker
set search_path = public, pg_temp
set enable_sort = off
set jit = off
set hnsw.ef_search = 100
set hnsw.iterative_scan = relaxed_order
as $$
declare
    v_bound text := require_client(p_client_id);
begin
    return query execute format(
        'with candidates as materialized (
             select c.*
             from document_chunks c
             where c.client_id = %L and ($2 is null or c.document_id = any ($2))
             order by c.embedding::halfvec(1024) <=> $1::halfvec(1024)
             limit 2 * $3
         )
         select c.* from candidates c order by c.embedding <=> $1, c.id limit $3', p_client_id)
    using p_query_embedding, p_document_ids, p_count;
end
$$;

-- Without an agent's slug, all documents of the client are searched; with one, those given to that agent.
create function match_documents(
    p_client_id       uuid,
    p_query_embedding vector,
    p_agent_slug      text             default null,
    p_match_threshold double precision default 0.5,
    p_match_count     integer          default 10
) returns table (
    chunk_id    uuid,
    document_id uuid,
    title       text,
    chunk_index integer,
    content     text,
    metadata    jsonb,
    similarity  double precision
)
language plpgsql volatile security invoker
set search_path = public, pg_temp
set plan_cache_mode = force_custom_plan
as $$
declare
    v_bound     text;
    v_count     integer := greatest(coalesce(p_match_count, 10), 0);
    v_documents uuid[];
    v_scope     bigint;
    v_nearest   document_chunks[];
begin
    v_bound := require_client(p_client_id);
    if p_agent_slug is not null then
        v_documents := array(
            select ad.document_id
            from agents a
            join agent_documents ad on ad.client_id = p_client_id and ad.agent_id = a.id
            where a.client_id = p_client_id and a.slug = p_agent_slug);
    end if;

    if tenantry.approximate('document_chunks', 'embedding') then
        -- A thousand rows are read as fast as an index is asked for those of them that are near. How many there are
        -- is told by some of the documents.
        if v_documents is not null then
            select count(*) * cardinality(v_documents) / greatest(least(cardinality(v_documents), 20), 1) into v_scope
            from (
                select from document_chunks c
                where c.client_id = p_client_id and c.document_id = any (v_documents[:20])
                limit 20000
            ) of_some;
        end if;
        if v_scope is null or v_scope > 1000 then
            v_nearest := array(
                select n from nearest_chunks(p_client_id, p_query_embedding, v_documents, v_count) n);
        end if;
    end if;
    if cardinality(v_nearest) = v_count then
        return query
        select n.id, n.document_id, d.title, n.chunk_index, n.content, d.metadata, 1 - distance
        from unnest(v_nearest) n
        cross join lateral (values (n.embedding <=> p_query_embedding)) as measured (distance)
        join documents d on d.client_id = p_client_id and d.id = n.document_id
        where distance <= 1 - p_match_threshold
        order by distance, n.id;
        return;
    end if;

    return query
    with nearest as materialized (
        select c.id, c.document_id, c.chunk_index, c.content, (c.embedding <=> p_query_embedding) + 0 as distance
        from document_chunks c
        where c.client_id = p_client_id
          and c.embedding is not null
          and (v_documents is null or c.document_id = any (v_documents))
        order by distance
        limit v_count
    )
    select n.id, n.document_id, d.title, n.chunk_index, n.content, d.metadata, 1 - n.distance
    from nearest n
    join documents d on d.client_id = p_client_id and d.id = n.document_id
    where n.distance <= 1 - p_match_threshold
    order by n.distance, n.id;
end
$$;

-- The nearest transcripts of a user by the client's own index, as chunks are found by theirs.
create function nearest_transcripts(
    p_client_id               uuid,
    p_user_id                 text,
    p_query_embedding         vector,
    p_agent_id                uuid,
    p_exclude_conversation_id uuid,
    p_count                   integer
) returns setof conversation_transcripts
language plpgsql volatile security invoker
set search_path = public, pg_temp
set enable_sort = off
set jit = off
set hnsw.ef_search = 100
set hnsw.iterative_scan = relaxed_order
as $$
declare
    v_bound text := require_client(p_client_id);
begin
    return query execute format(
        'with candidates as materialized (
             select t.*
             from conversation_transcripts t
             where t.client_id = %L and t.user_id = $2
               and ($3 is null or t.agent_id = $3)
               and ($4 is null or t.conversation_id <> $4)
             order by t.embedding::halfvec(1024) <=> $1::halfvec(1024)
             limit 2 * $5
         )
         select c.* from candidates c order by c.embedding <=> $1, c.id limit $5', p_client_id)
    using p_query_embedding, p_user_id, p_agent_id, p_exclude_conversation_id, p_count;
end
$$;

-- Transcripts of one user alone.
create function match_conversation_transcripts_secure(
    p_client_id               uuid,
    p_user_id                 text,
    p_query_embedding         vector,
    p_agent_slug              text             default null,
    p_exclude_conversation_id uuid             default null,
    p_match_threshold         double precision default 0.5,
    p_match_count             integer          default 10
) returns table (
    transcript_id   uuid,
    conversation_id uuid,
    agent_id        uuid,
    role            text,
    content         text,
    created_at      timestamptz,
    similarity      double precision
)
language plpgsql volatile security invoker
set search_path = public, pg_temp
set plan_cache_mode = force_custom_plan
as $$
declare
    v_bound   text;
    v_count   integer := greatest(coalesce(p_match_count, 10), 0);
    v_agent   uuid;
    v_nearest conversation_transcripts[];
begin
    v_bound := require_client(p_client_id);
    if p_agent_slug is not null then
        select a.id into v_agent from agents a where a.client_id = p_client_id and a.slug = p_agent_slug;
        if not found then
            return;
        end if;
    end if;

    if tenantry.approximate('conversation_transcripts', 'embedding') then
        perform from conversation_transcripts t
        where t.client_id = p_client_id and t.user_id = p_user_id and (v_agent is null or t.agent_id = v_agent)
        offset 1000 limit 1;
        if found then
            v_nearest := array(
                select n
                from nearest_transcripts(
                    p_client_id, p_user_id, p_query_embedding, v_agent, p_exclude_conversation_id, v_count) n);
        end if;
    end if;
    if cardinality(v_nearest) = v_count then
        return query
        select n.id, n.conversation_id, n.agent_id, n.role, n.content, n.created_at, 1 - distance
        from unnest(v_nearest) n
        cross join lateral (values (n.embedding <=> p_query_embedding)) as measured (distance)
        where distance <= 1 - p_match_threshold
        order by distance, n.id;
        return;
    end if;

    return query
    with nearest as materialized (
        select t.id, t.conversation_id, t.agent_id, t.role, t.content, t.created_at,
               (t.embedding <=> p_query_embedding) + 0 as distance
        from conversation_transcripts t
        where t.client_id = p_client_id
          and t.user_id = p_user_id
          and t.embedding is not null
          and (p_exclude_conversation_id is null or t.conversation_id <> p_exclude_conversation_id)
          and (v_agent is null or t.agent_id = v_agent)
        order by distance
        limit v_count
    )
    select n.id, n.conversation_id, n.agent_id, n.role, n.content, n.created_at, 1 - n.distance
    from nearest n
    where n.distance <= 1 - p_match_threshold
    order by n.distance, n.id;
end
$$;

-- What the agent knows of the user; else what all agents know together.
create function get_user_overview_for_agent(p_client_id uuid, p_user_id text, p_agent_id uuid)
returns table (
    id         uuid,
    user_id    text,
    agent_id   uuid,
    overview   jsonb,
    created_at timestamptz,
    updated_at timestamptz
)
language plpgsql volatile security invoker
set search_path = public, pg_temp
set plan_cache_mode = force_custom_plan
as $$
begin
    perform require_client(p_client_id);
    return query
    select o.id, o.user_id, o.agent_id, o.overview, o.created_at, o.updated_at
    from user_overviews o
    where o.client_id = p_client_id
      and o.user_id = p_user_id
      and (o.agent_id = p_agent_id or o.agent_id is null)
    order by o.agent_id nulls last
    limit 1;
end
$$;
