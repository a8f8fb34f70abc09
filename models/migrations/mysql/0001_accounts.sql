-- Identifiers are VARBINARY: the usual collations call 'admin' and 'ádmin ' equal, and even the binary ones ignore
-- trailing blanks. Times are milliseconds since 1970 UTC. Each statement may be run twice.

CREATE TABLE IF NOT EXISTS meta (
  name  VARBINARY(64)  NOT NULL,
  value VARBINARY(255) NOT NULL,
  PRIMARY KEY (name)
) ENGINE=InnoDB;

CREATE TABLE IF NOT EXISTS permissions (
  id          VARBINARY(64)   NOT NULL,
  name        VARBINARY(400)  NOT NULL,
  description VARBINARY(4000) NOT NULL,
  created_at  BIGINT          NOT NULL,
  PRIMARY KEY (id)
) ENGINE=InnoDB;

CREATE TABLE IF NOT EXISTS users (
  id            VARBINARY(32)  NOT NULL,
  username      VARBINARY(64)  NOT NULL,
  password_hash VARBINARY(255) NOT NULL,
  enabled       BOOLEAN        NOT NULL,
  created_at    BIGINT         NOT NULL,
  PRIMARY KEY (id),
  UNIQUE KEY users_username (username)
) ENGINE=InnoDB;

CREATE TABLE IF NOT EXISTS user_permissions (
  user_id       VARBINARY(32) NOT NULL,
  permission_id VARBINARY(64) NOT NULL,
  PRIMARY KEY (user_id, permission_id),
  KEY user_permissions_permission (permission_id),
  CONSTRAINT user_permissions_exist FOREIGN KEY (permission_id) REFERENCES permissions (id)
) ENGINE=InnoDB;

CREATE TABLE IF NOT EXISTS sessions (
  id           VARBINARY(32)  NOT NULL,
  user_id      VARBINARY(32)  NOT NULL,
  hash         VARBINARY(32)  NOT NULL,
  address      VARBINARY(64)  NOT NULL,
  agent        VARBINARY(800) NOT NULL,
  created_at   BIGINT         NOT NULL,
  last_seen_at BIGINT         NOT NULL,
  expires_at   BIGINT         NOT NULL,
  PRIMARY KEY (id),
  KEY sessions_user (user_id, created_at),
  KEY sessions_expiry (expires_at)
) ENGINE=InnoDB;

CREATE TABLE IF NOT EXISTS api_tokens (
  id           VARBINARY(32)  NOT NULL,
  user_id      VARBINARY(32)  NOT NULL,
  name         VARBINARY(400) NOT NULL,
  name_folded  VARBINARY(800) NOT NULL,
  hash         VARBINARY(32)  NOT NULL,
  enabled      BOOLEAN        NOT NULL,
  version      BIGINT         NOT NULL,
  created_at   BIGINT         NOT NULL,
  updated_at   BIGINT         NOT NULL,
  expires_at   BIGINT         NULL,
  last_used_at BIGINT         NULL,
  PRIMARY KEY (id),
  KEY api_tokens_user (user_id, created_at, id)
) ENGINE=InnoDB;

CREATE TABLE IF NOT EXISTS api_token_permissions (
  token_id      VARBINARY(32) NOT NULL,
  permission_id VARBINARY(64) NOT NULL,
  PRIMARY KEY (token_id, permission_id),
  KEY api_token_permissions_permission (permission_id),
  CONSTRAINT api_token_permissions_exist FOREIGN KEY (permission_id) REFERENCES permissions (id)
) ENGINE=InnoDB;
