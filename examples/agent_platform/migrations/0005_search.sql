-- Search by meaning: exact, over the rows of one client. Similarity is 1 - cosine distance.
--
-- Every function refuses a client that the connection is not bound to, and names the client for every
-- table, which prunes partitions. Plans are custom: a generic one would keep the branches that an
-- argument of null turns off. A threshold in the where clause of the ordered scan would make it run on,
-- so it is applied to the nearest rows only. The "+ 0" keeps an approximate index out of it, whoever adds one.

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
begin
    perform require_client(p_client_id);
    return query
    with nearest as materialized (
        select c.id, c.document_id, c.chunk_index, c.content, (c.embedding <=> p_query_embedding) + 0 as distance
        from document_chunks c
        where c.client_id = p_client_id
          and c.embedding is not null
          and (p_agent_slug is null or c.document_id = any (array(
              select ad.document_id
              from agents a
              join agent_documents ad on ad.client_id = p_client_id and ad.agent_id = a.id
              where a.client_id = p_client_id and a.slug = p_agent_slug)))
        order by distance
        limit greatest(coalesce(p_match_count, 10), 0)
    )
    select n.id, n.document_id, d.title, n.chunk_index, n.content, d.metadata, 1 - n.distance
    from nearest n
    join documents d on d.client_id = p_client_id and d.id = n.document_id
    where n.distance <= 1 - p_match_threshold
    order by n.distance, n.id;
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
begin
    perform require_client(p_client_id);
    return query
    with nearest as materialized (
        select t.id, t.conversation_id, t.agent_id, t.role, t.content, t.created_at,
               (t.embedding <=> p_query_embedding) + 0 as distance
        from conversation_transcripts t
        where t.client_id = p_client_id
          and t.user_id = p_user_id
          and t.embedding is not null
          and (p_exclude_conversation_id is null or t.conversation_id <> p_exclude_conversation_id)
          and (p_agent_slug is null or t.agent_id = (
              select a.id from agents a where a.client_id = p_client_id and a.slug = p_agent_slug))
        order by distance
        limit greatest(coalesce(p_match_count, 10), 0)
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
