//! An instance's console.

use futures::{SinkExt, StreamExt};
use http::Method;
use sc_api::InstanceConsolePost;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::sync::{Notify, mpsc};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

use crate::client::Client;
use crate::error::{Error, Result};
use crate::exec::{Secrets, receive, resize, with_operation};
use crate::operation::success;
use crate::resource::path;
use crate::websocket::Socket;

/// The keys that detach, for people.
pub const DETACH_KEYS: &str = "<ctrl>+a q";

const CTRL_A: u8 = 1;

/// How a visit to the console ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConsoleEnd {
    /// The user left by the detach keys.
    Detached,
    /// The instance stopped, or another client took over.
    Ended,
}

impl Client {
    /// Attaches to an instance's console. New sizes of the caller's terminal, columns and lines,
    /// come by `sizes`.
    pub async fn console(
        &self,
        instance: &str,
        post: &InstanceConsolePost,
        mut stdin: impl AsyncRead + Unpin,
        mut stdout: impl AsyncWrite + Unpin,
        mut sizes: mpsc::Receiver<(u16, u16)>,
    ) -> Result<ConsoleEnd> {
        let console = path(&["instances", instance, "console"]);
        let operation = self.start(Method::POST, &console, post).await?;
        let secrets = Secrets::of(&operation)?;
        let mut how = ConsoleEnd::Ended;
        let io = async {
            let (data, mut control) =
                tokio::try_join!(secrets.connect(self, "0"), secrets.connect(self, "control"))?;
            let (to, from) = data.split();
            tokio::select! {
                ended = receive(from, &mut stdout, "write standard output") => ended?,
                detached = send_until_detached(to, &mut stdin) => {
                    detached?;
                    how = ConsoleEnd::Detached;
                }
                () = pass_sizes(&mut control, &mut sizes) => {}
            }
            if how == ConsoleEnd::Detached {
                detach(&mut control).await;
            }
            Ok(())
        };
        let ended = with_operation(self.wait_end(operation), io, &Notify::new()).await;
        match (how, ended) {
            // We left: how the server takes that is its own affair.
            (ConsoleEnd::Detached, _) => Ok(how),
            (ConsoleEnd::Ended, ended) => success(ended?).map(|_| how),
        }
    }
}

/// Passes sizes on for ever; a socket that takes them no more changes nothing.
async fn pass_sizes(control: &mut Socket, sizes: &mut mpsc::Receiver<(u16, u16)>) {
    loop {
        tokio::select! {
            size = sizes.recv() => match size {
                Some((width, height)) => {
                    let _ = control.send(resize(width, height)).await;
                }
                None => return std::future::pending().await,
            },
            message = control.next() => if !matches!(message, Some(Ok(_))) {
                return std::future::pending().await;
            },
        }
    }
}

async fn detach(control: &mut Socket) {
    let frame = CloseFrame { code: CloseCode::Normal, reason: "Detaching from console".into() };
    let _ = control.send(Message::Close(Some(frame))).await;
}

/// Sends what is typed until the detach keys are, or until there is no more.
async fn send_until_detached(
    mut to: impl futures::Sink<Message> + Unpin,
    from: &mut (impl AsyncRead + Unpin),
) -> Result<()> {
    let failed = |source| Error::Stream { action: "read standard input", source };
    let mut keys = DetachFilter::default();
    let mut buffer = [0; 1024];
    loop {
        let read = from.read(&mut buffer).await.map_err(failed)?;
        if read == 0 {
            return Ok(());
        }
        let (pass, detached) = keys.filter(&buffer[..read]);
        if !pass.is_empty() && to.send(Message::binary(pass)).await.is_err() {
            return std::future::pending().await;
        }
        if detached {
            return Ok(());
        }
    }
}

/// Finds ctrl-a q in what is typed. A ctrl-a is held back until the next key shows what it is;
/// pressed twice it is passed on once, so that it can be typed.
#[derive(Debug, Default)]
struct DetachFilter {
    after_ctrl_a: bool,
}

impl DetachFilter {
    /// What is to be passed on of `typed`, and whether the detach keys were among it.
    fn filter(&mut self, typed: &[u8]) -> (Vec<u8>, bool) {
        let mut pass = Vec::with_capacity(typed.len());
        for &key in typed {
            match (self.after_ctrl_a, key) {
                (false, CTRL_A) => self.after_ctrl_a = true,
                (false, key) => pass.push(key),
                (true, b'q') => return (pass, true),
                (true, key) => {
                    self.after_ctrl_a = false;
                    pass.push(CTRL_A);
                    if key != CTRL_A {
                        pass.push(key);
                    }
                }
            }
        }
        (pass, false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_detach_keys_are_found_in_one_read_and_over_two() {
        let mut keys = DetachFilter::default();
        assert_eq!(keys.filter(b"ls\r\x01q"), (b"ls\r".to_vec(), true));
        let mut keys = DetachFilter::default();
        assert_eq!(keys.filter(b"\x01"), (vec![], false));
        assert_eq!(keys.filter(b"q"), (vec![], true));
    }

    #[test]
    fn ctrl_a_before_another_key_is_passed_on() {
        let mut keys = DetachFilter::default();
        assert_eq!(keys.filter(b"\x01bq"), (b"\x01bq".to_vec(), false));
        assert_eq!(keys.filter(b"\x01\x01q"), (b"\x01q".to_vec(), false));
    }
}
