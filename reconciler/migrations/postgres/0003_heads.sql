-- What orders accepted heads is the version of the policy, then the landing; `spoken` is when somebody who counts signed last.
ALTER TABLE head ADD COLUMN policy_version BIGINT NOT NULL DEFAULT 0;
ALTER TABLE head ADD COLUMN spoken TEXT;
UPDATE head SET policy_version = COALESCE(
    (SELECT l.policy_version FROM landings l WHERE l.introduction = head.introduction AND l.commit_id = head.commit_id), 0);
