//! What the list says of an instance.

use serde_json::Value;

use super::daemon::Daemon;

/// The instance as `sc list` has it, with its state; `None` when it is not in the list.
#[track_caller]
pub fn state(daemon: &Daemon, name: &str) -> Option<Value> {
    let list = daemon.json(&["list", "-f", "json"]);
    let list = list.as_array().expect("the list is an array");
    list.iter().find(|instance| instance["name"] == name).cloned()
}

/// Its status, such as `Running`; `-` when it is not in the list.
#[track_caller]
pub fn status(daemon: &Daemon, name: &str) -> String {
    let found = state(daemon, name);
    found.map_or_else(|| "-".into(), |i| i["status"].as_str().unwrap_or_default().to_owned())
}

/// Its global address of a family (`inet`, `inet6`) on eth0; `None` as long as there is none.
#[track_caller]
pub fn address(daemon: &Daemon, name: &str, family: &str) -> Option<String> {
    let instance = state(daemon, name)?;
    let addresses = instance["state"]["network"]["eth0"]["addresses"].as_array()?.clone();
    let found = addresses.iter().find(|a| a["family"] == family && a["scope"] == "global")?;
    found["address"].as_str().map(str::to_owned)
}

/// The pid of its init on the host, 0 when it does not run.
#[track_caller]
pub fn pid(daemon: &Daemon, name: &str) -> u64 {
    state(daemon, name).and_then(|i| i["state"]["pid"].as_u64()).unwrap_or(0)
}

/// Who owns the user namespace of a process, by its pid on the host: a user's id on the host.
#[track_caller]
pub fn namespace_owner(pid: u64) -> u32 {
    let path = format!("/proc/{pid}/ns/user");
    let file = std::fs::File::open(&path).unwrap_or_else(|error| panic!("open {path}: {error}"));
    sc_sys::namespace::owner_uid(&file).expect("a user namespace has an owner")
}
