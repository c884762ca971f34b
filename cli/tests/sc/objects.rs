//! Images, networks and pools.

use crate::harness::Cli;

#[test]
fn an_image_is_imported_with_its_aliases() {
    let cli = Cli::new();
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    std::fs::write(file("meta.tar"), "m").unwrap();
    std::fs::write(file("rootfs.squashfs"), "r").unwrap();
    let words =
        ["image", "import", &file("meta.tar"), &file("rootfs.squashfs"), "os=box", "--alias", "b2"];
    let output = cli.ok(&words);
    assert!(output.starts_with("Image imported with fingerprint: 8bcbc9284be0"), "{output}");
    assert_eq!(cli.fake.last("POST /1.0/images").line, "POST /1.0/images/aliases");
    let upload = cli.fake.asked().into_iter().find(|asked| asked.line == "POST /1.0/images");
    assert_eq!(upload.unwrap().headers["x-lxd-properties"], "os=box");
    let error = cli.error(&["image", "import", &file("none")]);
    assert!(error.contains("none: No such file"), "{error}");
}

#[test]
fn a_pipe_is_no_image() {
    let cli = Cli::new();
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let error = cli.error(&["image", "import", pipe.to_str().unwrap()]);
    assert!(error.contains("pipe") && error.contains("no regular file"), "{error}");
}

#[test]
fn an_alias_that_is_taken_is_told_before_the_upload() {
    let cli = Cli::new();
    let file = tempfile::NamedTempFile::new().unwrap();
    let import = ["image", "import", file.path().to_str().unwrap(), "--alias"];
    let error = cli.error(&[&import[..], &["new", "--alias", "bb"]].concat());
    assert!(error.contains("\"bb\" already exists"), "{error}");
    let error = cli.usage(&[&import[..], &["new", "--alias", "new"]].concat());
    assert!(error.contains("\"new\" is given twice"), "{error}");
    assert!(cli.fake.lines().iter().all(|line| line.starts_with("GET ")), "{:?}", cli.fake.lines());
}

#[test]
fn images_are_listed_shown_and_deleted() {
    let cli = Cli::new();
    let text = cli.ok(&["image", "list", "-f", "csv"]);
    assert_eq!(
        text,
        "bb,8bcbc9284be0,no,\"Tiny, box\",x86_64,CONTAINER,962.56KiB,2026/11/24 09:30 UTC\n"
    );
    assert!(cli.ok(&["image", "info", "bb"]).contains("Aliases:\n  bb\n"));
    assert_eq!(cli.ok(&["image", "delete", "8bcb"]), "Image 8bcb deleted\n");
    assert_eq!(cli.error(&["image", "delete", "nope"]), "Error: Image not found");
}

#[test]
fn what_was_done_is_told_unless_it_is_to_be_quiet() {
    let cli = Cli::new();
    for (args, told) in [
        (&["delete", "db1"][..], "Instance db1 deleted\n"),
        (&["profile", "delete", "default"], "Profile default deleted\n"),
        (&["profile", "create", "p1"], "Profile p1 created\n"),
        (&["image", "delete", "8bcb"], "Image 8bcb deleted\n"),
    ] {
        assert_eq!(cli.ok(args), told);
        assert_eq!(cli.ok(&[&["--quiet"], args].concat()), "");
    }
}

#[test]
fn images_that_a_remote_builds_are_listed_before_they_are_built() {
    let cli = Cli::new();
    let text = cli.ok(&["image", "list", "debian:", "-f", "csv", "-c", "Ld"]);
    assert!(text.contains("\"12\nbookworm\n12/default\nbookworm/default\","), "{text}");
    assert!(text.contains("Debian 13 trixie\n"), "{text}");
    let text = cli.ok(&["image", "list", "debian:", "variant=sysvinit", "-f", "csv"]);
    assert!(text.starts_with("12/sysvinit (1 more),,yes,Debian 12 bookworm with sysvinit,"));
    assert!(cli.ok(&["image", "list", "debian:13", "-f", "csv"]).starts_with("13 (3 more),"));
    assert!(cli.ok(&["image", "info", "debian:13"]).contains("  trixie\n"));
    assert!(cli.error(&["image", "info", "debian:99"]).contains("`sc image list debian:`"));
    assert!(cli.fake.lines().is_empty());
    assert!(cli.usage(&["image", "copy", "debian:12", "debian:"]).contains("nothing but images"));
}

#[test]
fn networks_and_pools_are_listed_and_shown() {
    let cli = Cli::new();
    assert_eq!(
        cli.ok(&["network", "list", "-f", "csv"]),
        "scbr0,bridge,YES,10.7.0.1/24,,,0,CREATED\n"
    );
    assert_eq!(cli.ok(&["storage", "list", "-f", "csv"]), "default,overlay,/pool,,0,CREATED\n");
    assert!(cli.ok(&["storage", "info", "default"]).contains("Space used: 1.00GiB of 4.00GiB"));
    assert!(cli.ok(&["network", "show", "scbr0"]).contains("ipv4.address: 10.7.0.1/24"));
}
