-- How often tokens are used: by the hour, each with its beginning. Batches of them are written once: a batch leaves its id,
-- by which one whose COMMIT was not answered is known to be there.

CREATE TABLE IF NOT EXISTS token_uses (
  token_id VARBINARY(32) NOT NULL,
  hour     BIGINT        NOT NULL,
  allowed  BIGINT        NOT NULL,
  denied   BIGINT        NOT NULL,
  PRIMARY KEY (token_id, hour),
  KEY token_uses_hour (hour, token_id),
  CONSTRAINT token_uses_exist FOREIGN KEY (token_id) REFERENCES api_tokens (id) ON DELETE CASCADE
) ENGINE=InnoDB;

CREATE TABLE IF NOT EXISTS use_batches (
  id   VARBINARY(32) NOT NULL,
  time BIGINT        NOT NULL,
  PRIMARY KEY (id),
  KEY use_batches_time (time)
) ENGINE=InnoDB;

-- Where a token was reported to lie about, of the last day: the URL's SHA-256.

CREATE TABLE IF NOT EXISTS token_leaks (
  token_id VARBINARY(32) NOT NULL,
  url_hash VARBINARY(32) NOT NULL,
  time     BIGINT        NOT NULL,
  PRIMARY KEY (token_id, url_hash),
  CONSTRAINT token_leaks_exist FOREIGN KEY (token_id) REFERENCES api_tokens (id) ON DELETE CASCADE
) ENGINE=InnoDB;

-- How many of the steps before its end a token's owner has been told. Of tokens that have ended by now nothing is told any
-- more. A program of the version before does not begin anew where it moves an end.

ALTER TABLE api_tokens
  ADD COLUMN end_told BIGINT NOT NULL DEFAULT 0,
  ADD KEY api_tokens_end (end_told, expires_at);

UPDATE api_tokens SET end_told = 4 WHERE expires_at <= 1000 * UNIX_TIMESTAMP();
