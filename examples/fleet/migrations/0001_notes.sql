create table notes (
    client_id uuid not null,
    id        uuid not null default gen_random_uuid(),
    body      text not null,
    primary key (client_id, id)
);
select tenantry.protect('notes');
