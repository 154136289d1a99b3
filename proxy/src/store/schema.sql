-- References are checked at the commit: a batch may write its rows in any order.
-- Money is in micro-dollars, time in microseconds after 1970. Ids grow with time.

CREATE TABLE meta (
  name  TEXT PRIMARY KEY,
  value ANY NOT NULL
) STRICT, WITHOUT ROWID;

-- Random keys, each sealed by the master key.
CREATE TABLE wrapped_keys (
  name   TEXT PRIMARY KEY,
  sealed BLOB NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE vendor_secrets (
  vendor TEXT PRIMARY KEY,
  sealed BLOB NOT NULL,
  set_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE budgets (
  id           INTEGER PRIMARY KEY,
  parent       INTEGER REFERENCES budgets (id) DEFERRABLE INITIALLY DEFERRED,
  daily_cap    INTEGER,
  total_cap    INTEGER,
  anchor       INTEGER NOT NULL,
  window       INTEGER NOT NULL,
  window_spent INTEGER NOT NULL,
  total_spent  INTEGER NOT NULL,
  in_doubt     INTEGER NOT NULL,
  held         INTEGER NOT NULL,
  max_calls    INTEGER,
  calls        INTEGER NOT NULL,
  revoked_at   INTEGER
) STRICT;

CREATE TABLE vault_keys (
  id         INTEGER PRIMARY KEY,
  token_hash BLOB NOT NULL UNIQUE,
  budget     INTEGER NOT NULL REFERENCES budgets (id),
  policy     TEXT NOT NULL,
  label      TEXT NOT NULL,
  issued_at  INTEGER NOT NULL,
  expires_at INTEGER NOT NULL,
  successor  INTEGER REFERENCES vault_keys (id) DEFERRABLE INITIALLY DEFERRED
) STRICT;

CREATE INDEX vault_keys_label ON vault_keys (label);

-- Runs that issue nothing: by label, or by how their labels begin.
CREATE TABLE revoked_runs (
  name       TEXT NOT NULL,
  is_prefix  INTEGER NOT NULL,
  revoked_at INTEGER NOT NULL,
  PRIMARY KEY (name, is_prefix)
) STRICT, WITHOUT ROWID;

CREATE TABLE api_keys (
  id           INTEGER PRIMARY KEY,
  token_hash   BLOB NOT NULL UNIQUE,
  name         TEXT NOT NULL,
  role         TEXT NOT NULL,
  bounds       TEXT NOT NULL,
  created_at   INTEGER NOT NULL,
  expires_at   INTEGER,
  revoked_at   INTEGER,
  last_used_at INTEGER
) STRICT;

-- What was done through the admin API.
CREATE TABLE records (
  id     INTEGER PRIMARY KEY,
  at     INTEGER NOT NULL,
  who    TEXT NOT NULL,
  deed   TEXT NOT NULL,
  target TEXT NOT NULL
) STRICT;

-- What was issued for an issue request's own idempotency key.
CREATE TABLE issued (
  issuer      TEXT NOT NULL,
  key         TEXT NOT NULL,
  fingerprint BLOB NOT NULL,
  vault_key   INTEGER NOT NULL REFERENCES vault_keys (id),
  PRIMARY KEY (issuer, key)
) STRICT, WITHOUT ROWID;

CREATE TABLE calls (
  id              INTEGER PRIMARY KEY,
  at              INTEGER NOT NULL,
  vault_key       INTEGER NOT NULL,
  budget          INTEGER NOT NULL,
  vendor          TEXT NOT NULL,
  method          TEXT NOT NULL,
  path            TEXT NOT NULL,
  context         TEXT,
  idempotency_key TEXT,
  -- The first 64 bits of a hash of vendor and idempotency key, while the call binds that key.
  binding         INTEGER,
  fingerprint     BLOB NOT NULL,
  customer        TEXT,
  -- The header that named another account than the secret's own, with the account.
  account         TEXT,
  -- Hashes of what it is recognised by at a vendor that keeps no tag of ours.
  likeness        BLOB,
  -- allowed | denied | replayed
  verdict         TEXT NOT NULL,
  -- Of an allowed call: held | settled | released | in_doubt
  state           TEXT,
  hold            INTEGER,
  settled         INTEGER,
  doubted         INTEGER NOT NULL DEFAULT 0,
  -- Of a denied call.
  code            TEXT,
  reason          TEXT,
  -- Of a replayed call.
  replay_of       INTEGER,
  amount          INTEGER,
  currency        TEXT,
  rate            TEXT,
  -- The object that it is about or made, where calls change what that commits.
  object          TEXT,
  -- Whether the vendor says the final price only later.
  awaits_bill     INTEGER NOT NULL DEFAULT 0,
  tagged          INTEGER NOT NULL DEFAULT 0,
  attempt         INTEGER NOT NULL,
  begun_at        INTEGER NOT NULL,
  sent_at         INTEGER,
  finished_at     INTEGER,
  vendor_status   INTEGER,
  request_id      TEXT,
  object_id       TEXT,
  cap_usage_after INTEGER NOT NULL,
  note            TEXT
) STRICT;

CREATE INDEX calls_binding ON calls (binding) WHERE binding IS NOT NULL;
CREATE INDEX calls_object ON calls (object) WHERE object IS NOT NULL;
CREATE INDEX calls_likeness ON calls (customer) WHERE likeness IS NOT NULL;
CREATE INDEX calls_awaits_bill ON calls (awaits_bill) WHERE awaits_bill = 1;
CREATE INDEX calls_open ON calls (state) WHERE state IN ('held', 'in_doubt');

-- Sealed answers, for replays.
CREATE TABLE answers (
  call   INTEGER PRIMARY KEY,
  at     INTEGER NOT NULL,
  sealed BLOB NOT NULL
) STRICT;
