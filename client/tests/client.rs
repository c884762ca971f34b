//! The client against a small server.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends")]

mod fake;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use fake::{ExecBy, Fake};
use http::Method;
use sc_api::{ErrorKind, InstanceExecPost, InstanceSource, InstancesPost, StatusCode};
use sc_client::{Client, Detail, Error, ExecControl, ExecStreams, ImageFiles, ImageUpload, Tagged};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;

fn connect() -> (Fake, Client) {
    let fake = Fake::start();
    let client = Client::unix(&fake.socket);
    (fake, client)
}

/// A server of each kind, by the way in which it runs programs.
fn each_way() -> [(ExecBy, Fake, Client); 2] {
    [ExecBy::Stream, ExecBy::Websockets].map(|way| {
        let fake = Fake::speaking(way);
        let client = Client::unix(&fake.socket);
        (way, fake, client)
    })
}

fn run<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}

fn from_image(alias: &str) -> InstancesPost {
    let source =
        InstanceSource { source_type: "image".into(), alias: alias.into(), ..Default::default() };
    InstancesPost::new(&"c1".parse().unwrap(), source)
}

#[test]
fn a_list_is_one_request() {
    let (fake, client) = connect();
    let list = run(client.instances(Detail::State)).unwrap();
    assert_eq!(list.len(), 2);
    assert_eq!(list[0].state.as_ref().unwrap().pid, 4321);
    assert_eq!(fake.lines(), ["GET /1.0/instances?recursion=2"]);
}

#[test]
fn a_kept_connection_that_was_closed_while_the_client_was_held_up_is_not_used() {
    use std::io::{Read, Write};
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("socket");
    let listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    // Answers once, and closes when it is told to.
    let serve_one = |listener: std::os::unix::net::UnixListener,
                     close: std::sync::mpsc::Receiver<()>| {
        let (mut stream, _) = listener.accept().unwrap();
        assert_ne!(stream.read(&mut [0; 4096]).unwrap(), 0);
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nyes").unwrap();
        close.recv().unwrap_err();
        listener
    };
    let (open, close) = std::sync::mpsc::channel();
    let first = std::thread::spawn(move || serve_one(listener, close));
    run(async {
        let client = Client::unix(&socket);
        assert_eq!(client.get_bytes("/1").await.unwrap(), "yes");
        // What there is to do for the connection is done.
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        // From here on no task has its turn until the connection is closed.
        drop(open);
        let listener = first.join().unwrap();
        let (open, close) = std::sync::mpsc::channel();
        let second = std::thread::spawn(move || serve_one(listener, close));
        assert_eq!(client.get_bytes("/2").await.unwrap(), "yes");
        drop(open);
        second.join().unwrap();
    });
}

#[test]
fn a_wait_goes_on_when_the_daemon_gave_up_the_connection_just_as_it_was_asked() {
    use std::io::{Read, Write};
    use std::os::unix::net::{UnixListener, UnixStream};
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("socket");
    let listener = UnixListener::bind(&socket).unwrap();
    let operation = |status: &str, code: u32| {
        let operation = serde_json::json!({"id": "1", "class": "task", "description": "",
            "created_at": "2026-01-01T00:00:00Z", "updated_at": "2026-01-01T00:00:00Z",
            "status": status, "status_code": code, "may_cancel": false});
        let body = serde_json::json!({"type": "sync", "status": "", "status_code": 200, "operation": "",
            "error_code": 0, "error": "", "metadata": operation});
        let body = body.to_string();
        format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len())
    };
    let asked = |stream: &mut UnixStream| assert_ne!(stream.read(&mut [0; 4096]).unwrap(), 0);
    let server = std::thread::spawn(move || {
        let (mut first, _) = listener.accept().unwrap();
        asked(&mut first);
        first.write_all(operation("Running", 103).as_bytes()).unwrap();
        asked(&mut first);
        drop(first);
        let (mut second, _) = listener.accept().unwrap();
        asked(&mut second);
        second.write_all(operation("Success", 200).as_bytes()).unwrap();
    });
    run(async {
        let client = Client::unix(&socket);
        let begun = client.start_delete("/1.0/instances/c1").await.unwrap();
        assert_eq!(client.wait(begun).await.unwrap().status_code, StatusCode::Success);
    });
    server.join().unwrap();
}

#[test]
fn an_object_comes_with_its_etag_and_goes_back_with_it() {
    let (fake, client) = connect();
    run(async {
        let Tagged { etag, .. } = client.profile("default").await.unwrap();
        assert_eq!(etag.as_deref(), Some("\"etag-1\""));
        client.replace_profile("default", &Default::default(), etag.as_deref()).await.unwrap();
    });
    assert_eq!(fake.last("PUT /1.0/profiles/default").headers["if-match"], "\"etag-1\"");
}

#[test]
fn a_failure_keeps_the_servers_text_and_its_kind() {
    let (_fake, client) = connect();
    let error = run(client.instance("nope")).unwrap_err();
    assert_eq!(error.to_string(), "Instance \"nope\" not found: see sc list");
    assert_eq!(error.kind(), ErrorKind::NotFound);
}

#[test]
fn a_daemon_that_is_not_there_is_unavailable() {
    let client = Client::unix("/nonexistent/unix.socket");
    let error = run(client.server()).unwrap_err();
    assert!(matches!(error, Error::NotRunning { .. }), "{error:?}");
    assert_eq!(error.kind(), ErrorKind::Unavailable);
}

#[test]
fn an_operation_that_has_ended_already_is_not_waited_for() {
    let (fake, client) = connect();
    run(async {
        let operation = client.create_instance(&from_image("bb")).await.unwrap();
        let ended = client.wait(operation).await.unwrap();
        assert_eq!(ended.resource_name("instances"), Some("c1"));
    });
    assert_eq!(fake.lines(), ["POST /1.0/instances"]);
}

#[test]
fn a_failed_operation_is_an_error_with_its_text() {
    let (_fake, client) = connect();
    let error = run(async {
        let operation = client.create_instance(&from_image("broken")).await.unwrap();
        client.wait(operation).await.unwrap_err()
    });
    assert_eq!(error.to_string(), "unpack image: tar ends too early");
}

#[test]
fn progress_is_told_while_an_operation_is_waited_for() {
    let (_fake, client) = connect();
    let stages = Mutex::new(Vec::new());
    run(async {
        let operation = client.create_instance(&from_image("slow")).await.unwrap();
        let ended = client
            .wait_with_progress(operation, |operation| {
                stages.lock().unwrap().extend(operation.progress().map(|step| step.stage));
            })
            .await
            .unwrap();
        assert_eq!(ended.status_code, StatusCode::Success);
    });
    assert!(stages.into_inner().unwrap().contains(&"Unpacking".to_owned()));
}

#[test]
fn a_daemon_that_dies_under_an_operation_is_told_with_what_becomes_of_that() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("s");
    let dying = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    let daemon = std::thread::spawn(move || {
        let (mut connection, _) = dying.accept().unwrap();
        std::io::Read::read(&mut connection, &mut [0; 1024]).unwrap();
    });
    let operation = serde_json::from_value(serde_json::json!({
        "id": "1", "class": "task", "description": "", "status": "Running",
        "status_code": 103, "may_cancel": true, "metadata": null,
        "created_at": "2026-01-01T00:00:00Z", "updated_at": "2026-01-01T00:00:00Z",
    }));
    let error = run(Client::unix(&socket).wait(operation.unwrap())).unwrap_err();
    daemon.join().unwrap();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    let text = error.to_string();
    assert!(text.starts_with("the connection to the daemon broke before"), "{text}");
    assert!(text.ends_with("taken back when the daemon is started again"), "{text}");
}

#[test]
fn a_cancelled_operation_ends_the_wait() {
    let (_fake, client) = connect();
    let error = run(async {
        let operation = client.create_instance(&from_image("slow")).await.unwrap();
        let id = operation.id.clone();
        let (waited, cancelled) = tokio::join!(client.wait(operation), async {
            tokio::time::sleep(Duration::from_millis(30)).await;
            client.cancel(&id).await
        });
        cancelled.unwrap();
        waited.unwrap_err()
    });
    assert!(matches!(error, Error::Operation { status: StatusCode::Cancelled, .. }), "{error:?}");
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

#[test]
fn a_split_image_is_sent_as_two_parts() {
    let (fake, client) = connect();
    let folder = tempfile::tempdir().unwrap();
    let (metadata, rootfs) =
        (folder.path().join("meta.tar.xz"), folder.path().join("root.squashfs"));
    std::fs::write(&metadata, vec![1; 1000]).unwrap();
    std::fs::write(&rootfs, vec![2; 3_000_000]).unwrap();
    let upload = ImageUpload {
        files: ImageFiles::Split { metadata, rootfs },
        public: false,
        properties: [("os".to_owned(), "a b&c".to_owned())].into(),
    };
    let sent = Arc::new(AtomicU64::new(0));
    let counted = sent.clone();
    run(async {
        let operation = client
            .upload_image(&upload, move |done, _| counted.store(done, Ordering::Relaxed))
            .await
            .unwrap();
        client.wait(operation).await.unwrap();
    });
    let asked = fake.last("POST /1.0/images");
    assert_eq!(asked.length as u64, sent.load(Ordering::Relaxed));
    assert!(asked.length > 3_001_000);
    assert_eq!(asked.headers["x-lxd-filename"], "meta.tar.xz");
    assert_eq!(asked.headers["x-lxd-properties"], "os=a%20b%26c");
    assert!(asked.headers["content-type"].to_str().unwrap().starts_with("multipart/form-data"));
}

#[test]
fn an_upload_that_is_refused_early_tells_why() {
    let (_fake, client) = connect();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("refused.tar");
    std::fs::write(&file, vec![0; 20_000_000]).unwrap();
    let upload = ImageUpload {
        files: ImageFiles::Unified(file),
        public: false,
        properties: Default::default(),
    };
    let error = run(client.upload_image(&upload, |_, _| {})).unwrap_err();
    assert_eq!(error.to_string(), "no images today");
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let (_fake, client) = connect();
    let upload = ImageUpload {
        files: ImageFiles::Unified("/nonexistent/image.tar".into()),
        public: false,
        properties: Default::default(),
    };
    let error = run(client.upload_image(&upload, |_, _| {})).unwrap_err();
    assert!(error.to_string().contains("/nonexistent/image.tar"), "{error}");
}

#[test]
fn requests_that_overlap_do_not_wait_for_each_other() {
    let (_fake, client) = connect();
    run(async {
        let slow = client.create_instance(&from_image("slow")).await.unwrap();
        let (waited, listed) = tokio::join!(
            client.wait(slow),
            tokio::time::timeout(Duration::from_millis(100), client.profiles())
        );
        waited.unwrap();
        listed.expect("the list comes while the wait goes on").unwrap();
    });
}

#[test]
fn a_raw_answer_shows_failures_as_they_came() {
    let (_fake, client) = connect();
    let answer = run(client.raw(Method::GET, "/1.0/instances/nope", None)).unwrap();
    assert_eq!(answer.status, 404);
    assert!(String::from_utf8_lossy(&answer.body).contains("not found"));
}
