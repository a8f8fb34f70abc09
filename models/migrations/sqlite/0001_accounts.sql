-- Text compares byte by byte (SQLite's own BINARY collation). Times are milliseconds since 1970 UTC.
-- Each statement may be run twice.

CREATE TABLE IF NOT EXISTS meta (
  name  TEXT NOT NULL,
  value TEXT NOT NULL,
  PRIMARY KEY (name)
) STRICT, WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS permissions (
  id          TEXT NOT NULL,
  name        TEXT NOT NULL,
  description TEXT NOT NULL,
  created_at  INTEGER NOT NULL,
  PRIMARY KEY (id)
) STRICT;

CREATE TABLE IF NOT EXISTS users (
  id            TEXT NOT NULL,
  username      TEXT NOT NULL,
  password_hash TEXT NOT NULL,
  enabled       INTEGER NOT NULL,
  created_at    INTEGER NOT NULL,
  PRIMARY KEY (id)
) STRICT;

CREATE UNIQUE INDEX IF NOT EXISTS users_username ON users (username);

CREATE TABLE IF NOT EXISTS user_permissions (
  user_id       TEXT NOT NULL,
  permission_id TEXT NOT NULL,
  PRIMARY KEY (user_id, permission_id),
  CONSTRAINT user_permissions_exist FOREIGN KEY (permission_id) REFERENCES permissions (id)
) STRICT, WITHOUT ROWID;

CREATE INDEX IF NOT EXISTS user_permissions_permission ON user_permissions (permission_id);

CREATE TABLE IF NOT EXISTS sessions (
  id           TEXT NOT NULL,
  user_id      TEXT NOT NULL,
  hash         BLOB NOT NULL,
  address      TEXT NOT NULL,
  agent        TEXT NOT NULL,
  created_at   INTEGER NOT NULL,
  last_seen_at INTEGER NOT NULL,
  expires_at   INTEGER NOT NULL,
  PRIMARY KEY (id)
) STRICT;

CREATE INDEX IF NOT EXISTS sessions_user ON sessions (user_id, created_at);

CREATE INDEX IF NOT EXISTS sessions_expiry ON sessions (expires_at);

CREATE TABLE IF NOT EXISTS api_tokens (
  id           TEXT NOT NULL,
  user_id      TEXT NOT NULL,
  name         TEXT NOT NULL,
  name_folded  TEXT NOT NULL,
  hash         BLOB NOT NULL,
  enabled      INTEGER NOT NULL,
  version      INTEGER NOT NULL,
  created_at   INTEGER NOT NULL,
  updated_at   INTEGER NOT NULL,
  expires_at   INTEGER,
  last_used_at INTEGER,
  PRIMARY KEY (id)
) STRICT;

CREATE INDEX IF NOT EXISTS api_tokens_user ON api_tokens (user_id, created_at, id);

CREATE TABLE IF NOT EXISTS api_token_permissions (
  token_id      TEXT NOT NULL,
  permission_id TEXT NOT NULL,
  PRIMARY KEY (token_id, permission_id),
  CONSTRAINT api_token_permissions_exist FOREIGN KEY (permission_id) REFERENCES permissions (id)
) STRICT, WITHOUT ROWID;

CREATE INDEX IF NOT EXISTS api_token_permissions_permission ON api_token_permissions (permission_id);
