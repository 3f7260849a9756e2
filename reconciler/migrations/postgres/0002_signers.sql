-- Several people may stand for one landing, and nobody for a clean merge that changes nothing: names, separated by spaces.
ALTER TABLE landings RENAME COLUMN signer TO signers;
