//! Which init system a guest has, and what follows from that.
//!
//! The decision is pure: [`detect`] gathers [`Facts`] from the guest's root, [`Facts::kind`] judges them,
//! and the table [`profile`] says how that kind is asked to stop and what it needs. What an init is called
//! decides first (the name that `/sbin/init` leads to), then what its binary says of itself; never which
//! signals it blocks, since openrc-init and dinit block systemd's as well.

pub(crate) mod detect;

use sc_agent_protocol::{CgroupView, InitKind};

use crate::stop::{First, StopMethod};

/// Signals by number, where the names differ from machine to machine only for the real-time ones.
const SIGUSR2: i32 = 12;
const SIGTERM: i32 = 15;
const SIGPWR: i32 = 30;
/// The first real-time signal that programs may use, as glibc counts.
const SIGRTMIN: i32 = 34;

/// The oldest systemd that runs on nothing but cgroup2.
const FIRST_UNIFIED_SYSTEMD: u32 = 230;

/// What is known of a guest's init before it runs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Facts {
    /// The last name of the path that the init leads to, links followed inside the root.
    pub name: String,
    /// Which of [`MARKS`] are in the binary.
    pub marks: Vec<&'static str>,
    /// The version of systemd's shared library, where there is one.
    pub systemd_version: Option<u32>,
}

/// What binaries say of themselves, the more telling first; needed where the name is just `init`.
///
/// Upstart's binary mentions its bus, SysV's its control file, busybox its banner, an s6-linux-init script
/// its program. systemd comes after upstart, whose binary has no reason to name it.
pub(crate) const MARKS: [(&str, InitKind); 9] = [
    ("com.ubuntu.Upstart", InitKind::Upstart),
    ("BusyBox v", InitKind::Busybox),
    ("s6-linux-init", InitKind::S6),
    ("s6-svscan", InitKind::S6),
    ("/org/freedesktop/systemd1", InitKind::Systemd),
    ("openrc-init", InitKind::OpenrcInit),
    ("/etc/runit/", InitKind::Runit),
    ("/etc/finit", InitKind::Finit),
    ("/etc/inittab", InitKind::SysvInit),
];

/// The names that inits are known by.
const NAMES: [(&str, InitKind); 14] = [
    ("systemd", InitKind::Systemd),
    ("upstart", InitKind::Upstart),
    ("sysvinit", InitKind::SysvInit),
    ("openrc-init", InitKind::OpenrcInit),
    ("runit", InitKind::Runit),
    ("runit-init", InitKind::Runit),
    ("busybox", InitKind::Busybox),
    ("busybox.nosuid", InitKind::Busybox),
    ("finit", InitKind::Finit),
    ("dinit", InitKind::Dinit),
    ("dinit-init", InitKind::Dinit),
    ("s6-svscan", InitKind::S6),
    ("s6-linux-init", InitKind::S6),
    ("s6-linux-init-maker", InitKind::S6),
];

impl Facts {
    /// Returns which init it is.
    pub(crate) fn kind(&self) -> InitKind {
        if let Some(kind) = kind_by_name(&self.name) {
            return kind;
        }
        let marked = MARKS.iter().find(|(mark, _)| self.marks.contains(mark));
        marked.map_or(InitKind::Other, |(_, kind)| *kind)
    }

    /// Returns which cgroup tree this init can use.
    pub(crate) fn cgroup_view(&self) -> CgroupView {
        // The shared library came with version 231; where it is missing systemd is older.
        let old = self.systemd_version.is_none_or(|version| version < FIRST_UNIFIED_SYSTEMD);
        match self.kind() {
            InitKind::Systemd if old => CgroupView::NamedSystemd,
            _ => CgroupView::Unified,
        }
    }
}

/// Returns the init known by this name.
pub(crate) fn kind_by_name(name: &str) -> Option<InitKind> {
    NAMES.iter().find(|(known, _)| *known == name).map(|(_, kind)| *kind)
}

/// Returns how this kind is asked to stop.
///
/// The command is for stock configurations that leave the signal without effect. Where an init heeds its
/// signal in every configuration there is none. SysV init has its command first: Debian's inittab, and most
/// others, calls a script on SIGPWR that is not there.
pub(crate) fn stop_method(kind: InitKind) -> StopMethod {
    let (signal, command): (i32, &[&str]) = match kind {
        InitKind::Systemd => (SIGRTMIN + 3, &[]),
        InitKind::Upstart => (SIGPWR, &["shutdown", "-h", "now"]),
        InitKind::SysvInit => (SIGPWR, &["telinit", "0"]),
        InitKind::OpenrcInit => (SIGPWR, &["openrc-shutdown", "--poweroff", "now"]),
        InitKind::Runit => (SIGPWR, &["runit-init", "0"]),
        InitKind::Busybox | InitKind::Finit => (SIGUSR2, &[]),
        InitKind::Dinit => (SIGTERM, &[]),
        InitKind::S6 => (SIGPWR, &["s6-linux-init-shutdown", "-p", "now"]),
        InitKind::Other => (SIGPWR, &["poweroff"]),
    };
    let first = if kind == InitKind::SysvInit { First::Command } else { First::Signal };
    StopMethod { signal, command: command.iter().map(|word| (*word).to_owned()).collect(), first }
}

/// Whether this kind wants a session of its own with the console as its controlling terminal. An init
/// proper finds neither, as after a real boot, so that a getty can take the console and ctrl-c there does
/// not mean init; a bare shell has no use without.
pub(crate) fn wants_controlling_terminal(kind: InitKind) -> bool {
    kind == InitKind::Other
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(name: &str) -> Facts {
        Facts { name: name.to_owned(), ..Facts::default() }
    }

    fn marked(marks: &[&'static str]) -> Facts {
        Facts { name: "init".to_owned(), marks: marks.to_vec(), systemd_version: None }
    }

    #[test]
    fn the_name_that_the_init_leads_to_decides_first() {
        for (name, kind) in [
            ("systemd", InitKind::Systemd),
            ("upstart", InitKind::Upstart),
            ("openrc-init", InitKind::OpenrcInit),
            ("runit-init", InitKind::Runit),
            ("busybox", InitKind::Busybox),
            ("finit", InitKind::Finit),
            ("dinit", InitKind::Dinit),
            ("s6-svscan", InitKind::S6),
            ("my-own", InitKind::Other),
        ] {
            assert_eq!(named(name).kind(), kind, "{name}");
        }
    }

    #[test]
    fn a_binary_called_init_is_told_by_what_it_says_of_itself() {
        assert_eq!(marked(&["com.ubuntu.Upstart"]).kind(), InitKind::Upstart);
        assert_eq!(marked(&["/etc/inittab"]).kind(), InitKind::SysvInit);
        assert_eq!(marked(&["BusyBox v", "/etc/inittab"]).kind(), InitKind::Busybox);
        assert_eq!(marked(&["/etc/finit", "/etc/inittab"]).kind(), InitKind::Finit);
        assert_eq!(marked(&["s6-linux-init"]).kind(), InitKind::S6);
        assert_eq!(marked(&[]).kind(), InitKind::Other);
    }

    #[test]
    fn every_init_is_stopped_by_the_signal_that_was_seen_to_stop_it() {
        for (kind, signal) in [
            (InitKind::Systemd, 37),
            (InitKind::Upstart, 30),
            (InitKind::SysvInit, 30),
            (InitKind::OpenrcInit, 30),
            (InitKind::Runit, 30),
            (InitKind::Busybox, 12),
            (InitKind::Finit, 12),
            (InitKind::Dinit, 15),
            (InitKind::S6, 30),
        ] {
            assert_eq!(stop_method(kind).signal, signal, "{kind:?}");
        }
    }

    #[test]
    fn inits_whose_stock_configuration_ignores_the_signal_have_a_command() {
        let sysv = stop_method(InitKind::SysvInit);
        assert_eq!((sysv.command.join(" ").as_str(), sysv.first), ("telinit 0", First::Command));
        for kind in [InitKind::OpenrcInit, InitKind::Runit, InitKind::Upstart, InitKind::S6] {
            assert!(!stop_method(kind).command.is_empty(), "{kind:?}");
        }
        for kind in [InitKind::Systemd, InitKind::Dinit, InitKind::Finit, InitKind::Busybox] {
            assert!(stop_method(kind).command.is_empty(), "{kind:?}");
        }
    }

    #[test]
    fn no_init_gets_the_signal_that_it_takes_for_a_reboot() {
        const SIGINT: i32 = 2;
        assert_ne!(stop_method(InitKind::Busybox).signal, SIGTERM);
        assert_ne!(stop_method(InitKind::SysvInit).signal, SIGINT);
        assert_ne!(stop_method(InitKind::S6).signal, SIGINT);
    }

    #[test]
    fn systemd_before_230_gets_a_named_hierarchy_and_all_others_cgroup2() {
        let systemd = |version| Facts { systemd_version: version, ..named("systemd") };
        // CentOS 7 has 219, Ubuntu 16.04 has 229: both without the shared library.
        assert_eq!(systemd(None).cgroup_view(), CgroupView::NamedSystemd);
        assert_eq!(systemd(Some(229)).cgroup_view(), CgroupView::NamedSystemd);
        for version in [237, 247, 252, 257] {
            assert_eq!(systemd(Some(version)).cgroup_view(), CgroupView::Unified);
        }
        assert_eq!(named("busybox").cgroup_view(), CgroupView::Unified);
        assert_eq!(marked(&["com.ubuntu.Upstart"]).cgroup_view(), CgroupView::Unified);
    }
}
