-- Everything here can be rebuilt from git, the object store and what devices report; only `meta` says which store it belongs to.
-- Times are RFC 3339 text, ids and digests lower-case hexadecimal text, structures JSON text.

CREATE TABLE meta (
    key   TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
);

-- The accepted head: at most one row.
CREATE TABLE head (
    id           INTEGER NOT NULL PRIMARY KEY CHECK (id = 1),
    introduction TEXT    NOT NULL,
    commit_id    TEXT    NOT NULL,
    landing      BIGINT  NOT NULL
);

-- Verified commits.
CREATE TABLE landings (
    introduction   TEXT   NOT NULL,
    number         BIGINT NOT NULL,
    commit_id      TEXT   NOT NULL,
    signer         TEXT   NOT NULL,
    policy_version BIGINT NOT NULL,
    summary        TEXT   NOT NULL,
    committed      TEXT   NOT NULL,
    PRIMARY KEY (introduction, number)
);

CREATE TABLE devices (
    name               TEXT    NOT NULL PRIMARY KEY,
    enrollment         TEXT    NOT NULL,
    entry              TEXT    NOT NULL,
    enrolled_at        TEXT    NOT NULL,
    reported           TEXT,
    last_seen          TEXT,
    last_progress      TEXT,
    offer              TEXT,
    paused             TEXT,
    awaiting_reconnect BOOLEAN NOT NULL,
    metadata_version   BIGINT  NOT NULL
);

-- Every version that a device's signed targets ever named.
CREATE TABLE offers (
    device     TEXT   NOT NULL,
    landing    BIGINT NOT NULL,
    commit_id  TEXT   NOT NULL,
    revision   BIGINT NOT NULL,
    fleet      TEXT   NOT NULL,
    template   TEXT   NOT NULL,
    digest     TEXT   NOT NULL,
    offered_at TEXT   NOT NULL,
    PRIMARY KEY (device, landing, commit_id, revision)
);

CREATE TABLE rollouts (
    fleet  TEXT NOT NULL PRIMARY KEY,
    record TEXT NOT NULL
);

-- The newest id is the plan in force; a plan is stored only on top of its parent.
CREATE TABLE plans (
    id     BIGINT NOT NULL PRIMARY KEY,
    parent BIGINT NOT NULL,
    at     TEXT   NOT NULL
);

CREATE TABLE events (
    id      INTEGER NOT NULL PRIMARY KEY,
    at      TEXT    NOT NULL,
    kind    TEXT    NOT NULL,
    device  TEXT,
    fleet   TEXT,
    code    TEXT,
    message TEXT    NOT NULL
);

-- Spent enrollment tokens, by their SHA-256; a cache of enrolled/ in the object store.
CREATE TABLE tokens (
    hash        TEXT NOT NULL PRIMARY KEY,
    fingerprint TEXT NOT NULL,
    device      TEXT NOT NULL,
    enrollment  TEXT NOT NULL,
    entry       TEXT NOT NULL,
    certificate TEXT,
    at          TEXT NOT NULL
);
