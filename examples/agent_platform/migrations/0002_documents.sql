-- What agents know: documents, cut into chunks with an embedding each.

create table documents (
    client_id  uuid        not null,
    id         uuid        not null default gen_random_uuid(),
    title      text        not null,
    source     text,
    content    text        not null default '',
    metadata   jsonb       not null default '{}' check (jsonb_typeof(metadata) = 'object'),
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    primary key (client_id, id)
);

create index documents_by_age on documents (client_id, created_at, id);

select tenantry.protect('documents');

-- A document with no agent is searched by nobody in particular, one with several by each of them.
create table agent_documents (
    client_id   uuid        not null,
    agent_id    uuid        not null,
    document_id uuid        not null,
    created_at  timestamptz not null default now(),
    primary key (client_id, agent_id, document_id),
    foreign key (client_id, agent_id) references agents (client_id, id) on delete cascade,
    foreign key (client_id, document_id) references documents (client_id, id) on delete cascade
);

create index agent_documents_by_document on agent_documents (client_id, document_id);

select tenantry.protect('agent_documents');

-- By hash of the client, so that a search reads the rows of a few clients and never those of all.
create table document_chunks (
    client_id   uuid        not null,
    id          uuid        not null default gen_random_uuid(),
    document_id uuid        not null,
    chunk_index integer     not null check (chunk_index >= 0),
    content     text        not null,
    embedding   vector(1024),
    created_at  timestamptz not null default now(),
    updated_at  timestamptz not null default now(),
    primary key (client_id, id),
    unique (client_id, document_id, chunk_index),
    foreign key (client_id, document_id) references documents (client_id, id) on delete cascade
) partition by hash (client_id);

-- Vectors stay in line, where an exact search reads them five times as fast as out of line: MAIN makes
-- long content leave first, the target lets a row fill its page.
alter table document_chunks alter column embedding set storage main;

do $$
begin
    for n in 0..7 loop
        execute format(
            'create table document_chunks_%1$s partition of document_chunks
                for values with (modulus 8, remainder %1$s) with (toast_tuple_target = 8160)', n);
    end loop;
end
$$;

select tenantry.protect('document_chunks');
