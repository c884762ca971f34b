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
fn images_are_listed_shown_and_deleted() {
    let cli = Cli::new();
    let text = cli.ok(&["image", "list", "-f", "csv"]);
    assert_eq!(
        text,
        "bb,8bcbc9284be0,no,\"Tiny, box\",x86_64,CONTAINER,962.56KiB,2026/11/24 09:30 UTC\n"
    );
    assert!(cli.ok(&["image", "info", "bb"]).contains("Aliases:\n  bb\n"));
    cli.ok(&["image", "delete", "8bcb"]);
    assert_eq!(cli.error(&["image", "delete", "nope"]), "Error: Image not found");
    assert!(cli.error(&["image", "list", "debian:"]).contains("built when they are asked for"));
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
