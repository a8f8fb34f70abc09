-- What a change writes that must have a user, or his turn in his feed, to itself: between the hosts of a cluster a lock of
-- what is not written does not hold. A program of the version before writes neither, and none of it runs on a cluster.

ALTER TABLE users
  ADD COLUMN turns BIGINT NOT NULL DEFAULT 0;

ALTER TABLE feeds
  ADD COLUMN turns BIGINT NOT NULL DEFAULT 0;
