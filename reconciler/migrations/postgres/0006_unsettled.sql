-- Until when (seconds since 1970) nobody relies on this being the newest: it was learned from a call, or set back with the
-- database. 0 where it was not.
ALTER TABLE certificates ADD COLUMN unsettled_until BIGINT NOT NULL DEFAULT 0;
