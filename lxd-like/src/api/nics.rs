//! NICs as older clients of LXD write them.

use sc_api::{ConfigMap, DeviceMap};

use crate::context::Ctx;

/// Puts NICs that name the bridge of a managed network (`nictype: bridged`, `parent`) on that network, which
/// is what they ask for; `lxc network attach-profile` knows no other form. Any other bridge stays, to be
/// refused.
pub fn put_on_networks(ctx: &Ctx, devices: &mut DeviceMap) {
    for device in devices.values_mut() {
        if let Some(network) = bridge(device).filter(|name| ctx.networks.record(name).is_ok()) {
            device.remove("nictype");
            device.remove("parent");
            device.insert("network".into(), network);
        }
    }
}

/// The bridge that a NIC is to be on, where it names no network.
fn bridge(device: &ConfigMap) -> Option<String> {
    let is = |key: &str, value: &str| device.get(key).is_some_and(|found| found == value);
    let is_bridged = is("type", "nic") && is("nictype", "bridged");
    let names_network = device.get("network").is_some_and(|name| !name.is_empty());
    device.get("parent").filter(|_| is_bridged && !names_network).cloned()
}
