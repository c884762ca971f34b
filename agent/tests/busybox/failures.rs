//! Guests that do not come up.

use rustix::io::Errno;
use sc_agent_protocol::{BindMount, BootFailure, Event, Reply, Request, RootSpec, Tree};

use crate::harness::{Agent, Fixture};
use crate::need_root;

#[test]
fn a_layer_or_cgroup_that_is_not_there_fails_by_name() {
    need_root!();
    let mut fixture = Fixture::busybox();
    fixture.spec.cgroup.unified = Some("/sys/fs/cgroup/none".into());
    let failure = boot_failure(&mut fixture.start());
    assert_eq!((failure.step.as_str(), failure.errno), ("open cgroup", 2));
    assert_eq!(failure.object, "/sys/fs/cgroup/none");

    let mut fixture = Fixture::busybox();
    let tree = Tree::Path("/var/tmp/no-such-layer".into());
    fixture.spec.root = RootSpec::Directory { tree };
    let failure = boot_failure(&mut fixture.start());
    assert!(failure.object.contains("no-such-layer"), "{failure:?}");
}

#[test]
fn a_device_without_a_place_fails_with_what_to_do() {
    need_root!();
    for (source, target, errno) in [
        ("folder", "/etc/passwd", Errno::NOTDIR),
        ("folder", "/etc/passwd/below", Errno::NOTDIR),
        ("file", "/etc", Errno::INVAL),
        ("folder", "/proc/self/root", Errno::LOOP),
    ] {
        let mut fixture = Fixture::busybox();
        std::fs::create_dir(fixture.dir.path().join("folder")).unwrap();
        std::fs::write(fixture.dir.path().join("file"), "").unwrap();
        fixture.spec.binds = vec![BindMount {
            device: "data".into(),
            source: Tree::Path(fixture.dir.path().join(source)),
            target: target.into(),
            readonly: false,
            idmapped: true,
            recursive: false,
        }];
        let failure = boot_failure(&mut fixture.start());
        assert_eq!(failure.errno, errno.raw_os_error(), "{failure:?}");
        assert!(failure.remedy.unwrap().contains("choose another path"), "{target}");
    }
}

#[test]
fn an_image_with_a_file_for_proc_fails_with_what_to_do() {
    need_root!();
    let fixture = Fixture::busybox();
    let proc = fixture.dir.path().join("image/proc");
    let _ = std::fs::remove_dir(&proc);
    std::fs::write(&proc, "").unwrap();
    let failure = boot_failure(&mut fixture.start());
    assert_eq!(failure.errno, Errno::NOTDIR.raw_os_error(), "{failure:?}");
    assert!(failure.remedy.as_deref().unwrap().contains("use another image"), "{failure:?}");
}

pub fn boot_failure(agent: &mut Agent) -> BootFailure {
    match agent.wait_for(|event| matches!(event, Event::Failed(_))) {
        (Event::Failed(failure), _) => failure,
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_image_without_init_fails_with_what_to_do() {
    need_root!();
    let fixture = Fixture::busybox();
    std::fs::remove_file(fixture.dir.path().join("image/sbin/init")).unwrap();
    std::fs::remove_file(fixture.dir.path().join("image/bin/init")).unwrap();
    let mut agent = fixture.start();
    let failure = boot_failure(&mut agent);
    assert_eq!((failure.step.as_str(), failure.errno), ("find init", 2));
    assert!(failure.object.contains("/sbin/init") && failure.remedy.is_some());
    assert!(agent.wait().success());
    assert!(fixture.read("exits").contains("failed"));
}

#[test]
fn an_init_for_another_processor_or_without_interpreter_fails_with_the_reason() {
    need_root!();
    let mut elf = std::fs::read("/bin/busybox").unwrap();
    elf[18] = if cfg!(target_arch = "aarch64") { 62 } else { 183 };
    elf[19] = 0;
    for (program, errno, words) in
        [(elf.as_slice(), 8, "architecture"), (b"#!/no/such/thing\n", 2, "interpreter")]
    {
        let fixture = Fixture::busybox();
        let init = fixture.dir.path().join("image/sbin/init");
        std::fs::remove_file(&init).unwrap();
        std::fs::write(&init, program).unwrap();
        std::fs::set_permissions(&init, std::os::unix::fs::PermissionsExt::from_mode(0o755))
            .unwrap();
        let mut agent = fixture.start();
        agent.wait_for(|event| matches!(event, Event::NamespacesReady));
        let (reply, _) = agent.ask(Request::Boot, &[]);
        let Reply::Failed(failure) = reply else { panic!("{reply:?}") };
        assert_eq!((failure.step.as_str(), failure.errno), ("execute init", errno));
        assert!(failure.remedy.unwrap().contains(words));
        boot_failure(&mut agent);
    }
}

#[test]
fn an_init_that_dies_at_once_is_a_failed_boot() {
    need_root!();
    let mut fixture = Fixture::busybox();
    fixture.spec.init = vec!["/bin/sh".into(), "-c".into(), "echo dying; exit 5".into()];
    let mut agent = fixture.boot();
    let failure = boot_failure(&mut agent);
    assert_eq!(failure.step, "run init");
    assert!(failure.object.starts_with("/bin/sh: exit status 5 after"), "{failure:?}");
    agent.wait();
    assert!(fixture.read("console.log").contains("dying"));
}
