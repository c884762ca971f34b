//! User namespaces and what a child is born with.

use std::os::fd::AsFd;

use sc_sys::idmap::IdRange;
use sc_sys::namespace::{self, Namespaces, UserNamespace};
use sc_sys::process::{self, CloneOptions, Exit, Wait, spawn_child};

use crate::{Test, in_child};

pub(crate) const BASE: u32 = 0x7ABC_0000;

pub(crate) const TESTS: &[Test] = &[
    ("a_user_namespace_is_owned_by_the_base_id", owned_by_base),
    ("user_namespaces_are_made_by_many_threads_at_once", many_threads),
    ("a_map_that_the_kernel_refuses_is_an_error_and_leaves_no_process", refused_map),
    ("inside_a_user_namespace_the_base_id_is_root", base_is_root),
    ("a_child_that_panics_does_not_unwind_into_its_parent", panicking_child),
    ("several_threads_forbid_a_clone", threads_forbid_clone),
    ("a_killed_child_tells_its_signal", killed_child),
];

pub(crate) fn userns() -> UserNamespace {
    UserNamespace::create(IdRange::new(BASE, 65_536).unwrap()).unwrap()
}

fn owned_by_base() {
    assert_eq!(namespace::owner_uid(userns()).unwrap(), BASE);
    // Making one has not cost this process its own ids or its dumpable state.
    assert!(rustix::process::geteuid().is_root());
    let dumpable = rustix::process::dumpable_behavior().unwrap();
    assert_eq!(dumpable, rustix::process::DumpableBehavior::Dumpable);
}

fn many_threads() {
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|number| {
                scope.spawn(move || {
                    let range = IdRange::new(BASE + number * 65_536, 65_536).unwrap();
                    let userns = UserNamespace::create(range).unwrap();
                    assert_eq!(namespace::owner_uid(userns).unwrap(), range.start());
                })
            })
            .collect();
        for thread in threads {
            thread.join().unwrap();
        }
    });
}

fn refused_map() {
    // The id of nobody at all.
    let range = IdRange::new(4_294_967_294, 1).unwrap();
    // Whether the kernel takes this map or not, no maker may be left.
    let _ = UserNamespace::create(range);
    assert_eq!(process::reap_any().unwrap(), None);
    let children = std::fs::read_to_string("/proc/thread-self/children").unwrap_or_default();
    assert_eq!(children.trim(), "");
}

fn base_is_root() {
    let userns = userns();
    in_child(Namespaces::empty(), || {
        namespace::enter(&userns, Namespaces::NEWUSER).unwrap();
        process::set_gid_uid(0, 0, Some(&[])).unwrap();
        let map = std::fs::read_to_string("/proc/self/uid_map").unwrap();
        let fields: Vec<_> = map.split_whitespace().collect();
        assert_eq!(fields, ["0", &BASE.to_string(), "65536"]);
        namespace::unshare(Namespaces::NEWUTS).unwrap();
        process::set_host_name("inside").unwrap();
    });
}

fn panicking_child() {
    let child = spawn_child(&CloneOptions::default(), || {
        std::panic::set_hook(Box::new(|_| {}));
        panic!("on purpose")
    })
    .unwrap();
    assert_eq!(child.wait(Wait::Block).unwrap(), Some(Exit::Code(101)));
}

fn threads_forbid_clone() {
    let (tell, told) = std::sync::mpsc::channel::<()>();
    let thread = std::thread::spawn(move || told.recv());
    let error = spawn_child(&CloneOptions::default(), || std::process::exit(0)).unwrap_err();
    assert!(error.is(libc::EBUSY));
    drop(tell);
    thread.join().unwrap().unwrap_err();
    // The kernel's count lags behind the join by a moment.
    while !process::fork_safe().unwrap() {
        std::thread::yield_now();
    }
}

fn killed_child() {
    let child = spawn_child(&CloneOptions::default(), || {
        loop {
            std::thread::sleep(std::time::Duration::from_secs(60));
        }
    })
    .unwrap();
    assert_eq!(child.wait(Wait::Poll).unwrap(), None);
    process::send_signal(child.pidfd().as_fd(), libc::SIGTERM).unwrap();
    assert_eq!(child.wait(Wait::Block).unwrap(), Some(Exit::Signal(libc::SIGTERM)));
}
