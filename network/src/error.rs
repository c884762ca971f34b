//! The error that every function of this crate returns.

use std::io;
use std::path::PathBuf;

use sc_api::{ErrorKind, quoted};
use sc_network_config::ConfigError;

/// A result whose error is a [`NetworkError`].
pub type Result<T, E = NetworkError> = std::result::Result<T, E>;

/// What went wrong with a network.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NetworkError {
    /// A configuration that no network can have.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A name that cannot be a host's, or a part of a file's name.
    #[error("invalid name {} of a host on a network: {reason}", quoted(name))]
    InvalidHost {
        /// The name.
        name: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// No free subnet is left to choose.
    #[error("no free {family} subnet is left on this host; set {key} by hand")]
    NoFreeSubnet {
        /// `IPv4` or `IPv6`.
        family: &'static str,
        /// The key that takes a subnet.
        key: &'static str,
    },
    /// A subnet that the host uses already.
    #[error("subnet {subnet} of network {network} overlaps {other}, which this host uses already")]
    SubnetInUse {
        /// The network.
        network: String,
        /// What was asked for.
        subnet: String,
        /// What is there.
        other: String,
    },
    /// Every address of the network is given away.
    #[error(
        "network {network} has no free address left in {subnet}; delete instances that are not needed \
         any more, or put new ones on another network"
    )]
    NoFreeAddress {
        /// The network.
        network: String,
        /// Its subnet.
        subnet: String,
    },
    /// An address that is not to be had.
    #[error("address {address} on network {network} cannot be reserved: {reason}")]
    AddressUnavailable {
        /// The network.
        network: String,
        /// The address.
        address: String,
        /// Why not.
        reason: String,
        /// Whether another instance has it (and not: it is out of range).
        taken: bool,
    },
    /// The name is in use by an interface that is not ours.
    #[error(
        "interface {name} exists already and is no bridge of ours; give the network another name, or \
         take it away if it is nobody's"
    )]
    ForeignLink {
        /// The interface.
        name: String,
    },
    /// The bridge is not there any more.
    #[error(
        "the bridge of network {network} is missing on this host; the next start of an instance on it \
         makes it anew, and so does a new start of the daemon"
    )]
    BridgeMissing {
        /// The network.
        network: String,
    },
    /// The bridge takes no more ports.
    #[error(
        "bridge {bridge} has all the ports it can have (1023); move the instance to another network"
    )]
    BridgeFull {
        /// The bridge.
        bridge: String,
    },
    /// A request to the kernel failed.
    #[error("{op} {object}")]
    Netlink {
        /// What was tried, as a verb.
        op: &'static str,
        /// On what.
        object: String,
        /// The answer.
        #[source]
        source: io::Error,
    },
    /// A file could not be read or written.
    #[error("{op} {}", path.display())]
    File {
        /// What was tried, as a verb.
        op: &'static str,
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// The program that a network needs is not installed.
    #[error(
        "{program} is not installed: install the package {package}; network {network} needs it for {purpose}"
    )]
    MissingProgram {
        /// The program.
        program: String,
        /// The package that brings it.
        package: &'static str,
        /// The network.
        network: String,
        /// What it does there.
        purpose: &'static str,
    },
    /// A program failed.
    #[error("{program} failed for network {network} ({status}){}{stderr}", colon(stderr))]
    Program {
        /// The program.
        program: String,
        /// The network.
        network: String,
        /// How it ended.
        status: String,
        /// What it said.
        stderr: String,
    },
    /// A program could not be started or watched.
    #[error("{op} {program} for network {network}")]
    Process {
        /// What was tried, as a verb.
        op: &'static str,
        /// The program.
        program: String,
        /// The network.
        network: String,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// A folder is closed to the user that dnsmasq runs as.
    #[error(
        "folder {} is closed to the user {user}, as which dnsmasq runs: chmod o+x it",
        path.display()
    )]
    ClosedFolder {
        /// The folder.
        path: PathBuf,
        /// The user.
        user: String,
    },
    /// Some of a network, or of what a device has on it, could not be taken away; everything else was.
    #[error("{what} was not wholly removed: {}", join(errors))]
    Teardown {
        /// Of what.
        what: String,
        /// Each failure.
        errors: Vec<NetworkError>,
    },
}

impl NetworkError {
    /// What kind of failure it is.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Config(_)
            | Self::InvalidHost { .. }
            | Self::AddressUnavailable { taken: false, .. } => ErrorKind::Invalid,
            Self::SubnetInUse { .. }
            | Self::ForeignLink { .. }
            | Self::AddressUnavailable { taken: true, .. } => ErrorKind::Conflict,
            Self::BridgeMissing { .. } => ErrorKind::NotFound,
            Self::NoFreeSubnet { .. }
            | Self::NoFreeAddress { .. }
            | Self::BridgeFull { .. }
            | Self::MissingProgram { .. }
            | Self::ClosedFolder { .. } => ErrorKind::Unavailable,
            Self::Netlink { source, .. }
            | Self::File { source, .. }
            | Self::Process { source, .. } => io_kind(source),
            Self::Program { .. } | Self::Teardown { .. } => ErrorKind::Internal,
        }
    }

    /// Whether the cause is that the object does not exist.
    pub(crate) fn is_missing(&self) -> bool {
        match self {
            Self::Netlink { source, .. } | Self::File { source, .. } => {
                source.kind() == io::ErrorKind::NotFound
                    || source.raw_os_error() == Some(rustix::io::Errno::NODEV.raw_os_error())
            }
            _ => false,
        }
    }

    pub(crate) fn file(
        op: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { op, path, source }
    }
}

fn io_kind(error: &io::Error) -> ErrorKind {
    match error.kind() {
        io::ErrorKind::NotFound => ErrorKind::NotFound,
        io::ErrorKind::AlreadyExists | io::ErrorKind::ResourceBusy | io::ErrorKind::AddrInUse => {
            ErrorKind::Conflict
        }
        io::ErrorKind::InvalidInput => ErrorKind::Invalid,
        io::ErrorKind::PermissionDenied => ErrorKind::Forbidden,
        io::ErrorKind::Unsupported | io::ErrorKind::TimedOut => ErrorKind::Unavailable,
        _ => ErrorKind::Internal,
    }
}

/// What stands before a text that may be empty.
fn colon(text: &str) -> &'static str {
    if text.is_empty() { "" } else { ": " }
}

/// Writes errors in one line, each with its chain: the only place where the source is repeated,
/// since a list has no single one.
fn join(errors: &[NetworkError]) -> String {
    let chain = |error: &NetworkError| {
        let mut text = error.to_string();
        let mut next = std::error::Error::source(error);
        while let Some(cause) = next {
            text.push_str(": ");
            text.push_str(&cause.to_string());
            next = cause.source();
        }
        text
    };
    errors.iter().map(chain).collect::<Vec<_>>().join("; ")
}
