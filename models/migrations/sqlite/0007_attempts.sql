-- Failed sign-ins, counted together by all nodes: a bucket of attempts is a row from the first failure until it is full again.
-- Also the sources that have signed in to an account, until they are forgotten. id is a keyed hash of whose it is.

CREATE TABLE IF NOT EXISTS attempts (
  id      BLOB NOT NULL,
  full_at INTEGER NOT NULL,
  PRIMARY KEY (id)
) STRICT, WITHOUT ROWID;

CREATE INDEX IF NOT EXISTS attempts_full ON attempts (full_at);
