alter table notes add column pinned boolean not null default false;
