-- Rises with each record of the fleet, and is signed beside it in the object store: of two records the higher one is the newer.
ALTER TABLE rollouts ADD COLUMN sequence BIGINT NOT NULL DEFAULT 0;
