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
