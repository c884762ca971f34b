//! A hundred slips of the keyboard, and some more: each is answered by what was meant.

use sc_tests::guests::{BUSYBOX, Busybox};
use sc_tests::report;

/// What was typed, and what must be suggested.
#[rustfmt::skip]
const SLIPS: [(&str, &str); 112] = [
    // Verbs.
    ("lanuch bb x1", "launch"), ("launhc bb x1", "launch"), ("lauch bb x1", "launch"), ("lunch bb x1", "launch"),
    ("inti bb x1", "init"), ("lsit", "list"), ("lst", "mean \"list\""), ("lisst", "list"), ("infos web1", "info"),
    ("ifno web1", "info"), ("exce web1 -- true", "exec"), ("exex web1 -- true", "exec"), ("shel web1", "shell"),
    ("shlel web1", "shell"), ("strat web1", "start"), ("statr web1", "start"), ("stpo web1", "stop"),
    ("sotp web1", "stop"), ("restrat web1", "restart"), ("retsart web1", "restart"), ("delet web1", "delete"),
    ("dleete web1", "delete"), ("deleet web1", "delete"), ("consloe web1", "console"), ("confg show web1", "config"),
    ("cofnig show web1", "config"), ("profiles list", "profile"), ("proflie list", "profile"),
    ("netwrok list", "network"), ("netowrk list", "network"), ("networks list", "network"),
    ("storgae list", "storage"), ("stroage list", "storage"), ("imgae list", "image"), ("images list", "image"),
    ("iamge list", "image"), ("opertaion list", "operation"), ("operations list", "operation"),
    ("remtoe list", "remote"), ("moniter", "monitor"), ("mointor", "monitor"), ("qurey /1.0", "query"),
    ("admni waitready", "admin"), ("complection bash", "completion"), ("verison", "version"),
    // Verbs of groups.
    ("config shwo web1", "show"), ("config ste web1 user.a=1", "set"), ("config gte web1 user.a", "get"),
    ("config unste web1 user.a", "unset"), ("config edti web1", "edit"), ("config devcie list web1", "device"),
    ("config device ad web1 d disk", "add"), ("config device lst web1", "list"), ("profile craete p2", "create"),
    ("profile delte work", "delete"), ("profile shw work", "show"), ("network lits", "list"),
    ("network creat n", "create"), ("storage creaet p dir", "create"), ("image lsit", "list"),
    ("image improt x", "import"), ("image aliass list", "alias"), ("operation lsit", "list"),
    ("operation cancle x", "cancel"), ("remote lsit", "list"), ("admin waitredy", "waitready"),
    ("admin shutdwon", "shutdown"),
    // Flags.
    ("list --fromat csv", "--format"), ("list --colums n", "--columns"), ("stop --forc web1", "--force"),
    ("stop --tiemout 3 web1", "--timeout"), ("delete --froce web1", "--force"), ("launch --profle work bb x1", "--profile"),
    ("launch --ephemral bb x1", "--ephemeral"), ("launch --storge default bb x1", "--storage"),
    ("launch --confg a=b bb x1", "--config"), ("exec --usre 0 web1 -- true", "--user"),
    ("exec --cdw / web1 -- true", "--cwd"), ("list --hepl", "--help"), ("list --queit", "--quiet"),
    // Names.
    ("info wbe1", "\"web1\""), ("start web11", "\"web1\""), ("stop weeb1", "\"web1\""), ("exec we1 -- true", "\"web1\""),
    ("config show wb1", "\"web1\""), ("delete database", "\"database1\""), ("info databsae1", "\"database1\""),
    ("profile show wrok", "\"work\""), ("profile show defalt", "\"default\""), ("storage show defualt", "\"default\""),
    ("launch busybx x1", "\"busybox\""), ("image info busyobx", "\"busybox\""),
    // Keys.
    ("config set web1 limits.memroy=1GiB", "\"limits.memory\""), ("config set web1 limit.cpu=1", "\"limits.cpu\""),
    ("config set web1 limits.proceses=9", "\"limits.processes\""), ("config set web1 boot.autostrat=true", "\"boot.autostart\""),
    ("config set web1 boot.autostart.priorty=1", "\"boot.autostart.priority\""),
    ("profile set work limits.memmory=1GiB", "\"limits.memory\""),
    ("config device add web1 d disk sorce=/tmp path=/d", "\"source\""),
    ("config device add web1 e nic netwrk=x", "\"network\""),
    // Remotes, names in what is asked for, and verbs of which little is left.
    ("launch debain:12 x1", "\"debian:12\""), ("info loacl:web1", "\"local:web1\""),
    ("remote switch debain", "\"debian\""), ("launch debian:busybox x1", "\"local:busybox\""),
    ("profile add web1 wrok", "\"work\""), ("launch busybox x1 -p defualt", "\"default\""),
    ("launch busybox x1 -s defualt", "\"default\""), ("config st web1 user.a=1", "\"set\""),
    ("stp web1", "stop"), ("launch debian:bookwrm x1", "\"debian:bookworm\""),
    ("config device add web1 d dsk", "\"disk\""), ("profile device add work d nci", "\"nic\""),
];

#[test]
fn a_hundred_slips_are_answered_by_what_was_meant() {
    let daemon = Busybox::daemon();
    for name in ["web1", "database1"] {
        daemon.sc(&["init", BUSYBOX, name]).ok();
    }
    daemon.sc(&["profile", "create", "work"]).ok();
    let mut missed = Vec::new();
    for (typed, meant) in SLIPS {
        let ran = daemon.sc(&typed.split(' ').collect::<Vec<_>>());
        assert!(matches!(ran.code, 1 | 2), "sc {typed}: {ran:?}");
        let said = ran.stderr.trim_end();
        assert_eq!(said.lines().count(), 1, "sc {typed}: {said}");
        report("slips of the keyboard", &format!("sc {typed}: {said}"));
        // Behind what was typed, which may hold it.
        let hint = said.rsplit_once(" (").map_or("", |(_, hint)| hint);
        if !hint.contains(meant) {
            missed.push(format!("sc {typed}: {said}"));
        }
    }
    assert!(
        missed.is_empty(),
        "{} slips without their answer:\n{}",
        missed.len(),
        missed.join("\n")
    );
}
