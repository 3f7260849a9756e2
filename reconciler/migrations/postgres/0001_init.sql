-- The same tables as in ../sqlite, where each is explained. Names, ids and digests are ordered by their bytes: COLLATE "C".

CREATE TABLE meta (
    key   TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
);

CREATE TABLE head (
    id           BIGINT NOT NULL PRIMARY KEY CHECK (id = 1),
    introduction TEXT   NOT NULL,
    commit_id    TEXT   NOT NULL,
    landing      BIGINT NOT NULL
);

CREATE TABLE landings (
    introduction   TEXT COLLATE "C" NOT NULL,
    number         BIGINT NOT NULL,
    commit_id      TEXT   NOT NULL,
    signer         TEXT   NOT NULL,
    policy_version BIGINT NOT NULL,
    summary        TEXT   NOT NULL,
    committed      TEXT   NOT NULL,
    PRIMARY KEY (introduction, number)
);

CREATE TABLE devices (
    name               TEXT COLLATE "C" NOT NULL PRIMARY KEY,
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

CREATE TABLE offers (
    device     TEXT COLLATE "C" NOT NULL,
    landing    BIGINT NOT NULL,
    commit_id  TEXT COLLATE "C" NOT NULL,
    revision   BIGINT NOT NULL,
    fleet      TEXT   NOT NULL,
    template   TEXT   NOT NULL,
    digest     TEXT   NOT NULL,
    offered_at TEXT   NOT NULL,
    PRIMARY KEY (device, landing, commit_id, revision)
);

CREATE TABLE rollouts (
    fleet  TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    record TEXT NOT NULL
);

CREATE TABLE plans (
    id     BIGINT NOT NULL PRIMARY KEY,
    parent BIGINT NOT NULL,
    at     TEXT   NOT NULL
);

CREATE TABLE events (
    id      BIGINT NOT NULL PRIMARY KEY,
    at      TEXT   NOT NULL,
    kind    TEXT   NOT NULL,
    device  TEXT,
    fleet   TEXT,
    code    TEXT,
    message TEXT   NOT NULL
);

CREATE TABLE tokens (
    hash        TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    fingerprint TEXT NOT NULL,
    device      TEXT NOT NULL,
    enrollment  TEXT NOT NULL,
    entry       TEXT NOT NULL,
    certificate TEXT,
    at          TEXT COLLATE "C" NOT NULL
);
