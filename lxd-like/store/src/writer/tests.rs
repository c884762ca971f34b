//! Groups: what one commit does to the others of its transaction.

use std::path::Path;

use super::*;
use crate::migrate::SCHEMA;

type Answer = oneshot::Receiver<Result<Revision, CommitError>>;

fn key(text: &str) -> Key {
    Key::parse(text).unwrap()
}

fn put(text: &str, json: &str) -> Change {
    Change::Put { key: key(text), json: json.into() }
}

fn request(guards: Vec<Guard>, changes: Vec<Change>) -> (Request, Answer) {
    let (answer, answered) = oneshot::channel();
    (Request { guards, changes, answer }, answered)
}

fn task(dir: &Path) -> Task {
    let (database, contents) = Database::open(dir, SCHEMA).unwrap();
    Task { database, index: Arc::new(Index::new(contents)), failure: None }
}

/// Commits requests as one group.
fn commit(
    task: &mut Task,
    requests: Vec<(Vec<Guard>, Vec<Change>)>,
) -> Vec<Result<Revision, CommitError>> {
    let (group, answers): (Vec<_>, Vec<_>) =
        requests.into_iter().map(|(guards, changes)| request(guards, changes)).unzip();
    task.commit_group(group);
    answers.into_iter().map(|mut answer| answer.try_recv().unwrap()).collect()
}

#[test]
fn a_conflict_fails_nobody_else_in_the_group() {
    let dir = tempfile::tempdir().unwrap();
    let mut task = task(dir.path());
    let absent = || vec![Guard::absent(key("/a"))];
    let outcomes = commit(
        &mut task,
        vec![
            (absent(), vec![put("/a", "1")]),
            (absent(), vec![put("/a", "2"), put("/lost", "2")]),
            (vec![Guard::at(key("/a"), Revision(1))], vec![put("/a", "3")]),
            (vec![Guard::at(key("/a"), Revision(1))], vec![put("/a", "4")]),
            (vec![], vec![Change::Delete { key: key("/a") }]),
            (absent(), vec![put("/b", "6")]),
            (absent(), vec![]),
        ],
    );
    let conflict = |outcome: &Result<_, _>| matches!(outcome, Err(CommitError::Conflict { key }) if key.as_str() == "/a");
    assert_eq!(*outcomes[0].as_ref().unwrap(), Revision(1));
    assert!(conflict(&outcomes[1]));
    assert_eq!(*outcomes[2].as_ref().unwrap(), Revision(2));
    assert!(conflict(&outcomes[3]));
    assert_eq!(*outcomes[4].as_ref().unwrap(), Revision(3));
    assert_eq!(*outcomes[5].as_ref().unwrap(), Revision(4));
    assert_eq!(*outcomes[6].as_ref().unwrap(), Revision(4));
    assert_eq!(task.index.list("/").len(), 1);
    drop(task);
    let (_database, contents) = Database::open(dir.path(), SCHEMA).unwrap();
    assert_eq!(contents.documents.keys().map(Key::as_str).collect::<Vec<_>>(), ["/b"]);
    assert_eq!(contents.revision, Revision(4));
}

#[test]
fn one_that_the_disk_has_no_room_for_fails_alone() {
    let dir = tempfile::tempdir().unwrap();
    let mut task = task(dir.path());
    task.database.limit_pages(2);
    let large = format!("\"{}\"", "x".repeat(100_000));
    let outcomes = commit(
        &mut task,
        vec![
            (vec![], vec![put("/a", "1")]),
            (vec![], vec![put("/large", &large)]),
            // It conflicts only if the large one happened, and so it does not.
            (vec![Guard::absent(key("/large"))], vec![put("/b", "2")]),
        ],
    );
    assert_eq!(*outcomes[0].as_ref().unwrap(), Revision(1));
    assert!(matches!(outcomes[1], Err(CommitError::NoSpace { .. })), "{outcomes:?}");
    assert_eq!(*outcomes[2].as_ref().unwrap(), Revision(2));
    let later = commit(&mut task, vec![(vec![], vec![put("/c", "3")])]);
    assert_eq!(*later[0].as_ref().unwrap(), Revision(3));
    drop(task);
    assert_eq!(Database::open(dir.path(), SCHEMA).unwrap().1.documents.len(), 3);
}

#[test]
fn a_store_whose_disk_failed_once_goes_on_and_says_that_nothing_was_changed() {
    let dir = tempfile::tempdir().unwrap();
    let mut task = task(dir.path());
    commit(&mut task, vec![(vec![], vec![put("/a", "1")])]);
    task.database.refuse_writes();
    let outcomes = commit(&mut task, vec![(vec![], vec![put("/b", "1")])]);
    let error = outcomes[0].as_ref().unwrap_err();
    assert!(matches!(error, CommitError::Undone { .. }), "{error}");
    assert!(error.to_string().contains("readonly"), "{error}");
    assert_eq!(task.index.list("/").len(), 1);
    let later = commit(&mut task, vec![(vec![], vec![put("/c", "3")])]);
    assert_eq!(*later[0].as_ref().unwrap(), Revision(2));
    drop(task);
    let (_database, contents) = Database::open(dir.path(), SCHEMA).unwrap();
    assert_eq!(contents.documents.keys().map(Key::as_str).collect::<Vec<_>>(), ["/a", "/c"]);
}

#[test]
fn a_transaction_that_failed_and_is_there_all_the_same_has_happened() {
    let dir = tempfile::tempdir().unwrap();
    let mut task = task(dir.path());
    let batch = Batch { revision: Revision(1), changes: vec![put("/a", "1")] };
    task.database.write(std::slice::from_ref(&batch)).unwrap();
    task.settle(&[batch], "its sync failed").unwrap();
    assert!(task.failure.is_none());
}

#[test]
fn a_store_that_cannot_be_opened_anew_takes_no_more_until_it_can() {
    let dir = tempfile::tempdir().unwrap();
    let mut task = task(dir.path());
    commit(&mut task, vec![(vec![], vec![put("/a", "1")])]);
    let (file, away) = (dir.path().join("store.db"), dir.path().join("away"));
    std::fs::rename(&file, &away).unwrap();
    task.database.refuse_writes();
    for _ in 0..2 {
        let outcomes = commit(&mut task, vec![(vec![], vec![put("/b", "1")])]);
        let error = outcomes[0].as_ref().unwrap_err();
        assert!(matches!(error, CommitError::Failed { .. }), "{error}");
        assert!(error.to_string().contains("store.db is not there"), "{error}");
    }
    std::fs::rename(&away, &file).unwrap();
    let outcomes = commit(&mut task, vec![(vec![], vec![put("/b", "1")])]);
    assert_eq!(*outcomes[0].as_ref().unwrap(), Revision(2));
}

#[test]
fn a_store_that_failed_takes_no_more_and_says_why() {
    let dir = tempfile::tempdir().unwrap();
    let mut task = task(dir.path());
    commit(&mut task, vec![(vec![], vec![put("/a", "1")])]);
    task.database.break_schema();
    for _ in 0..2 {
        let outcomes = commit(&mut task, vec![(vec![], vec![put("/b", "1")])]);
        let error = outcomes[0].as_ref().unwrap_err().to_string();
        assert!(error.contains("no such table"), "{error}");
    }
    assert_eq!(task.index.list("/").len(), 1);
}
