-- Failed sign-ins, counted together by all nodes: a bucket of attempts is a row from the first failure until it is full again.
-- Also the sources that have signed in to an account, until they are forgotten. id is a keyed hash of whose it is.

CREATE TABLE IF NOT EXISTS attempts (
  id      BINARY(32) NOT NULL,
  full_at BIGINT     NOT NULL,
  PRIMARY KEY (id),
  KEY attempts_full (full_at)
) ENGINE=InnoDB;
