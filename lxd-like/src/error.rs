//! The daemon's one error: what kind it is, what was being done, and why it failed.
//!
//! The libraries' errors come in with their kind kept; the edge ([`crate::api::respond`]) turns
//! the kind into an HTTP status and the chain into one line.

use std::error::Error as StdError;
use std::fmt;

use sc_api::ErrorKind;

/// How many users of an object a refusal names.
const USERS_SHOWN: usize = 5;

/// The longest beginning and the longest end that are shown of a failure. It may quote all that a
/// client has sent, and what it says of that comes before or after it.
const PART_MAX: usize = 1024;

/// A failure of the daemon.
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    message: String,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

/// What most functions of the daemon return.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// A failure of its own, with nothing below it.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), source: None }
    }

    /// The request is wrong.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Invalid, message)
    }

    /// The object is not there.
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::NotFound, message)
    }

    /// The refusal of a name that no object of this kind has, in LXD's words; `list` is the command
    /// that shows those there are.
    pub fn no_such(kind: &str, name: &str, list: &str) -> Self {
        Self::not_found(format!("{kind} {name:?} not found: see {list}"))
    }

    /// The object is there already, or its state excludes the request.
    pub fn conflict(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Conflict, message)
    }

    /// It is nobody's fault but ours or the machine's.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Internal, message)
    }

    /// Refuses to take an object away that others use; `users` are their paths in the API.
    pub fn refuse_if_used(what: &str, name: &str, users: &[String]) -> Result<()> {
        if users.is_empty() {
            return Ok(());
        }
        let shown = users.iter().take(USERS_SHOWN).map(|path| {
            let (kind, user) = path.rsplit_once('/').unwrap_or(("", path));
            let kind = kind.rsplit('/').next().unwrap_or_default().trim_end_matches('s');
            format!("{kind} {user}")
        });
        let mut text = shown.collect::<Vec<_>>().join(", ");
        if let Some(more) = users.len().checked_sub(USERS_SHOWN).filter(|more| *more > 0) {
            text = format!("{text} and {more} more");
        }
        Err(Self::invalid(format!("The {what} {name:?} is currently in use by {text}")))
    }

    /// A failure of something below, with what was being done.
    pub fn because(
        kind: ErrorKind,
        message: impl Into<String>,
        source: impl Into<Box<dyn StdError + Send + Sync>>,
    ) -> Self {
        Self { kind, message: message.into(), source: Some(source.into()) }
    }

    /// The same failure, with what was being done around it.
    pub fn within(self, message: impl Into<String>) -> Self {
        Self { kind: self.kind, message: message.into(), source: Some(Box::new(self)) }
    }

    /// What kind of failure it is.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The whole chain in one line, outermost first, each part said once. It is fit for terminals:
    /// bounded, and without control characters but ends of lines.
    pub fn chain(&self) -> String {
        chain(self)
    }
}

/// As [`Error::chain`], of any error. Where a disk is full, it says what to do.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(error) = next {
        let part = error.to_string();
        // A transparent error says its source's words; twice helps nobody.
        if !text.ends_with(&part) {
            text.push_str(": ");
            text.push_str(&part);
        }
        next = error.source();
    }
    printable(sc_api::with_room(sc_api::without_os_errors(&text)))
}

/// Makes a text fit for terminals, whatever it quotes.
pub fn printable(mut text: String) -> String {
    if text.len() > 2 * PART_MAX {
        let head = text.floor_char_boundary(PART_MAX);
        let tail = text.ceil_char_boundary(text.len() - PART_MAX);
        text.replace_range(head..tail, "…");
    }
    let hostile = |c: char| c.is_control() && c != '\n' && c != '\t';
    if !text.contains(hostile) {
        return text;
    }
    text.chars()
        .flat_map(|c| match hostile(c) {
            true => c.escape_default().collect::<Vec<_>>(),
            false => vec![c],
        })
        .collect()
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.source {
            Some(source) if self.message.is_empty() => source.fmt(f),
            _ => f.write_str(&self.message),
        }
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_ref().map(|source| &**source as &(dyn StdError + 'static))
    }
}

/// Takes a library's error as it is: its kind and its words.
macro_rules! take_over {
    ($($error:ty),+ $(,)?) => {
        $(impl From<$error> for Error {
            fn from(error: $error) -> Self {
                Self::because(error.kind(), "", error)
            }
        })+
    };
}

take_over!(
    sc_images::Error,
    sc_network::NetworkError,
    sc_profiles::Error,
    sc_storage::Error,
    sc_store::CommitError,
    sc_store::DocumentError,
    sc_store::Error,
    sc_store::Injected,
    sc_store::OpenError,
);

impl From<sc_sys::SysError> for Error {
    fn from(error: sc_sys::SysError) -> Self {
        let kind = match error.kind() {
            sc_sys::ErrorKind::NotFound => ErrorKind::NotFound,
            sc_sys::ErrorKind::Conflict => ErrorKind::Conflict,
            sc_sys::ErrorKind::Invalid => ErrorKind::Invalid,
            sc_sys::ErrorKind::Forbidden => ErrorKind::Forbidden,
            sc_sys::ErrorKind::Unavailable => ErrorKind::Unavailable,
            sc_sys::ErrorKind::Internal => ErrorKind::Internal,
        };
        Self::because(kind, "", error)
    }
}

impl From<sc_network::config::ConfigError> for Error {
    fn from(error: sc_network::config::ConfigError) -> Self {
        Self::because(ErrorKind::Invalid, "", error)
    }
}

impl From<sc_api::NameError> for Error {
    fn from(error: sc_api::NameError) -> Self {
        Self::because(ErrorKind::Invalid, "", error)
    }
}

/// Adds what was being done to a failure that is not the caller's fault.
pub trait Context<T> {
    /// The failure becomes an internal one with `message` around it.
    fn context(self, message: impl Into<String>) -> Result<T>;
}

impl<T, E: Into<Box<dyn StdError + Send + Sync>>> Context<T> for std::result::Result<T, E> {
    fn context(self, message: impl Into<String>) -> Result<T> {
        self.map_err(|source| Error::because(ErrorKind::Internal, message, source))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_chain_of_any_error_has_its_causes() {
        let cause = std::io::Error::from_raw_os_error(12);
        let error = sc_sys::SysError::new("receive from", "socket", cause);
        assert_eq!(error.to_string(), "receive from socket");
        assert_eq!(chain(&error), "receive from socket: Cannot allocate memory");
    }

    #[test]
    fn a_chain_says_each_part_once() {
        let below = Error::not_found("no such file");
        let above = below.within("open the image").within("create instance web1");
        assert_eq!(above.chain(), "create instance web1: open the image: no such file");
        assert_eq!(above.kind(), ErrorKind::NotFound);
    }

    #[test]
    fn a_full_disk_is_told_with_the_remedy() {
        let full = || std::io::Error::from(rustix::io::Errno::NOSPC);
        let error = Error::because(ErrorKind::Internal, "make the folder /d", full());
        let text =
            "start c1: make the folder /d: No space left on device: make room on its file system";
        assert_eq!(error.within("start c1").chain(), text);
        let error = Error::because(ErrorKind::Internal, "write /d; make room there", full());
        assert_eq!(error.chain(), "write /d; make room there: No space left on device");
    }

    #[test]
    fn what_a_client_has_sent_is_shown_bounded_and_harmless() {
        let text = format!("\x1b[31m\n{}: too long", "ä".repeat(2 * PART_MAX));
        let text = Error::invalid(text).chain();
        assert!(text.starts_with("\\u{1b}[31m\n"), "{}", &text[..20]);
        assert!(text.ends_with("ä: too long") && text.contains("ä…ä"));
        assert!(text.len() < 2 * PART_MAX + 16, "{}", text.len());
    }

    #[test]
    fn what_is_in_use_says_by_whom() {
        let users = ["/1.0/instances/c1".to_owned(), "/1.0/profiles/default".to_owned()];
        let refused = Error::refuse_if_used("network", "scbr0", &users).unwrap_err();
        let text = "The network \"scbr0\" is currently in use by instance c1, profile default";
        assert_eq!(refused.chain(), text);
        let many = vec!["/1.0/instances/c1".to_owned(); 7];
        let refused = Error::refuse_if_used("storage pool", "p1", &many).unwrap_err();
        assert!(refused.chain().ends_with("instance c1 and 2 more"), "{refused}");
        assert!(Error::refuse_if_used("profile", "p1", &[]).is_ok());
    }
}
