//! Lists of instances.

use serde_json::Value;

use crate::harness::Cli;

const TABLE: &str = "\
+------+---------+-----------------+----------------+-----------+-----------+
| NAME |  STATE  |       IPV4      |      IPV6      |    TYPE   | SNAPSHOTS |
+------+---------+-----------------+----------------+-----------+-----------+
| db1  | STOPPED |                 |                | CONTAINER | 0         |
+------+---------+-----------------+----------------+-----------+-----------+
| web1 | RUNNING | 10.7.0.2 (eth0) | fd42::2 (eth0) | CONTAINER | 0         |
+------+---------+-----------------+----------------+-----------+-----------+
";

#[test]
fn a_list_is_a_table_of_one_request() {
    let cli = Cli::new();
    assert_eq!(cli.ok(&["list"]), TABLE);
    assert_eq!(cli.fake.lines(), ["GET /1.0/instances?recursion=2&parts=network"]);
}

#[test]
fn a_list_without_state_asks_for_none() {
    let cli = Cli::new();
    assert_eq!(cli.ok(&["list", "-c", "ns", "-f", "csv"]), "db1,STOPPED\nweb1,RUNNING\n");
    assert_eq!(cli.fake.lines(), ["GET /1.0/instances?recursion=2&parts="]);
}

#[test]
fn a_list_comes_in_every_form() {
    let cli = Cli::new();
    assert_eq!(cli.ok(&["list", "-c", "nd", "-f", "csv", "web"]), "web1,\"a, \"\"b\"\"\"\n");
    let parsed: Value = serde_json::from_str(&cli.ok(&["list", "--format", "json"])).unwrap();
    assert_eq!(parsed[1]["state"]["network"]["eth0"]["addresses"][0]["address"], "10.7.0.2");
    let yaml: Value = serde_saphyr::from_str(&cli.ok(&["list", "-f", "yaml"])).unwrap();
    assert_eq!(yaml, parsed);
    let compact = cli.ok(&["list", "-f", "compact", "-c", "ns"]);
    assert!(!compact.contains('+') && compact.contains("NAME"), "{compact}");
}

#[test]
fn columns_are_chosen_by_letter_and_by_key() {
    let cli = Cli::new();
    let columns = "n,user.owner:OWNER,mMNpubfPac";
    let text = cli.ok(&["list", "-c", columns, "web1"]);
    for part in ["OWNER", "ann", "32.00MiB", "50.0%", "12", "4321", "2s", "default"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let error = cli.usage(&["list", "-c", "nx"]);
    assert!(error.starts_with("Error: there is no column 'x'; the columns are ns46tS"), "{error}");
    assert!(cli.usage(&["list", "-c", "nD"]).contains("disk usage, is not built yet"));
}

#[test]
fn a_list_can_be_filtered() {
    let cli = Cli::new();
    let names = |filter: &str| cli.ok(&["list", "-c", "n", "-f", "csv", filter]);
    assert_eq!(names("w"), "web1\n");
    assert_eq!(names("*1"), "db1\nweb1\n");
    assert_eq!(names("status=running"), "web1\n");
    assert_eq!(names("user.owner=bob"), "");
    assert_eq!(names("local:"), "db1\nweb1\n");
    assert_eq!(names("local:web"), "web1\n");
    assert!(cli.usage(&["list", "nope:"]).contains("no remote \"nope\""));
    assert!(cli.usage(&["list", "debian:"]).contains("nothing but images"));
    assert!(cli.usage(&["list", "size=1"]).contains("nothing can be filtered by \"size\""));
}
