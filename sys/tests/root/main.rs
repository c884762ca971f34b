//! Tests of what needs root: namespaces, mounts, control groups.
//!
//! They run in a process with one thread, because they clone it; so the runner is this file. Arguments are
//! parts of names, as with `cargo test`.

#![allow(clippy::unwrap_used)]

mod cgroups;
mod children;
mod mounts;
mod namespaces;

/// A test: its name is a sentence, its failure a panic.
pub(crate) type Test = (&'static str, fn());

fn main() {
    if !rustix::process::geteuid().is_root() {
        println!("skipped: these tests need root");
        return;
    }
    let wanted: Vec<_> = std::env::args().skip(1).filter(|a| !a.starts_with('-')).collect();
    let tests = [namespaces::TESTS, mounts::TESTS, children::TESTS, cgroups::TESTS].concat();
    let mut failed = Vec::new();
    let chosen = |name: &str| wanted.is_empty() || wanted.iter().any(|part| name.contains(part));
    for (name, test) in tests.into_iter().filter(|(name, _)| chosen(name)) {
        let passed = std::panic::catch_unwind(test).is_ok();
        println!("test {name} ... {}", if passed { "ok" } else { "FAILED" });
        if !passed {
            failed.push(name);
        }
    }
    assert!(failed.is_empty(), "failed: {failed:?}");
}

/// Runs a body in a clone of the process and asserts that it ends well.
pub(crate) fn in_child(namespaces: sc_sys::namespace::Namespaces, body: impl FnOnce()) {
    use sc_sys::process::{CloneOptions, Exit, Wait, spawn_child};
    let options = CloneOptions { namespaces, ..CloneOptions::default() };
    let child = spawn_child(&options, || {
        body();
        std::process::exit(0)
    })
    .unwrap();
    assert_eq!(child.wait(Wait::Block).unwrap(), Some(Exit::Code(0)));
}
