//! External programs: run to their end, with what they said in the error.

use std::io;
use std::path::Path;
use std::process::Stdio;

use tokio::io::AsyncWriteExt;
use tokio::process::{Child, Command};

use crate::{NetworkError, Result};

/// A program that a network runs, and what to say where it is missing.
pub(crate) struct Program<'a> {
    /// Its name or path.
    pub path: &'a Path,
    /// The package that brings it.
    pub package: &'static str,
    /// The network.
    pub network: &'a str,
    /// What it does there, for "needs it for ...".
    pub purpose: &'static str,
}

impl Program<'_> {
    /// Runs it with this standard input and returns what it printed; an exit other than 0 is an error
    /// with what it wrote to standard error. It begins in `/` with a clean environment.
    pub async fn run(&self, args: &[String], input: &str) -> Result<String> {
        let mut command = Command::new(self.path);
        command
            .args(args)
            .env_clear()
            .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
            .env("LC_ALL", "C")
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = spawn(&mut command).map_err(|source| self.failed("start", source))?;
        let mut stdin = child.stdin.take().expect("it is piped");
        let write = async move {
            // A program that ends before it has read everything says why by its exit.
            let _ = stdin.write_all(input.as_bytes()).await;
        };
        let (output, ()) = tokio::join!(child.wait_with_output(), write);
        let output = output.map_err(|source| self.failed("wait for", source))?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        let stderr = String::from_utf8_lossy(&output.stderr);
        let stderr: Vec<&str> =
            stderr.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        Err(NetworkError::Program {
            program: self.path.display().to_string(),
            network: self.network.to_owned(),
            status: output.status.to_string(),
            stderr: stderr.join("; "),
        })
    }

    /// The error of something that was tried with it.
    pub fn failed(&self, op: &'static str, source: io::Error) -> NetworkError {
        let program = self.path.display().to_string();
        let network = self.network.to_owned();
        if source.kind() == io::ErrorKind::NotFound {
            let (package, purpose) = (self.package, self.purpose);
            return NetworkError::MissingProgram { program, package, network, purpose };
        }
        NetworkError::Process { op, program, network, source }
    }
}

/// Starts a program. The standard library panics where the kernel cannot tell whether the program has begun, as
/// without memory; the network's rules are to be kept after that too.
fn spawn(command: &mut Command) -> io::Result<Child> {
    let spawned = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| command.spawn()));
    spawned.unwrap_or_else(|_| Err(io::Error::other("it is not known whether it has begun")))
}
