//! A program whose client has one connection for everything ([`sc_api::exec`]).
//!
//! ```text
//!            ┌─ output, errors ── as much as the client has room for ──> frames ─┐
//!   program ─┤                                                                   ├─ connection
//!            └─ input <── kept, as much as the client may send <── frames <──────┘
//! ```
//!
//! The connection is read all the time, whatever the program does: so signals arrive, and the
//! client's end is noticed.

use std::convert::Infallible;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use sc_agent_protocol::{ExecRequest, WindowSize};
use sc_api::exec::{
    DATA_MAX, ExecFrame, ExecStream, FrameBuffer, HEADER, ReceiveWindow, SendWindow, WINDOW,
};
use tokio::io::{
    AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf, SimplexStream, WriteHalf, simplex,
};
use tokio::sync::{Mutex, oneshot};
use tokio_util::sync::CancellationToken;

use super::super::agent::{AgentLink, RunningExec, shown};
use super::super::stream::{Stream, lingered};
use super::{ExitStatus, KILLED, finished, hang_up, pipes, resize, signal};
use crate::error::{Context, Error, Result};
use crate::operation::Output;

/// How much is read at a time of a stream that has brought little so far; then it is a whole frame.
const LITTLE: usize = 4 << 10;

/// A program that was started, and whose client is not connected to it yet.
#[derive(Debug)]
pub struct Program {
    link: Arc<AgentLink>,
    id: u64,
    exit: oneshot::Receiver<i32>,
    streams: Streams,
}

/// Our ends of its streams.
#[derive(Debug)]
enum Streams {
    /// Three pipes.
    Split { stdin: OwnedFd, stdout: Stream, stderr: Stream },
    /// The terminal.
    Terminal(Stream),
}

/// The client has gone, or does not keep to the protocol.
struct Gone;

impl Program {
    /// Starts it.
    pub async fn start(link: Arc<AgentLink>, request: ExecRequest) -> Result<Self> {
        let program = shown(request.command.first().map_or("", String::as_str));
        let what = |step: &str| format!("start {program} inside: {step}");
        if request.terminal.is_some() {
            let RunningExec { id, exit, terminal } = link.exec(request, &[]).await?;
            let terminal = terminal.ok_or_else(|| Error::internal("the agent sent no terminal"))?;
            let terminal = Stream::new(terminal).context(what("open its terminal"))?;
            return Ok(Self { link, id, exit, streams: Streams::Terminal(terminal) });
        }
        let [(input, stdin), (stdout, output), (stderr, errors)] = pipes(&request)?;
        let open = |fd| Stream::new(fd).context(what("read its output"));
        let streams = Streams::Split { stdin, stdout: open(stdout)?, stderr: open(stderr)? };
        let fds = [input.as_fd(), output.as_fd(), errors.as_fd()];
        // The program's own ends go with this function, or the pipes would never end.
        let RunningExec { id, exit, .. } = link.exec(request, &fds).await?;
        Ok(Self { link, id, exit, streams })
    }

    /// Serves its client until it has ended; a client that goes before takes it along.
    pub async fn serve(self, client: impl AsyncRead + AsyncWrite + Send) -> Result<Option<Output>> {
        let Self { link, id, exit, streams } = self;
        let mut end = End { told: exit, status: None };
        let (from, to) = tokio::io::split(client);
        let client = Client::new(to);
        let (kept, keep) = simplex(WINDOW as usize);
        let (input, outputs) = streams.into_parts();
        let listener = Listener { link: &link, id, client: &client, terminal: outputs.terminal() };
        let pipes = outputs.terminal().is_none();
        let serving = async {
            tokio::select! {
                _told_or_gone = client.tell(&link, &outputs, &mut end) => {}
                () = listener.listen(from, keep) => {}
            }
            // Its pipes stay until it has ended: a broken one would end it before it hears why.
            if pipes && end.status.is_none() {
                hang_up(&link, id).await;
                tokio::select! {
                    _status = end.status() => {}
                    never = outputs.discard() => match never {},
                }
            }
        };
        tokio::select! {
            () = serving => {}
            never = client.feed(kept, input, &outputs) => match never {},
        }
        // A terminal's last master, by whose end the kernel tells the programs in it.
        drop(outputs);
        if !pipes && end.status.is_none() {
            hang_up(&link, id).await;
        }
        finished(&link, end.status().await.clone())
    }

    /// Ends it: its client has gone before it was connected.
    pub async fn abandon(self) -> Result<Option<Output>> {
        match self.streams {
            Streams::Terminal(master) => {
                drop(master);
                hang_up(&self.link, self.id).await;
            }
            pipes @ Streams::Split { .. } => {
                hang_up(&self.link, self.id).await;
                drop(pipes);
            }
        }
        finished(&self.link, self.exit.await)
    }
}

/// A program's end, which may be asked for again.
struct End {
    told: oneshot::Receiver<i32>,
    status: Option<ExitStatus>,
}

impl End {
    /// Waits for it.
    async fn status(&mut self) -> &ExitStatus {
        match self.status {
            Some(ref status) => status,
            None => self.status.insert((&mut self.told).await),
        }
    }

    /// Waits for it, and returns the exit code; none where the program's agent is there and only the
    /// connection to it has ended.
    async fn code(&mut self, link: &AgentLink) -> Option<i32> {
        match self.status().await {
            Ok(code) => Some(*code),
            Err(_) if !link.agent_has_gone() => None,
            Err(_) => Some(KILLED),
        }
    }
}

/// Where the client's input goes.
enum Input {
    /// Into a pipe, which ends with it.
    Pipe(OwnedFd),
    /// Into the terminal from which the output comes.
    Terminal,
}

/// Where output comes from.
struct Outputs {
    stdout: Stream,
    /// None with a terminal.
    stderr: Option<Stream>,
}

impl Streams {
    fn into_parts(self) -> (Input, Outputs) {
        match self {
            Self::Split { stdin, stdout, stderr } => {
                (Input::Pipe(stdin), Outputs { stdout, stderr: Some(stderr) })
            }
            Self::Terminal(stdout) => (Input::Terminal, Outputs { stdout, stderr: None }),
        }
    }
}

impl Outputs {
    fn terminal(&self) -> Option<&Stream> {
        self.stderr.is_none().then_some(&self.stdout)
    }

    /// Takes what comes, for nobody.
    async fn discard(&self) -> Infallible {
        let streams = std::iter::once(&self.stdout).chain(&self.stderr);
        futures::future::join_all(streams.map(|stream| async {
            let mut piece = [0; LITTLE];
            while let Ok(1..) = stream.read_into(&mut piece).await {}
        }))
        .await;
        std::future::pending().await
    }
}

/// The client's end, and how much goes there and comes from it.
struct Client<W> {
    to: Mutex<W>,
    stdin: ReceiveWindow,
    stdout: SendWindow,
    stderr: SendWindow,
}

impl<W: AsyncWrite + Unpin> Client<W> {
    fn new(to: W) -> Self {
        Self {
            to: Mutex::new(to),
            stdin: ReceiveWindow::default(),
            stdout: SendWindow::default(),
            stderr: SendWindow::default(),
        }
    }

    /// Sends the output to its end, and then how the program ended.
    async fn tell(&self, link: &AgentLink, outputs: &Outputs, end: &mut End) -> Result<(), Gone> {
        let ended = CancellationToken::new();
        let ending = async {
            let code = end.code(link).await;
            ended.cancel();
            // The client's connection ends without an exit code then.
            code.ok_or(Gone)
        };
        let showing = self.show(ExecStream::Stdout, &outputs.stdout, &self.stdout, &ended);
        let complaining = async {
            match &outputs.stderr {
                Some(errors) => self.show(ExecStream::Stderr, errors, &self.stderr, &ended).await,
                None => Ok(()),
            }
        };
        let (code, (), ()) = tokio::try_join!(ending, showing, complaining)?;
        // Sent here, and not when the operation has ended: the client need not wait for that.
        self.send(&ExecFrame::Exit(code).encode()).await
    }

    /// Sends one stream. When the program has `ended` and nothing arrives for a moment, that is its
    /// end too: a child may hold it open.
    async fn show(
        &self,
        stream: ExecStream,
        from: &Stream,
        window: &SendWindow,
        ended: &CancellationToken,
    ) -> Result<(), Gone> {
        let mut frame = vec![0; HEADER + LITTLE];
        loop {
            let end = frame.len().min(HEADER + window.open().await);
            let read = tokio::select! {
                read = from.read_into(&mut frame[HEADER..end]) => read,
                // On a busy machine the time may be over before what came in it was looked at.
                () = lingered(ended) => Ok(from.read_now(&mut frame[HEADER..end])),
            };
            match read {
                Ok(0) => return Ok(()),
                Ok(read) => {
                    window.take(read);
                    frame[..HEADER].copy_from_slice(&stream.header(read));
                    self.send(&frame[..HEADER + read]).await?;
                    if read == LITTLE {
                        frame.resize(HEADER + DATA_MAX, 0);
                    }
                }
                Err(error) => {
                    tracing::debug!(%error, "reading a program's output ended");
                    return Ok(());
                }
            }
        }
    }

    /// Hands the client's input on, and lets it send more. Never ends: the program may run on.
    async fn feed(
        &self,
        mut kept: ReadHalf<SimplexStream>,
        input: Input,
        outputs: &Outputs,
    ) -> Infallible {
        let mut piece = Vec::with_capacity(DATA_MAX);
        let mut pipe = None;
        let mut input = Some(input);
        while let Ok(1..) = kept.read_buf(&mut piece).await {
            // Nearly no program of a script has input: its pipe is watched when there is some.
            if let Some(Input::Pipe(fd)) = input.take_if(|input| matches!(input, Input::Pipe(_))) {
                pipe = Stream::new(fd).ok();
            }
            let to = pipe.as_ref().unwrap_or(&outputs.stdout);
            if to.write_all(&piece).await.is_err() {
                // The program has closed its input; what comes is of no use.
                break;
            }
            if let Some(due) = self.stdin.passed_on(piece.len()) {
                // That the client has gone is the listener's to notice.
                let _ = self.send(&ExecFrame::Credit(ExecStream::Stdin, due).encode()).await;
            }
            piece.clear();
        }
        // The end of the client's data is the end of the program's input.
        drop((pipe, input));
        std::future::pending().await
    }

    async fn send(&self, frame: &[u8]) -> Result<(), Gone> {
        let mut to = self.to.lock().await;
        to.write_all(frame).await.map_err(|_| Gone)?;
        to.flush().await.map_err(|_| Gone)
    }
}

/// What takes the client's frames.
struct Listener<'a, W> {
    link: &'a AgentLink,
    id: u64,
    client: &'a Client<W>,
    terminal: Option<&'a Stream>,
}

impl<W> Listener<'_, W> {
    /// Returns when the client has gone.
    async fn listen(&self, mut from: impl AsyncRead + Unpin, mut keep: WriteHalf<SimplexStream>) {
        let mut buffer = FrameBuffer::default();
        while let Ok(1..) = from.read_buf(buffer.room()).await {
            if let Err(error) = self.obey(&mut buffer, &mut keep).await {
                tracing::debug!(%error, "a client of exec does not keep to the protocol");
                return;
            }
        }
    }

    async fn obey(
        &self,
        buffer: &mut FrameBuffer,
        keep: &mut WriteHalf<SimplexStream>,
    ) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        while let Some(frame) = buffer.take()? {
            match frame {
                ExecFrame::Data(ExecStream::Stdin, []) => keep.shutdown().await?,
                ExecFrame::Data(ExecStream::Stdin, bytes) => {
                    self.client.stdin.arrived(bytes.len())?;
                    // It has room for all that may arrive, and so does not wait.
                    keep.write_all(bytes).await?;
                }
                ExecFrame::Credit(ExecStream::Stdout, bytes) => self.client.stdout.grant(bytes),
                ExecFrame::Credit(ExecStream::Stderr, bytes) => self.client.stderr.grant(bytes),
                ExecFrame::Signal(number) => signal(self.link, self.id, number).await,
                ExecFrame::Resize { width, height } => {
                    if let Some(terminal) = self.terminal {
                        resize(terminal, WindowSize { columns: width, rows: height });
                    }
                }
                other => return Err(format!("{other:?} from a client").into()),
            }
        }
        Ok(())
    }
}
