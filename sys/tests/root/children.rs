//! Terminals in a guest's devpts, capabilities and descriptors of a child.

use std::os::fd::AsFd;

use sc_sys::caps::{self, Capability};
use sc_sys::mount::NewMount;
use sc_sys::namespace::Namespaces;
use sc_sys::process;
use sc_sys::pty::Pty;

use crate::{Test, in_child};

pub(crate) const TESTS: &[Test] = &[
    ("a_terminal_opens_in_a_devpts_of_its_own", terminal),
    ("a_child_gets_a_controlling_terminal", controlling_terminal),
    ("restricted_capabilities_do_not_come_back_by_exec", capabilities),
    ("a_child_gets_a_session_keyring_and_limits_of_its_own", attributes),
    ("no_program_gets_what_the_parent_left_open", inherited),
    ("the_default_filter_denies_its_list_and_nothing_else", filter),
];

fn inherited() {
    let null = std::fs::File::open("/dev/null").unwrap();
    in_child(Namespaces::empty(), || {
        let left = rustix::io::fcntl_dupfd_cloexec(&null, 251).unwrap();
        rustix::io::fcntl_setfd(&left, rustix::io::FdFlags::empty()).unwrap();
        let is_handed_on = || {
            let mut list = std::process::Command::new("ls");
            let listed = list.arg("/proc/self/fd").output().unwrap().stdout;
            String::from_utf8(listed).unwrap().lines().any(|line| line == "251")
        };
        assert!(is_handed_on());
        sc_sys::inherited::close_inherited_on_exec().unwrap();
        assert!(!is_handed_on());
    });
}

fn devpts() -> std::os::fd::OwnedFd {
    NewMount::new("devpts").flag("newinstance").option("ptmxmode", "0666").create().unwrap()
}

fn terminal() {
    let devpts = devpts();
    let first = Pty::open_in(&devpts).unwrap();
    let second = Pty::open_in(&devpts).unwrap();
    assert_eq!((first.number, second.number), (0, 1));
}

fn controlling_terminal() {
    let pty = Pty::open_in(devpts()).unwrap();
    in_child(Namespaces::empty(), || {
        process::become_session_leader().unwrap();
        process::set_controlling_terminal(pty.terminal.as_fd()).unwrap();
        assert!(std::fs::File::open("/dev/tty").is_ok());
    });
}

fn capabilities() {
    in_child(Namespaces::empty(), || {
        caps::restrict(&caps::DROPPED_BY_DEFAULT).unwrap();
        assert!(!caps::has(Capability::CAP_SYS_TIME));
        assert!(caps::has(Capability::CAP_SYS_ADMIN));
        let output = sc_sys::command::Runner::new("cat").arg("/proc/self/status").run().unwrap();
        let status = String::from_utf8(output.stdout).unwrap();
        let line = status.lines().find(|line| line.starts_with("CapEff:")).unwrap();
        let effective = u64::from_str_radix(line.split_whitespace().nth(1).unwrap(), 16).unwrap();
        for dropped in caps::DROPPED_BY_DEFAULT {
            assert_eq!(effective & dropped.bitmask(), 0, "{dropped}");
        }
    });
}

fn attributes() {
    use sc_sys::process::{Limit, Resource};
    in_child(Namespaces::NEWUTS, || {
        process::join_session_keyring().unwrap();
        process::set_oom_score_adjust(100).unwrap();
        process::set_umask(0o027);
        process::reset_affinity().unwrap();
        let limit = Limit { soft: Some(64), hard: Some(128) };
        process::set_limit(Resource::Nofile, limit).unwrap();
        process::raise_limit(Resource::Nofile).unwrap();
        assert_eq!(process::limits(Resource::Nofile).soft, Some(128));
        process::set_death_signal(process::DeathSignal::Kill).unwrap();
        process::no_new_privileges().unwrap();
    });
}

fn filter() {
    use rustix::io::Errno;
    use rustix::net::{AddressFamily, SocketType, socket};
    let program = sc_sys::seccomp::Policy::default().compile().unwrap();
    in_child(Namespaces::NEWNS, || {
        sc_sys::filter::install(&program).unwrap();
        let vsock = socket(AddressFamily::VSOCK, SocketType::STREAM, None);
        assert_eq!(vsock.unwrap_err(), Errno::AFNOSUPPORT);
        assert!(socket(AddressFamily::UNIX, SocketType::STREAM, None).is_ok());
        let force = rustix::mount::UnmountFlags::FORCE;
        assert_eq!(rustix::mount::unmount("/no/such", force), Err(Errno::ACCESS));
        let lazy = rustix::mount::UnmountFlags::DETACH;
        assert_eq!(rustix::mount::unmount("/no/such", lazy), Err(Errno::NOENT));
    });
}
