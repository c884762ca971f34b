//! `/proc/sys/net` of the calling thread's network namespace.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::{NetworkError, Result};

const ROOT: &str = "/proc/sys/net";

/// The neighbour table's limit below which it is not lowered, and that the kernel begins with.
const NEIGHBOURS: u32 = 1024;

/// Lets the host route between its interfaces. It stays on when a network goes: by then others may
/// rely on it.
pub fn enable_forwarding(ipv4: bool, ipv6: bool) -> Result<()> {
    if ipv4 {
        set(&path("ipv4/ip_forward"), "1")?;
    }
    if ipv6 && !is(&path("ipv6/conf/all/forwarding"), "1") {
        keep_router_advertisements()?;
        set(&path("ipv6/conf/all/forwarding"), "1")?;
    }
    Ok(())
}

/// A host that routes ignores router advertisements unless it is told otherwise (`accept_ra` 2), and
/// would lose its own default route.
fn keep_router_advertisements() -> Result<()> {
    let conf = path("ipv6/conf");
    let entries = fs::read_dir(&conf).map_err(NetworkError::file("list", &conf))?;
    for entry in entries {
        let accept = entry.map_err(NetworkError::file("list", &conf))?.path().join("accept_ra");
        if is(&accept, "1") {
            set_if_there(&accept, "2")?;
        }
    }
    Ok(())
}

/// What a bridge is told, whatever the host's own defaults are: its guests may be hostile. It learns
/// no routes from them, follows no source routes, answers for nobody else, and keeps what belongs to
/// the loopback interface there.
const IPV4: [(&str, &str); 6] = [
    ("accept_redirects", "0"),
    ("send_redirects", "0"),
    ("accept_source_route", "0"),
    ("route_localnet", "0"),
    ("proxy_arp", "0"),
    ("arp_accept", "0"),
];

/// The same for IPv6. Addresses are its own at once: nobody else is there to have them.
const IPV6: [(&str, &str); 6] = [
    ("accept_ra", "0"),
    ("autoconf", "0"),
    ("accept_dad", "0"),
    ("accept_redirects", "0"),
    ("accept_source_route", "0"),
    ("proxy_ndp", "0"),
];

/// Prepares a bridge: it takes no configuration from its own guests, and has no IPv6 where the
/// network has none.
pub fn prepare_bridge(name: &str, ipv6: bool) -> Result<()> {
    let conf = path("ipv4/conf").join(name);
    for (key, value) in IPV4 {
        set(&conf.join(key), value)?;
    }
    let conf = path("ipv6/conf").join(name);
    for (key, value) in IPV6.into_iter().chain([("disable_ipv6", if ipv6 { "0" } else { "1" })]) {
        // A kernel without IPv6 has none of these, and nothing to turn off.
        if ipv6 { set(&conf.join(key), value)? } else { set_if_there(&conf.join(key), value)? }
    }
    Ok(())
}

/// Keeps the host's end of an instance's interface without an IPv6 address of its own.
pub fn prepare_port(name: &str) -> Result<()> {
    set_if_there(&path("ipv6/conf").join(name).join("disable_ipv6"), "1")
}

/// Raises the limits of the neighbour tables for so many guests, never lowering them. They are
/// shared by all namespaces of the host: each guest costs an entry for itself in the host's and one
/// for its gateway in its own, per family, and what it talks to besides. Returns the new hard limit if it
/// changed.
pub fn raise_neighbour_limits(guests: usize) -> Result<Option<u32>> {
    let guests = u32::try_from(guests).unwrap_or(u32::MAX);
    let wanted = guests.saturating_mul(8).max(NEIGHBOURS).checked_next_power_of_two();
    let wanted = wanted.unwrap_or(1 << 31);
    let mut raised = None;
    for family in ["ipv4", "ipv6"] {
        let folder = path(family).join("neigh/default");
        // From the highest to the lowest, so that they never stand in the wrong order.
        for (name, value) in
            [("gc_thresh3", wanted), ("gc_thresh2", wanted / 2), ("gc_thresh1", wanted / 8)]
        {
            let file = folder.join(name);
            // Namespaces other than the host's first do not show them.
            let Ok(text) = fs::read_to_string(&file) else { continue };
            if text.trim().parse::<u32>().is_ok_and(|now| now >= value) {
                continue;
            }
            set(&file, &value.to_string())?;
            if name == "gc_thresh3" {
                raised = Some(value);
            }
        }
    }
    if let Some(limit) = raised {
        tracing::info!(guests, limit, "neighbour tables may grow further");
    }
    Ok(raised)
}

fn path(key: &str) -> PathBuf {
    Path::new(ROOT).join(key)
}

fn is(file: &Path, value: &str) -> bool {
    fs::read_to_string(file).is_ok_and(|text| text.trim() == value)
}

/// Writes a value that is not there yet. Reading first lets a host through whose `/proc/sys` is
/// read-only and right already.
fn set(file: &Path, value: &str) -> Result<()> {
    if is(file, value) {
        return Ok(());
    }
    fs::write(file, value).map_err(NetworkError::file("write", file))
}

fn set_if_there(file: &Path, value: &str) -> Result<()> {
    match set(file, value) {
        Err(NetworkError::File { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
            Ok(())
        }
        other => other,
    }
}
