//! Measures commits of 4 KB documents in a folder given as the argument: one client alone, and
//! eight at once. `cargo run --release -p sc-store --example measure -- /var/tmp/store`

use std::path::Path;
use std::time::{Duration, Instant};

use sc_store::{Change, Key, Store};

const ALONE: usize = 3000;
const CLIENTS: usize = 8;
const EACH: usize = 3000;

fn put(client: usize, n: usize) -> Change {
    let key = Key::from_segments(["measure", &client.to_string(), &(n % 100).to_string()]);
    let json = format!("\"{n:04000}\"");
    Change::Put { key: key.expect("a key of digits"), json: json.into() }
}

async fn commits(store: Store, client: usize, count: usize) -> Vec<Duration> {
    let mut times = Vec::with_capacity(count);
    for n in 0..count {
        let begin = Instant::now();
        store.commit(vec![], vec![put(client, n)]).await.expect("the commit is made");
        times.push(begin.elapsed());
    }
    times
}

fn report(what: &str, mut times: Vec<Duration>, whole: Duration) {
    times.sort();
    let at = |share: usize| times[times.len() * share / 1000].as_micros();
    let rate = times.len() as f64 / whole.as_secs_f64();
    let (median, high, last) = (at(500), at(990), at(999));
    println!("{what}: p50 {median} µs, p99 {high} µs, p99.9 {last} µs, {rate:.0} commits a second");
}

fn main() {
    let dir = std::env::args().nth(1).expect("the argument is a folder for the store");
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .build()
        .expect("a runtime starts");
    runtime.block_on(async {
        let store = Store::open(Path::new(&dir)).expect("the store opens");
        let begin = Instant::now();
        let times = commits(store.clone(), 0, ALONE).await;
        report("one client", times, begin.elapsed());
        let begin = Instant::now();
        let clients = (0..CLIENTS).map(|client| tokio::spawn(commits(store.clone(), client, EACH)));
        let mut times = Vec::new();
        for client in clients.collect::<Vec<_>>() {
            times.extend(client.await.expect("no client panics"));
        }
        report("eight clients", times, begin.elapsed());
        store.close().await;
    });
}
