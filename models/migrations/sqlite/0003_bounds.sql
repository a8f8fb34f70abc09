-- What bounds a token beside its end: the addresses that it is good from, as text with commas between them (NULL: all), and
-- how often it may be asked about (NULL: any number of times). And which of its secrets is its present one, counted from
-- 1, with the one before for as long as that is still good.
--
-- A program of the version before works beside this one: what it inserts gets these defaults. It knows nothing of the
-- bounds, so they hold everywhere only when it is gone.
--
-- SQLite has no ADD COLUMN IF NOT EXISTS: a column that is there already is an error that is let pass.

ALTER TABLE api_tokens ADD COLUMN allowed_ips TEXT;

ALTER TABLE api_tokens ADD COLUMN rate_requests INTEGER;

ALTER TABLE api_tokens ADD COLUMN rate_window INTEGER;

ALTER TABLE api_tokens ADD COLUMN secret_number INTEGER NOT NULL DEFAULT 1;

ALTER TABLE api_tokens ADD COLUMN previous_hash BLOB;

ALTER TABLE api_tokens ADD COLUMN previous_until INTEGER;

-- Hashes are indexed so that a token can be found by its secret's digest alone. They are unique anyway, by 256 random
-- bits: an index that says so finds one row, and keeps one secret from ever opening two tokens.

CREATE UNIQUE INDEX IF NOT EXISTS api_tokens_hash ON api_tokens (hash);

CREATE UNIQUE INDEX IF NOT EXISTS api_tokens_previous_hash ON api_tokens (previous_hash);
