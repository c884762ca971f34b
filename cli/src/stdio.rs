//! Standard input and output without threads and without changing their mode.
//!
//! They are shared with other programs, so they must stay blocking; and a read that blocks would
//! hold up everything else here, or keep the program from ending. So a stream that can be waited
//! for (a pipe, a socket, a terminal) is, and then read or written by what is sure not to block. A
//! regular file never blocks for long and is used directly.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};

use crate::output::OutputClosed;

/// What a pipe that can be written takes at least without blocking (`PIPE_BUF`, `pipe(7)`).
const SURE_TO_FIT: usize = 4096;

/// Standard input.
#[derive(Debug)]
pub struct Stdin(Stream);

/// Standard output or standard error.
#[derive(Debug)]
pub struct Output(Stream);

impl Stdin {
    /// Standard input.
    pub fn new() -> io::Result<Self> {
        Stream::new(rustix::stdio::stdin(), Interest::READABLE).map(Self)
    }
}

impl Output {
    /// Standard output.
    pub fn stdout() -> io::Result<Self> {
        Stream::new(rustix::stdio::stdout(), Interest::WRITABLE).map(Self)
    }

    /// Standard error.
    pub fn stderr() -> io::Result<Self> {
        Stream::new(rustix::stdio::stderr(), Interest::WRITABLE).map(Self)
    }
}

/// Returns once nobody reads standard output any more; never where that cannot be known, as of a file.
pub async fn reader_left() -> OutputClosed {
    let stdout = Stream::new(rustix::stdio::stdout(), Interest::ERROR).map(|stream| stream.waiter);
    match &stdout {
        // A pipe that is written to is in error once its other end is closed: poll(2).
        Ok(Some(stdout)) if stdout.ready(Interest::ERROR).await.is_ok() => OutputClosed,
        _ => std::future::pending().await,
    }
}

#[derive(Debug)]
struct Stream {
    fd: StdioFd,
    /// None for a file, which is always ready.
    waiter: Option<AsyncFd<StdioFd>>,
}

/// One of the three descriptors that are open as long as the program runs.
#[derive(Debug, Clone, Copy)]
struct StdioFd(BorrowedFd<'static>);

impl AsRawFd for StdioFd {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

impl AsFd for StdioFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0
    }
}

impl Stream {
    #[allow(
        deprecated,
        reason = "its unsafe successor asks for a descriptor that stays the same and open, as a \
                  BorrowedFd<'static> does"
    )]
    fn new(fd: BorrowedFd<'static>, interest: Interest) -> io::Result<Self> {
        let fd = StdioFd(fd);
        match AsyncFd::with_interest(fd, interest) {
            Ok(waiter) => Ok(Self { fd, waiter: Some(waiter) }),
            // What epoll(7) refuses is a regular file or a device that is always ready.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                Ok(Self { fd, waiter: None })
            }
            Err(error) => Err(error),
        }
    }

    /// Waits until `flags` hold by poll(2), as the waiter's own word may be out of date.
    fn poll_ready(&self, context: &mut Context<'_>, flags: PollFlags) -> Poll<io::Result<()>> {
        let Some(waiter) = &self.waiter else { return Poll::Ready(Ok(())) };
        loop {
            let mut guard = ready!(match flags {
                PollFlags::IN => waiter.poll_read_ready(context),
                _ => waiter.poll_write_ready(context),
            })?;
            let mut polled = [PollFd::new(&self.fd, flags)];
            match poll(&mut polled, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })) {
                Ok(0) => guard.clear_ready(),
                Ok(_) => return Poll::Ready(Ok(())),
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Poll::Ready(Err(error.into())),
            }
        }
    }
}

impl AsyncRead for Stdin {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        ready!(self.0.poll_ready(context, PollFlags::IN))?;
        let read = rustix::io::retry_on_intr(|| {
            rustix::io::read(self.0.fd, buffer.initialize_unfilled())
        })?;
        buffer.advance(read);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Output {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready!(self.0.poll_ready(context, PollFlags::OUT))?;
        let bytes = match self.0.waiter {
            Some(_) => &bytes[..bytes.len().min(SURE_TO_FIT)],
            None => bytes,
        };
        Poll::Ready(Ok(rustix::io::retry_on_intr(|| rustix::io::write(self.0.fd, bytes))?))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
