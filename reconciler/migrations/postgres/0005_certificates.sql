CREATE TABLE certificates (
    enrollment  TEXT COLLATE "C" NOT NULL,
    entry       TEXT COLLATE "C" NOT NULL,
    device      TEXT COLLATE "C" NOT NULL,
    not_before  BIGINT NOT NULL,
    fingerprint TEXT COLLATE "C" NOT NULL,
    issuer      TEXT   NOT NULL,
    authorities TEXT,
    PRIMARY KEY (enrollment, entry, device)
);
