//! A host's network of a test's own.
//!
//! ```text
//!   outside: 192.0.2.2, a server              the test's thread and all that it starts
//!            eth0 ───────────────── veth ──────────────── wan0, 192.0.2.1
//! ```
//!
//! The rules, routes and bridges in it are nobody else's, and go with the last process in it.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use sc_sys::namespace::{Namespaces, unshare};

/// What the server says to whoever connects.
const WORD: &str = "outside";

/// A network namespace that the calling thread is in, with a way out.
pub struct Host {
    /// Holds the namespace beyond the way out.
    server: Child,
    folder: tempfile::TempDir,
}

impl Host {
    /// The address beyond. Nobody there knows a way back to a guest's own address.
    pub const OUTSIDE: &str = "192.0.2.2";

    /// The server's port there.
    pub const PORT: &str = "7777";

    /// Runs a test on a thread in a network of its own.
    #[track_caller]
    pub fn run(test: impl FnOnce(&Self) + Send + 'static) {
        let thread = std::thread::spawn(|| {
            unshare(Namespaces::NEWNET).expect("root may make namespaces");
            test(&Self::with_a_way_out());
        });
        if let Err(panic) = thread.join() {
            std::panic::resume_unwind(panic);
        }
    }

    fn with_a_way_out() -> Self {
        let folder = tempfile::tempdir().expect("a scratch folder can be made");
        // The interface comes once the namespace is there.
        let mut server = Command::new("unshare");
        let line = format!(
            "until ip link set eth0 up 2>/dev/null; do sleep 0.05; done; ip addr add {}/24 dev eth0; \
             exec busybox nc -ll -p {} -e echo {WORD}",
            Self::OUTSIDE,
            Self::PORT
        );
        server.args(["--net", "sh", "-c", &line]);
        let server = server.stdin(Stdio::null()).spawn().expect("unshare of util-linux is there");
        let pid = server.id();
        let host = Self { server, folder };
        host.wait_apart(pid);
        // A new namespace takes after the first one, where daemons of other tests have turned it on.
        for forwarding in ["ipv4/ip_forward", "ipv6/conf/all/forwarding"] {
            std::fs::write(format!("/proc/sys/net/{forwarding}"), "0").expect("it is our own");
        }
        let veth = format!("link add wan0 type veth peer name eth0 netns {pid}");
        for line in ["link set lo up", &veth, "addr add 192.0.2.1/24 dev wan0", "link set wan0 up"]
        {
            host.run_program("ip", &line.split(' ').collect::<Vec<_>>());
        }
        host
    }

    /// Waits until a process has left this namespace.
    fn wait_apart(&self, pid: u32) {
        let net = |of: &str| std::fs::read_link(format!("/proc/{of}/ns/net")).ok();
        super::wait::eventually("a namespace", std::time::Duration::from_secs(10), || {
            let other = net(&pid.to_string())?;
            (other != net("thread-self")?).then_some(())
        });
    }

    /// Runs a program on this host and returns what it printed; panics if it failed.
    #[track_caller]
    pub fn run_program(&self, program: &str, args: &[&str]) -> String {
        let output = Command::new(program).args(args).stdin(Stdio::null()).output();
        let output = output.unwrap_or_else(|error| panic!("start {program}: {error}"));
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{program} {args:?}: {}: {told}", output.status);
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// The rules of a chain of iptables' table `filter`, with its policy as the first line.
    #[track_caller]
    pub fn chain(&self, name: &str) -> Vec<String> {
        let listed = self.run_program("iptables", &["-S", name]);
        listed.lines().map(str::to_owned).collect()
    }

    /// A folder for the test's own files.
    pub fn scratch(&self) -> &Path {
        self.folder.path()
    }

    /// What the server outside says.
    pub fn word(&self) -> &'static str {
        WORD
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}
