-- +goose Up

-- The backups that these books were restored from. A backup is made with a row that says when it was begun; whoever opens it as a ledger's books notes when that was.
-- What happened in between is known only as far as proxies reported it again.
CREATE TABLE backups (
  taken_at    INTEGER NOT NULL,
  -- 0 in a backup that is not in use.
  restored_at INTEGER NOT NULL DEFAULT 0
) STRICT;
