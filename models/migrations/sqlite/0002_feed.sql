-- The feed: a counter row per user, bumped last before COMMIT, and the events that it numbered.

CREATE TABLE IF NOT EXISTS feeds (
  user_id   TEXT NOT NULL,
  position  INTEGER NOT NULL,
  change_id TEXT NOT NULL,
  PRIMARY KEY (user_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS events (
  user_id   TEXT NOT NULL,
  position  INTEGER NOT NULL,
  change_id TEXT NOT NULL,
  method    TEXT NOT NULL,
  token_id  TEXT NOT NULL,
  time      INTEGER NOT NULL,
  params    BLOB NOT NULL,
  PRIMARY KEY (user_id, position)
) STRICT, WITHOUT ROWID;

CREATE INDEX IF NOT EXISTS events_time ON events (time);

-- Users of before get what new ones begin with: position 1, the event of their making. The feed comes from that event,
-- so that both name the same change.

INSERT INTO events (user_id, position, change_id, method, token_id, time, params)
  SELECT id, 1, hex(randomblob(6)), '$/user-created', '', created_at, CAST('{"by":null,"userId":"' || id || '"}' AS BLOB)
  FROM users WHERE id NOT IN (SELECT user_id FROM feeds) AND id NOT IN (SELECT user_id FROM events);

INSERT INTO feeds (user_id, position, change_id)
  SELECT user_id, position, change_id FROM events WHERE position = 1 AND user_id NOT IN (SELECT user_id FROM feeds);
