//! `/` and `/1.0`: the server itself.

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use sc_api::exec;
use sc_api::{ConfigMap, Environment, Server, ServerPut};

use super::extract::Json;
use super::respond;
use crate::context::Ctx;
use crate::error::{Error, Result};

/// What works beyond the first version of LXD's API, and what is our own (`sc_...`). Of `resources`
/// there are those of pools, which LXD's clients ask for under that name; what does not work at all
/// is not among them.
const EXTENSIONS: [&str; 22] = [
    "api_filtering",
    "container_exec_user_group_cwd",
    "container_full",
    "container_host_shutdown_timeout",
    "container_stop_priority",
    "console",
    "etag",
    "image_create_aliases",
    "instance_create_start",
    "instance_get_full",
    "instance_nic_network",
    "instances",
    "network",
    "network_leases",
    "network_state",
    "operation_description",
    "patch",
    "projects",
    "resources",
    exec::EXTENSION,
    "sc_instance_parts",
    "storage",
];

/// The versions of the API.
pub async fn versions() -> Response {
    respond::sync(["/1.0"])
}

/// The server.
pub async fn get(State(ctx): State<Ctx>) -> Result<Response> {
    let config = ConfigMap::new();
    let server = Server {
        api_extensions: EXTENSIONS.map(str::to_owned).into(),
        api_status: "stable".into(),
        api_version: "1.0".into(),
        auth: "trusted".into(),
        auth_methods: Vec::new(),
        auth_user_name: String::new(),
        auth_user_method: "unix".into(),
        public: false,
        config: config.clone(),
        environment: environment(&ctx)?,
    };
    Ok(respond::sync_with_etag(server, &config))
}

/// Replaces the configuration. There is none yet, so only an empty one is accepted.
pub async fn replace(
    State(_): State<Ctx>,
    headers: HeaderMap,
    Json(put): Json<ServerPut>,
) -> Result<Response> {
    respond::if_match(&headers).check(&ConfigMap::new())?;
    refuse_keys(&put)?;
    Ok(respond::done())
}

/// Changes the configuration; as [`replace`].
pub async fn patch(
    state: State<Ctx>,
    headers: HeaderMap,
    put: Json<ServerPut>,
) -> Result<Response> {
    replace(state, headers, put).await
}

fn refuse_keys(put: &ServerPut) -> Result<()> {
    match put.config.iter().next() {
        None => Ok(()),
        Some((key, value)) => {
            Err(Error::invalid(format!("cannot set '{key}' to '{value}': unknown key")))
        }
    }
}

fn environment(ctx: &Ctx) -> Result<Environment> {
    let system = rustix::system::uname();
    let text = |text: &std::ffi::CStr| text.to_string_lossy().into_owned();
    let architecture = text(system.machine());
    let drivers: std::collections::BTreeSet<_> =
        ctx.pools.all().iter().map(|(_, pool)| pool.kind().as_str()).collect();
    let (os_name, os_version) = os_release();
    Ok(Environment {
        architectures: vec![architecture.clone()],
        driver: "sc-agent".into(),
        driver_version: env!("CARGO_PKG_VERSION").into(),
        firewall: "nftables".into(),
        kernel: text(system.sysname()),
        kernel_architecture: architecture,
        kernel_version: text(system.release()),
        os_name,
        os_version,
        project: crate::model::PROJECT.into(),
        server: "sc".into(),
        server_name: text(system.nodename()),
        server_pid: std::process::id(),
        server_version: env!("CARGO_PKG_VERSION").into(),
        storage: drivers.into_iter().collect::<Vec<_>>().join(" | "),
        ..Environment::default()
    })
}

/// The host's `NAME` and `VERSION_ID` (`os-release(5)`); empty where there are none.
fn os_release() -> (String, String) {
    let text = std::fs::read_to_string("/etc/os-release").unwrap_or_default();
    let value = |key: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
        line.unwrap_or_default().trim_matches('"').to_owned()
    };
    (value("NAME"), value("VERSION_ID"))
}
