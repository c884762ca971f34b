//! The store against a plain map.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::path::Path;

use proptest::prelude::*;
use sc_store::{Change, CommitError, Guard, Key, Revision, Store};

/// Few keys, some of them beneath or beside others, so that guards meet changes.
const KEYS: [&str; 6] = ["/a", "/a/1", "/a/2", "/a0", "/b/1", "/b/1/2"];

#[derive(Debug, Clone)]
enum Step {
    Commit { guards: Vec<(usize, Wanted)>, changes: Vec<(usize, Option<u32>)> },
    Reopen,
}

#[derive(Debug, Clone, Copy)]
enum Wanted {
    /// As it is.
    Right,
    Absent,
    At(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let wanted = prop_oneof![
        6 => Just(Wanted::Right),
        1 => Just(Wanted::Absent),
        1 => (0..30u64).prop_map(Wanted::At),
    ];
    let guards = prop::collection::vec((0..KEYS.len(), wanted), 0..3);
    let changes = prop::collection::btree_map(0..KEYS.len(), any::<Option<u32>>(), 0..4);
    let changes = changes.prop_map(|changes| changes.into_iter().collect());
    let commit = (guards, changes).prop_map(|(guards, changes)| Step::Commit { guards, changes });
    prop_oneof![12 => commit, 1 => Just(Step::Reopen)]
}

#[derive(Default)]
struct Model {
    revision: u64,
    documents: BTreeMap<String, (u64, String)>,
}

impl Model {
    fn found(&self, key: &str) -> Option<u64> {
        self.documents.get(key).map(|(revision, _)| *revision)
    }

    fn beneath(&self, prefix: &str) -> Vec<(String, u64, String)> {
        let matches = self.documents.iter().filter(|(key, _)| key.starts_with(prefix));
        matches.map(|(key, (revision, json))| (key.clone(), *revision, json.clone())).collect()
    }

    fn guard(&self, index: usize, wanted: Wanted) -> Guard {
        let key = Key::parse(KEYS[index]).unwrap();
        match (wanted, self.found(KEYS[index])) {
            (Wanted::Right, Some(revision)) => Guard::at(key, Revision(revision)),
            (Wanted::Right, None) | (Wanted::Absent, _) => Guard::absent(key),
            (Wanted::At(revision), _) => Guard::at(key, Revision(revision)),
        }
    }

    /// What the commit must answer; it is made if that is a revision.
    fn commit(
        &mut self,
        guards: &[(usize, Wanted)],
        changes: &[(usize, Option<u32>)],
    ) -> Result<u64, String> {
        for (index, wanted) in guards {
            let found = self.found(KEYS[*index]);
            let holds = match wanted {
                Wanted::Right => true,
                Wanted::Absent => found.is_none(),
                Wanted::At(revision) => found == Some(*revision),
            };
            if !holds {
                return Err(KEYS[*index].to_owned());
            }
        }
        self.revision += u64::from(!changes.is_empty());
        for (index, value) in changes {
            let key = KEYS[*index].to_owned();
            match value {
                Some(value) => self.documents.insert(key, (self.revision, value.to_string())),
                None => self.documents.remove(&key),
            };
        }
        Ok(self.revision)
    }
}

fn change((index, value): &(usize, Option<u32>)) -> Change {
    let key = Key::parse(KEYS[*index]).unwrap();
    match value {
        Some(value) => Change::Put { key, json: value.to_string().into() },
        None => Change::Delete { key },
    }
}

fn listed(store: &Store, prefix: &str) -> Vec<(String, u64, String)> {
    let documents = store.list(prefix).documents;
    let row = |found: sc_store::Versioned| {
        (found.key.to_string(), found.revision.0, found.json.to_string())
    };
    documents.into_iter().map(row).collect()
}

async fn run(dir: &Path, steps: Vec<Step>) -> Result<(), TestCaseError> {
    let mut model = Model::default();
    let mut store = Store::open(dir).unwrap();
    let mut watch = store.watch(Revision(0)).unwrap();
    for step in steps {
        let Step::Commit { guards, changes } = step else {
            store.close().await;
            store = Store::open(dir).unwrap();
            watch = store.watch(store.revision()).unwrap();
            continue;
        };
        let asked = guards.iter().map(|(index, wanted)| model.guard(*index, *wanted)).collect();
        let batch = changes.iter().map(change).collect::<Vec<_>>();
        let expected = model.commit(&guards, &changes);
        match store.commit(asked, batch.clone()).await {
            Ok(revision) => prop_assert_eq!(Ok(revision.0), expected.clone()),
            Err(CommitError::Conflict { key }) => {
                prop_assert_eq!(Err(key.to_string()), expected.clone());
            }
            Err(error) => return Err(TestCaseError::fail(error.to_string())),
        }
        if let (Ok(revision), false) = (expected, batch.is_empty()) {
            let told = watch.next().await.unwrap();
            prop_assert_eq!((told.revision.0, &told.changes), (revision, &batch));
        }
        prop_assert_eq!(store.revision().0, model.revision);
        prop_assert_eq!(listed(&store, "/"), model.beneath("/"));
        prop_assert_eq!(listed(&store, "/a"), model.beneath("/a/"));
        prop_assert_eq!(listed(&store, "/b/1/"), model.beneath("/b/1/"));
        for key in KEYS {
            prop_assert_eq!(store.get(key).map(|found| found.revision.0), model.found(key));
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..Default::default() })]

    #[test]
    fn the_store_does_what_a_map_does(steps in prop::collection::vec(step(), 1..40)) {
        let dir = tempfile::tempdir().unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(run(dir.path(), steps))?;
    }
}
