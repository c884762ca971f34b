//! A process that commits is killed again and again: whatever it was told was committed is there.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use sc_store::{Change, Guard, Key, Store};

/// The folder of the store that the child is to commit to.
const CHILD: &str = "SC_STORE_TEST_CHILD";

/// How many commit at once in the child.
const WRITERS: u64 = 4;

fn key(writer: u64, name: &str) -> Key {
    Key::from_segments(["writer", &writer.to_string(), name]).unwrap()
}

fn number(store: &Store, key: &Key) -> u64 {
    store.get(key).map_or(0, |found| found.json.trim_matches('"').trim().parse().unwrap())
}

/// Counts up in two documents at once, guarded, and says each number that was committed.
async fn count(store: Store, writer: u64) {
    let (left, right) = (key(writer, "left"), key(writer, "right"));
    loop {
        let next = number(&store, &left) + 1;
        let guard = match store.get(&left) {
            Some(found) => Guard::at(left.clone(), found.revision),
            None => Guard::absent(left.clone()),
        };
        let put = |key: &Key| {
            let padding = " ".repeat(usize::try_from(next % 7).unwrap() * 900);
            Change::Put { key: key.clone(), json: format!("\"{next}{padding}\"").into() }
        };
        store.commit(vec![guard], vec![put(&left), put(&right)]).await.unwrap();
        let mut out = std::io::stdout().lock();
        writeln!(out, "done {writer} {next}").and_then(|()| out.flush()).unwrap();
    }
}

/// Does nothing but in the process that the test below starts.
#[test]
fn child_that_commits() {
    let Some(dir) = std::env::var_os(CHILD) else { return };
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let store = Store::open(Path::new(&dir)).unwrap();
        let tasks = (0..WRITERS).map(|writer| tokio::spawn(count(store.clone(), writer)));
        for task in tasks.collect::<Vec<_>>() {
            task.await.unwrap();
        }
    });
}

/// Runs the child, kills it `after` its first commit, and returns the last number of each writer
/// that it said.
fn run_and_kill(dir: &Path, after: Duration) -> BTreeMap<u64, u64> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child_that_commits", "--nocapture"])
        .env(CHILD, dir)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let out = BufReader::new(child.stdout.take().unwrap());
    let (first, begun) = mpsc::channel();
    let reader = std::thread::spawn(move || {
        let mut last = BTreeMap::new();
        for line in out.lines() {
            let line = line.unwrap();
            // The harness prints the test's name before the first line, without ending its own.
            let Some((_, numbers)) = line.split_once("done ") else { continue };
            if let Some((writer, number)) = numbers.split_once(' ') {
                last.insert(writer.parse().unwrap(), number.parse().unwrap());
                let _ = first.send(());
            }
        }
        last
    });
    begun.recv_timeout(Duration::from_secs(60)).expect("the child commits");
    std::thread::sleep(after);
    child.kill().unwrap();
    child.wait().unwrap();
    reader.join().unwrap()
}

#[test]
fn no_acknowledged_commit_is_lost_when_the_process_is_killed() {
    let dir = tempfile::tempdir().unwrap();
    let mut before = [0; WRITERS as usize];
    for round in 0..20u64 {
        // 0 to 126 ms, in an order without a pattern.
        let acknowledged = run_and_kill(dir.path(), Duration::from_millis(round * 53 % 127));
        let store = Store::open(dir.path()).unwrap();
        for (writer, before) in (0..WRITERS).zip(&mut before) {
            let said = acknowledged.get(&writer).copied().unwrap_or(*before);
            let left = number(&store, &key(writer, "left"));
            let right = number(&store, &key(writer, "right"));
            let what = format!("round {round}, writer {writer}: said {said}, left {left}");
            assert!(left == said || left == said + 1, "{what}");
            assert_eq!(left, right, "{what}: half a commit");
            *before = left;
        }
    }
    assert!(before.iter().all(|count| *count > 50), "only {before:?} commits in all rounds");
}
