//! The file: made, found again, migrated, damaged.

mod log;

use std::fs;
use std::os::unix::fs::FileExt;

use super::*;
use crate::migrate::SCHEMA;

impl Database {
    /// Makes the disk full: no page more than there are now, and `more`.
    pub(crate) fn limit_pages(&self, more: u32) {
        let pages: u32 =
            self.connection.pragma_query_value(None, "page_count", |row| row.get(0)).unwrap();
        self.connection
            .pragma_update_and_check(None, "max_page_count", pages + more, |_| Ok(()))
            .unwrap();
    }

    /// Makes every later write over this connection fail, as a disk that fails does.
    pub(crate) fn refuse_writes(&self) {
        self.connection.pragma_update(None, "query_only", true).unwrap();
    }

    /// Makes every later write fail for a reason that is not a full disk.
    pub(crate) fn break_schema(&self) {
        self.connection.execute_batch("DROP TABLE documents").unwrap();
    }
}

fn batch(revision: u64, key: &str, json: &str) -> Batch {
    let key = Key::parse(key).unwrap();
    Batch { revision: Revision(revision), changes: vec![Change::Put { key, json: json.into() }] }
}

fn delete(revision: u64, key: &str) -> Batch {
    let key = Key::parse(key).unwrap();
    Batch { revision: Revision(revision), changes: vec![Change::Delete { key }] }
}

fn open(dir: &Path) -> Result<(Database, Contents), OpenError> {
    Database::open(dir, SCHEMA)
}

/// A store of `count` commits, all but the last few of them out of the log.
fn filled(dir: &Path, count: u64) {
    let (mut database, _) = open(dir).unwrap();
    for revision in 1..=count {
        let json = format!("\"{}\"", "x".repeat(500));
        database.write(&[batch(revision, &format!("/k/{revision}"), &json)]).unwrap();
        if revision + 5 == count {
            database.checkpoint().unwrap();
        }
    }
}

#[test]
fn what_was_written_is_found_again() {
    let dir = tempfile::tempdir().unwrap();
    let (mut database, contents) = open(dir.path()).unwrap();
    assert_eq!(contents.revision, Revision(0));
    database.write(&[batch(1, "/a", "1"), batch(2, "/b", "2"), batch(3, "/a", "3")]).unwrap();
    drop(database);
    let (_database, contents) = open(dir.path()).unwrap();
    assert_eq!(contents.revision, Revision(3));
    let documents = contents
        .documents
        .iter()
        .map(|(key, (revision, json))| (key.as_str().to_owned(), revision.0, json.to_string()));
    let expected = [("/a".to_owned(), 3, "3".to_owned()), ("/b".to_owned(), 2, "2".to_owned())];
    assert_eq!(documents.collect::<Vec<_>>(), expected);
}

#[test]
fn the_revision_survives_a_last_commit_of_deletions() {
    let dir = tempfile::tempdir().unwrap();
    let (mut database, _) = open(dir.path()).unwrap();
    database.write(&[batch(1, "/a", "1"), batch(2, "/b", "2"), delete(3, "/b")]).unwrap();
    drop(database);
    assert_eq!(open(dir.path()).unwrap().1.revision, Revision(3));
}

#[test]
fn only_the_owner_may_read_the_files() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path(), 3);
    fs::set_permissions(dir.path().join("store.db"), Permissions::from_mode(0o644)).unwrap();
    let _database = open(dir.path()).unwrap();
    let mut names = Vec::new();
    for entry in fs::read_dir(dir.path()).unwrap() {
        let entry = entry.unwrap();
        assert_eq!(entry.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{entry:?}");
        names.push(entry.file_name().into_string().unwrap());
    }
    names.sort();
    assert_eq!(names, ["store.db", "store.db-wal", "store.lock"]);
}

#[test]
fn the_log_keeps_its_size() {
    let dir = tempfile::tempdir().unwrap();
    let size = || fs::metadata(dir.path().join("store.db-wal")).unwrap().len();
    let (mut database, _) = open(dir.path()).unwrap();
    assert_eq!(size(), LOG_BYTES);
    let mut checkpoints = 0;
    for revision in 1..=3000 {
        database.write(&[batch(revision, "/a", &format!("\"{}\"", "x".repeat(3000)))]).unwrap();
        if database.log_fill() >= 1.0 {
            database.checkpoint().unwrap();
            checkpoints += 1;
        }
    }
    assert!(checkpoints > 0);
    assert!(size() < LOG_BYTES + 100_000, "{}", size());
    drop(database);
    assert!(size() >= LOG_BYTES);
    assert_eq!(open(dir.path()).unwrap().1.revision, Revision(3000));
}

#[test]
fn a_second_daemon_is_told_who_the_first_is() {
    let dir = tempfile::tempdir().unwrap();
    let first = open(dir.path()).unwrap();
    let error = open(dir.path()).err().unwrap();
    let text = error.to_string();
    assert!(matches!(error, OpenError::Held { .. }), "{text}");
    assert!(text.contains(&format!("pid {}", std::process::id())), "{text}");
    drop(first);
    open(dir.path()).unwrap();
}

#[test]
fn each_migration_leaves_a_copy_of_what_was_before() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path(), 20);
    let schema = [
        SCHEMA[0],
        SCHEMA[1],
        "ALTER TABLE documents ADD COLUMN second TEXT",
        "ALTER TABLE documents ADD COLUMN third TEXT",
    ];
    let (database, contents) = Database::open(dir.path(), &schema).unwrap();
    assert_eq!(migrate::version(&database.connection).unwrap(), 4);
    assert_eq!(contents.documents.len(), 20);
    drop(database);

    let copy = dir.path().join("store.db.before-v3");
    let four = dir.path().join("store.db.before-v4");
    assert_eq!(copies(&dir.path().join("store.db")), [four, copy.clone()]);
    assert_eq!(fs::metadata(&copy).unwrap().permissions().mode() & 0o777, 0o600);

    // The older software names the copy, and works with it in a folder of its own.
    let error = open(dir.path()).err().unwrap();
    assert!(matches!(error, OpenError::Newer { found: 4, known: 2, .. }), "{error}");
    assert!(error.to_string().contains("store.db.before-v3"), "{error}");
    let other = tempfile::tempdir().unwrap();
    fs::copy(&copy, other.path().join("store.db")).unwrap();
    assert_eq!(open(other.path()).unwrap().1.documents.len(), 20);
}

#[test]
fn a_failed_migration_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path(), 3);
    let schema =
        [SCHEMA[0], SCHEMA[1], "ALTER TABLE documents ADD COLUMN second TEXT; SELECT nonsense"];
    let error = Database::open(dir.path(), &schema).err().unwrap();
    assert!(matches!(error, OpenError::Migrate { version: 3, .. }), "{error}");
    assert_eq!(open(dir.path()).unwrap().1.documents.len(), 3);
    // A second attempt keeps the copy of the first.
    let _ = Database::open(dir.path(), &schema).err().unwrap();
    assert_eq!(copies(&dir.path().join("store.db")).len(), 2);
}

#[test]
fn a_truncated_file_is_named_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path(), 300);
    let path = dir.path().join("store.db");
    fs::write(dir.path().join("store.db.before-v1"), "").unwrap();
    let whole = fs::metadata(&path).unwrap().len();
    let log = fs::read(dir.path().join("store.db-wal")).unwrap();
    for length in [0, 10, 1000, 4096, whole / 2 / 4096 * 4096, whole / 2 + 100] {
        File::options().write(true).open(&path).unwrap().set_len(length).unwrap();
        let error = open(dir.path()).err().unwrap();
        let text = error.to_string();
        assert!(matches!(error, OpenError::Damaged { .. }), "{length}: {error:?}");
        assert!(text.contains(&path.display().to_string()), "{text}");
        assert!(text.contains("store.db.before-v1"), "{text}");
        assert_eq!(fs::metadata(&path).unwrap().len(), length);
        assert!(fs::read(dir.path().join("store.db-wal")).unwrap() == log);
        File::options().write(true).open(&path).unwrap().set_len(whole).unwrap();
    }
}

#[test]
fn garbage_in_the_file_is_damage() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path(), 300);
    let path = dir.path().join("store.db");
    let pages = fs::metadata(&path).unwrap().len() / PAGE_BYTES;
    let whole = fs::read(&path).unwrap();
    for page in 1..pages {
        let file = File::options().write(true).open(&path).unwrap();
        file.write_all_at(&[0xa5; 512], page * PAGE_BYTES).unwrap();
        // A page that the log has again may be damaged without harm: then all must be there.
        match open(dir.path()) {
            Err(error) => assert!(matches!(error, OpenError::Damaged { .. }), "{page}: {error}"),
            Ok((_, contents)) => assert_eq!(contents.documents.len(), 300, "{page}"),
        }
        file.write_all_at(&whole, 0).unwrap();
    }
}

#[test]
fn a_lost_file_is_not_begun_anew() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path(), 3);
    fs::remove_file(dir.path().join("store.db")).unwrap();
    let error = open(dir.path()).err().unwrap();
    assert!(matches!(error, OpenError::Missing { .. }), "{error}");
    fs::remove_file(dir.path().join("store.db-wal")).unwrap();
    assert_eq!(open(dir.path()).unwrap().1.documents.len(), 0);
}

#[test]
fn a_log_that_ends_anywhere_holds_the_commits_before() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path(), 5);
    let (mut database, _) = open(dir.path()).unwrap();
    database.checkpoint().unwrap();
    for revision in 6..=40 {
        database.write(&[batch(revision, &format!("/k/{revision}"), "1")]).unwrap();
    }
    drop(database);
    let used = 32 + u64::from(PAGES.get()) * (PAGE_BYTES + 24);
    let mut seen = std::collections::BTreeSet::new();
    for tenth in 0..=20 {
        let copy = tempfile::tempdir().unwrap();
        for name in ["store.db", "store.db-wal"] {
            fs::copy(dir.path().join(name), copy.path().join(name)).unwrap();
        }
        let end = used * tenth / 20;
        let log = File::options().write(true).open(copy.path().join("store.db-wal")).unwrap();
        let zeros = vec![0; usize::try_from(used - end).unwrap()];
        log.write_all_at(&zeros, end).unwrap();
        let (_database, contents) = open(copy.path()).unwrap();
        assert_eq!(contents.documents.len() as u64, contents.revision.0);
        seen.insert(contents.revision.0);
    }
    assert_eq!((seen.first(), seen.last()), (Some(&5), Some(&40)));
    assert!(seen.len() > 10, "{seen:?}");
}

#[test]
fn a_store_from_before_there_were_sums_is_migrated_with_a_copy_and_keeps_everything() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store.db");
    create(&path, &SCHEMA[..1]).unwrap();
    let old = "INSERT INTO documents VALUES ('/a', 1, '\"x\"')";
    Connection::open(&path).unwrap().execute_batch(old).unwrap();
    let (mut database, contents) = open(dir.path()).unwrap();
    assert_eq!(contents.documents.len(), 1);
    database.write(&[batch(2, "/b", "2")]).unwrap();
    drop(database);
    assert_eq!(open(dir.path()).unwrap().1.documents.len(), 2);
    let copy = Connection::open(dir.path().join("store.db.before-v2")).unwrap();
    let kept: i64 = copy.query_row("SELECT count(*) FROM documents", [], |row| row.get(0)).unwrap();
    assert_eq!(kept, 1);
}

#[test]
fn want_of_room_is_told_once_with_the_remedy() {
    let path = Path::new("/d/store.db");
    let full = rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(13), Some("full".into()));
    let texts = [
        database_error("copy the store to", path)(full),
        io_error("extend", path)(io::ErrorKind::StorageFull.into()),
    ];
    for error in texts {
        assert!(std::error::Error::source(&error).is_none());
        let text = error.to_string();
        assert!(
            text.ends_with("/d/store.db: no space left; make room on its file system"),
            "{text}"
        );
    }
}
