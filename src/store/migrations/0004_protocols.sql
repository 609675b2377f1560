-- Under which local time the message stands in histories, YYYYMMDDhhmmss; NULL: it is from before this was kept.
ALTER TABLE messages ADD COLUMN local INTEGER;

-- 1: the password's verifier is of its SHA-256, in lower-case hexadecimal digits: more the server never had.
ALTER TABLE accounts ADD COLUMN hashed INTEGER NOT NULL DEFAULT 0;

-- The log without what is being deleted.
DROP VIEW kept;
CREATE VIEW kept AS
    SELECT number, time, sender, recipient, text, device, counter, expired, local FROM messages
    WHERE NOT EXISTS (SELECT 1 FROM forgetting WHERE messages.time < before AND messages.number <= through);
