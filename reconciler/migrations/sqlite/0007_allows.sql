-- The allowlists that the device says its operator set, as JSON; NULL where it does not say.
ALTER TABLE devices ADD COLUMN allows TEXT;
