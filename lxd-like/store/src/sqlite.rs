//! The embedded database: one SQLite file, its write-ahead log kept at its size.
//!
//! A commit is one transaction, made durable by one sync of the log. The log is made with all its
//! bytes in place and then overwritten again and again, because a sync of bytes that are there
//! already costs half of one that appends. So it is emptied into the database by hand: when there
//! is nothing else to do, or when it is full.
//!
//! What was done outside before a commit is on the disk when the commit is, where it was done on the same
//! file system and that keeps its changes in their order, as ext4 and XFS do: the log's times are set
//! before it is synced, and that change brings along the earlier ones. Written alone, a log whose
//! times say "just now" already is no change to them. (SQLite as it is built here calls fsync(2), which goes by
//! the times; fdatasync(2) would not.)
//!
//! Opening, in this order: the lock; the file, which is never made anew where there was one; its
//! integrity, before anything is written; migrations, with a copy before each; all of it read into
//! memory.

use std::cell::Cell;
use std::fs::{File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rusqlite::config::DbConfig;
use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSqlOutput, ValueRef};
use rusqlite::{Connection, ErrorCode, OpenFlags, ToSql, params};

use crate::change::{Batch, Change, Revision};
use crate::error::{OpenError, database_error, io_error};
use crate::index::Contents;
use crate::key::Key;
use crate::lock::Lock;
use crate::log;
use crate::migrate::{self, copies, suffixed, sync_parent};

/// The size of the log, in bytes.
pub(crate) const LOG_BYTES: u64 = 8 * 1024 * 1024;

/// The pages that fit into the log: each has a header of 24 bytes, and the log one of 32.
const LOG_PAGES: u32 = ((LOG_BYTES - 32) / (PAGE_BYTES + 24)) as u32;

/// The size of a page, in bytes.
pub(crate) const PAGE_BYTES: u64 = 4096;

thread_local! {
    /// The pages in the log, as SQLite told this thread after its last commit. Its hook is a plain
    /// function, and a connection stays on one thread once it is in use.
    static PAGES: Cell<u32> = const { Cell::new(0) };
}

/// An open database.
pub(crate) struct Database {
    connection: Connection,
    log: File,
    path: PathBuf,
    _lock: Lock,
}

/// What a failed transaction means for those to come.
#[derive(Debug)]
pub(crate) enum WriteError {
    /// The disk is full: rolled back, and all is well otherwise.
    NoSpace,
    /// Nothing can be said about the file any more.
    Failed(rusqlite::Error),
}

impl From<rusqlite::Error> for WriteError {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => Self::NoSpace,
            _ => Self::Failed(error),
        }
    }
}

impl From<io::Error> for WriteError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::NoSpace,
            _ => Self::Failed(rusqlite::Error::ToSqlConversionFailure(error.into())),
        }
    }
}

impl Database {
    /// Opens the database in `dir`, or makes it, and reads it.
    pub(crate) fn open(dir: &Path, schema: &[&str]) -> Result<(Self, Contents), OpenError> {
        make_dir(dir)?;
        let lock = Lock::take(dir)?;
        let path = dir.join("store.db");
        let log = suffixed(&path, "-wal");
        if !path.try_exists().map_err(io_error("look for", &path))? {
            if log.exists() {
                return Err(OpenError::Missing { left: log, copies: copies(&path), path });
            }
            create(&path, schema)?;
        }
        log::check(&path)?;
        let (mut connection, version) = open_checked(&path)?;
        if version > schema.len() {
            let (found, known) = (version, schema.len());
            return Err(OpenError::Newer { found, known, copies: copies(&path), path });
        }
        let log = extend_log(&log)?;
        configure(&connection).map_err(judge(&path, "set up"))?;
        migrate::migrate(&mut connection, &path, version, schema)?;
        let contents = read(&connection, &path)?;
        let mut database = Self { connection, log, path, _lock: lock };
        // What a crash has left of its last transaction is in nobody's way any more.
        database.settle_log()?;
        Ok((database, contents))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Writes commits in one transaction: all of them, or none if it fails.
    pub(crate) fn write(&mut self, batches: &[Batch]) -> Result<(), WriteError> {
        let transaction = self.connection.transaction()?;
        for batch in batches {
            write_batch(&transaction, batch)?;
        }
        let deletes = |batch: &Batch| {
            batch.changes.iter().any(|change| matches!(change, Change::Delete { .. }))
        };
        if let Some(last) = batches.last().filter(|_| batches.iter().any(deletes)) {
            let mut counter = transaction.prepare_cached("UPDATE counter SET revision = ?1")?;
            counter.execute([last.revision])?;
        }
        self.log.set_modified(SystemTime::now())?;
        Ok(transaction.commit()?)
    }

    /// Opens the file anew after a failure, checked as at the first time, with everything brought out of the
    /// log and synced, or the log written and synced anew: a sync of it that has failed once may tell nothing
    /// the next time. Returns the newest commit that is there.
    pub(crate) fn open_anew(&mut self) -> Result<Revision, OpenError> {
        let path = self.path.clone();
        // SQLite's locks are the process's: the old connection must have closed the file before.
        let none = Connection::open_in_memory().map_err(database_error("close", &path))?;
        drop(std::mem::replace(&mut self.connection, none));
        let log = suffixed(&path, "-wal");
        for (file, other) in [(&path, &log), (&log, &path)] {
            if !file.try_exists().map_err(io_error("look for", file))? {
                let (path, left) = (file.clone(), other.clone());
                return Err(OpenError::Missing { left, copies: copies(&self.path), path });
            }
        }
        self.connection = open_checked(&path)?.0;
        self.log = private_file(&log, false).map_err(io_error("open", &log))?;
        configure(&self.connection).map_err(database_error("set up", &path))?;
        self.settle_log()?;
        Ok(read(&self.connection, &path)?.revision)
    }

    /// Empties the log. Where the disk has no room for its pages, it is written again where it lies and synced, and
    /// so holds by itself what would have come into the database.
    fn settle_log(&mut self) -> Result<(), OpenError> {
        match self.checkpoint() {
            Err(error) if may_be_full(&error) => {
                log::hold(&self.log).map_err(io_error("write the log of", &self.path))?;
                let store = self.path.display();
                tracing::warn!(%store, %error, "the log cannot be emptied into the store: make room there, or see to the disk");
                Ok(())
            }
            emptied => emptied.map_err(database_error("empty the log of", &self.path)),
        }
    }

    /// How full the log is: 1 is the size that it is kept at.
    pub(crate) fn log_fill(&self) -> f64 {
        f64::from(PAGES.get()) / f64::from(LOG_PAGES)
    }

    /// Brings what is in the log into the database, so that the log begins anew.
    pub(crate) fn checkpoint(&mut self) -> rusqlite::Result<()> {
        let row = |row: &rusqlite::Row<'_>| Ok((row.get(1)?, row.get(2)?));
        let (pages, done): (i64, i64) =
            self.connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], row)?;
        tracing::trace!(pages, done, "checkpoint");
        PAGES.set(0);
        Ok(())
    }
}

fn write_batch(connection: &Connection, batch: &Batch) -> rusqlite::Result<()> {
    for change in &batch.changes {
        match change {
            Change::Put { key, json } => {
                let mut put = connection.prepare_cached(
                    "INSERT INTO documents (key, revision, json, sum) VALUES (?1, ?2, ?3, ?4)
                     ON CONFLICT (key) DO UPDATE
                     SET revision = excluded.revision, json = excluded.json, sum = excluded.sum",
                )?;
                let sum = sum(key, batch.revision, json);
                put.execute(params![key.as_str(), batch.revision, json, sum])?;
            }
            Change::Delete { key } => {
                let mut delete =
                    connection.prepare_cached("DELETE FROM documents WHERE key = ?1")?;
                delete.execute([key.as_str()])?;
            }
        }
    }
    Ok(())
}

/// The sum by which a document is known that was damaged where SQLite has none of its own: FNV-1a, of 64
/// bits.
fn sum(key: &Key, revision: Revision, json: &str) -> i64 {
    let revision = revision.0.to_be_bytes();
    let bytes = key.as_str().bytes().chain(revision).chain(json.bytes());
    let step = |sum: u64, byte: u8| (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    bytes.fold(0xcbf2_9ce4_8422_2325, step).cast_signed()
}

impl ToSql for Revision {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        let number = i64::try_from(self.0);
        number
            .map(ToSqlOutput::from)
            .map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))
    }
}

impl FromSql for Revision {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        let number = value.as_i64()?;
        number.try_into().map(Self).map_err(|_| FromSqlError::OutOfRange(number))
    }
}

fn make_dir(dir: &Path) -> Result<(), OpenError> {
    use std::os::unix::fs::DirBuilderExt;
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true).mode(0o700).create(dir).map_err(io_error("create", dir))
}

/// Makes an empty database under another name first, so that a file of the right name always has
/// a schema, and one without is damage.
fn create(path: &Path, schema: &[&str]) -> Result<(), OpenError> {
    let new = suffixed(path, ".new");
    let file = private_file(&new, true).map_err(io_error("create", &new))?;
    let fail = |error: rusqlite_migration::Error| OpenError::Database {
        step: "create",
        path: new.clone(),
        source: error.into(),
    };
    let mut connection = connect(&new).map_err(database_error("create", &new))?;
    migrate::create(&mut connection, schema).map_err(fail)?;
    connection.close().map_err(|(_, error)| database_error("close", &new)(error))?;
    file.sync_all().map_err(io_error("sync", &new))?;
    std::fs::rename(&new, path).map_err(io_error("rename", &new))?;
    sync_parent(path)
}

fn private_file(path: &Path, empty: bool) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(empty).mode(0o600);
    let file = options.open(path)?;
    file.set_permissions(Permissions::from_mode(0o600))?;
    Ok(file)
}

fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    // Nobody else opens the file, so that the index of the log needs no shared memory file.
    connection.pragma_update(None, "locking_mode", "EXCLUSIVE")?;
    // Neither the check of a damaged file nor the end of the daemon may shrink or remove the log.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    Ok(connection)
}

/// Opens a database that is there and checks it, without writing to it.
fn open_checked(path: &Path) -> Result<(Connection, usize), OpenError> {
    let file = private_file(path, false).map_err(io_error("open", path))?;
    let length = file.metadata().map_err(io_error("look at", path))?.len();
    // SQLite's locks on the file would end with any descriptor of it that is closed later.
    drop(file);
    let damaged =
        |detail: String| OpenError::Damaged { path: path.to_owned(), detail, copies: copies(path) };
    if length == 0 {
        // To SQLite that is a new database, whose log it would remove.
        return Err(damaged("it is empty".to_owned()));
    }
    let connection = connect(path).map_err(judge(path, "open"))?;
    let version = migrate::version(&connection).map_err(judge(path, "open"))?;
    if version == 0 {
        return Err(damaged("it has no schema".to_owned()));
    }
    let problem: String = connection
        .pragma_query_value(None, "integrity_check", |row| row.get(0))
        .map_err(judge(path, "check"))?;
    if problem != "ok" {
        return Err(damaged(problem.replace('\n', " ")));
    }
    Ok((connection, version))
}

/// Brings the log to its size. What follows its last valid frame is never read, zeros least.
fn extend_log(path: &Path) -> Result<File, OpenError> {
    let fill = || -> io::Result<File> {
        let mut file = private_file(path, false)?;
        let length = io::Seek::seek(&mut file, io::SeekFrom::End(0))?;
        let missing = LOG_BYTES.saturating_sub(length);
        // Written, not only reserved: else the first sync of each block has more to do.
        io::copy(&mut io::Read::take(io::repeat(0), missing), &mut file)?;
        file.sync_all()?;
        Ok(file)
    };
    let file = fill().map_err(io_error("extend", path))?;
    sync_parent(path)?;
    Ok(file)
}

fn configure(connection: &Connection) -> rusqlite::Result<()> {
    connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update_and_check(None, "journal_size_limit", -1, |_| Ok(()))?;
    connection.pragma_update_and_check(None, "wal_autocheckpoint", 0, |_| Ok(()))?;
    connection.set_prepared_statement_cache_capacity(8);
    connection.wal_hook(Some(|_, pages| {
        PAGES.set(u32::try_from(pages).unwrap_or(0));
        Ok(())
    }));
    Ok(())
}

fn read(connection: &Connection, path: &Path) -> Result<Contents, OpenError> {
    let damaged =
        |detail: String| OpenError::Damaged { path: path.to_owned(), detail, copies: copies(path) };
    let mut contents = Contents::default();
    let mut load = || -> rusqlite::Result<Result<(), OpenError>> {
        let counter = connection.query_row("SELECT revision FROM counter", [], |row| row.get(0))?;
        contents.revision = counter;
        let mut statement = connection.prepare("SELECT key, revision, json, sum FROM documents")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let (key, revision) = (row.get_ref(0)?.as_str()?, row.get(1)?);
            let Ok(key) = Key::parse(key) else {
                return Ok(Err(damaged(format!("it has a document at {key:?}, which is no key"))));
            };
            let json = row.get_ref(2)?.as_str()?;
            // There is none of what was written before there were sums.
            if row.get::<_, Option<i64>>(3)?.is_some_and(|known| known != sum(&key, revision, json))
            {
                return Ok(Err(damaged(format!("its document {key} is not what was written"))));
            }
            contents.revision = contents.revision.max(revision);
            contents.documents.insert(key, (revision, json.into()));
        }
        Ok(Ok(()))
    };
    load().map_err(judge(path, "read"))??;
    Ok(contents)
}

/// What a failure at the opening means: the file is damaged, unless the system has failed.
fn judge(path: &Path, step: &'static str) -> impl FnOnce(rusqlite::Error) -> OpenError {
    move |error| match error.sqlite_error_code() {
        Some(
            ErrorCode::SystemIoFailure
            | ErrorCode::CannotOpen
            | ErrorCode::OutOfMemory
            | ErrorCode::DiskFull
            | ErrorCode::PermissionDenied
            | ErrorCode::DatabaseBusy
            | ErrorCode::DatabaseLocked,
        ) => database_error(step, path)(error),
        _ => OpenError::Damaged {
            path: path.to_owned(),
            detail: error.to_string(),
            copies: copies(path),
        },
    }
}

/// Whether a failure may be want of room: of one that only a sync finds, or a quota, SQLite says no more than that
/// the sync or the write has failed.
fn may_be_full(error: &rusqlite::Error) -> bool {
    use rusqlite::ffi::{SQLITE_IOERR_FSYNC, SQLITE_IOERR_WRITE};
    let code = error.sqlite_error().map(|error| error.extended_code);
    error.sqlite_error_code() == Some(ErrorCode::DiskFull)
        || matches!(code, Some(SQLITE_IOERR_FSYNC | SQLITE_IOERR_WRITE))
}

#[cfg(test)]
mod tests;
