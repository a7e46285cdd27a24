-- What a client needs to use a provider of its own choice.

create table platform.client_credentials (
    client_id  uuid            not null,
    provider   text            not null,
    kind       text            not null default 'api_key',
    sealed     platform.sealed not null,
    set_at     timestamptz     not null default now(),
    created_at timestamptz     not null default now(),
    updated_at timestamptz     not null default now(),
    constraint client_credentials_pkey primary key (client_id, provider, kind),
    constraint client_credentials_client_id_fkey
        foreign key (client_id) references platform.clients (id) on delete cascade,
    constraint client_credentials_provider_format check (provider ~ '^[a-z0-9][a-z0-9._-]{0,62}$'),
    constraint client_credentials_kind_format check (kind ~ '^[a-z0-9][a-z0-9._-]{0,62}$')
);

comment on column platform.client_credentials.set_at is 'when the secret was given; sealing it with another key is no change';

create trigger touch before update on platform.client_credentials
    for each row when (old.* is distinct from new.*) execute function platform.touch();
