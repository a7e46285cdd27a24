//! Keys, foreign keys and indexes.

use super::Plant;

pub(in crate::audit) const ALL: &[Plant] = &[
    Plant::new(
        "a primary key of all clients",
        "create table notes (client_id uuid not null, id uuid not null, unique (client_id, id)); select tenantry.protect('notes');
         alter table notes add primary key (id)",
        &["key.not_by_client"],
    ),
    Plant::new(
        "a primary key that ends with client_id",
        "create table notes (client_id uuid not null, id uuid not null, unique (client_id, id)); select tenantry.protect('notes');
         alter table notes add primary key (id, client_id)",
        &["key.not_by_client"],
    ),
    Plant::new("a unique constraint of all clients", "alter table agents add unique (slug)", &["key.unique_not_by_client"]),
    Plant::new("a unique index of all clients", "create unique index on agents (slug)", &["key.unique_index_not_by_client"]),
    Plant::new(
        "a unique index of all clients on an expression",
        "create unique index on agents (lower(slug))",
        &["key.unique_index_not_by_client"],
    ),
    Plant::new(
        "a unique index of all clients on some rows",
        "create unique index on agents (slug) where name <> ''",
        &["key.unique_index_not_by_client"],
    ),
    Plant::new(
        "a unique index of a partition",
        "create unique index on document_chunks_3 (document_id)",
        &["key.unique_index_not_by_client"],
    ),
    Plant::new(
        "an exclusion constraint of all clients",
        "alter table agents add exclude using hash (slug with =)",
        &["key.exclusion_without_client"],
    ),
    Plant::new(
        "a table without a key",
        "create table notes (client_id uuid not null, body text); create index on notes (client_id); select tenantry.protect('notes')",
        &["key.none"],
    ),
    Plant::new(
        "a table without an index by client",
        "create table notes (client_id uuid not null, body text); select tenantry.protect('notes')",
        &["index.none_by_client", "key.none"],
    ),
    Plant::new("an index of all clients", "create index on agents (slug)", &["index.not_by_client"]),
    Plant::new("an index that ends with client_id", "create index on agents (slug, client_id)", &["index.not_by_client"]),
    Plant::new(
        "an approximate index of all clients",
        "create index on document_chunks_3 using hnsw (embedding vector_cosine_ops)",
        &["index.vectors_shared"],
    ),
    Plant::by_superuser(
        "an index that was not built",
        "update pg_index set indisvalid = false where indexrelid = 'agents_by_age'::regclass",
        &["index.invalid"],
    ),
    Plant::new(
        "an index on a number",
        "alter table agents add price numeric; create index on agents (client_id, price)",
        &["index.not_leakproof"],
    ),
    Plant::new(
        "an index of documents",
        "create index on agents using gin (settings)",
        &["index.not_leakproof", "index.not_by_client"],
    ),
    Plant::new(
        "a foreign key to another client's row",
        "alter table documents add unique (client_id, id, title); create unique index u on documents (id);
         alter table agent_documents add foreign key (document_id) references documents (id)",
        &["fk.not_by_client", "key.unique_index_not_by_client"],
    ),
    Plant::new(
        "a foreign key that cascades over clients",
        "create unique index u on documents (id);
         alter table agent_documents add foreign key (document_id) references documents (id) on delete cascade",
        &["fk.cascade_crosses", "key.unique_index_not_by_client"],
    ),
    Plant::new(
        "a foreign key that changes rows of other clients",
        "create unique index u on documents (id);
         alter table agent_documents add foreign key (document_id) references documents (id) on update cascade",
        &["fk.cascade_crosses", "key.unique_index_not_by_client"],
    ),
    Plant::new(
        "a foreign key from another column than client_id",
        "alter table agents add tenant uuid, add other uuid;
         alter table agents add foreign key (tenant, other) references documents (client_id, id)",
        &["fk.not_by_client"],
    ),
    Plant::new(
        "a foreign key that takes client_id away",
        "alter table conversations add foreign key (client_id, agent_id) references agents (client_id, id) on delete set null",
        &["fk.nulls_client_id"],
    ),
    Plant::new(
        "a foreign key that gives client_id its default",
        "alter table conversations add foreign key (client_id, agent_id) references agents (client_id, id) on delete set default",
        &["fk.nulls_client_id"],
    ),
    Plant::new(
        "a foreign key that takes client_id away by an update",
        "alter table conversations add foreign key (client_id, agent_id) references agents (client_id, id) on update set null",
        &["fk.nulls_client_id"],
    ),
    Plant::new(
        "a foreign key that names client_id among what it takes",
        "alter table conversations add foreign key (client_id, agent_id) references agents (client_id, id)
             on delete set null (client_id, agent_id)",
        &["fk.nulls_client_id"],
    ),
    Plant::new(
        "a shared table that refers to rows of a client",
        "create unique index u on agents (id); alter table models add made_by uuid references agents (id)",
        &["fk.shared_to_tenant", "key.unique_index_not_by_client"],
    ),
    Plant::new(
        "a shared row that takes rows of clients with it",
        "alter table agents add foreign key (model_id) references models (id) on delete cascade",
        &["fk.cascade_from_shared"],
    ),
    Plant::new(
        "a foreign key that was not validated",
        "alter table conversations add foreign key (client_id, agent_id) references agents (client_id, id) not valid",
        &["fk.not_checked"],
    ),
];
