-- The processes that serve this database. Whoever wants to know that a node has read all that is committed now adds 1 to
-- wanted; the node answers with that number when it has. lease is how long, in milliseconds, a verifier may answer from what
-- the node gave it.

CREATE TABLE IF NOT EXISTS nodes (
  id       VARBINARY(32) NOT NULL,
  wanted   BIGINT        NOT NULL,
  answered BIGINT        NOT NULL,
  lease    BIGINT        NOT NULL,
  PRIMARY KEY (id)
) ENGINE=InnoDB;

-- How far a node has seen to it that nobody acts any more on what a user's events changed.

CREATE TABLE IF NOT EXISTS acknowledgements (
  user_id  VARBINARY(32)  NOT NULL,
  node_id  VARBINARY(32)  NOT NULL,
  seq      BIGINT         NOT NULL,
  position BIGINT         NOT NULL,
  settled  BOOLEAN        NOT NULL,
  counts   VARBINARY(1000) NOT NULL,
  time     BIGINT         NOT NULL,
  PRIMARY KEY (user_id, node_id),
  KEY acknowledgements_node (node_id, settled),
  KEY acknowledgements_time (time)
) ENGINE=InnoDB;
