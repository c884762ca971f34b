//! The log: gone, cut off, flipped, another's.

use super::*;

/// A store with all of its documents in the file and the last ten in the log as well, as a daemon that was
/// killed leaves it.
fn killed(dir: &Path) -> Vec<(String, Vec<u8>)> {
    filled(dir, 60);
    let (mut database, _) = open(dir).unwrap();
    for revision in 61..=70 {
        let json = format!("\"{}\"", "y".repeat(500));
        database.write(&[batch(revision, &format!("/k/{revision}"), &json)]).unwrap();
    }
    drop(database);
    let read = |name: &str| (name.to_owned(), fs::read(dir.join(name)).unwrap());
    ["store.db", "store.db-wal"].map(read).into()
}

/// Puts the files into a folder of their own, one of them changed, and opens that.
fn opened_with(
    files: &[(String, Vec<u8>)],
    name: &str,
    change: impl FnOnce(&mut Vec<u8>),
) -> Result<usize, OpenError> {
    let dir = tempfile::tempdir().unwrap();
    let mut change = Some(change);
    for (file, bytes) in files {
        let mut bytes = bytes.clone();
        if let Some(change) = change.take_if(|_| file == name) {
            change(&mut bytes);
        }
        fs::write(dir.path().join(file), bytes).unwrap();
    }
    let (_, contents) = open(dir.path())?;
    for (key, (_, json)) in &contents.documents {
        let number: u64 = key.as_str()[3..].parse().unwrap();
        let letter = if number > 60 { "y" } else { "x" };
        assert_eq!(**json, *format!("\"{}\"", letter.repeat(500)), "{key}");
    }
    Ok(contents.documents.len())
}

#[test]
fn a_flipped_byte_loses_the_last_transaction_at_most_or_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let files = killed(dir.path());
    let (mut whole, mut refused) = (0, 0);
    for (name, bytes) in &files {
        let used = if name == "store.db" { bytes.len() } else { 25 * 4120 };
        // Every byte of the headers, and some of everything else.
        for at in (0..100).chain((100..used).step_by(509)) {
            match opened_with(&files, name, |bytes| bytes[at] ^= 0x15) {
                Ok(count) => {
                    assert!(count >= 69, "{name} at {at}: {count} documents");
                    whole += 1;
                }
                Err(error) => {
                    let text = error.to_string();
                    assert!(text.contains(name.as_str()), "{name} at {at}: {text}");
                    assert!(
                        text.contains("store.db-wal to") || text.contains("truncate"),
                        "{text}"
                    );
                    refused += 1;
                }
            }
        }
    }
    assert!(whole > 50 && refused > 50, "{whole} whole, {refused} refused");
}

#[test]
fn a_flipped_salt_loses_the_last_transaction_at_most_or_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let files = killed(dir.path());
    let (mut whole, mut refused) = (0, 0);
    for frame in 0..25 {
        for at in [8, 11, 12, 15] {
            let at = 32 + frame * 4120 + at;
            match opened_with(&files, "store.db-wal", |bytes| bytes[at] ^= 1) {
                Ok(count) => {
                    assert!(count >= 69, "salt at {at}: {count} documents");
                    whole += 1;
                }
                Err(error) => {
                    assert!(error.to_string().contains("would be lost"), "{error}");
                    refused += 1;
                }
            }
        }
    }
    assert!(whole > 4 && refused > 4 * 9, "{whole} whole, {refused} refused");
}

#[test]
fn a_commit_whose_only_bit_is_gone_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let (mut database, _) = open(dir.path()).unwrap();
    let pages = |database: &Database| -> u32 {
        database.connection.pragma_query_value(None, "page_count", |row| row.get(0)).unwrap()
    };
    let mut revisions = 1..;
    let mut write = |database: &mut Database, key: &str| {
        let json = format!("\"{}\"", "x".repeat(500));
        database.write(&[batch(revisions.next().unwrap(), key, &json)]).unwrap();
    };
    for number in 0.. {
        write(&mut database, &format!("/k/{number}"));
        if pages(&database) == 16 {
            break;
        }
    }
    for _ in 0..3 {
        write(&mut database, "/k/0");
    }
    drop(database);
    let path = dir.path().join("store.db-wal");
    let mut log = fs::read(&path).unwrap();
    let commits = (0..log.len() / 4120).map(|frame| 32 + frame * 4120 + 4);
    let last_but_one = commits.filter(|at| log[*at..*at + 4] == [0, 0, 0, 16]).nth_back(1).unwrap();
    log[last_but_one + 3] = 0;
    fs::write(&path, log).unwrap();
    let error = open(dir.path()).err().unwrap();
    assert!(error.to_string().contains("2 commits would be lost"), "{error}");
}

#[test]
fn a_log_that_is_gone_or_cut_off_is_told_and_the_remedy_helps() {
    let dir = tempfile::tempdir().unwrap();
    let files = killed(dir.path());
    for length in [0, 10, 4096, 40_000, 8_000_000] {
        let error =
            opened_with(&files, "store.db-wal", |bytes| bytes.truncate(length)).unwrap_err();
        let OpenError::Log { good, size, .. } = error else { panic!("{length}: {error}") };
        let mended = |bytes: &mut Vec<u8>| {
            bytes.truncate(length);
            bytes.truncate(good as usize);
            bytes.resize(size as usize, 0);
        };
        let count = opened_with(&files, "store.db-wal", mended).unwrap();
        assert!((60..=70).contains(&count), "{length}: {count}");
    }
    fs::remove_file(dir.path().join("store.db-wal")).unwrap();
    let error = open(dir.path()).err().unwrap();
    assert!(matches!(error, OpenError::Log { .. }), "{error}");
}

#[test]
fn a_database_with_the_log_of_another_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    killed(dir.path());
    let other = tempfile::tempdir().unwrap();
    create(&other.path().join("store.db"), &SCHEMA[..1]).unwrap();
    drop(open(other.path()).unwrap());
    let copy = other.path().join("store.db.before-v2");
    fs::copy(copy, dir.path().join("store.db")).unwrap();
    let error = open(dir.path()).err().unwrap();
    assert!(error.to_string().contains("belongs to another database"), "{error}");
}

#[test]
fn a_log_that_is_held_keeps_its_commits_and_nothing_of_a_crash_after_them() {
    let dir = tempfile::tempdir().unwrap();
    let (mut files, path) = (killed(dir.path()), dir.path().join("store.db-wal"));
    let log = &mut files[1].1;
    let salts = log[16..24].to_vec();
    let frames = (0..log.len() / 4120).map(|frame| 32 + frame * 4120);
    let mut frames = frames.rev();
    let last = frames.find(|at| log[at + 8..at + 16] == salts).unwrap();
    log[last + 100] ^= 1;
    fs::write(&path, &*log).unwrap();
    crate::log::hold(&File::options().read(true).write(true).open(&path).unwrap()).unwrap();
    let held = fs::read(&path).unwrap();
    let end = held.iter().rposition(|byte| *byte != 0).unwrap() + 1;
    assert!(held.len() == log.len() && end <= last && held[..end] == log[..end]);
    log.clone_from(&held);
    assert_eq!(opened_with(&files, "", |_| ()).unwrap(), 69);
}
