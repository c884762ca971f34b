//! The messages of the conversation.

use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::InitKind;

/// A request with the number its reply will carry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToAgent {
    /// Chosen by the daemon, unique on its connection.
    pub id: u64,
    /// What is asked.
    pub request: Request,
}

/// What an agent sends: a reply to one request, or an event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ToDaemon {
    /// The reply to the request with this number.
    Reply(u64, Reply),
    /// Something happened.
    Event(Event),
}

/// Either direction's packet, for code that handles both alike.
pub trait Packet: Serialize + serde::de::DeserializeOwned {
    /// The packet's bytes.
    fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("protocol types serialise")
    }

    /// Reads a packet.
    ///
    /// # Errors
    ///
    /// Fails where the bytes are no message of this version or an older one.
    fn decode(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(bytes)
    }
}

impl Packet for ToAgent {}
impl Packet for ToDaemon {}

/// What the daemon asks of an agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Request {
    /// First on every connection; answered with [`Reply::Welcome`]. A new connection takes the
    /// place of the one before it.
    Hello {
        /// The daemon's [`PROTOCOL_VERSION`](crate::PROTOCOL_VERSION).
        version: u32,
    },
    /// The NICs are plugged in: let init run. Answered with `Done` or `Failed` once init was
    /// executed.
    Boot,
    /// Ask init to stop, by its own signal or the one given. Where a stock configuration leaves
    /// the signal without effect, the init's own shutdown command is run inside after two seconds.
    /// Answered with `Done` at once; one that comes during a boot waits for its end, one between two
    /// boots of a guest that reboots ends it there.
    Stop {
        /// Overrides the signal of the detected init.
        signal: Option<i32>,
    },
    /// Run a program inside. Descriptors: stdin, stdout, stderr when `terminal` is `None`; none
    /// otherwise, the reply brings the pty's master. Answered with `ExecStarted`.
    Exec(ExecRequest),
    /// As `Exec`, for what one message does not hold: `command` and `environment` are empty here, and are
    /// the JSON of an [`ExecWords`] in a file, the last descriptor.
    ExecFile(ExecRequest),
    /// Send a signal to a program started by `Exec` (its process group when it has a terminal).
    /// Answered with `Done`, or with `ExecFailed` and `ESRCH` when it has ended.
    Signal {
        /// The number from `ExecStarted`.
        exec: u64,
        /// The signal's number.
        signal: i32,
    },
    /// Nobody is at the other end of a program started by `Exec` any more: it is told by SIGHUP, and killed
    /// where it has not ended in three seconds. One in a terminal is told by the kernel, when the daemon
    /// closes the master. The end of the daemon's connection does this to all of its programs. Answered as
    /// `Signal`.
    HangUp {
        /// The number from `ExecStarted`.
        exec: u64,
    },
    /// Attach to the console: the reply `Console` brings one end of a stream socket. It begins with the
    /// line that is not finished yet, at most 4 KiB of it. With `force`, whoever is attached is detached.
    Console {
        /// The size to give the console.
        size: Option<WindowSize>,
        /// Take over from another client.
        force: bool,
    },
    /// Give the console another size.
    ConsoleResize(WindowSize),
    /// Send the interfaces as they are; answered with `Interfaces`.
    Interfaces,
    /// End: kill the guest's processes and exit. Answered with `Done` before it happens.
    Quit,
}

/// A program to run inside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExecRequest {
    /// Program and arguments; the program is looked for in the guest's PATH.
    pub command: Vec<String>,
    /// Laid over the instance's environment and the defaults (PATH, HOME, USER, LANG).
    pub environment: Vec<(String, String)>,
    /// The working directory; `None` is the user's home, or `/` where that is not there.
    pub cwd: Option<String>,
    /// The guest's user id.
    pub user: u32,
    /// The guest's group id.
    pub group: u32,
    /// Give it a terminal of this size.
    pub terminal: Option<WindowSize>,
}

/// What a program is given, where it comes in a file of its own. The fields are those of [`ExecRequest`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExecWords {
    /// Program and arguments.
    pub command: Vec<String>,
    /// Environment.
    pub environment: Vec<(String, String)>,
}

impl ExecRequest {
    /// Takes out what may be long.
    pub fn take_words(&mut self) -> ExecWords {
        ExecWords {
            command: std::mem::take(&mut self.command),
            environment: std::mem::take(&mut self.environment),
        }
    }
}

/// The size of a terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct WindowSize {
    /// In characters.
    pub columns: u16,
    /// In characters.
    pub rows: u16,
}

/// The reply to one request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reply {
    /// Answers `Hello`.
    Welcome {
        /// The agent's version of the conversation.
        version: u32,
        /// The agent's own pid.
        pid: u32,
        /// Where the instance is.
        phase: Phase,
    },
    /// It was done.
    Done,
    /// The program runs. One descriptor, the pty's master, when a terminal was asked for.
    ExecStarted {
        /// Names it in `Signal` and `ExecExited`.
        exec: u64,
        /// Its pid on the host.
        pid: u32,
    },
    /// The program could not be started.
    ExecFailed {
        /// What failed, such as `execve`.
        step: String,
        /// The error's number.
        errno: i32,
    },
    /// One descriptor: the console's stream.
    Console,
    /// Somebody else is attached to the console.
    ConsoleBusy,
    /// The interfaces inside.
    Interfaces(Vec<Interface>),
    /// It failed.
    Failed(BootFailure),
    /// The request makes no sense in the phase the instance is in.
    WrongPhase(Phase),
    /// The agent does not know the request.
    Unsupported,
}

/// Where an instance is, as its agent sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// The namespaces are there; `Boot` is awaited. Sent again to a daemon that comes new.
    Waiting,
    /// Between `Boot` and init's execution.
    Booting,
    /// PID 1 runs.
    Running {
        /// PID 1's pid on the host.
        pid: u32,
        /// Which init it is.
        init: InitKind,
        /// When PID 1 was started, microseconds since the epoch.
        since_us: u64,
        /// How often the guest has rebooted itself under this agent.
        reboots: u32,
    },
    /// PID 1 has ended; the agent is about to.
    Ended(Exit),
}

/// How an instance ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Exit {
    /// It powered itself off or its init left with 0.
    Halted,
    /// Its init left with another status.
    Failed {
        /// The exit status.
        status: i32,
    },
    /// Its init was killed.
    Killed {
        /// By this signal.
        signal: i32,
    },
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Halted => f.write_str("halted"),
            Self::Failed { status } => write!(f, "its init left with status {status}"),
            Self::Killed { signal } => write!(f, "killed by signal {signal}"),
        }
    }
}

/// Why a boot failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BootFailure {
    /// What was being done, such as `mount overlay`.
    pub step: String,
    /// The object: a path, a hierarchy, a device.
    pub object: String,
    /// The error's number; 0 where there is none.
    pub errno: i32,
    /// What to do about it, where the agent knows.
    pub remedy: Option<String>,
}

impl fmt::Display for BootFailure {
    /// In one line, without the remedy.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.step, self.object)?;
        match self.errno {
            0 => Ok(()),
            errno => write!(f, ": {}", std::io::Error::from_raw_os_error(errno)),
        }
    }
}

/// Something happened inside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// First boot: the namespaces are there. One descriptor: the network namespace.
    NamespacesReady,
    /// PID 1 was executed, at first or after a reboot.
    Started {
        /// PID 1's pid on the host.
        pid: u32,
        /// Which init it is.
        init: InitKind,
        /// How often the guest has rebooted itself.
        reboots: u32,
    },
    /// The guest asked for a reboot and is being booted again.
    Rebooting,
    /// The instance has ended; the agent exits after this.
    Ended(Exit),
    /// The boot failed, or init left with a failure in its first second, after `Started`; the agent
    /// exits after this. Told as well to a daemon that comes for the first time up to ten seconds later.
    Failed(BootFailure),
    /// A program started by `Exec` has ended and its output is complete as far as the agent
    /// holds it.
    ExecExited {
        /// The number from `ExecStarted`.
        exec: u64,
        /// The exit status, or 128 plus the signal's number.
        status: i32,
    },
    /// The interfaces inside have changed.
    Interfaces(Vec<Interface>),
}

/// A network interface as it is inside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Interface {
    /// Its name inside.
    pub name: String,
    /// Its hardware address, empty for the loopback.
    pub mac: String,
    /// In bytes.
    pub mtu: u32,
    /// Whether it is up.
    pub up: bool,
    /// Whether it is the loopback.
    pub loopback: bool,
    /// Its addresses.
    pub addresses: Vec<InterfaceAddress>,
    /// Bytes and packets received, then sent, at the time of asking.
    pub counters: [u64; 4],
}

/// An address as it is inside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InterfaceAddress {
    /// The address.
    pub address: IpAddr,
    /// The prefix's length in bits.
    pub prefix: u8,
    /// How far it reaches.
    pub scope: Scope,
}

/// How far an address reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// Everywhere.
    Global,
    /// On the link.
    Link,
    /// On the host.
    Local,
}
