//! Wrong usage that clap does not see.

/// The command line asks for something that there is not, whatever the daemon has.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct WrongUsage(String);

/// The error that says what is wrong with the command line.
pub fn wrong(text: impl Into<String>) -> anyhow::Error {
    WrongUsage(text.into()).into()
}
