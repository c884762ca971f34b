//! Why a program did not start.

use std::fmt;

use rustix::io::Errno;
use sc_sys::SysError;

/// How much of a failure is told; it may quote a path of any length. As JSON, where a control
/// character has six bytes, it still comes through a pipe in one piece.
const STEP_MAX: usize = 512;

/// Why a program did not start.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct ExecFailure {
    /// What failed.
    pub step: String,
    /// The error's number.
    pub errno: i32,
}

impl fmt::Display for ExecFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.step, std::io::Error::from_raw_os_error(self.errno))
    }
}

impl From<SysError> for ExecFailure {
    fn from(error: SysError) -> Self {
        let fallback = Errno::IO.raw_os_error();
        Self { step: shortened(error.to_string()), errno: error.errno().unwrap_or(fallback) }
    }
}

/// Leaves out the middle of a text that is too long to be told.
fn shortened(mut text: String) -> String {
    if text.len() > STEP_MAX {
        let head = text.floor_char_boundary(STEP_MAX / 2);
        let tail = text.ceil_char_boundary(text.len() - STEP_MAX / 2);
        text.replace_range(head..tail, "…");
    }
    text
}
