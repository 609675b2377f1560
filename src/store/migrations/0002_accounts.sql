-- Accounts that are not in the operator's file.
CREATE TABLE accounts (
    user       INTEGER PRIMARY KEY REFERENCES users (id),
    salt       BLOB NOT NULL,
    iterations INTEGER NOT NULL,
    stored_key BLOB NOT NULL,
    server_key BLOB NOT NULL,
    sealed     BLOB                             -- src/hub/seal.rs: the password itself, where it has to be kept
) STRICT;

-- Users whose name is nobody's any more. In `users` they are called '#' and their id, which is no name, so that the name
-- is free; their messages are still theirs.
CREATE TABLE retired (
    user INTEGER PRIMARY KEY REFERENCES users (id),
    name TEXT NOT NULL
) STRICT;
