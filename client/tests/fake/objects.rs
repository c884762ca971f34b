//! The objects that the server has, and what it answers for them.

use std::sync::Arc;

use axum::response::Response;
use serde_json::{Value, json};

use super::{Asked, Shared, asynchronous, bytes, done, failure, slow, sync, will_fail};

/// Answers a plain request.
pub fn answer(shared: &Arc<Shared>, asked: &Asked) -> Response {
    let (method, uri) = asked.line.split_once(' ').unwrap();
    let (path, query) = uri.split_once('?').unwrap_or((uri, ""));
    let segments: Vec<&str> = path.trim_start_matches('/').split('/').skip(1).collect();
    match (method, segments.as_slice()) {
        ("GET", [] | ["ready"]) => sync(server()),
        ("PUT", ["shutdown"]) => sync(json!({})),
        (_, ["instances", rest @ ..]) => instances(shared, method, rest, query, &asked.body),
        (_, ["images", rest @ ..]) => images(shared, method, rest),
        (_, ["profiles", rest @ ..]) => profiles(method, rest),
        ("GET", ["networks"]) => sync(json!([network()])),
        ("GET", ["networks", "scbr0"]) => sync(network()),
        ("GET", ["storage-pools"]) => sync(json!([pool()])),
        ("GET", ["storage-pools", "default"]) => sync(pool()),
        ("GET", ["storage-pools", "default", "resources"]) => sync(json!({
            "space": {"used": 1u64 << 30, "total": 4u64 << 30},
            "inodes": {"used": 10, "total": 100}})),
        ("POST", ["networks" | "storage-pools"]) => sync(json!({})),
        ("GET", ["operations"]) => sync(json!({})),
        _ => failure(404, &format!("{path} is no path of this API")),
    }
}

fn instances(
    shared: &Arc<Shared>,
    method: &str,
    rest: &[&str],
    query: &str,
    body: &Value,
) -> Response {
    let state = query.contains("recursion=2") || (rest.len() == 1 && query.contains("recursion=1"));
    let resources = |name: &str| json!({"instances": [format!("/1.0/instances/{name}")]});
    match (method, rest) {
        ("GET", []) => sync(json!([instance("web1", state), instance("db1", state)])),
        ("POST", []) => {
            let name =
                body["name"].as_str().filter(|name| !name.is_empty()).unwrap_or("merry-otter");
            match body["source"]["alias"].as_str() {
                Some("missing") => failure(404, "Image alias not found"),
                Some("broken") => will_fail(shared, "unpack image: tar ends too early"),
                Some("slow") => slow(shared, json!({"resources": resources(name)})),
                Some("stubborn") => asynchronous(shared.begin(json!({"may_cancel": false})).1),
                _ => done(shared, json!({"resources": resources(name)})),
            }
        }
        ("PUT", [name, "state"]) if name.starts_with("stuck") => {
            asynchronous(shared.begin(json!({})).1)
        }
        ("GET", ["ending1"]) => {
            // It ends just when its stop is asked for.
            let asked = shared.asked.lock().unwrap();
            let ended = asked.iter().any(|asked| asked.line.ends_with("/ending1/state"));
            sync(instance(if ended { "db1" } else { "web1" }, state))
        }
        ("PUT", ["ending1", "state"]) => will_fail(shared, "The instance is already stopped"),
        ("DELETE", ["ending1"]) => done(shared, json!({})),
        (_, [name, ..]) if !["web1", "db1"].contains(name) => {
            failure(404, &format!("Instance \"{name}\" not found: see sc list"))
        }
        ("GET", [name]) => sync(instance(name, state)),
        ("PUT", ["web1"]) if body["config"]["user.contended"].is_string() => {
            let contended = |asked: &&Asked| asked.line.starts_with("PUT") && asked.body == *body;
            let tries = shared.asked.lock().unwrap().iter().filter(contended).count();
            match (tries, body["config"]["user.contended"].as_str()) {
                (1, _) => failure(412, "ETag doesn't match: 123 vs 456"),
                (2, _) | (_, Some("always")) => will_fail(shared, "ETag doesn't match: 12 vs 34"),
                _ => done(shared, json!({})),
            }
        }
        ("PUT", [_]) if body["config"]["no.key"].is_string() => {
            failure(400, "Unknown configuration key: no.key: see sc config set --help")
        }
        ("PUT", [_]) => done(shared, json!({})),
        ("DELETE", ["web1"]) => failure(400, "Instance is running"),
        ("DELETE", [_]) => done(shared, json!({})),
        ("PUT", ["db1", "state"]) if body["action"] == "stop" => {
            will_fail(shared, "The instance is already stopped")
        }
        ("PUT", [_, "state"]) => done(shared, json!({})),
        ("GET", [_, "console"]) => bytes("login: "),
        ("GET", [_, "logs", "lxc.log"]) => bytes("the agent's log\n"),
        _ => failure(404, "not found"),
    }
}

fn images(shared: &Arc<Shared>, method: &str, rest: &[&str]) -> Response {
    let fingerprint = "8bcbc9284be079aec9ba54ca06ca63585a9ec6f6d303f0eed46a471857f60d16";
    let image = json!({
        "fingerprint": fingerprint, "architecture": "x86_64", "size": 985661, "type": "container",
        "aliases": [{"name": "bb", "description": ""}], "properties": {"description": "Tiny, box"},
        "created_at": "2026-11-24T09:00:00Z", "expires_at": "0001-01-01T00:00:00Z",
        "last_used_at": "0001-01-01T00:00:00Z", "uploaded_at": "2026-11-24T09:30:00Z",
        "public": false, "cached": false,
    });
    match (method, rest) {
        ("GET", []) => sync(json!([image])),
        ("POST", []) => {
            let (id, _) = shared.begin(json!({}));
            let metadata = json!({"fingerprint": fingerprint});
            shared.end(&id, 200, "Success", "", metadata);
            asynchronous(shared.operation(&id).unwrap().borrow().clone())
        }
        ("POST", ["aliases"]) => sync(json!({})),
        ("GET", ["aliases"]) => {
            sync(json!([{"name": "bb", "target": fingerprint, "type": "container"}]))
        }
        ("GET", ["aliases", "bb"]) => sync(json!({"name": "bb", "target": fingerprint})),
        ("GET", ["aliases", _]) => failure(404, "Image alias not found"),
        ("GET", [name]) if fingerprint.starts_with(name) => sync(image),
        ("DELETE", [name]) if fingerprint.starts_with(name) => done(shared, json!({})),
        _ => failure(404, "Image not found"),
    }
}

fn profiles(method: &str, rest: &[&str]) -> Response {
    let profile = json!({
        "name": "default", "description": "Default profile", "config": {},
        "devices": {
            "root": {"type": "disk", "path": "/", "pool": "default"},
            "eth0": {"type": "nic", "name": "eth0", "network": "scbr0"}
        },
        "used_by": ["/1.0/instances/web1"],
    });
    match (method, rest) {
        ("GET", []) => sync(json!([profile])),
        ("POST", []) | ("PUT" | "DELETE", ["default"]) => sync(json!({})),
        ("GET", ["default"]) => sync(profile),
        _ => failure(404, "Profile not found"),
    }
}

fn server() -> Value {
    json!({
        "api_extensions": [], "api_status": "stable", "api_version": "1.0", "auth": "trusted",
        "public": false, "config": {}, "environment": {"server": "sc", "server_version": "9.9"},
    })
}

/// `web1` runs, `db1` does not.
fn instance(name: &str, with_state: bool) -> Value {
    let running = name == "web1";
    let (status, code) = if running { ("Running", 103) } else { ("Stopped", 102) };
    let mut instance = json!({
        "name": name, "description": "a, \"b\"", "status": status, "status_code": code,
        "created_at": "2026-11-24T09:00:00Z", "last_used_at": "2026-11-24T09:10:00Z",
        "location": "none", "type": "container", "project": "default",
        "architecture": "x86_64", "ephemeral": false, "stateful": false,
        "profiles": ["default"], "config": {"user.owner": "ann"}, "devices": {},
        "expanded_config": {"user.owner": "ann", "volatile.base_image": "8bcbc9284be079aec9ba"},
        "expanded_devices": {"root": {"type": "disk", "path": "/", "pool": "default"}},
    });
    if with_state {
        instance["state"] = state(running);
        instance["snapshots"] = json!([]);
    }
    instance
}

fn state(running: bool) -> Value {
    if !running {
        return json!({"status": "Stopped", "status_code": 102, "pid": 0, "processes": 0});
    }
    let address = |family: &str, address: &str, netmask: &str, scope: &str| json!({"family": family, "address": address, "netmask": netmask, "scope": scope});
    let counters = json!({"bytes_received": 2048, "bytes_sent": 1024,
                          "packets_received": 20, "packets_sent": 10});
    json!({
        "status": "Running", "status_code": 103, "pid": 4321, "processes": 12,
        "memory": {"usage": 32 << 20, "total": 64 << 20}, "cpu": {"usage": 2_500_000_000i64},
        "disk": {},
        "network": {
            "lo": {"addresses": [address("inet", "127.0.0.1", "8", "local")], "hwaddr": "",
                   "mtu": 65536, "state": "up", "type": "loopback"},
            "eth0": {"addresses": [
                        address("inet", "10.7.0.2", "24", "global"),
                        address("inet6", "fd42::2", "64", "global"),
                        address("inet6", "fe80::1", "64", "link")],
                     "counters": counters, "hwaddr": "00:16:3e:00:00:01",
                     "host_name": "veth1", "mtu": 1500, "state": "up", "type": "broadcast"},
        },
    })
}

fn network() -> Value {
    json!({"name": "scbr0", "description": "", "type": "bridge", "managed": true,
           "status": "Created", "config": {"ipv4.address": "10.7.0.1/24"}, "used_by": []})
}

fn pool() -> Value {
    json!({"name": "default", "description": "", "driver": "overlay", "status": "Created",
           "config": {"source": "/pool"}, "used_by": []})
}
