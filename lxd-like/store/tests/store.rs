//! The verbs and what stands on them.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use sc_api::ErrorKind;
use sc_store::{
    Change, CommitError, Doc, Document, Draft, Guard, Journal, Key, MAX_BYTES, MAX_CHANGES,
    Revision, Steps, Store,
};
use serde::{Deserialize, Serialize};

fn key(text: &str) -> Key {
    Key::parse(text).unwrap()
}

fn put(text: &str, json: &str) -> Change {
    Change::Put { key: key(text), json: json.into() }
}

fn open() -> (tempfile::TempDir, Store) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&dir.path().join("database")).unwrap();
    (dir, store)
}

#[tokio::test]
async fn what_is_too_much_is_refused_and_not_written() {
    let (_dir, store) = open();
    let many = |count| (0..count).map(|n| put(&format!("/k/{n}"), "1")).collect::<Vec<_>>();
    store.commit(vec![], many(MAX_CHANGES)).await.unwrap();
    let error = store.commit(vec![], many(MAX_CHANGES + 1)).await.unwrap_err();
    assert_eq!(error.to_string(), "a commit with 129 changes: at most 128 are possible");

    let large = |bytes| put("/large", &format!("\"{}\"", "x".repeat(bytes - "/large".len() - 2)));
    store.commit(vec![], vec![large(MAX_BYTES)]).await.unwrap();
    let error = store.commit(vec![], vec![large(MAX_BYTES + 1)]).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "too much to be kept at once: 1500001 bytes, and 1500000 are the most"
    );
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert_eq!(store.revision(), Revision(2));
}

#[tokio::test]
async fn what_makes_no_sense_is_refused() {
    let (_dir, store) = open();
    let twice = vec![put("/a", "1"), Change::Delete { key: key("/a") }];
    let error = store.commit(vec![], twice).await.unwrap_err();
    assert!(matches!(error, CommitError::Twice { .. }), "{error}");
    let error = store.commit(vec![], vec![put("/a", "{")]).await.unwrap_err();
    assert!(matches!(error, CommitError::NotJson { .. }), "{error}");
    assert_eq!(store.revision(), Revision(0));
}

#[tokio::test]
async fn a_lock_that_a_dead_daemons_child_holds_until_its_exec_is_waited_for() {
    let (dir, store) = open();
    store.close().await;
    let path = dir.path().join("database");
    let held = std::fs::File::open(path.join("store.lock")).unwrap();
    held.lock().unwrap();
    let child = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(100));
        drop(held);
    });
    let _store = Store::open(&path).unwrap();
    child.join().unwrap();
    let error = Store::open(&path).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
}

#[tokio::test]
async fn a_closed_store_says_so_and_gives_its_folder_back() {
    let (dir, store) = open();
    let other = store.clone();
    store.commit(vec![], vec![put("/a", "1")]).await.unwrap();
    store.close().await;
    let again = Store::open(&dir.path().join("database")).unwrap();
    let error = other.commit(vec![], vec![]).await.unwrap_err();
    assert!(matches!(error, CommitError::Closed), "{error}");
    assert_eq!(again.get("/a"), other.get("/a"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watch_tells_every_commit_once_and_in_order() {
    let (_dir, store) = open();
    let mut watch = store.watch(Revision(0)).unwrap();
    let writers = (0..8u32).map(|writer| {
        let store = store.clone();
        tokio::spawn(async move {
            for n in 0..50 {
                let change = put(&format!("/w/{writer}"), &n.to_string());
                store.commit(vec![], vec![change]).await.unwrap();
            }
        })
    });
    let writers = writers.collect::<Vec<_>>();
    let mut next = [0; 8];
    for revision in 1..=400 {
        let next_batch = tokio::time::timeout(Duration::from_secs(30), watch.next());
        let batch = next_batch.await.expect("a commit wakes the watch").unwrap();
        assert_eq!(batch.revision, Revision(revision));
        let [Change::Put { key, json }] = &batch.changes[..] else { panic!("{batch:?}") };
        let writer = key.segments().nth(1).unwrap().parse::<usize>().unwrap();
        assert_eq!(json.parse::<u32>().unwrap(), next[writer]);
        next[writer] += 1;
    }
    for writer in writers {
        writer.await.unwrap();
    }
    assert!(tokio::time::timeout(Duration::from_millis(20), watch.next()).await.is_err());
    assert_eq!(watch.position(), Revision(400));
}

#[tokio::test]
async fn a_watch_of_what_is_no_longer_known_says_so() {
    let (dir, store) = open();
    let mut slow = store.watch(Revision(0)).unwrap();
    let large = format!("\"{}\"", "x".repeat(1_400_000));
    for _ in 0..14 {
        store.commit(vec![], vec![put("/a", &large)]).await.unwrap();
    }
    let compacted = slow.next().await.unwrap_err();
    assert!(compacted.oldest > Revision(0) && compacted.newest == Revision(14), "{compacted}");
    store.watch(compacted.oldest).unwrap().next().await.unwrap();
    assert!(store.watch(Revision(15)).is_err());
    store.close().await;
    let store = Store::open(&dir.path().join("database")).unwrap();
    assert!(store.watch(Revision(13)).is_err());
    assert!(store.watch(store.list("/").revision).is_ok());
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Pet {
    name: String,
    mac: String,
}

impl Document for Pet {
    const PREFIX: &'static str = "/pets";
    const VERSION: u32 = 1;
    fn id(&self) -> Vec<String> {
        vec!["default".into(), self.name.clone()]
    }
}

fn pet(name: &str) -> Pet {
    Pet { name: name.into(), mac: "00:16:3e:00:00:01".into() }
}

async fn create(store: &Store, pet: &Pet) -> Result<Revision, CommitError> {
    let mut draft = Draft::new();
    draft.create(pet).unwrap();
    store.apply(draft).await
}

#[tokio::test]
async fn a_document_is_replaced_only_as_it_was_read() {
    let (_dir, store) = open();
    create(&store, &pet("rex")).await.unwrap();
    let read = || store.get_doc::<Pet>(&["default", "rex"]).unwrap().unwrap();
    let (first, second) = (read(), read());
    let replace = |old: &Doc<Pet>, new: &Pet| {
        let mut draft = Draft::new();
        draft.replace(old, new).unwrap();
        draft
    };
    let changed = Pet { mac: String::new(), ..pet("rex") };
    store.apply(replace(&first, &changed)).await.unwrap();
    let error = store.apply(replace(&second, &changed)).await.unwrap_err();
    assert!(matches!(error, CommitError::Conflict { .. }), "{error}");
    // Another id: it moves.
    store.apply(replace(&read(), &pet("tom"))).await.unwrap();
    let pets = store.list_docs::<Pet>(&["default"]).unwrap();
    assert_eq!(pets.into_iter().map(|pet| pet.value).collect::<Vec<_>>(), [pet("tom")]);
    assert!(store.list_docs::<Pet>(&["other"]).unwrap().is_empty());
    assert_eq!(store.list_docs::<Pet>(&[]).unwrap().len(), 1);
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "intent", rename_all = "snake_case")]
enum Intent {
    Create { name: String },
    Delete { name: String },
}

#[tokio::test]
async fn the_journal_is_changed_with_the_documents_and_outlives_the_process() {
    let (dir, store) = open();
    let journal = Journal::new(store.clone());
    let intent = Intent::Create { name: "rex".into() };
    let (id, begin) = journal.begin_change(&intent).unwrap();
    let mut draft = Draft::new();
    draft.create(&pet("rex")).unwrap().change(begin.clone());
    store.apply(draft).await.unwrap();
    // The same again conflicts as a whole: no intent without its document.
    let (_, other) = journal.begin_change(&intent).unwrap();
    let mut draft = Draft::new();
    draft.create(&pet("rex")).unwrap().change(other);
    store.apply(draft).await.unwrap_err();
    let later = journal.begin(&Intent::Delete { name: "tom".into() }).await.unwrap();
    drop(journal);
    store.close().await;

    let store = Store::open(&dir.path().join("database")).unwrap();
    let journal = Journal::<Intent>::new(store.clone());
    let expected = [(id, intent.clone()), (later, Intent::Delete { name: "tom".into() })];
    assert_eq!(journal.pending().unwrap(), expected);
    let third = journal.begin(&intent).await.unwrap();
    assert!(third > later);
    for id in [id, later, third] {
        journal.clear(id).await.unwrap();
    }
    assert!(journal.pending().unwrap().is_empty());
}

#[tokio::test]
async fn an_intent_that_cannot_be_read_is_not_passed_over() {
    let (_dir, store) = open();
    let json = r#"{"version":1,"document":{"intent":{"intent":"unheard_of"},"steps":[]}}"#;
    store.commit(vec![], vec![put("/journal/00000000000000000007", json)]).await.unwrap();
    let error = Journal::<Intent>::new(store).pending().unwrap_err();
    assert!(error.to_string().contains("/journal/00000000000000000007"), "{error}");
}

#[tokio::test]
async fn a_guard_sees_what_was_committed_a_moment_before() {
    let (_dir, store) = open();
    let revision = store.commit(vec![], vec![put("/a", "1")]).await.unwrap();
    assert_eq!(store.get("/a").unwrap().revision, revision);
    let at = |revision| vec![Guard::at(key("/a"), revision)];
    assert_eq!(store.commit(at(revision), vec![]).await.unwrap(), revision);
    store.commit(at(revision), vec![Change::Delete { key: key("/a") }]).await.unwrap();
    let error = store.commit(at(revision), vec![]).await.unwrap_err();
    assert_eq!(error.to_string(), "/a was changed meanwhile");
    // A deletion of what is not there is a commit like any other.
    let gone = store.commit(vec![], vec![Change::Delete { key: key("/a") }]).await.unwrap();
    assert_eq!(gone, Revision(revision.0 + 2));
}

#[test]
fn an_operation_is_failed_at_each_step_in_turn() {
    fn launch(steps: &Steps) -> Result<(), sc_store::Injected> {
        let operation = steps.operation("launch");
        ["record written", "volume made", "agent started"]
            .iter()
            .try_for_each(|step| operation.reach(step))
    }
    let mut failed = Vec::new();
    for n in 1.. {
        let steps = Steps::planned(&format!("fail@launch:{n}"), Box::new(|| ())).unwrap();
        match launch(&steps) {
            Err(injected) => failed.push(injected.step),
            Ok(()) => break,
        }
    }
    assert_eq!(failed, ["record written", "volume made", "agent started"]);
}
