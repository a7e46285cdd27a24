-- no-transaction
create index concurrently notes_pinned_idx on notes (client_id) where pinned;
