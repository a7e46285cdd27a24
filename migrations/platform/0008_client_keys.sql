-- The host's own ways to name a client, such as the slug of an agent of its: one indexed look-up each.

create table platform.client_keys (
    index_name text        not null,
    key        text        not null,
    client_id  uuid        not null,
    created_at timestamptz not null default now(),
    constraint client_keys_pkey primary key (index_name, key),
    constraint client_keys_client_id_fkey
        foreign key (client_id) references platform.clients (id) on delete cascade,
    constraint client_keys_index_name_format check (index_name ~ '^[a-z0-9][a-z0-9._-]{0,62}$'),
    constraint client_keys_key_format check (char_length(key) between 1 and 255 and key !~ '[[:cntrl:]]')
);

create index client_keys_client_id_idx on platform.client_keys (client_id);

create trigger audit after insert or update or delete on platform.client_keys
    for each row execute function platform.audit('client_id', 'index_name', 'key');
create trigger notify after insert or update or delete on platform.client_keys
    for each row execute function platform.notify('client', 'client_id');
create trigger no_truncate before truncate on platform.client_keys
    for each statement execute function platform.refuse('delete its rows');

revoke all on platform.client_keys from public;
