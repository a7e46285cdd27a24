-- no-transaction
drop index concurrently notes_pinned_idx;
