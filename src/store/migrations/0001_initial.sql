-- "chat": marks the file as chatd's.
PRAGMA application_id = 0x63686174;

-- 'secret': 32 bytes. 'last': the highest number in the log when old messages were last deleted.
CREATE TABLE settings (
    name  TEXT PRIMARY KEY,
    value ANY NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE users (
    id    INTEGER PRIMARY KEY,
    name  TEXT NOT NULL UNIQUE COLLATE NOCASE,
    shown INTEGER NOT NULL DEFAULT 0            -- the highest cursor when a device of theirs was last forgotten
) STRICT;

-- The log. Times are milliseconds since 1970-01-01 00:00 UTC.
CREATE TABLE messages (
    number    INTEGER PRIMARY KEY,
    time      INTEGER NOT NULL,
    sender    INTEGER REFERENCES users (id),    -- NULL: the server
    recipient INTEGER REFERENCES users (id),    -- NULL: everyone
    text      TEXT NOT NULL,
    device    BLOB,                             -- of the sender, 16 bytes; NULL with its counter: none
    counter   INTEGER,                          -- 64 bits without sign, kept in 64 bits with sign
    expired   INTEGER NOT NULL DEFAULT 0        -- 1: waited too long for its recipient
) STRICT;

-- Every index ends in the number, so each gives its messages by number too.
-- What waits for a user and what they received; under NULL the broadcasts.
CREATE INDEX messages_by_recipient ON messages (recipient);
CREATE INDEX messages_by_sender ON messages (sender) WHERE sender IS NOT NULL;
CREATE INDEX messages_by_pair ON messages (sender, recipient) WHERE sender IS NOT NULL AND recipient IS NOT NULL;
-- What a device has sent. Not unique: a device that was forgotten may count from the beginning again.
CREATE INDEX messages_by_origin ON messages (sender, device, counter) WHERE device IS NOT NULL;
CREATE INDEX messages_by_time ON messages (time);

CREATE TABLE blocks (
    user  INTEGER NOT NULL REFERENCES users (id),
    other INTEGER NOT NULL REFERENCES users (id),
    shown INTEGER NOT NULL,                     -- the user's highest cursor when they blocked the other
    PRIMARY KEY (user, other)
) STRICT, WITHOUT ROWID;

CREATE TABLE devices (
    user       INTEGER NOT NULL REFERENCES users (id),
    device     BLOB NOT NULL,
    cursor     INTEGER NOT NULL,
    absences   BLOB NOT NULL,                   -- src/store/absences.rs
    seen       INTEGER NOT NULL,
    stored_key BLOB,                            -- of the resume token; NULL with its server_key: none
    server_key BLOB,
    since      INTEGER NOT NULL,                -- the log's end when it became known: earlier sends don't count
    PRIMARY KEY (user, device)
) STRICT, WITHOUT ROWID;

-- A source is 4 bytes of IPv4 or 16 of IPv6.
CREATE TABLE tries (
    name         TEXT NOT NULL,
    source       BLOB NOT NULL,                 -- x'': over all sources; NULL would not be one key
    failures     INTEGER NOT NULL,
    last         INTEGER NOT NULL,
    locked_until INTEGER,
    PRIMARY KEY (name, source)
) STRICT, WITHOUT ROWID;

CREATE TABLE sources (
    user   INTEGER NOT NULL REFERENCES users (id),
    source BLOB NOT NULL,
    time   INTEGER NOT NULL,
    PRIMARY KEY (user, source)
) STRICT, WITHOUT ROWID;

-- From which number to which a user was online; last is NULL while they are.
CREATE TABLE attendance (
    user  INTEGER NOT NULL REFERENCES users (id),
    first INTEGER NOT NULL,
    last  INTEGER,
    PRIMARY KEY (user, first)
) STRICT, WITHOUT ROWID;

CREATE INDEX attendance_open ON attendance (user) WHERE last IS NULL;

-- Deletions that are not finished: messages from before this time, with numbers up to this one.
CREATE TABLE forgetting (
    before  INTEGER PRIMARY KEY,
    through INTEGER NOT NULL
) STRICT;

-- The log without what is being deleted.
CREATE VIEW kept AS
    SELECT number, time, sender, recipient, text, device, counter, expired FROM messages
    WHERE NOT EXISTS (SELECT 1 FROM forgetting WHERE messages.time < before AND messages.number <= through);
