-- How often tokens are used: by the hour, each with its beginning. Batches of them are written once: a batch leaves its id,
-- by which one whose COMMIT was not answered is known to be there.

CREATE TABLE IF NOT EXISTS token_uses (
  token_id TEXT NOT NULL,
  hour     INTEGER NOT NULL,
  allowed  INTEGER NOT NULL,
  denied   INTEGER NOT NULL,
  PRIMARY KEY (token_id, hour),
  CONSTRAINT token_uses_exist FOREIGN KEY (token_id) REFERENCES api_tokens (id) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;

CREATE INDEX IF NOT EXISTS token_uses_hour ON token_uses (hour, token_id);

CREATE TABLE IF NOT EXISTS use_batches (
  id   TEXT NOT NULL,
  time INTEGER NOT NULL,
  PRIMARY KEY (id)
) STRICT, WITHOUT ROWID;

CREATE INDEX IF NOT EXISTS use_batches_time ON use_batches (time);

-- Where a token was reported to lie about, of the last day: the URL's SHA-256.

CREATE TABLE IF NOT EXISTS token_leaks (
  token_id TEXT NOT NULL,
  url_hash BLOB NOT NULL,
  time     INTEGER NOT NULL,
  PRIMARY KEY (token_id, url_hash),
  CONSTRAINT token_leaks_exist FOREIGN KEY (token_id) REFERENCES api_tokens (id) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;

-- How many of the steps before its end a token's owner has been told. Of tokens that have ended by now nothing is told any
-- more. A program of the version before does not begin anew where it moves an end.

ALTER TABLE api_tokens ADD COLUMN end_told INTEGER NOT NULL DEFAULT 0;

UPDATE api_tokens SET end_told = 4 WHERE expires_at <= 1000 * unixepoch();

CREATE INDEX IF NOT EXISTS api_tokens_end ON api_tokens (end_told, expires_at);
