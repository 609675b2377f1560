//! The data directory: who may use it, which files it has, and bringing an older database up to date.
//!
//! Nothing of a file is changed before it is known to be chatd's and of a version that this chatd knows.

use std::fmt;
use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags, TransactionBehavior};

use super::Durability;
use super::row::{ReadError, one_line};
use super::snapshot;
use crate::hub::change::Snapshot;

pub(super) const DATABASE: &str = "chatd.sqlite3";
const LOCK: &str = "chatd.lock";
/// "chat", as the first migration sets it.
const APPLICATION_ID: i32 = 0x6368_6174;
/// The step at place n leads from version n to version n + 1.
pub(super) const MIGRATIONS: [&str; 4] = [
    include_str!("migrations/0001_initial.sql"),
    include_str!("migrations/0002_accounts.sql"),
    include_str!("migrations/0003_consents.sql"),
    include_str!("migrations/0004_protocols.sql"),
];

/// How long to wait for somebody who looks into the database from outside.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// When the write-ahead log has so many pages (of 4 KiB), they move to the database. Seldom enough that its syncs
/// vanish among those of the commits, often enough that one move is short.
const CHECKPOINT_PAGES: i64 = 2000;
/// The write-ahead log shrinks back to this after it had to grow.
const WAL_BYTES_MAX: i64 = 32 * 1024 * 1024;
const CACHE_KIB: i64 = 8 * 1024;
/// More than there are statements.
const STATEMENTS_CACHED: usize = 64;

/// Why the data directory can't be used.
#[derive(Debug)]
pub enum OpenError {
    /// Another chatd has it. Its process, if it could be read.
    InUse { dir: PathBuf, pid: Option<u32> },
    /// This user may not create, read or write it.
    Permission { path: PathBuf },
    /// It is not there and can't be created, or can't be written.
    Directory { path: PathBuf, error: io::Error },
    /// A newer chatd has written it.
    Newer { path: PathBuf, found: u32, known: u32 },
    /// It is damaged, or another program's. Says what and where.
    Corrupt { path: PathBuf, what: String },
    /// The system or the disk refuses.
    Io { path: PathBuf, what: String },
}

/// What a store on disk runs with.
pub(super) struct Files {
    pub writer: Connection,
    pub reader: Connection,
    pub lock: File,
}

pub(super) fn open(dir: &Path, durability: Durability) -> Result<(Files, Snapshot), OpenError> {
    let new_directory = !dir.exists();
    DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(|error| io_error(dir, error))?;
    let lock = lock(dir)?;

    let path = dir.join(DATABASE);
    // SQLite gives its side files the mode of the database.
    private(&path).map_err(|error| io_error(&path, error))?;
    let mut writer = connect(&path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    let in_path = |error| sqlite_error(&path, error);
    let version = version(&writer, &path)?;

    let mode: String =
        writer.pragma_update_and_check(None, "journal_mode", "wal", |row| row.get(0)).map_err(in_path)?;
    if mode != "wal" {
        let what = format!("this file system has no write-ahead logging ({mode})");
        return Err(OpenError::Io { path, what });
    }
    set_up(&writer, durability).map_err(in_path)?;
    migrate(&mut writer, version, &MIGRATIONS).map_err(in_path)?;
    let snapshot = snapshot::read(&writer).map_err(|error| match error {
        ReadError::Sqlite(error) => sqlite_error(&path, error),
        ReadError::Corrupt(what) => OpenError::Corrupt { path: path.clone(), what },
    })?;
    let reader = connect(&path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    // Without this a power cut could take the new files' names.
    sync_directory(dir).map_err(|error| io_error(dir, error))?;
    if new_directory && let Some(parent) = dir.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        // Whoever may search a directory may still not be allowed to read it.
        let _ = sync_directory(parent);
    }
    Ok((Files { writer, reader, lock }, snapshot))
}

/// Brings a database from `version` to the newest, a transaction a step.
pub(super) fn migrate(connection: &mut Connection, version: u32, steps: &[&str]) -> rusqlite::Result<()> {
    for (from, step) in steps.iter().enumerate().skip(version as usize) {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        transaction.execute_batch(step)?;
        transaction.pragma_update(None, "user_version", from as i64 + 1)?;
        transaction.commit()?;
    }
    Ok(())
}

/// Holds the lock until the file is dropped, or the process ends however it ends.
fn lock(dir: &Path) -> Result<File, OpenError> {
    let path = dir.join(LOCK);
    let mut file = private(&path).map_err(|error| io_error(&path, error))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut pid = String::new();
            let read = file.take(32).read_to_string(&mut pid);
            let pid = read.ok().and_then(|_| pid.trim().parse().ok());
            return Err(OpenError::InUse { dir: dir.to_owned(), pid });
        }
        Err(TryLockError::Error(error)) => return Err(io_error(&path, error)),
    }
    // Only for people to read: the lock is what counts.
    let write = file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id()));
    write.map_err(|error| io_error(&path, error))?;
    Ok(file)
}

/// Opens a file that only this user may read, and creates it if need be.
fn private(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)
}

fn connect(path: &Path, access: OpenFlags) -> Result<Connection, OpenError> {
    let connect = || {
        let connection = Connection::open_with_flags(path, access | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
        connection.busy_timeout(BUSY_TIMEOUT)?;
        connection.set_prepared_statement_cache_capacity(STATEMENTS_CACHED);
        connection.pragma_update(None, "trusted_schema", false)?;
        Ok(connection)
    };
    connect().map_err(|error| sqlite_error(path, error))
}

/// The version of a database that is chatd's; 0 if it is empty.
fn version(connection: &Connection, path: &Path) -> Result<u32, OpenError> {
    let read = || -> rusqlite::Result<(i32, i32, bool)> {
        let application = connection.pragma_query_value(None, "application_id", |row| row.get(0))?;
        let version = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
        let used = connection.query_row("SELECT EXISTS (SELECT 1 FROM sqlite_schema)", [], |row| row.get(0))?;
        Ok((application, version, used))
    };
    let (application, version, used) = read().map_err(|error| sqlite_error(path, error))?;
    let known = MIGRATIONS.len() as u32;
    match (application, u32::try_from(version)) {
        (0, Ok(0)) if !used => Ok(0),
        (APPLICATION_ID, Ok(found)) if found > known => Err(OpenError::Newer { path: path.to_owned(), found, known }),
        (APPLICATION_ID, Ok(version)) if version > 0 => Ok(version),
        _ => Err(OpenError::Corrupt { path: path.to_owned(), what: "it is another program's database".into() }),
    }
}

fn set_up(connection: &Connection, durability: Durability) -> rusqlite::Result<()> {
    let synchronous = match durability {
        Durability::Full => "full",
        Durability::Process => "normal",
    };
    connection.pragma_update(None, "synchronous", synchronous)?;
    // A change that names a user nobody has must fail its commit, not the next start.
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
    connection.pragma_update_and_check(None, "wal_autocheckpoint", CHECKPOINT_PAGES, |_| Ok(()))?;
    connection.pragma_update_and_check(None, "journal_size_limit", WAL_BYTES_MAX, |_| Ok(()))
}

fn sync_directory(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

fn io_error(path: &Path, error: io::Error) -> OpenError {
    let path = path.to_owned();
    match error.kind() {
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => OpenError::Permission { path },
        _ => OpenError::Directory { path, error },
    }
}

fn sqlite_error(path: &Path, error: rusqlite::Error) -> OpenError {
    let path = path.to_owned();
    match error.sqlite_error_code() {
        Some(ErrorCode::PermissionDenied | ErrorCode::ReadOnly) => OpenError::Permission { path },
        // An SQL statement that does not fit means that the schema is not the one of its version.
        Some(
            ErrorCode::NotADatabase
            | ErrorCode::DatabaseCorrupt
            | ErrorCode::TypeMismatch
            | ErrorCode::ConstraintViolation
            | ErrorCode::Unknown,
        ) => OpenError::Corrupt { path, what: one_line(&error) },
        Some(_) => OpenError::Io { path, what: one_line(&error) },
        None => OpenError::Corrupt { path, what: one_line(&error) },
    }
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OpenError::InUse { dir, pid } => {
                write!(f, "{} is in use by another chatd", dir.display())?;
                if let Some(pid) = pid {
                    write!(f, " (process {pid})")?;
                }
                f.write_str("; stop it, or choose another directory with --data-dir")
            }
            OpenError::Permission { path } => write!(
                f,
                "no permission to use {}; make it readable and writable for the user that runs chatd, \
                 or choose another directory with --data-dir",
                path.display()
            ),
            OpenError::Directory { path, error } => write!(
                f,
                "{} can't be created or written: {error}; choose another directory with --data-dir",
                path.display()
            ),
            OpenError::Newer { path, found, known } => write!(
                f,
                "{} is from a newer chatd (its version is {found}, this chatd knows {known}); \
                 run the newer chatd, or choose another directory with --data-dir",
                path.display()
            ),
            OpenError::Corrupt { path, what } => write!(
                f,
                "{} is damaged or not chatd's: {what}; restore a backup, or move it away to begin anew",
                path.display()
            ),
            OpenError::Io { path, what } => {
                write!(f, "{} can't be used: {what}; check the disk, then start chatd again", path.display())
            }
        }
    }
}

impl std::error::Error for OpenError {}
