//! What can fail, each with what to do about it where the client can know.

use std::io;
use std::path::{Path, PathBuf};

use sc_api::{ErrorKind, StatusCode};

/// What a call returns.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A failure.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nobody listens on the socket.
    #[error("{} {}: start the daemon as root with `{start}`", absence.words(), socket.display())]
    NotRunning {
        /// The socket.
        socket: PathBuf,
        /// What there is instead.
        absence: Absence,
        /// The command that starts the daemon here.
        start: &'static str,
    },
    /// The path cannot be that of a daemon's socket.
    #[error("{} cannot be the daemon's socket: {reason}", socket.display())]
    NotASocket {
        /// The path.
        socket: PathBuf,
        /// Why not.
        reason: &'static str,
    },
    /// The socket is not for this user.
    #[error("no permission to use {}: {remedy}", socket.display())]
    PermissionDenied {
        /// The socket.
        socket: PathBuf,
        /// What lets the user in.
        remedy: String,
    },
    /// The socket cannot be connected to.
    #[error("connect to {}", socket.display())]
    Connect {
        /// The socket.
        socket: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The connection broke.
    #[error("the connection to the daemon broke during {request}")]
    Broken {
        /// The request: method and path.
        request: String,
        /// How.
        #[source]
        source: BrokenBy,
    },
    /// The connection broke while an operation was waited for.
    #[error(
        "the connection to the daemon broke before the operation's end ({by}): what has begun is \
         finished or taken back when the daemon is started again"
    )]
    BrokenWait {
        /// How.
        by: BrokenBy,
    },
    /// The connection broke while a program ran.
    #[error(
        "the connection to the daemon broke before the program's end ({by}): a program ends with its \
         connection"
    )]
    BrokenExec {
        /// How.
        by: BrokenBy,
    },
    /// The server refused or failed.
    #[error("{text}")]
    Server {
        /// The HTTP status.
        status: u16,
        /// The server's words.
        text: String,
    },
    /// The operation ended without success.
    #[error("{text}")]
    Operation {
        /// How it ended.
        status: StatusCode,
        /// The server's words.
        text: String,
    },
    /// The program could not be run inside the instance.
    #[error("{text}")]
    Command {
        /// The exit code that says so: 127 not found, 126 not executable.
        code: i32,
        /// The server's words.
        text: String,
    },
    /// The request cannot be put on the wire.
    #[error("cannot send {request}: {what}")]
    Unsendable {
        /// The request: method and path.
        request: String,
        /// What is wrong with it.
        what: String,
    },
    /// The answer is none that the API knows.
    #[error("unexpected answer to {request}: {what}")]
    Unexpected {
        /// The request: method and path.
        request: String,
        /// What is wrong with it.
        what: String,
    },
    /// A file of this side cannot be read.
    #[error("read {}", path.display())]
    ReadFile {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The caller's stream failed.
    #[error("{action}")]
    Stream {
        /// What was tried: `write standard output` ...
        action: &'static str,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
}

/// What there is where a daemon should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Absence {
    /// No file at all.
    NoSocket,
    /// A socket that a daemon has left behind.
    NoListener,
}

impl Absence {
    fn words(self) -> &'static str {
        match self {
            Self::NoSocket => "there is no socket",
            Self::NoListener => "nobody listens on",
        }
    }
}

/// How a connection broke.
#[derive(Debug, thiserror::Error)]
pub enum BrokenBy {
    /// As plain HTTP.
    #[error(transparent)]
    Http(#[from] hyper::Error),
    /// As a websocket.
    #[error(transparent)]
    Websocket(#[from] tokio_tungstenite::tungstenite::Error),
    /// As a stream of bytes.
    #[error(transparent)]
    Stream(#[from] io::Error),
    /// It ended before the answer did.
    #[error("the daemon closed it")]
    Closed,
}

impl Error {
    /// What kind of failure it is.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::NotRunning { .. }
            | Self::NotASocket { .. }
            | Self::Connect { .. }
            | Self::Broken { .. }
            | Self::BrokenWait { .. }
            | Self::BrokenExec { .. } => ErrorKind::Unavailable,
            Self::PermissionDenied { .. } => ErrorKind::Forbidden,
            Self::Server { status, .. } => ErrorKind::from_http_status(*status),
            Self::Command { code: 127, .. } => ErrorKind::NotFound,
            Self::Command { .. } | Self::ReadFile { .. } | Self::Unsendable { .. } => {
                ErrorKind::Invalid
            }
            // An operation tells no kind; these are LXD's words for it.
            Self::Operation { text, .. } if text.starts_with("ETag doesn't match") => {
                ErrorKind::Precondition
            }
            Self::Operation { .. } | Self::Unexpected { .. } | Self::Stream { .. } => {
                ErrorKind::Internal
            }
        }
    }

    /// Whether the reader of our output left.
    pub fn is_broken_pipe(&self) -> bool {
        matches!(self, Self::Stream { source, .. } if source.kind() == io::ErrorKind::BrokenPipe)
    }

    /// A failure to connect to the daemon's socket.
    pub(crate) fn connect(socket: &Path, source: io::Error) -> Self {
        use std::os::unix::fs::FileTypeExt;

        // A socket that has gone since was one.
        let is_other = || std::fs::metadata(socket).is_ok_and(|meta| !meta.file_type().is_socket());
        let absent = |absence| {
            let systemd = Path::new("/run/systemd/system").exists();
            let start = if systemd { "systemctl start scd" } else { "scd &" };
            Self::NotRunning { socket: socket.to_owned(), absence, start }
        };
        let bad = |reason| Self::NotASocket { socket: socket.to_owned(), reason };
        match source.kind() {
            io::ErrorKind::NotFound => absent(Absence::NoSocket),
            io::ErrorKind::ConnectionRefused if is_other() => bad("it is no socket"),
            // It is reset by a daemon that is just ending.
            io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionReset => {
                absent(Absence::NoListener)
            }
            io::ErrorKind::NotADirectory => bad("a part of the path is no folder"),
            io::ErrorKind::InvalidInput => bad("the path has more than 107 bytes"),
            io::ErrorKind::PermissionDenied => {
                let remedy = admission(socket);
                Self::PermissionDenied { socket: socket.to_owned(), remedy }
            }
            _ => Self::Connect { socket: socket.to_owned(), source },
        }
    }
}

/// The sentence that tells a user how to be let in to `socket`.
fn admission(socket: &Path) -> String {
    use std::os::unix::fs::MetadataExt;

    let user = user_name().unwrap_or_else(|| "$USER".into());
    match std::fs::metadata(socket).map(|meta| meta.gid()) {
        Ok(gid) if gid != 0 => {
            let group = name_of("/etc/group", gid).unwrap_or_else(|| gid.to_string());
            format!("run `sudo usermod -aG {group} {user}`, then log in again")
        }
        // A group that is root's own, or a folder closed to us, is no way in for a user.
        _ => "only root may; run this as root, or start scd with `--group NAME` to let a group in"
            .into(),
    }
}

fn user_name() -> Option<String> {
    name_of("/etc/passwd", rustix::process::getuid().as_raw())
        .or_else(|| std::env::var("USER").ok())
}

/// The name with this id in a file such as `/etc/passwd`. (Read here because a static program has
/// no name service.)
fn name_of(file: &str, id: u32) -> Option<String> {
    let text = std::fs::read_to_string(file).ok()?;
    text.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(id)).then(|| name.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(kind: io::ErrorKind, socket: &Path) -> Error {
        Error::connect(socket, io::Error::from(kind))
    }

    #[test]
    fn a_missing_socket_means_that_the_daemon_is_to_be_started() {
        let error = refused(io::ErrorKind::NotFound, Path::new("/run/none.socket"));
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        let text = error.to_string();
        let start = "there is no socket /run/none.socket: start the daemon as root with `";
        assert!(text.starts_with(start), "{text}");
    }

    #[test]
    fn each_way_not_to_be_a_daemons_socket_is_told() {
        use std::os::unix::net::{UnixListener, UnixStream};

        let folder = tempfile::tempdir().unwrap();
        let left = folder.path().join("left");
        drop(UnixListener::bind(&left).unwrap());
        let file = folder.path().join("file");
        std::fs::write(&file, "").unwrap();
        let long = folder.path().join("x".repeat(120));
        for (path, says) in [
            (folder.path().join("none"), "there is no socket "),
            (left, "nobody listens on "),
            (file.clone(), "it is no socket"),
            (folder.path().to_owned(), "it is no socket"),
            (file.join("below"), "a part of the path is no folder"),
            (long, "more than 107 bytes"),
        ] {
            let error = Error::connect(&path, UnixStream::connect(&path).unwrap_err());
            let text = error.to_string();
            assert!(text.contains(says) && text.contains(path.to_str().unwrap()), "{text}");
        }
    }

    #[test]
    fn a_user_outside_the_group_is_told_the_command_that_lets_him_in() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("s");
        std::fs::write(&socket, "").unwrap();
        std::os::unix::fs::chown(&socket, None, Some(4)).unwrap_or_default();
        let text = refused(io::ErrorKind::PermissionDenied, &socket).to_string();
        if rustix::process::getuid().is_root() {
            let group = name_of("/etc/group", 4).unwrap_or_else(|| "4".into());
            assert!(text.contains(&format!("usermod -aG {group} root")), "{text}");
            assert!(text.contains("log in again"), "{text}");
        }
    }

    #[test]
    fn a_socket_that_is_roots_alone_says_so() {
        let text =
            refused(io::ErrorKind::PermissionDenied, Path::new("/nonexistent/s")).to_string();
        assert!(text.contains("--group"), "{text}");
    }

    #[test]
    fn names_are_found_by_their_ids() {
        assert_eq!(name_of("/etc/passwd", 0).as_deref(), Some("root"));
        assert_eq!(name_of("/etc/passwd", 4_000_000_000), None);
    }
}
