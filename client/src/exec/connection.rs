//! One connection for everything ([`sc_api::exec`]).
//!
//! ```text
//!   connection ── frames ──> kept ──> standard output    what was written gives the server credit
//!              │         └─> kept ──> standard error
//!              <── frames ── standard input, as much as there is credit for
//!              <── frames ── signals, the window's size
//! ```
//!
//! The frames are read all the time, so that a reader that is slow on one stream holds up neither
//! the other nor the news that the program has ended. The program's end is the last to come; what
//! is kept then is still written.

use std::convert::Infallible;

use sc_api::exec::{
    DATA_MAX, ExecFrame, ExecStream, FrameBuffer, HEADER, ReceiveWindow, SendWindow, WINDOW,
};
use tokio::io::{
    AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf, SimplexStream, WriteHalf, simplex,
};
use tokio::sync::{Mutex, mpsc};

use super::{ExecControl, ExecStreams};
use crate::error::{BrokenBy, Error, Result};

/// How much of the input is read at first; where that was there, a whole frame is read at a time.
const LITTLE: usize = 4 << 10;

/// The server's end, and how much goes there and comes from it.
struct Server<W> {
    to: Mutex<W>,
    stdin: SendWindow,
    stdout: ReceiveWindow,
    stderr: ReceiveWindow,
}

/// Serves a program to its end over `connection`, and returns its exit code.
pub(super) async fn run<I, O, E>(
    connection: impl AsyncRead + AsyncWrite,
    streams: ExecStreams<I, O, E>,
    control: mpsc::Receiver<ExecControl>,
) -> Result<i32>
where
    I: AsyncRead + Unpin,
    O: AsyncWrite + Unpin,
    E: AsyncWrite + Unpin,
{
    let ExecStreams { mut stdin, mut stdout, mut stderr } = streams;
    let (from, to) = tokio::io::split(connection);
    let server = Server {
        to: Mutex::new(to),
        stdin: SendWindow::default(),
        stdout: ReceiveWindow::default(),
        stderr: ReceiveWindow::default(),
    };
    let (out_kept, out_keep) = simplex(WINDOW as usize);
    let (err_kept, err_keep) = simplex(WINDOW as usize);
    let showing = async {
        tokio::try_join!(
            async { Ok(server.listen(from, out_keep, err_keep).await) },
            server.show(ExecStream::Stdout, out_kept, &mut stdout, "write standard output"),
            server.show(ExecStream::Stderr, err_kept, &mut stderr, "write standard error"),
        )
    };
    tokio::select! {
        // What was kept is written now, also of a program that was lost.
        shown = showing => shown?.0,
        error = server.feed(&mut stdin) => Err(error),
        never = server.pass_control(control) => match never {},
    }
}

impl<W: AsyncWrite + Unpin> Server<W> {
    /// Takes the server's frames, until the program has ended.
    async fn listen(
        &self,
        mut from: impl AsyncRead + Unpin,
        mut stdout: WriteHalf<SimplexStream>,
        mut stderr: WriteHalf<SimplexStream>,
    ) -> Result<i32> {
        let mut buffer = FrameBuffer::default();
        let ended = loop {
            match from.read_buf(buffer.room()).await {
                Ok(0) => break Err(broken(BrokenBy::Closed)),
                Ok(_) => match self.take(&mut buffer, &mut stdout, &mut stderr).await {
                    Ok(None) => {}
                    Ok(Some(code)) => break Ok(code),
                    Err(error) => break Err(unexpected(&*error)),
                },
                Err(error) => break Err(broken(BrokenBy::Stream(error))),
            }
        };
        // Nothing more comes: they end once all is written.
        let _ = tokio::join!(stdout.shutdown(), stderr.shutdown());
        ended
    }

    /// Takes what has come; returns the exit code at the program's end.
    async fn take(
        &self,
        buffer: &mut FrameBuffer,
        stdout: &mut WriteHalf<SimplexStream>,
        stderr: &mut WriteHalf<SimplexStream>,
    ) -> Result<Option<i32>, Box<dyn std::error::Error>> {
        while let Some(frame) = buffer.take()? {
            match frame {
                // They have room for all that may arrive, and so do not wait.
                ExecFrame::Data(ExecStream::Stdout, bytes) => {
                    self.stdout.arrived(bytes.len())?;
                    stdout.write_all(bytes).await?;
                }
                ExecFrame::Data(ExecStream::Stderr, bytes) => {
                    self.stderr.arrived(bytes.len())?;
                    stderr.write_all(bytes).await?;
                }
                ExecFrame::Credit(ExecStream::Stdin, bytes) => self.stdin.grant(bytes),
                ExecFrame::Exit(code) => return Ok(Some(code)),
                other => return Err(format!("{other:?} from a server").into()),
            }
        }
        Ok(None)
    }

    /// Writes what is kept of a stream, and lets the server send more.
    async fn show(
        &self,
        stream: ExecStream,
        mut kept: ReadHalf<SimplexStream>,
        to: &mut (impl AsyncWrite + Unpin),
        action: &'static str,
    ) -> Result<()> {
        let failed = |source| Error::Stream { action, source };
        let window = if stream == ExecStream::Stderr { &self.stderr } else { &self.stdout };
        let mut piece = Vec::with_capacity(DATA_MAX);
        while let Ok(1..) = kept.read_buf(&mut piece).await {
            to.write_all(&piece).await.map_err(failed)?;
            to.flush().await.map_err(failed)?;
            if let Some(due) = window.passed_on(piece.len()) {
                self.send(&ExecFrame::Credit(stream, due).encode()).await;
            }
            piece.clear();
        }
        Ok(())
    }

    /// Sends what is read until it ends, and then its end. Returns only when reading fails.
    async fn feed(&self, from: &mut (impl AsyncRead + Unpin)) -> Error {
        let mut frame = vec![0; HEADER + LITTLE];
        loop {
            let end = frame.len().min(HEADER + self.stdin.open().await);
            match from.read(&mut frame[HEADER..end]).await {
                Ok(read) => {
                    self.stdin.take(read);
                    frame[..HEADER].copy_from_slice(&ExecStream::Stdin.header(read));
                    self.send(&frame[..HEADER + read]).await;
                    match read {
                        0 => return std::future::pending().await,
                        LITTLE => frame.resize(HEADER + DATA_MAX, 0),
                        _ => {}
                    }
                }
                Err(source) => return Error::Stream { action: "read standard input", source },
            }
        }
    }

    /// Passes the caller's words on for ever.
    async fn pass_control(&self, mut control: mpsc::Receiver<ExecControl>) -> Infallible {
        while let Some(word) = control.recv().await {
            let frame = match word {
                ExecControl::Resize { width, height } => ExecFrame::Resize { width, height },
                ExecControl::Signal(signal) => ExecFrame::Signal(signal),
            };
            self.send(&frame.encode()).await;
        }
        std::future::pending().await
    }

    /// Sends a frame. A server that takes it no more is gone, or done: what it has sent tells.
    async fn send(&self, frame: &[u8]) {
        let mut to = self.to.lock().await;
        if to.write_all(frame).await.is_ok() {
            let _ = to.flush().await;
        }
    }
}

fn broken(by: BrokenBy) -> Error {
    Error::BrokenExec { by }
}

fn unexpected(error: &dyn std::error::Error) -> Error {
    Error::Unexpected { request: "exec".into(), what: error.to_string() }
}
