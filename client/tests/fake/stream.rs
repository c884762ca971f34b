//! `exec` on one connection ([`sc_api::exec`]), by programs of this machine.

use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::sync::Arc;

use axum::body::Body;
use axum::http::{StatusCode, header};
use axum::response::Response;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use sc_api::exec::{
    ExecFrame, ExecStream, FrameBuffer, PROTOCOL, ReceiveWindow, SHELL_STATUS, SendWindow,
};
use serde_json::json;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::process::{Child, ChildStdin};
use tokio::sync::{Mutex, mpsc};

use super::{Asked, Shared, exec, failure_with};

/// Starts a program, and joins it to the connection.
pub fn start(shared: &Arc<Shared>, asked: &Asked, upgrade: OnUpgrade) -> Response {
    if !asked.line.contains("/web1/") {
        return super::failure(400, "Instance is not running");
    }
    let Ok(child) = exec::spawn(&asked.body) else {
        return failure_with(404, "Command not found", json!({ SHELL_STATUS: 127 }));
    };
    let log = shared.execs.control();
    tokio::spawn(async move {
        if let Ok(connection) = upgrade.await {
            serve(child, TokioIo::new(connection), &log).await;
        }
    });
    Response::builder()
        .status(StatusCode::SWITCHING_PROTOCOLS)
        .header(header::CONNECTION, "upgrade")
        .header(header::UPGRADE, PROTOCOL)
        .body(Body::empty())
        .unwrap()
}

struct Peer<W> {
    to: Mutex<W>,
    stdin: ReceiveWindow,
    outputs: [SendWindow; 2],
}

async fn serve(
    mut child: Child,
    connection: impl AsyncRead + AsyncWrite,
    log: &std::sync::Mutex<Vec<String>>,
) {
    let (from, to) = tokio::io::split(connection);
    let peer = Peer { to: Mutex::new(to), stdin: Default::default(), outputs: Default::default() };
    let (stdout, stderr) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
    let (input, pieces) = mpsc::unbounded_channel();
    let (pid, stdin) = (child.id().unwrap(), child.stdin.take().unwrap());
    let ended = async {
        let (status, (), ()) = tokio::join!(
            child.wait(),
            peer.show(ExecStream::Stdout, stdout, &peer.outputs[0]),
            peer.show(ExecStream::Stderr, stderr, &peer.outputs[1]),
        );
        peer.send(ExecFrame::Exit(code(status.unwrap()))).await;
    };
    // Who leaves takes the program along, which ends when it is dropped.
    tokio::select! {
        () = ended => {}
        () = peer.listen(from, input, log, pid) => {}
        () = peer.feed(pieces, stdin) => {}
    }
}

fn code(status: ExitStatus) -> i32 {
    status.code().unwrap_or_else(|| 128 + status.signal().unwrap())
}

impl<W: AsyncWrite + Unpin> Peer<W> {
    async fn show(
        &self,
        stream: ExecStream,
        mut from: impl AsyncRead + Unpin,
        window: &SendWindow,
    ) {
        let mut piece = vec![0; 32 << 10];
        loop {
            let most = window.open().await.min(piece.len());
            match from.read(&mut piece[..most]).await {
                Ok(0) | Err(_) => return,
                Ok(read) => {
                    window.take(read);
                    self.send(ExecFrame::Data(stream, &piece[..read])).await;
                }
            }
        }
    }

    async fn listen(
        &self,
        mut from: impl AsyncRead + Unpin,
        input: mpsc::UnboundedSender<Vec<u8>>,
        log: &std::sync::Mutex<Vec<String>>,
        pid: u32,
    ) {
        let mut buffer = FrameBuffer::default();
        while let Ok(1..) = from.read_buf(buffer.room()).await {
            while let Some(frame) = buffer.take().unwrap() {
                match frame {
                    ExecFrame::Data(ExecStream::Stdin, bytes) => {
                        self.stdin.arrived(bytes.len()).unwrap();
                        let _ = input.send(bytes.to_vec());
                    }
                    ExecFrame::Credit(ExecStream::Stdout, bytes) => self.outputs[0].grant(bytes),
                    ExecFrame::Credit(ExecStream::Stderr, bytes) => self.outputs[1].grant(bytes),
                    ExecFrame::Signal(signal) => {
                        log.lock().unwrap().push(format!("signal {signal}"));
                        exec::kill(pid, signal).await;
                    }
                    ExecFrame::Resize { width, height } => {
                        log.lock().unwrap().push(format!("size {width}x{height}"));
                    }
                    other => panic!("{other:?} from a client"),
                }
            }
        }
    }

    async fn feed(&self, mut pieces: mpsc::UnboundedReceiver<Vec<u8>>, mut stdin: ChildStdin) {
        while let Some(piece) = pieces.recv().await.filter(|piece| !piece.is_empty()) {
            if stdin.write_all(&piece).await.is_err() {
                break;
            }
            if let Some(due) = self.stdin.passed_on(piece.len()) {
                self.send(ExecFrame::Credit(ExecStream::Stdin, due)).await;
            }
        }
        drop(stdin);
        std::future::pending().await
    }

    async fn send(&self, frame: ExecFrame<'_>) {
        let mut to = self.to.lock().await;
        let _ = to.write_all(&frame.encode()).await;
        let _ = to.flush().await;
    }
}
