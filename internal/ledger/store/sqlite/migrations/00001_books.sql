-- The ledger's books. Amounts are in nano-USD, times in milliseconds since 1970 in UTC. Rows are named by what they are about (namespace, route, consumer),
-- so that deleting and re-creating a route finds the same books.

-- +goose Up

CREATE TABLE routes (
  id        INTEGER PRIMARY KEY,
  namespace TEXT NOT NULL,
  name      TEXT NOT NULL,
  -- The identity that may serve the route; empty: nobody.
  server    TEXT NOT NULL,
  UNIQUE (namespace, name)
) STRICT;

-- A scope is who spends: a route (consumer is empty) or one of its consumers. What it spent is never reset.
CREATE TABLE scopes (
  id        INTEGER PRIMARY KEY,
  route_id  INTEGER NOT NULL REFERENCES routes (id),
  consumer  TEXT NOT NULL,
  -- 1 while the route has this consumer.
  active    INTEGER NOT NULL CHECK (active IN (0, 1)),
  settled   INTEGER NOT NULL DEFAULT 0 CHECK (settled >= 0),
  uncertain INTEGER NOT NULL DEFAULT 0 CHECK (uncertain >= 0),
  UNIQUE (route_id, consumer)
) STRICT;

-- What a scope spent, by the quarter of an hour in which it was held. From this, a window is opened whatever its period and time zone.
CREATE TABLE history (
  scope_id  INTEGER NOT NULL REFERENCES scopes (id),
  bucket    INTEGER NOT NULL,
  settled   INTEGER NOT NULL CHECK (settled >= 0),
  uncertain INTEGER NOT NULL CHECK (uncertain >= 0),
  PRIMARY KEY (scope_id, bucket)
) STRICT, WITHOUT ROWID;

-- An account is a scope under one budget.
CREATE TABLE accounts (
  id          INTEGER PRIMARY KEY,
  scope_id    INTEGER NOT NULL REFERENCES scopes (id),
  name        TEXT NOT NULL,
  limit_nano  INTEGER NOT NULL CHECK (limit_nano >= 0),
  period      TEXT NOT NULL,
  time_zone   TEXT NOT NULL,
  enforcement TEXT NOT NULL CHECK (enforcement IN ('Deny', 'Warn')),
  UNIQUE (scope_id, name)
) STRICT;

-- An account in a window. The row is the sum of the history and of the open holds since the window began; it can be dropped at any time and is then summed again.
CREATE TABLE windows (
  account_id INTEGER NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
  start      INTEGER NOT NULL,
  settled    INTEGER NOT NULL CHECK (settled >= 0),
  uncertain  INTEGER NOT NULL CHECK (uncertain >= 0),
  held       INTEGER NOT NULL CHECK (held >= 0),
  -- 1 if the last demand on the account was refused because what is spent leaves too little, though the whole limit would have covered it.
  refusing   INTEGER NOT NULL DEFAULT 0 CHECK (refusing IN (0, 1)),
  PRIMARY KEY (account_id, start)
) STRICT, WITHOUT ROWID;

CREATE TABLE sessions (
  id            INTEGER PRIMARY KEY,
  proxy_id      TEXT NOT NULL,
  epoch         INTEGER NOT NULL,
  -- SHA-256 of the token; empty if the session has ended.
  token_hash    BLOB NOT NULL,
  instance      TEXT NOT NULL,
  config_hash   TEXT NOT NULL,
  -- Every settlement below this sequence was acknowledged, so that a settled hold below it can be forgotten.
  settled_below INTEGER NOT NULL DEFAULT 0,
  -- 1 once the proxy is gone and nothing is open: its holds are forgotten, and what is settled again counted before.
  closed        INTEGER NOT NULL DEFAULT 0 CHECK (closed IN (0, 1)),
  UNIQUE (proxy_id, epoch)
) STRICT;

CREATE TABLE session_routes (
  session_id INTEGER NOT NULL REFERENCES sessions (id),
  route_id   INTEGER NOT NULL REFERENCES routes (id),
  PRIMARY KEY (session_id, route_id)
) STRICT, WITHOUT ROWID;

-- A hold, and after its settlement the memory of it, so that a repeated call is recognised.
CREATE TABLE holds (
  session_id     INTEGER NOT NULL REFERENCES sessions (id),
  sequence       INTEGER NOT NULL,
  -- Both are null for a hold that was given back before it was made.
  route_scope    INTEGER REFERENCES scopes (id),
  consumer_scope INTEGER REFERENCES scopes (id),
  amount         INTEGER NOT NULL CHECK (amount >= 0),
  opened_at      INTEGER NOT NULL,
  -- Open: held. Lapsed: the proxy fell silent, the amount counts as uncertain. Settled: only remembered.
  state          TEXT NOT NULL CHECK (state IN ('Open', 'Lapsed', 'Settled')),
  PRIMARY KEY (session_id, sequence)
) STRICT, WITHOUT ROWID;

CREATE INDEX open_holds ON holds (route_scope, consumer_scope, opened_at) WHERE state = 'Open';
