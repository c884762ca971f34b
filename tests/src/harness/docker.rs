//! A Docker beside the daemon under test, on a [`Host`] of the test's own.

use std::fs::File;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::host::Host;
use super::wait::eventually;

/// How long it may take to answer, or to end.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running `dockerd` with its own containerd and files of its own. It is in the network of the thread
/// that starts it.
pub struct Docker {
    folder: PathBuf,
    /// Its containers' control groups are below this, in every hierarchy.
    cgroup: String,
    child: Option<Child>,
}

impl Docker {
    /// Whether there is one on this machine; says so if not.
    pub fn is_installed() -> bool {
        let found = Command::new("dockerd").arg("--version").stdout(Stdio::null()).status().is_ok();
        if !found {
            eprintln!("skipped: dockerd is missing: install the package docker.io");
        }
        found
    }

    /// Starts it and waits until it answers.
    #[track_caller]
    pub fn start(host: &Host) -> Self {
        let folder = host.scratch().join("docker");
        std::fs::create_dir(&folder).expect("a scratch folder");
        let cgroup = format!("sct-docker-{}", std::process::id());
        let mut docker = Self { folder, cgroup, child: None };
        docker.run();
        docker
    }

    /// Ends it in order and starts it again.
    #[track_caller]
    pub fn restart(&mut self) {
        self.end();
        self.run();
    }

    #[track_caller]
    fn run(&mut self) {
        let at = |name: &str| self.folder.join(name).display().to_string();
        let log = File::options().create(true).append(true).open(self.folder.join("log"));
        let log = log.expect("a scratch file");
        // What it keeps in /run, whatever it is told, goes with it.
        let line = "mount -t tmpfs tmpfs /run && exec dockerd \"$@\"";
        let mut command = Command::new("unshare");
        command
            .args(["--mount", "--propagation", "private", "sh", "-c", line, "sh"])
            .args([
                "--storage-driver",
                "vfs",
                "--data-root",
                &at("data"),
                "--exec-root",
                &at("exec"),
            ])
            .args(["--pidfile", &at("pid"), "--host", &format!("unix://{}", at("socket"))])
            .args(["--cgroup-parent", &format!("/{}", self.cgroup)])
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a file can be shared"))
            .stderr(log);
        self.child = Some(command.spawn().expect("unshare of util-linux is there"));
        eventually("docker answers", PATIENCE, || {
            let child = self.child.as_mut().expect("it was just started");
            if let Some(status) = child.try_wait().expect("our own child") {
                panic!("dockerd ended at its start: {status}: {}", self.log());
            }
            self.command(&["info"]).output().is_ok_and(|asked| asked.status.success()).then_some(())
        });
    }

    /// Runs `docker` with these arguments and returns what it printed; panics if it failed.
    #[track_caller]
    pub fn ask(&self, args: &[&str]) -> String {
        let output = self.command(args).output().expect("docker is there where dockerd is");
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "docker {args:?}: {told}\n{}", self.log());
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new("docker");
        let socket = format!("unix://{}", self.folder.join("socket").display());
        command.args(["--host", &socket]).args(args).env("DOCKER_CONFIG", &self.folder);
        command.stdin(Stdio::null());
        command
    }

    #[track_caller]
    fn end(&mut self) {
        let Some(mut child) = self.child.take() else { return };
        let pid = rustix::process::Pid::from_child(&child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("our own child");
        eventually("docker ends", PATIENCE, || child.try_wait().expect("our own child"));
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }
}

impl Drop for Docker {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- dockerd's log\n{}", self.log());
            // Its containerd is set to die with it.
            if let Some(mut child) = self.child.take() {
                let _ = child.kill();
                let _ = child.wait();
            }
        }
        self.end();
        // It leaves them empty.
        for hierarchy in std::fs::read_dir("/sys/fs/cgroup").into_iter().flatten().flatten() {
            let _ = std::fs::remove_dir(hierarchy.path().join(&self.cgroup));
        }
        let _ = std::fs::remove_dir(format!("/sys/fs/cgroup/{}", self.cgroup));
    }
}
