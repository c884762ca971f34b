//! The table of device types and their keys.

use crate::device::{DeviceKey, DeviceKind};

const fn yes(name: &'static str, text: &'static str) -> DeviceKey {
    DeviceKey { name, honoured: true, text }
}

const fn no(name: &'static str, text: &'static str) -> DeviceKey {
    DeviceKey { name, honoured: false, text }
}

const fn refused(name: &'static str, text: &'static str) -> DeviceKind {
    DeviceKind { name, honoured: false, text, keys: &[] }
}

const MANAGED: &str = "a NIC is on a managed network: name it with network";
const BUILT: &str = "it is not built";
const VM: &str = "it is for virtual machines";

pub(crate) const KINDS: &[DeviceKind] = &[
    DeviceKind {
        name: "none",
        honoured: true,
        text: "takes away the device of that name which a profile gives",
        keys: &[],
    },
    DeviceKind { name: "nic", honoured: true, text: "a network interface", keys: NIC },
    DeviceKind {
        name: "disk",
        honoured: true,
        text: "the root disk (path=/), or a path of the host shown inside with the guest's ownership",
        keys: DISK,
    },
    refused("gpu", "a GPU of the host"),
    refused("infiniband", "an InfiniBand device of the host"),
    refused("pci", "a PCI device of the host, for virtual machines"),
    refused("proxy", "a port forwarded between host and guest"),
    refused("tpm", "an emulated TPM"),
    refused("unix-block", "a block device of the host"),
    refused("unix-char", "a character device of the host"),
    refused("unix-hotplug", "a device of the host, when it is plugged in"),
    refused("usb", "a USB device of the host"),
];

const NIC: &[DeviceKey] = &[
    yes("network", "the managed network; needed"),
    yes("name", "the interface's name inside; not set: the first free ethN"),
    yes("hwaddr", "the hardware address; not set: made once and kept"),
    yes("mtu", "in bytes; not set: the bridge's"),
    yes("ipv4.address", "a fixed address from the network's subnet"),
    yes("ipv6.address", "a fixed address from the network's subnet"),
    no("nictype", MANAGED),
    no("parent", MANAGED),
    no("acceleration", BUILT),
    no("attached", BUILT),
    no("boot.priority", VM),
    no("connected", BUILT),
    no("gvrp", BUILT),
    no("host_name", "link names on the host are new for every start"),
    no("io.bus", VM),
    no("ipv4.address.external", BUILT),
    no("ipv4.gateway", BUILT),
    no("ipv4.host_address", BUILT),
    no("ipv4.host_table", BUILT),
    no("ipv4.host_tables", BUILT),
    no("ipv4.neighbor_probe", BUILT),
    no("ipv4.routes", BUILT),
    no("ipv4.routes.external", BUILT),
    no("ipv6.address.external", BUILT),
    no("ipv6.gateway", BUILT),
    no("ipv6.host_address", BUILT),
    no("ipv6.host_table", BUILT),
    no("ipv6.host_tables", BUILT),
    no("ipv6.neighbor_probe", BUILT),
    no("ipv6.routes", BUILT),
    no("ipv6.routes.external", BUILT),
    no("limits.egress", BUILT),
    no("limits.ingress", BUILT),
    no("limits.max", BUILT),
    no("limits.priority", BUILT),
    no("mode", BUILT),
    no("nested", BUILT),
    no("pci", BUILT),
    no("productid", BUILT),
    no("queue.tx.length", BUILT),
    no("security.*", BUILT),
    no("vendorid", BUILT),
    no("vlan", BUILT),
    no("vlan.tagged", BUILT),
    no("vrf", BUILT),
    no("maas.*", "MAAS is not used"),
];

const DISK: &[DeviceKey] = &[
    yes("path", "where it is inside; needed; / is the root disk"),
    yes("pool", "the root disk's storage pool; needed for it"),
    yes("source", "the host's path; needed for all but the root disk"),
    yes("readonly", "whether the guest may only read; default false"),
    yes("required", "whether a missing source keeps the instance from starting; default true"),
    no("attached", BUILT),
    no("boot.priority", VM),
    no("ceph.*", "Ceph is not used"),
    no("dependent", BUILT),
    no("initial.*", BUILT),
    no("io.*", VM),
    no("limits.*", BUILT),
    no("propagation", BUILT),
    no("raw.mount.options", BUILT),
    no("recursive", BUILT),
    no("shift", "a host path always has the guest's ownership"),
    no("size", "there are no quotas on the drivers of this version"),
    no("size.state", VM),
    no("wwn", VM),
];
