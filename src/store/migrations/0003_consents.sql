-- Until when `user`'s address may be told to `other`. Times are milliseconds since 1970-01-01 00:00 UTC.
CREATE TABLE consents (
    user  INTEGER NOT NULL REFERENCES users (id),
    other INTEGER NOT NULL REFERENCES users (id),
    until INTEGER NOT NULL,
    PRIMARY KEY (user, other)
) STRICT, WITHOUT ROWID;
