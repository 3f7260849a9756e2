-- The newest certificate that each device was seen to use; the ones before it are refused. Learned again from whoever calls.
-- `not_before` is in seconds since 1970; `authorities` are the fingerprints of the certificate authorities that the device
-- says it trusts, separated by spaces, NULL where it does not say.
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
