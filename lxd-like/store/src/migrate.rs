//! The schema and its versions. Before each migration the whole database is copied.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rusqlite::Connection;
use rusqlite_migration::{M, Migrations};

use crate::error::{OpenError, database_error, io_error};

/// What leads from each version to the next; the first makes the schema. Never edited, only
/// added to.
pub(crate) const SCHEMA: &[&str] = &[
    // A rowid table, since then a document of up to a page is one page to write. `counter` holds
    // the newest revision where no document does, because the newest commit was deletions.
    "CREATE TABLE documents (
         key TEXT NOT NULL PRIMARY KEY,
         revision INTEGER NOT NULL,
         json TEXT NOT NULL
     ) STRICT;
     CREATE TABLE counter (
         id INTEGER PRIMARY KEY CHECK (id = 1),
         revision INTEGER NOT NULL
     ) STRICT;
     INSERT INTO counter VALUES (1, 0);",
    // SQLite has no sums of pages: a byte that was flipped in a document would be believed.
    "ALTER TABLE documents ADD COLUMN sum INTEGER;",
];

fn migrations<'a>(schema: &[&'a str]) -> Migrations<'a> {
    Migrations::new(schema.iter().map(|sql| M::up(sql)).collect())
}

/// The version of an open database; 0 has no schema.
pub(crate) fn version(connection: &Connection) -> rusqlite::Result<usize> {
    let version: u32 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    Ok(version as usize)
}

/// Gives a new database its schema.
pub(crate) fn create(
    connection: &mut Connection,
    schema: &[&str],
) -> Result<(), rusqlite_migration::Error> {
    migrations(schema).to_latest(connection)
}

/// Brings the database at `path` to the newest version, one by one, with a copy before each.
pub(crate) fn migrate(
    connection: &mut Connection,
    path: &Path,
    found: usize,
    schema: &[&str],
) -> Result<(), OpenError> {
    for version in found + 1..=schema.len() {
        let copy = copy_before(connection, path, version)?;
        tracing::info!(version, copy = %copy.display(), "migrating the store");
        migrations(schema).to_version(connection, version).map_err(|source| {
            OpenError::Migrate { path: path.to_owned(), version, source: source.into() }
        })?;
    }
    Ok(())
}

/// Copies the database to `<path>.before-v<version>`, durably. A copy of that name that is there
/// already is kept under another.
fn copy_before(connection: &Connection, path: &Path, version: usize) -> Result<PathBuf, OpenError> {
    let copy = suffixed(path, &format!(".before-v{version}"));
    let part = suffixed(&copy, ".part");
    // SQLite writes into an empty file as into a new one; making it first gives it its mode.
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    let file = options.open(&part).map_err(io_error("create", &part))?;
    connection
        .execute("VACUUM INTO ?1", [part.to_string_lossy()])
        .map_err(database_error("copy the store to", &part))?;
    file.sync_all().map_err(io_error("sync", &part))?;
    if copy.exists() {
        let kept = unused(&copy);
        std::fs::rename(&copy, &kept).map_err(io_error("rename", &copy))?;
    }
    std::fs::rename(&part, &copy).map_err(io_error("rename", &part))?;
    sync_parent(path)?;
    Ok(copy)
}

/// The copies that were made of the database at `path`, newest first.
pub(crate) fn copies(path: &Path) -> Vec<PathBuf> {
    let stem = suffixed(path, ".before-v");
    let stem = stem.file_name().map(|name| name.to_string_lossy().into_owned());
    let (Some(dir), Some(stem)) = (path.parent(), stem) else { return Vec::new() };
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    let mut copies = entries
        .filter(|entry| {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            name.starts_with(&stem) && !name.ends_with(".part")
        })
        .map(|entry| (entry.metadata().and_then(|data| data.modified()).ok(), entry.path()))
        .collect::<Vec<_>>();
    copies.sort();
    copies.into_iter().rev().map(|(_, path)| path).collect()
}

/// Makes the names in the folder of `path` durable.
pub(crate) fn sync_parent(path: &Path) -> Result<(), OpenError> {
    let dir = path.parent().unwrap_or(Path::new("."));
    let synced = std::fs::File::open(dir).and_then(|dir| dir.sync_all());
    synced.map_err(|source| OpenError::Io { step: "sync", path: dir.to_owned(), source })
}

/// `path` with `suffix` after its last component.
pub(crate) fn suffixed(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

fn unused(path: &Path) -> PathBuf {
    (1u32..)
        .map(|number| suffixed(path, &format!(".{number}")))
        .find(|candidate| !candidate.exists())
        .expect("some number is free")
}
