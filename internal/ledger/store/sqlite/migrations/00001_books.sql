-- The ledger's books. Amounts are in nano-USD, those of an account in its unit, times in milliseconds since 1970 in UTC. Rows are named by what they are about (namespace, route, consumer),
-- so that deleting and re-creating a route finds the same books.

-- +goose Up

-- A route. An owner that routes share is kept like one: it has no namespace, its name is team/TEAM or key/NAMESPACE/NAME, and nobody serves it.
CREATE TABLE routes (
  id        INTEGER PRIMARY KEY,
  namespace TEXT NOT NULL,
  name      TEXT NOT NULL,
  -- The identity that may serve the route; empty: nobody.
  server    TEXT NOT NULL,
  -- Goes up with every change, so that proxies learn that the accounts are others now.
  version   INTEGER NOT NULL,
  UNIQUE (namespace, name)
) STRICT;

-- A scope is who spends: a route or a shared owner (consumer is empty), or one of a route's consumers. What it spent is never reset.
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

-- A member is a consumer that draws on the accounts of a shared owner, or did. What it spends in the owner's name is in the owner's history as well as in its own; when it
-- becomes a member, what it spent in that name before is added there.
CREATE TABLE members (
  owner_id  INTEGER NOT NULL REFERENCES scopes (id),
  scope_id  INTEGER NOT NULL REFERENCES scopes (id),
  -- 1 while the consumer draws on the owner. The row stays, since something that was spent in the owner's name may be reported later.
  active    INTEGER NOT NULL CHECK (active IN (0, 1)),
  -- What the consumer has spent in the owner's name since the ledger began.
  settled   INTEGER NOT NULL DEFAULT 0 CHECK (settled >= 0),
  uncertain INTEGER NOT NULL DEFAULT 0 CHECK (uncertain >= 0),
  PRIMARY KEY (scope_id, owner_id)
) STRICT, WITHOUT ROWID;

CREATE INDEX members_of_owner ON members (owner_id);

-- What a scope spent, by the quarter of an hour in which it was held. From this, a window is opened whatever its period and time zone. What is not kept for longer is
-- carried forward to bucket 0.
CREATE TABLE history (
  scope_id    INTEGER NOT NULL REFERENCES scopes (id),
  bucket      INTEGER NOT NULL,
  model       TEXT NOT NULL,
  upstream    TEXT NOT NULL,
  team        TEXT NOT NULL,
  requests    INTEGER NOT NULL CHECK (requests >= 0),
  prompt      INTEGER NOT NULL CHECK (prompt >= 0),
  cached      INTEGER NOT NULL CHECK (cached >= 0),
  cache_write INTEGER NOT NULL CHECK (cache_write >= 0),
  completion  INTEGER NOT NULL CHECK (completion >= 0),
  reasoning   INTEGER NOT NULL CHECK (reasoning >= 0),
  -- All that is known to be spent; priced and estimated are the parts of it that upstreams did not report.
  settled     INTEGER NOT NULL CHECK (settled >= 0),
  priced      INTEGER NOT NULL CHECK (priced >= 0),
  estimated   INTEGER NOT NULL CHECK (estimated >= 0),
  uncertain   INTEGER NOT NULL CHECK (uncertain >= 0),
  PRIMARY KEY (scope_id, bucket, model, upstream, team)
) STRICT, WITHOUT ROWID;

CREATE INDEX history_by_time ON history (bucket);

-- An account is a scope under one budget, or under one limit of a rate limit. The budgets of an upstream are accounts of its route.
CREATE TABLE accounts (
  id          INTEGER PRIMARY KEY,
  scope_id    INTEGER NOT NULL REFERENCES scopes (id),
  name        TEXT NOT NULL,
  -- What is counted: 0 nano-USD, 1 requests, 2 tokens.
  unit        INTEGER NOT NULL CHECK (unit IN (0, 1, 2)),
  -- 0 once the budget was taken away. The row stays, since money of the account may still be out.
  active      INTEGER NOT NULL CHECK (active IN (0, 1)),
  -- The limit.
  ceiling     INTEGER NOT NULL CHECK (ceiling >= 0),
  period      TEXT NOT NULL,
  time_zone   TEXT NOT NULL,
  enforcement TEXT NOT NULL CHECK (enforcement IN ('Deny', 'Warn')),
  -- The upstream of the scope's route whose budget it is, so that only what is spent there counts; empty if it is the scope's own.
  upstream    TEXT NOT NULL DEFAULT '',
  -- The upstream at which what is spent does not count, since it serves what the budget refuses; empty if everything counts.
  except_upstream TEXT NOT NULL DEFAULT '',
  UNIQUE (scope_id, upstream, name, unit)
) STRICT;

-- An account in a window. A row of an account that counts money is the sum of the history at the upstreams that count since the window began and of the leases that were last added to in it; it can be dropped at any time
-- and is then summed again.
CREATE TABLE windows (
  account_id INTEGER NOT NULL REFERENCES accounts (id),
  start      INTEGER NOT NULL,
  settled    INTEGER NOT NULL CHECK (settled >= 0),
  -- With what is out with proxies that are silent.
  uncertain  INTEGER NOT NULL CHECK (uncertain >= 0),
  -- What is out with the other proxies.
  leased     INTEGER NOT NULL CHECK (leased >= 0),
  -- 1 if the last demand on the account was refused because what is spent leaves too little, though the whole limit would have covered it.
  refusing   INTEGER NOT NULL DEFAULT 0 CHECK (refusing IN (0, 1)),
  PRIMARY KEY (account_id, start)
) STRICT, WITHOUT ROWID;

CREATE TABLE proxies (
  id          INTEGER PRIMARY KEY,
  proxy_id    TEXT NOT NULL UNIQUE,
  instance    TEXT NOT NULL,
  config_hash TEXT NOT NULL,
  -- Counts the sessions; only the last one is good.
  epoch       INTEGER NOT NULL,
  -- SHA-256 of the session's token.
  token_hash  BLOB NOT NULL,
  -- The number of the last record of the proxy's log that is in these books.
  applied     INTEGER NOT NULL DEFAULT 0 CHECK (applied >= 0),
  -- The number of the last record that gave everything back: a draw from before it comes too late.
  gave_back   INTEGER NOT NULL DEFAULT 0 CHECK (gave_back >= 0),
  -- The sequence of the session's last draw.
  last_draw   INTEGER NOT NULL DEFAULT 0 CHECK (last_draw >= 0),
  -- 1 while the proxy is silent, so that what is out with it counts as uncertain.
  silent      INTEGER NOT NULL DEFAULT 0 CHECK (silent IN (0, 1)),
  -- 1 once an operator gave the proxy up. What it reports after all is booked, but it gets no money.
  released    INTEGER NOT NULL DEFAULT 0 CHECK (released IN (0, 1))
) STRICT;

-- The routes that a proxy ever served, and in which session last; 0 if it only drew for one.
CREATE TABLE proxy_routes (
  proxy_id INTEGER NOT NULL REFERENCES proxies (id),
  route_id INTEGER NOT NULL REFERENCES routes (id),
  epoch    INTEGER NOT NULL,
  PRIMARY KEY (proxy_id, route_id)
) STRICT, WITHOUT ROWID;

-- Money of one account that is out with one proxy: granted less taken. Both only grow. An id is random, so that books that were restored from a backup do not use again
-- what a proxy has from later ones.
CREATE TABLE leases (
  id         INTEGER PRIMARY KEY,
  proxy_id   INTEGER NOT NULL REFERENCES proxies (id),
  account_id INTEGER NOT NULL REFERENCES accounts (id),
  -- The start of the window for which it was made. Which window it counts in is decided by granted_at, since a budget's calendar can be edited.
  start      INTEGER NOT NULL,
  granted    INTEGER NOT NULL CHECK (granted >= 0),
  taken      INTEGER NOT NULL CHECK (taken >= 0 AND taken <= granted),
  granted_at INTEGER NOT NULL,
  UNIQUE (proxy_id, account_id, start)
) STRICT;

CREATE INDEX leases_of_account ON leases (account_id);

-- Who gave up on which proxy, and why.
CREATE TABLE releases (
  proxy_id TEXT NOT NULL,
  by       TEXT NOT NULL,
  reason   TEXT NOT NULL,
  amount   INTEGER NOT NULL,
  at       INTEGER NOT NULL
) STRICT;
