//! What `scd` and `sc-agent` say to each other, and nothing else.
//!
//! `scd` starts one agent for each running instance and hands it an [`InstanceSpec`] with every
//! decision already taken: the agent knows no profiles, pools or database. From then on the two
//! talk over a unix `SOCK_SEQPACKET` socket that the agent listens on, one JSON message a packet,
//! file descriptors attached. The socket outlives the daemon: a new `scd` connects to it again,
//! so every message carries no state of the connection it came over.
//!
//! ```text
//! scd                                    agent
//!  | spawn: fd 3 listener, fd 4 spec, fd 5.. spec's own fds
//!  | connect, Hello ---------------------> |
//!  | <--------------------------- Welcome  |
//!  | <------------ NamespacesReady + netns |   first boot only
//!  | (plugs the NICs into the netns)       |
//!  | Boot -------------------------------> |
//!  | <---------------- Started / Failed    |
//!  | Exec, Stop, Console ... ------------> |
//!  | <------------- replies, events        |
//! ```
//!
//! Both sides accept unknown fields, and a message whose kind they do not know is answered with
//! [`Reply::Unsupported`]: old agents serve a new daemon and the reverse.

mod message;
mod record;
mod spec;

pub use message::{
    BootFailure, Event, ExecRequest, ExecWords, Exit, Interface, InterfaceAddress, Packet, Phase,
    Reply, Request, Scope, ToAgent, ToDaemon, WindowSize,
};
pub use record::{ExitRecord, Recorded};
pub use spec::{
    BindMount, CgroupSpec, CgroupView, IdRangeSpec, InitKind, InstanceSpec, Layer, RootSpec,
    SeedFile, Tree,
};

/// The version of the conversation; raised when a message changes its meaning.
pub const PROTOCOL_VERSION: u32 = 1;

/// The descriptor on which an agent finds its listening socket.
pub const LISTENER_FD: i32 = 3;

/// The descriptor on which an agent finds its spec, a sealed memfd.
pub const SPEC_FD: i32 = 4;

/// The first of the descriptors that [`Tree::Fd`] and its like count from.
pub const FIRST_SPEC_FD: i32 = 5;

/// The largest message either side sends, in bytes: a seqpacket above about 190 KB is refused by
/// the kernel with `EMSGSIZE`.
pub const MAX_MESSAGE: usize = 160 * 1024;
