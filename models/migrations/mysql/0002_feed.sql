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

-- Users of before get what new ones begin with: position 1, the event of their making. The feed comes from that event,
-- so that both name the same change.

INSERT INTO events (user_id, position, change_id, method, token_id, time, params)
  SELECT id, 1, LEFT(SHA2(CONCAT(id, UUID()), 256), 12), '$/user-created', '', created_at, CONCAT('{"by":null,"userId":"', id, '"}')
  FROM users WHERE id NOT IN (SELECT user_id FROM feeds) AND id NOT IN (SELECT user_id FROM events);

INSERT INTO feeds (user_id, position, change_id)
  SELECT user_id, position, change_id FROM events WHERE position = 1 AND user_id NOT IN (SELECT user_id FROM feeds);
