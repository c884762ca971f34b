//! Programs in instances, by each of the two ways in which a server runs them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use sc_api::{ErrorKind, InstanceExecPost};
use sc_client::{Client, Error, ExecControl, ExecStreams};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;

use crate::fake::{ExecBy, Fake};
use crate::run;

/// A server of each kind, by the way in which it runs programs.
fn each_way() -> [(ExecBy, Fake, Client); 2] {
    [ExecBy::Stream, ExecBy::Websockets].map(|way| {
        let fake = Fake::speaking(way);
        let client = Client::unix(&fake.socket);
        (way, fake, client)
    })
}

#[test]
fn exec_keeps_both_outputs_apart_and_returns_the_code() {
    for (_, _fake, client) in each_way() {
        let output =
            run(client.exec_output("web1", &["sh", "-c", "echo out; echo err >&2; exit 7"]))
                .unwrap();
        assert_eq!(output.code, 7);
        assert_eq!(String::from_utf8(output.stdout).unwrap(), "out\n");
        assert_eq!(String::from_utf8(output.stderr).unwrap(), "err\n");
    }
}

#[test]
fn a_program_that_is_not_there_is_code_127_and_the_servers_text() {
    for (_, _fake, client) in each_way() {
        let error = run(client.exec_output("web1", &["/no/such/program"])).unwrap_err();
        assert!(matches!(error, Error::Command { code: 127, .. }), "{error:?}");
        assert_eq!(error.to_string(), "Command not found");
    }
}

#[test]
fn exec_in_a_stopped_instance_is_refused() {
    for (_, _fake, client) in each_way() {
        let error = run(client.exec_output("db1", &["true"])).unwrap_err();
        assert_eq!(
            (error.to_string().as_str(), error.kind()),
            ("Instance is not running", ErrorKind::Invalid)
        );
    }
}

fn post(command: &[&str]) -> InstanceExecPost {
    InstanceExecPost {
        command: command.iter().map(|&word| word.to_owned()).collect(),
        wait_for_websocket: true,
        ..Default::default()
    }
}

#[test]
fn input_is_passed_on_and_so_is_its_end() {
    for (_, _fake, client) in each_way() {
        let input: Vec<u8> = (0..1_000_000u32).flat_map(u32::to_le_bytes).collect();
        let mut output = Vec::new();
        let code = run(async {
            let streams = ExecStreams {
                stdin: input.as_slice(),
                stdout: &mut output,
                stderr: tokio::io::sink(),
            };
            let (_sender, control) = mpsc::channel(1);
            client.exec("web1", &post(&["cat"]), streams, control).await.unwrap()
        });
        assert_eq!(code, 0);
        assert_eq!(output, input);
    }
}

/// Takes what is written slowly, and counts it.
struct SlowReader {
    taken: Arc<AtomicU64>,
    pause: Option<std::pin::Pin<Box<tokio::time::Sleep>>>,
}

impl tokio::io::AsyncWrite for SlowReader {
    fn poll_write(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
        bytes: &[u8],
    ) -> std::task::Poll<std::io::Result<usize>> {
        let pause = self
            .pause
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(Duration::from_millis(1))));
        std::task::ready!(pause.as_mut().poll(context));
        self.pause = None;
        self.taken.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        std::task::Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn poll_shutdown(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        std::task::Poll::Ready(Ok(()))
    }
}

#[test]
fn a_slow_reader_loses_nothing_and_holds_the_program_back() {
    for (_, _fake, client) in each_way() {
        let taken = Arc::new(AtomicU64::new(0));
        let marker = tempfile::NamedTempFile::new().unwrap();
        let script = format!("head -c 40000000 /dev/zero; date >{}", marker.path().display());
        run(async {
            let streams = ExecStreams {
                stdin: tokio::io::empty(),
                stdout: SlowReader { taken: taken.clone(), pause: None },
                stderr: tokio::io::sink(),
            };
            let (_sender, control) = mpsc::channel(1);
            let watched = async {
                while taken.load(Ordering::Relaxed) < 4_000_000 {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
                // A tenth is taken: had anything kept the rest, the program would have ended.
                assert_eq!(marker.as_file().metadata().unwrap().len(), 0);
                std::future::pending::<()>().await;
            };
            let command = post(&["sh", "-c", &script]);
            tokio::select! {
                code = client.exec("web1", &command, streams, control) => assert_eq!(code.unwrap(), 0),
                () = watched => unreachable!(),
            }
        });
        assert_eq!(taken.load(Ordering::Relaxed), 40_000_000);
    }
}

#[test]
fn a_reader_that_takes_nothing_of_one_stream_holds_up_no_other() {
    for (_, _fake, client) in each_way() {
        let (mut errors, stderr) = tokio::io::simplex(64);
        let streams = ExecStreams {
            stdin: tokio::io::empty(),
            // Nobody reads the other end.
            stdout: tokio::io::simplex(1).1,
            stderr,
        };
        let script = "head -c 10000000 /dev/zero & sleep 0.2; echo complaint >&2; wait";
        run(async {
            let (_sender, control) = mpsc::channel(1);
            let command = post(&["sh", "-c", script]);
            let mut complaint = [0; 10];
            tokio::select! {
                _ = client.exec("web1", &command, streams, control) => unreachable!(),
                read = errors.read_exact(&mut complaint) => assert_eq!(read.unwrap(), 10),
            }
            assert_eq!(&complaint, b"complaint\n");
        });
    }
}

#[test]
fn a_daemon_that_dies_under_a_program_is_told_with_what_becomes_of_that() {
    use std::io::{Read, Write};

    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("s");
    let dying = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    let daemon = std::thread::spawn(move || {
        let (mut connection, _) = dying.accept().unwrap();
        assert!(connection.read(&mut [0; 4096]).unwrap() > 0);
        let answer = "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\n\
                      upgrade: sc-exec/1\r\n\r\n";
        connection.write_all(answer.as_bytes()).unwrap();
        // The beginning of a frame, after a whole one.
        connection.write_all(&[1, 0, 0, 0, 2, b'h', b'i', 6, 0]).unwrap();
    });
    let mut stdout = Vec::new();
    let error = run(async {
        let streams = ExecStreams {
            stdin: tokio::io::empty(),
            stdout: &mut stdout,
            stderr: tokio::io::sink(),
        };
        let (_sender, control) = mpsc::channel(1);
        let client = Client::unix(&socket);
        client.exec("web1", &post(&["true"]), streams, control).await.unwrap_err()
    });
    daemon.join().unwrap();
    assert_eq!((error.kind(), stdout.as_slice()), (ErrorKind::Unavailable, &b"hi"[..]));
    let text = error.to_string();
    assert!(text.starts_with("the connection to the daemon broke before the program's"), "{text}");
}

#[test]
fn a_daemon_that_has_lost_a_program_says_why() {
    use std::io::{Read, Write};

    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("s");
    let listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    let daemon = std::thread::spawn(move || {
        let answer = |text: &str| {
            let (mut connection, _) = listener.accept().unwrap();
            let mut request = [0; 4096];
            let read = connection.read(&mut request).unwrap();
            connection.write_all(text.as_bytes()).unwrap();
            String::from_utf8_lossy(&request[..read]).lines().next().unwrap().to_owned()
        };
        answer(
            "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\n\
             upgrade: sc-exec/1\r\nlocation: /1.0/operations/o1\r\n\r\n",
        );
        let operation = serde_json::json!({
            "id": "o1", "class": "task", "description": "", "created_at": "2026-01-01T00:00:00Z",
            "updated_at": "2026-01-01T00:00:00Z", "status": "Failure", "status_code": 400,
            "may_cancel": false, "err": "the agent is lost",
        });
        let body = serde_json::json!({
            "type": "sync", "status": "", "status_code": 200, "operation": "", "error_code": 0,
            "error": "", "metadata": operation,
        });
        let body = body.to_string();
        answer(&format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len()))
    });
    let error = run(async {
        let streams = ExecStreams {
            stdin: tokio::io::empty(),
            stdout: tokio::io::sink(),
            stderr: tokio::io::sink(),
        };
        let (_sender, control) = mpsc::channel(1);
        let client = Client::unix(&socket);
        client.exec("web1", &post(&["true"]), streams, control).await.unwrap_err()
    });
    assert_eq!(daemon.join().unwrap(), "GET /1.0/operations/o1/wait?timeout=5 HTTP/1.1");
    assert_eq!(error.to_string(), "the agent is lost");
}

#[test]
fn a_signal_reaches_the_program() {
    for (way, fake, client) in each_way() {
        let code = run(async {
            let (stdin, mut to) = tokio::io::simplex(64);
            let streams =
                ExecStreams { stdin, stdout: tokio::io::sink(), stderr: tokio::io::sink() };
            let (sender, control) = mpsc::channel(1);
            let signalling = async {
                to.write_all(b"x").await.unwrap();
                tokio::time::sleep(Duration::from_millis(100)).await;
                sender.send(ExecControl::Signal(15)).await.unwrap();
                std::future::pending::<()>().await;
            };
            let command = post(&["sleep", "60"]);
            tokio::select! {
                code = client.exec("web1", &command, streams, control) => code.unwrap(),
                () = signalling => unreachable!(),
            }
        });
        assert_eq!(code, 128 + 15);
        let told = match way {
            ExecBy::Stream => "signal 15",
            ExecBy::Websockets => "{\"command\":\"signal\",\"args\":null,\"signal\":15}\n",
        };
        assert_eq!(fake.control_messages(), [told]);
    }
}

#[test]
fn a_program_that_closes_its_output_runs_on() {
    for (_, _fake, client) in each_way() {
        let script = "exec >&- 2>&-; sleep 0.3; exit 3";
        assert_eq!(run(client.exec_output("web1", &["sh", "-c", script])).unwrap().code, 3);
    }
}

#[test]
fn a_terminals_size_is_passed_on() {
    for (way, fake, client) in each_way() {
        let mut output = Vec::new();
        let code = run(async {
            let streams = ExecStreams {
                stdin: &b"hello\n"[..],
                stdout: &mut output,
                stderr: tokio::io::sink(),
            };
            let (sender, control) = mpsc::channel(1);
            sender.send(ExecControl::Resize { width: 100, height: 30 }).await.unwrap();
            let command =
                InstanceExecPost { interactive: true, ..post(&["sh", "-c", "cat; sleep 0.2"]) };
            client.exec("web1", &command, streams, control).await.unwrap()
        });
        assert_eq!((code, output.as_slice()), (0, &b"hello\n"[..]));
        let told = match way {
            ExecBy::Stream => "size 100x30",
            ExecBy::Websockets => "\"width\":\"100\"",
        };
        assert!(fake.control_messages()[0].contains(told));
    }
}

#[test]
fn a_writer_that_fails_ends_exec_with_its_error() {
    for (_, _fake, client) in each_way() {
        let error = run(async {
            let (gone, writer) = tokio::io::duplex(16);
            drop(gone);
            let streams = ExecStreams {
                stdin: tokio::io::empty(),
                stdout: writer,
                stderr: tokio::io::sink(),
            };
            let (_sender, control) = mpsc::channel(1);
            client.exec("web1", &post(&["yes"]), streams, control).await.unwrap_err()
        });
        assert!(error.is_broken_pipe(), "{error:?}");
    }
}
