-- The processes that serve this database. Whoever wants to know that a node has read all that is committed now adds 1 to
-- wanted; the node answers with that number when it has. lease is how long, in milliseconds, a verifier may answer from what
-- the node gave it.

CREATE TABLE IF NOT EXISTS nodes (
  id       TEXT NOT NULL,
  wanted   INTEGER NOT NULL,
  answered INTEGER NOT NULL,
  lease    INTEGER NOT NULL,
  PRIMARY KEY (id)
) STRICT, WITHOUT ROWID;

-- How far a node has seen to it that nobody acts any more on what a user's events changed.

CREATE TABLE IF NOT EXISTS acknowledgements (
  user_id  TEXT NOT NULL,
  node_id  TEXT NOT NULL,
  seq      INTEGER NOT NULL,
  position INTEGER NOT NULL,
  settled  INTEGER NOT NULL,
  counts   BLOB NOT NULL,
  time     INTEGER NOT NULL,
  PRIMARY KEY (user_id, node_id)
) STRICT, WITHOUT ROWID;

CREATE INDEX IF NOT EXISTS acknowledgements_node ON acknowledgements (node_id, settled);

CREATE INDEX IF NOT EXISTS acknowledgements_time ON acknowledgements (time);
