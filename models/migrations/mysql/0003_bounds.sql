-- What bounds a token beside its end: the addresses that it is good from, as text with commas between them (NULL: all), and
-- how often it may be asked about (NULL: any number of times). And which of its secrets is its present one, counted from
-- 1, with the one before for as long as that is still good.
--
-- A program of the version before works beside this one: what it inserts gets these defaults. It knows nothing of the
-- bounds, so they hold everywhere only when it is gone.
--
-- Hashes are indexed so that a token can be found by its secret's digest alone. They are unique anyway, by 256 random
-- bits: an index that says so finds one row, and keeps one secret from ever opening two tokens.
--
-- One statement: it is done as a whole or not at all. Done already, it is an error that is let pass.

ALTER TABLE api_tokens
  ADD COLUMN allowed_ips    VARBINARY(2400) NULL,
  ADD COLUMN rate_requests  BIGINT          NULL,
  ADD COLUMN rate_window    BIGINT          NULL,
  ADD COLUMN secret_number  BIGINT          NOT NULL DEFAULT 1,
  ADD COLUMN previous_hash  VARBINARY(32)   NULL,
  ADD COLUMN previous_until BIGINT          NULL,
  ADD UNIQUE KEY api_tokens_hash (hash),
  ADD UNIQUE KEY api_tokens_previous_hash (previous_hash);
