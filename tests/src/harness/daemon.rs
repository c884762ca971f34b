//! One daemon in a directory of its own.

use std::ffi::OsStr;
use std::fs::File;
use std::future::Future;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use sc_client::Client;
use serde_json::Value;

use super::begun::Begun;
use super::boots::Boots;
use super::caller::Caller;
use super::clean::clean_up;
use super::disk::Disk;
use super::programs::program;
use super::ran::Ran;
use super::wait::eventually;
use crate::guests::run;

/// How long a daemon may take to answer.
pub(super) const READY: Duration = Duration::from_secs(60);

/// How much of a log a failure shows.
const LOG_TAIL: usize = 60;

/// How a daemon is started.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Faults to run into, such as `kill@start:agent`.
    pub fault: Option<String>,
    /// Further arguments.
    pub args: Vec<String>,
    /// Further variables of its environment.
    pub environment: Vec<(String, String)>,
    /// What its `SC_DIR` lies on.
    pub disk: DiskKind,
}

/// What the daemon's `SC_DIR` lies on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum DiskKind {
    /// The disk of the host.
    #[default]
    Shared,
    /// A disk of its own, for [`Daemon::cut_power`].
    Own,
    /// A disk of so many MiB, to be filled.
    Small(u64),
}

/// A running `scd`, or one that was killed. Dropping it takes away all that it made.
pub struct Daemon {
    /// Goes before the folder that it is in.
    pub(super) disk: Option<Disk>,
    folder: tempfile::TempDir,
    pub(super) child: Option<Child>,
    pub(super) options: Options,
    pub(super) boots: Boots,
    runtime: tokio::runtime::Runtime,
}

impl Daemon {
    /// Starts a daemon and waits until it answers.
    #[track_caller]
    pub fn start() -> Self {
        Self::start_with(Options::default())
    }

    /// Starts a daemon that runs into a fault.
    #[track_caller]
    pub fn with_fault(fault: &str) -> Self {
        Self::start_with(Options { fault: Some(fault.into()), ..Options::default() })
    }

    /// Starts a daemon and waits until it answers.
    #[track_caller]
    pub fn start_with(options: Options) -> Self {
        assert!(rustix::process::geteuid().is_root(), "the end-to-end tests need root");
        // Short, as the paths of sockets are; open to others, so that they are kept out by scd.
        let folder = tempfile::Builder::new().prefix("sct-").rand_bytes(5).tempdir_in("/tmp");
        let folder = folder.expect("/tmp takes a folder");
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(folder.path(), open).expect("the folder is ours");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.expect("a runtime can be made");
        let disk = (options.disk == DiskKind::Own)
            .then(|| Disk::make(folder.path().join("disk"), &folder.path().join("d")));
        let mut daemon =
            Self { disk, folder, child: None, options, boots: Boots::default(), runtime };
        if let DiskKind::Small(size) = daemon.options.disk {
            mount_disk(&daemon.folder.path().join("disk"), size, &daemon.dir());
        }
        daemon.run();
        daemon
    }

    /// `SC_DIR`.
    pub fn dir(&self) -> PathBuf {
        self.folder.path().join("d")
    }

    /// A folder for the test's own files.
    pub fn scratch(&self) -> &Path {
        self.folder.path()
    }

    /// The pid of `scd`; panics when it is not running.
    pub fn pid(&self) -> u32 {
        self.child.as_ref().expect("the daemon runs").id()
    }

    /// Starts `scd` again after it was killed, without the fault it ran into.
    #[track_caller]
    pub fn run_again(&mut self) {
        self.options.fault = None;
        self.run();
    }

    /// Gives it other arguments from its next start on.
    pub fn set_args(&mut self, args: Vec<String>) {
        self.options.args = args;
    }

    #[track_caller]
    pub(super) fn run(&mut self) {
        self.spawn();
        self.wait_ready();
    }

    #[track_caller]
    pub(super) fn spawn(&mut self) {
        assert!(self.child.is_none(), "the daemon runs already");
        let log = File::options().create(true).append(true).open(self.log_path());
        let log = log.expect("the log can be opened");
        let mut command = self.boots.starter(&program("scd"), self.folder.path());
        command
            .args(["--verbose", "--dir"])
            .arg(self.dir())
            .args(&self.options.args)
            .env_remove("SC_DIR")
            .env_remove("SC_LOG")
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a file can be shared"))
            .stderr(log);
        command.envs(self.options.environment.iter().cloned());
        if let Some(fault) = &self.options.fault {
            command.env("SC_FAULT", fault);
        }
        self.child = Some(command.spawn().expect("scd can be started"));
    }

    #[track_caller]
    fn wait_ready(&mut self) {
        let socket = self.dir().join("unix.socket");
        let child = self.child.as_mut().expect("the daemon was just started");
        eventually("the daemon answers", READY, || {
            if let Some(status) = child.try_wait().expect("our own child") {
                panic!("the daemon ended at its start: {status}");
            }
            answers(&socket).then_some(())
        });
    }

    /// Runs `sc` with these arguments.
    #[track_caller]
    pub fn sc<S: AsRef<OsStr>>(&self, args: &[S]) -> Ran {
        self.sc_with_input(args, b"")
    }

    /// Runs `sc` with this on its standard input.
    #[track_caller]
    pub fn sc_with_input<S: AsRef<OsStr>>(&self, args: &[S], input: &[u8]) -> Ran {
        let mut command = self.command(args);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let begin = Instant::now();
        let mut child = command.spawn().expect("sc can be started");
        let mut stdin = child.stdin.take().expect("it was piped");
        let input = input.to_vec();
        // A program that does not read its input ends all the same.
        let feed = std::thread::spawn(move || Write::write_all(&mut stdin, &input));
        let output = child.wait_with_output().expect("our own child");
        let took = begin.elapsed();
        let _unread = feed.join().expect("the feeder does not panic");
        Ran::new(describe(args), &output, took)
    }

    /// Begins to run `sc` with these arguments.
    #[track_caller]
    pub fn begin<S: AsRef<OsStr>>(&self, args: &[S]) -> Begun {
        Begun::start(describe(args), self.command(args))
    }

    /// The command `sc` with these arguments, for this daemon.
    pub fn command<S: AsRef<OsStr>>(&self, args: &[S]) -> Command {
        self.caller().command(args)
    }

    /// Runs `sc` while others kill the daemon and start it again.
    pub fn caller(&self) -> Caller {
        Caller { dir: self.dir(), scratch: self.scratch().to_owned() }
    }

    /// What `sc ... -f json` prints.
    #[track_caller]
    pub fn json<S: AsRef<OsStr>>(&self, args: &[S]) -> Value {
        let ran = self.sc(args);
        serde_json::from_str(ran.ok())
            .unwrap_or_else(|error| panic!("`{}` printed no JSON: {error}", ran.command))
    }

    /// Runs a program inside an instance.
    #[track_caller]
    pub fn exec(&self, instance: &str, command: &[&str]) -> Ran {
        let args: Vec<&str> =
            ["exec", instance, "--"].into_iter().chain(command.iter().copied()).collect();
        self.sc(&args)
    }

    /// Runs a line of shell inside an instance and returns what it printed; panics if it failed.
    #[track_caller]
    pub fn inside(&self, instance: &str, line: &str) -> String {
        self.exec(instance, &["sh", "-c", line]).ok().to_owned()
    }

    /// A client of its API. It must be used in [`Daemon::wait`].
    pub fn client(&self) -> Client {
        Client::unix(self.dir().join("unix.socket"))
    }

    /// Runs a future to its end.
    pub fn wait<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(future)
    }

    /// Where `scd` writes its log.
    pub fn log_path(&self) -> PathBuf {
        self.folder.path().join("scd.log")
    }

    fn show_logs(&self) {
        show_tail(&self.log_path());
        let Ok(logs) = std::fs::read_dir(self.dir().join("logs")) else { return };
        for entry in logs.flatten() {
            show_tail(&entry.path().join("lxc.log"));
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.show_logs();
        }
        if let Some(mut child) = self.child.take() {
            // At once: a daemon that lives would mend what is taken from under it.
            let _ = child.kill();
            let _ = child.wait();
        }
        if let Err(left) = clean_up(&self.dir()) {
            eprintln!("could not be taken away: {left}");
        }
    }
}

/// Makes a file system in a file and mounts it.
fn mount_disk(file: &Path, mib: u64, at: &Path) {
    let made = File::create(file).and_then(|file| file.set_len(mib << 20));
    made.expect("a scratch file");
    std::fs::create_dir(at).expect("a scratch folder");
    // Without what only root may use: the daemon is root.
    run(Command::new("mkfs.ext4").args(["-q", "-m", "0"]).arg(file));
    run(Command::new("mount").args(["-o", "loop"]).arg(file).arg(at));
    std::fs::remove_dir(at.join("lost+found")).expect("a new file system has it");
}

fn show_tail(path: &Path) {
    let Ok(text) = std::fs::read(path) else { return };
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    eprintln!("--- the end of {}", path.display());
    for line in &lines[lines.len().saturating_sub(LOG_TAIL)..] {
        eprintln!("{line}");
    }
}

fn describe<S: AsRef<OsStr>>(args: &[S]) -> String {
    let words = args.iter().map(|arg| arg.as_ref().to_string_lossy().into_owned());
    std::iter::once("sc".to_owned()).chain(words).collect::<Vec<_>>().join(" ")
}

/// Whether a daemon answers there. That a connection is taken says nothing: for a moment a program that
/// a dead daemon was just executing still has the socket.
pub(super) fn answers(socket: &Path) -> bool {
    let asked = || {
        let mut stream = std::os::unix::net::UnixStream::connect(socket)?;
        stream.set_read_timeout(Some(Duration::from_secs(2)))?;
        stream.write_all(b"GET / HTTP/1.0\r\nHost: x\r\n\r\n")?;
        stream.read(&mut [0; 16])
    };
    asked().is_ok_and(|length: usize| length > 0)
}
