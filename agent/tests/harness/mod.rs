//! Starts an agent as the daemon does, over a guest made here, and talks to it.
//!
//! Needs root, cgroups and overlay; everything it makes lies in one temporary folder and in cgroups of its
//! own, and goes with it.

#![allow(dead_code, reason = "each test binary uses its own part of the harness")]

mod cgroups;
mod root;

use std::collections::VecDeque;
use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use sc_agent_protocol::{
    Event, ExecRequest, Exit, IdRangeSpec, InstanceSpec, LISTENER_FD, PROTOCOL_VERSION, Packet,
    Phase, Reply, Request, RootSpec, SPEC_FD, SeedFile, ToAgent, ToDaemon, Tree, WindowSize,
};
use sc_sys::command::Spawn;
use sc_sys::memfd::{Content, sealed};
use sc_sys::process::{Child, Wait};
use sc_sys::unix::{Blocking, Listener, Seqpacket};

pub use self::cgroups::Cgroups;
#[allow(unused_imports, reason = "each test binary uses its own part of the harness")]
pub use self::root::{busybox_root, path_of_cached_root};

/// Longer than anything here takes, on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(30);
const IDS: u32 = 65_536;
const FIRST_ID: u32 = 0x7B00_0000;

/// Whether the tests can run; without root they have nothing to test.
pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// A number that no other test of this machine has at this time.
fn unique() -> u32 {
    static COUNTER: AtomicU32 = AtomicU32::new(0);
    (std::process::id() % 1000) * 16 + COUNTER.fetch_add(1, Ordering::Relaxed)
}

/// What an instance is made from.
pub struct Fixture {
    pub dir: tempfile::TempDir,
    pub cgroups: Cgroups,
    pub spec: InstanceSpec,
}

impl Fixture {
    /// A guest of busybox alone.
    pub fn busybox() -> Self {
        let dir = tempfile::tempdir_in("/var/tmp").unwrap();
        let lower = dir.path().join("image");
        busybox_root(&lower);
        Self::over(dir, lower)
    }

    /// A guest over an image that is there already.
    pub fn image(lower: &Path) -> Self {
        Self::over(tempfile::tempdir_in("/var/tmp").unwrap(), lower.to_owned())
    }

    fn over(dir: tempfile::TempDir, lower: PathBuf) -> Self {
        let number = unique();
        let base = FIRST_ID + (number % 256) * IDS;
        let writable = dir.path().join("rw");
        for folder in ["upper", "work"] {
            std::fs::create_dir_all(writable.join(folder)).unwrap();
        }
        let cgroups = Cgroups::make(&format!("sc-agent-test-{number}"), base);
        let options =
            [("redirect_dir", "on"), ("index", "off"), ("metacopy", "off"), ("xino", "auto")];
        let spec = InstanceSpec {
            name: "guest1".into(),
            ids: IdRangeSpec { base, count: IDS },
            root: RootSpec::Overlay {
                lowers: vec![Tree::Path(lower)],
                writable,
                upper: "upper".into(),
                work: "work".into(),
                options: options.map(|(key, value)| (key.into(), value.into())).to_vec(),
            },
            binds: Vec::new(),
            init: Vec::new(),
            environment: Vec::new(),
            cgroup: cgroups.spec(),
            cgroup_view: None,
            seccomp_fd: None,
            seed_files: Vec::new(),
            console_log: dir.path().join("console.log"),
            console_log_bytes: 128 * 1024,
            exit_record: dir.path().join("exits"),
            agent_log: dir.path().join("agent.log"),
            held_fds: Vec::new(),
        };
        Self { dir, cgroups, spec }
    }

    /// Starts the agent and says hello.
    pub fn start(&self) -> Agent {
        self.start_with(&[])
    }

    /// Starts the agent with descriptors for the spec.
    pub fn start_with(&self, fds: &[OwnedFd]) -> Agent {
        let path = self.dir.path().join("socket");
        let listener = Listener::bind(&path, Blocking::Yes).unwrap();
        let spec = sealed("spec", &serde_json::to_vec(&self.spec).unwrap(), Content::Data).unwrap();
        let errors = File::create(self.dir.path().join("agent.stderr")).unwrap();
        let program = std::env::var_os("SC_TEST_AGENT")
            .map_or_else(|| PathBuf::from(env!("CARGO_BIN_EXE_sc-agent")), PathBuf::from);
        let spawned = Instant::now();
        let mut spawn = Spawn::from_path(&program)
            .arg(&self.spec.name)
            .fd(2, errors.as_fd())
            .fd(LISTENER_FD, listener.as_fd())
            .fd(SPEC_FD, spec.as_fd())
            .own_session();
        for (number, fd) in (SPEC_FD + 1..).zip(fds) {
            spawn = spawn.fd(number, fd.as_fd());
        }
        let child = spawn.start().unwrap();
        drop(listener);
        let mut agent = Agent::connect(path, Some(child), spawned);
        agent.hello();
        agent
    }

    /// Starts the agent and boots the guest.
    pub fn boot(&self) -> Agent {
        let mut agent = self.start();
        agent.boot();
        agent
    }

    pub fn read(&self, name: &str) -> String {
        String::from_utf8_lossy(&std::fs::read(self.dir.path().join(name)).unwrap()).into_owned()
    }
}

/// A connection to an agent, and the agent itself where it was started here.
pub struct Agent {
    path: PathBuf,
    socket: Seqpacket,
    child: Option<Child>,
    events: VecDeque<(Event, Vec<OwnedFd>)>,
    last: u64,
    pub spawned: Instant,
    pub phase: Option<Phase>,
}

impl Agent {
    fn connect(path: PathBuf, child: Option<Child>, spawned: Instant) -> Self {
        let socket = Seqpacket::connect(&path, Blocking::Yes).unwrap();
        rustix::net::sockopt::set_socket_timeout(
            &socket,
            rustix::net::sockopt::Timeout::Recv,
            Some(PATIENCE),
        )
        .unwrap();
        Self { path, socket, child, events: VecDeque::new(), last: 0, spawned, phase: None }
    }

    /// A daemon that comes new, over a connection of its own.
    pub fn reconnect(&mut self) {
        let again = Self::connect(self.path.clone(), self.child.take(), self.spawned);
        *self = again;
        self.hello();
    }

    /// Goes away as a daemon that is killed.
    pub fn hang_up(&mut self) {
        let (socket, _) = Seqpacket::pair(Blocking::Yes).unwrap();
        self.socket = socket;
    }

    pub fn hello(&mut self) {
        let (reply, _) = self.ask(Request::Hello { version: PROTOCOL_VERSION }, &[]);
        let Reply::Welcome { phase, pid, .. } = reply else { panic!("{reply:?}") };
        assert!(self.child.as_ref().is_none_or(|child| child.pid() == pid as i32));
        self.phase = Some(phase);
    }

    /// Boots; panics with the failure where there is one.
    pub fn boot(&mut self) -> u32 {
        self.wait_for(|event| matches!(event, Event::NamespacesReady));
        let (reply, _) = self.ask(Request::Boot, &[]);
        assert_eq!(reply, Reply::Done, "boot");
        self.started()
    }

    /// Waits for init's execution and returns PID 1's pid.
    pub fn started(&mut self) -> u32 {
        match self.wait_for(|event| matches!(event, Event::Started { .. })) {
            (Event::Started { pid, .. }, _) => pid,
            other => panic!("{other:?}"),
        }
    }

    pub fn ended(&mut self) -> Exit {
        match self.wait_for(|event| matches!(event, Event::Ended(_))) {
            (Event::Ended(exit), _) => exit,
            other => panic!("{other:?}"),
        }
    }

    /// Sends a request and waits for its reply; events are kept.
    pub fn ask(&mut self, request: Request, fds: &[OwnedFd]) -> (Reply, Vec<OwnedFd>) {
        let id = self.send(request, fds);
        self.reply(id)
    }

    /// Sends a request; returns its number.
    pub fn send(&mut self, request: Request, fds: &[OwnedFd]) -> u64 {
        self.last += 1;
        let bytes = ToAgent { id: self.last, request }.encode();
        let fds: Vec<_> = fds.iter().map(AsFd::as_fd).collect();
        self.socket.send(&bytes, &fds).unwrap();
        self.last
    }

    /// Waits for the reply to a request, which has to be the next; events are kept.
    pub fn reply(&mut self, id: u64) -> (Reply, Vec<OwnedFd>) {
        loop {
            match self.receive() {
                (ToDaemon::Reply(to, reply), fds) if to == id => return (reply, fds),
                (ToDaemon::Event(event), fds) => self.events.push_back((event, fds)),
                (other, _) => panic!("{other:?}"),
            }
        }
    }

    /// Sends bytes as they are.
    pub fn send_raw(&mut self, bytes: &[u8]) -> ToDaemon {
        self.socket.send(bytes, &[]).unwrap();
        self.receive().0
    }

    pub fn wait_for(&mut self, wanted: impl Fn(&Event) -> bool) -> (Event, Vec<OwnedFd>) {
        loop {
            if let Some(at) = self.events.iter().position(|(event, _)| wanted(event)) {
                return self.events.remove(at).unwrap();
            }
            match self.receive() {
                (ToDaemon::Event(event), fds) => self.events.push_back((event, fds)),
                (other, _) => panic!("{other:?}"),
            }
        }
    }

    fn receive(&mut self) -> (ToDaemon, Vec<OwnedFd>) {
        let message = self.socket.receive().unwrap();
        let message = message.unwrap_or_else(|| {
            let read = |name| std::fs::read_to_string(self.path.with_file_name(name));
            let said = ["agent.log", "agent.stderr"].map(|name| read(name).unwrap_or_default());
            panic!("the agent is gone; events: {:?}\n{}", self.events, said.concat())
        });
        (ToDaemon::decode(&message.bytes).unwrap(), message.descriptors)
    }

    /// Runs a program without terminal; returns status, output and errors.
    pub fn run(&mut self, command: &[&str]) -> (i32, String, String) {
        self.run_as(&request(command))
    }

    pub fn run_as(&mut self, request: &ExecRequest) -> (i32, String, String) {
        let null: OwnedFd = File::open("/dev/null").unwrap().into();
        let (out, out_end) = std::io::pipe().unwrap();
        let (err, err_end) = std::io::pipe().unwrap();
        let fds = [null, OwnedFd::from(out_end), OwnedFd::from(err_end)];
        let exec = self.start_exec(request, &fds).unwrap();
        drop(fds);
        let errors = std::thread::spawn(move || read_all(err));
        let output = read_all(out);
        (self.exited(exec), output, errors.join().unwrap())
    }

    /// Starts a program; `Err` has the step and the error number.
    pub fn start_exec(
        &mut self,
        request: &ExecRequest,
        fds: &[OwnedFd],
    ) -> Result<u64, (String, i32)> {
        match self.ask(Request::Exec(request.clone()), fds).0 {
            Reply::ExecStarted { exec, .. } => Ok(exec),
            Reply::ExecFailed { step, errno } => Err((step, errno)),
            other => panic!("{other:?}"),
        }
    }

    pub fn exited(&mut self, wanted: u64) -> i32 {
        let is_it =
            |event: &Event| matches!(event, Event::ExecExited { exec, .. } if *exec == wanted);
        match self.wait_for(is_it) {
            (Event::ExecExited { status, .. }, _) => status,
            other => panic!("{other:?}"),
        }
    }

    /// The phase as a daemon that comes new is told.
    pub fn phase_now(&mut self) -> Phase {
        self.hello();
        self.phase.clone().expect("set by hello")
    }

    pub fn pid(&self) -> i32 {
        self.child.as_ref().expect("started here").pid()
    }

    pub fn kill(&self) {
        self.child.as_ref().expect("started here").signal(9).unwrap();
    }

    /// Waits for the agent's own end.
    pub fn wait(&mut self) -> sc_sys::process::Exit {
        let child = self.child.take().expect("started here");
        child.wait(Wait::Block).unwrap().expect("a blocking wait returns the exit")
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        if let Some(child) = &self.child {
            let _ = child.signal(9);
            let _ = child.wait(Wait::Block);
        }
    }
}

/// A request to run a program as root without terminal.
pub fn request(command: &[&str]) -> ExecRequest {
    ExecRequest {
        command: command.iter().map(|word| (*word).to_owned()).collect(),
        environment: Vec::new(),
        cwd: None,
        user: 0,
        group: 0,
        terminal: None,
    }
}

pub const SIZE: WindowSize = WindowSize { columns: 111, rows: 33 };

/// Reads to the end; a terminal's end is an error.
pub fn read_all(mut from: impl Read) -> String {
    let mut bytes = Vec::new();
    let _ = from.read_to_end(&mut bytes);
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Waits until something is true.
pub fn eventually(what: &str, mut is_true: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_true() {
        assert!(start.elapsed() < PATIENCE, "{what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Whether a process exists and is no zombie.
pub fn is_alive(pid: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| !stat.rsplit(") ").next().unwrap_or_default().starts_with('Z'))
}

/// Three streams to and from nowhere.
pub fn nulls() -> Vec<OwnedFd> {
    let null = || File::options().read(true).write(true).open("/dev/null").unwrap();
    (0..3).map(|_| null().into()).collect()
}

/// A file for the guest, written whatever is there.
pub fn seed(path: &str, content: Option<&str>) -> SeedFile {
    SeedFile {
        path: path.into(),
        content: content.map(str::to_owned),
        mode: 0o640,
        uid: 0,
        gid: 33,
        only_existing: false,
        only_missing: false,
    }
}
