-- The feed: a counter row per user, bumped last before COMMIT, and the events that it numbered.

CREATE TABLE IF NOT EXISTS feeds (
  user_id   VARBINARY(32) NOT NULL,
  position  BIGINT        NOT NULL,
  change_id VARBINARY(32) NOT NULL,
  PRIMARY KEY (user_id)
) ENGINE=InnoDB;

CREATE TABLE IF NOT EXISTS events (
  user_id   VARBINARY(32) NOT NULL,
  position  BIGINT        NOT NULL,
  change_id VARBINARY(32) NOT NULL,
  method    VARBINARY(64) NOT NULL,
  token_id  VARBINARY(32) NOT NULL,
  time      BIGINT        NOT NULL,
  params    MEDIUMBLOB    NOT NULL,
  PRIMARY KEY (user_id, position),
  KEY events_time (time)
) ENGINE=InnoDB;
