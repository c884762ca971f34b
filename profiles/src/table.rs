//! The table itself: every instance key of LXD's and Incus' references, once.

use crate::key::{Applies, Key, Scope, Status};
use crate::value::{Kind, MOST_PROCESSES};

use Applies::{Any, Container, VirtualMachine as Vm};
use Kind::{Bool, Choice, Cpus, Integer, Mac, Memory, Size, Text, Uuid};
use Scope::{Exec, Live, Restart};

const NUMBER: Kind = Integer(i64::MIN, i64::MAX);
const COUNT: Kind = Integer(0, i64::MAX);
/// A time that every clock holds.
const SECONDS: Kind = Integer(0, i32::MAX as i64);
const PRIORITY: Kind = Integer(0, 10);
const EVACUATE: Kind =
    Choice(&["auto", "migrate", "live-migrate", "stop", "stateful-stop", "force-stop"]);

/// A key that does what it says.
const fn yes(
    name: &'static str,
    kind: Kind,
    default: &'static str,
    scope: Scope,
    text: &'static str,
) -> Key {
    Key { name, kind, default, scope, applies: Any, status: Status::Honoured, text }
}

/// A key that is known and refused.
const fn no(
    name: &'static str,
    kind: Kind,
    default: &'static str,
    scope: Scope,
    applies: Applies,
    text: &'static str,
) -> Key {
    Key { name, kind, default, scope, applies, status: Status::Refused, text }
}

#[rustfmt::skip]
pub(crate) const KEYS: &[Key] = &[
    // Boot
    yes("boot.autostart", Bool, "", Live, "whether the instance starts with the daemon; not set: as it was left"),
    no("boot.autorestart", Bool, "", Restart, Any, "whether an instance that ended unexpectedly is started again"),
    yes("boot.autostart.delay", SECONDS, "0", Live, "seconds to wait after its start before the next one"),
    yes("boot.autostart.priority", NUMBER, "0", Live, "order of starting, highest first"),
    no("boot.debug_edk2", Bool, "false", Restart, Vm, "whether the firmware logs its debugging output"),
    yes("boot.host_shutdown_action", Choice(&["stop", "force-stop"]), "stop", Live, "how the instance is stopped when the host goes down"),
    yes("boot.host_shutdown_timeout", SECONDS, "30", Live, "seconds it is given to stop when the host goes down, before it is killed"),
    no("boot.mode", Text, "", Restart, Vm, "firmware and secure boot"),
    yes("boot.stop.priority", NUMBER, "0", Live, "order of stopping when the host goes down, highest first"),
    // cloud-init
    no("cloud-init.network-config", Text, "", Restart, Any, "network configuration for cloud-init"),
    no("cloud-init.ssh-keys.*", Text, "", Restart, Any, "SSH keys added through cloud-init"),
    no("cloud-init.user-data", Text, "", Restart, Any, "user data for cloud-init"),
    no("cloud-init.vendor-data", Text, "", Restart, Any, "vendor data for cloud-init"),
    no("user.meta-data", Text, "", Restart, Any, "metadata for cloud-init, old name"),
    no("user.network-config", Text, "", Restart, Any, "network configuration for cloud-init, old name"),
    no("user.user-data", Text, "", Restart, Any, "user data for cloud-init, old name"),
    no("user.vendor-data", Text, "", Restart, Any, "vendor data for cloud-init, old name"),
    // Free-form
    yes("environment.*", Text, "", Exec, "a variable in the environment of init and of exec"),
    yes("image.*", Text, "", Live, "a property of the image, kept from the instance's creation"),
    yes("user.*", Text, "", Live, "a note of the user's"),
    // Miscellaneous
    no("agent.nic_config", Bool, "false", Restart, Vm, "whether NICs get the devices' names and MTU"),
    no("cluster.evacuate", EVACUATE, "auto", Live, Any, "what becomes of the instance when its cluster member is evacuated"),
    no("linux.kernel_modules", Text, "", Live, Container, "kernel modules loaded before the start"),
    no("linux.kernel_modules.load", Text, "", Restart, Container, "how kernel modules are loaded"),
    no("linux.sysctl.*", Text, "", Restart, Container, "a sysctl setting inside"),
    no("placement.group", Text, "", Live, Any, "the placement group in a cluster"),
    no("smbios11.*", Text, "", Restart, Any, "an SMBIOS type 11 value"),
    no("systemd.credential.*", Text, "", Restart, Any, "a systemd credential"),
    no("systemd.credential-binary.*", Text, "", Restart, Any, "a systemd credential in base64"),
    no("ubuntu.pro.guest_attach", Text, "", Live, Any, "attaching guests to Ubuntu Pro"),
    // Limits
    yes("limits.cpu", Cpus, "", Live, "processors: how many (more than there are: all), or which (0-3,6); not set: all"),
    yes("limits.memory", Memory, "", Live, "memory: a size, or a percentage of the host's; not set: all"),
    yes("limits.processes", Integer(1, MOST_PROCESSES), "", Live, "processes and threads, 4194304 at most; not set: no limit"),
    no("limits.cpu.allowance", Text, "100%", Live, Container, "share of processor time, soft (50%) or hard (25ms/100ms)"),
    no("limits.cpu.nodes", Text, "", Live, Any, "NUMA nodes to run on"),
    no("limits.cpu.pin_strategy", Choice(&["none", "auto"]), "none", Restart, Vm, "how processors are pinned"),
    no("limits.cpu.priority", PRIORITY, "10", Live, Container, "processor priority beside other instances"),
    no("limits.disk.priority", PRIORITY, "5", Live, Any, "I/O priority beside other instances"),
    no("limits.hugepages.1GB", Size, "", Live, Container, "memory in huge pages of 1 GB"),
    no("limits.hugepages.1MB", Size, "", Live, Container, "memory in huge pages of 1 MB"),
    no("limits.hugepages.2MB", Size, "", Live, Container, "memory in huge pages of 2 MB"),
    no("limits.hugepages.64KB", Size, "", Live, Container, "memory in huge pages of 64 KB"),
    no("limits.kernel.*", Text, "", Restart, Container, "a resource limit of init (nofile, memlock, ...)"),
    no("limits.max_bus_ports", COUNT, "8", Restart, Vm, "ports for devices that are plugged in"),
    no("limits.memory.enforce", Choice(&["hard", "soft"]), "hard", Live, Container, "whether the memory limit may be exceeded while there is enough"),
    no("limits.memory.hotplug", Text, "true", Live, Vm, "how much memory may be added"),
    no("limits.memory.hugepages", Bool, "false", Restart, Vm, "whether memory is backed by huge pages"),
    no("limits.memory.oom_priority", Integer(-1000, 1000), "0", Live, Any, "order of being killed when memory runs out"),
    no("limits.memory.swap", Text, "true", Live, Container, "whether, or how much, may be swapped"),
    no("limits.memory.swap.priority", PRIORITY, "10", Live, Container, "how little is swapped beside other instances"),
    no("limits.network.priority", PRIORITY, "0", Live, Any, "network priority beside other instances"),
    // Migration
    no("migration.incremental.memory", Bool, "false", Live, Container, "whether memory is sent while the instance runs"),
    no("migration.incremental.memory.goal", Integer(0, 100), "70", Live, Container, "share of memory to have sent before stopping"),
    no("migration.incremental.memory.iterations", COUNT, "10", Live, Container, "rounds of sending before stopping"),
    no("migration.stateful", Bool, "false", Restart, Any, "whether it can be stopped and copied with its state"),
    // NVIDIA
    no("nvidia.driver.capabilities", Text, "compute,utility", Restart, Container, "driver capabilities"),
    no("nvidia.require.cuda", Text, "", Restart, Container, "the CUDA version needed"),
    no("nvidia.require.driver", Text, "", Restart, Container, "the driver version needed"),
    no("nvidia.runtime", Bool, "false", Restart, Container, "whether the host's NVIDIA libraries are shown inside"),
    // Application containers
    no("oci.cwd", Text, "", Restart, Container, "working directory of the application"),
    no("oci.dns.domain", Text, "", Restart, Container, "DNS domain of the application"),
    no("oci.dns.nameservers", Text, "", Restart, Container, "name servers of the application"),
    no("oci.dns.search", Text, "", Restart, Container, "DNS search domains of the application"),
    no("oci.entrypoint", Text, "", Restart, Container, "the application's command"),
    no("oci.gid", COUNT, "", Restart, Container, "the application's group id"),
    no("oci.uid", COUNT, "", Restart, Container, "the application's user id"),
    // Raw
    no("raw.apparmor", Text, "", Live, Any, "lines added to the AppArmor profile"),
    no("raw.idmap", Text, "", Restart, Container, "host ids shown inside"),
    no("raw.lxc", Text, "", Restart, Container, "lines of liblxc's configuration, which is not used here"),
    no("raw.qemu", Text, "", Restart, Vm, "arguments added to the emulator"),
    no("raw.qemu.conf", Text, "", Restart, Vm, "lines added to the emulator's configuration"),
    no("raw.qemu.qmp.early", Text, "", Restart, Vm, "emulator commands run first"),
    no("raw.qemu.qmp.post-start", Text, "", Restart, Vm, "emulator commands run after the start"),
    no("raw.qemu.qmp.pre-start", Text, "", Restart, Vm, "emulator commands run before the start"),
    no("raw.qemu.scriptlet", Text, "", Restart, Vm, "a program that steers the emulator"),
    no("raw.seccomp", Text, "", Restart, Container, "a whole seccomp policy"),
    // Security
    no("security.agent.metrics", Bool, "true", Restart, Vm, "whether the guest's agent is asked for metrics"),
    no("security.bpffs.delegate_attachs", Text, "", Restart, Container, "BPF attach types given to the guest"),
    no("security.bpffs.delegate_cmds", Text, "", Restart, Container, "BPF commands given to the guest"),
    no("security.bpffs.delegate_maps", Text, "", Restart, Container, "BPF map types given to the guest"),
    no("security.bpffs.delegate_progs", Text, "", Restart, Container, "BPF program types given to the guest"),
    no("security.bpffs.path", Text, "", Restart, Container, "where the BPF file system is mounted"),
    no("security.csm", Bool, "false", Restart, Vm, "whether the firmware boots old operating systems"),
    no("security.delegate_bpf", Bool, "false", Restart, Container, "whether BPF is given to the guest"),
    no("security.delegate_bpf.attach_types", Text, "", Restart, Container, "BPF attach types given to the guest"),
    no("security.delegate_bpf.cmd_types", Text, "", Restart, Container, "BPF commands given to the guest"),
    no("security.delegate_bpf.map_types", Text, "", Restart, Container, "BPF map types given to the guest"),
    no("security.delegate_bpf.prog_types", Text, "", Restart, Container, "BPF program types given to the guest"),
    no("security.devlxd", Bool, "true", Restart, Any, "whether /dev/lxd is there inside"),
    no("security.devlxd.images", Bool, "false", Restart, Container, "whether images can be had over /dev/lxd"),
    no("security.devlxd.management.volumes", Bool, "false", Live, Any, "whether volumes can be managed over /dev/lxd"),
    no("security.guestapi", Bool, "true", Restart, Any, "whether /dev/incus is there inside"),
    no("security.guestapi.images", Bool, "false", Restart, Container, "whether images can be had over /dev/incus"),
    no("security.idmap.base", COUNT, "", Restart, Container, "first host id of the instance"),
    no("security.idmap.isolated", Bool, "false", Restart, Container, "whether the id range is the instance's own, which it always is"),
    no("security.idmap.size", COUNT, "", Restart, Container, "how many ids the instance has"),
    no("security.iommu", Bool, "false", Restart, Vm, "whether there is a virtual IOMMU"),
    no("security.nesting", Bool, "false", Live, Any, "whether containers can be run inside"),
    no("security.privileged", Bool, "false", Restart, Container, "whether the guest's root is the host's"),
    no("security.protection.delete", Bool, "false", Live, Any, "whether deleting it is refused"),
    no("security.protection.shift", Bool, "false", Live, Container, "whether re-owning its files is refused, which never happens here"),
    no("security.protection.start", Bool, "false", Live, Any, "whether starting it is refused"),
    no("security.secureboot", Bool, "true", Restart, Vm, "whether the firmware checks signatures"),
    no("security.selinux.domain", Text, "", Restart, Any, "SELinux domain of its processes"),
    no("security.selinux.label_rootfs", Choice(&["auto", "always", "never"]), "auto", Restart, Container, "whether its files are labelled"),
    no("security.selinux.level", Text, "", Restart, Any, "SELinux level"),
    no("security.selinux.type", Text, "", Restart, Any, "SELinux type of its files"),
    no("security.sev", Bool, "false", Restart, Vm, "whether memory is encrypted by SEV"),
    no("security.sev.policy.es", Bool, "false", Restart, Vm, "whether registers are encrypted by SEV-ES"),
    no("security.sev.session.data", Text, "", Restart, Vm, "the owner's SEV session"),
    no("security.sev.session.dh", Text, "", Restart, Vm, "the owner's SEV key"),
    no("security.syscalls.allow", Text, "", Restart, Container, "the only system calls that are allowed"),
    no("security.syscalls.blacklist", Text, "", Restart, Container, "system calls that are denied, old name"),
    no("security.syscalls.blacklist_compat", Bool, "false", Restart, Container, "whether 32-bit system calls are denied, old name"),
    no("security.syscalls.blacklist_default", Bool, "true", Restart, Container, "whether the default denials hold, old name"),
    no("security.syscalls.deny", Text, "", Restart, Container, "system calls that are denied"),
    no("security.syscalls.deny_compat", Bool, "false", Restart, Container, "whether 32-bit system calls are denied"),
    no("security.syscalls.deny_default", Bool, "true", Restart, Container, "whether the default denials hold, which they always do"),
    no("security.syscalls.intercept.bpf", Bool, "false", Restart, Container, "whether bpf is done for the guest"),
    no("security.syscalls.intercept.bpf.devices", Bool, "false", Restart, Container, "whether device programs may be loaded"),
    no("security.syscalls.intercept.mknod", Bool, "false", Restart, Container, "whether mknod is done for the guest"),
    no("security.syscalls.intercept.mount", Bool, "false", Restart, Container, "whether mount is done for the guest"),
    no("security.syscalls.intercept.mount.allowed", Text, "", Live, Container, "file systems that may be mounted"),
    no("security.syscalls.intercept.mount.fuse", Text, "", Live, Container, "file systems that are mounted by a program"),
    no("security.syscalls.intercept.mount.shift", Bool, "false", Live, Container, "whether such mounts are idmapped"),
    no("security.syscalls.intercept.sched_setscheduler", Bool, "false", Restart, Container, "whether sched_setscheduler is done for the guest"),
    no("security.syscalls.intercept.setxattr", Bool, "false", Restart, Container, "whether setxattr is done for the guest"),
    no("security.syscalls.intercept.sysinfo", Bool, "false", Restart, Container, "whether sysinfo tells the instance's limits"),
    no("security.syscalls.whitelist", Text, "", Restart, Container, "the only system calls that are allowed, old name"),
    // Snapshots
    no("snapshots.expiry", Text, "", Live, Any, "when snapshots are deleted"),
    no("snapshots.expiry.manual", Text, "", Live, Any, "when snapshots made by hand are deleted"),
    no("snapshots.pattern", Text, "snap%d", Live, Any, "how snapshots are named"),
    no("snapshots.schedule", Text, "", Live, Any, "when snapshots are made"),
    no("snapshots.schedule.stopped", Bool, "false", Live, Any, "whether stopped instances are snapshotted too"),
    // The daemon's own records
    no("volatile.apply_template", Text, "", Live, Any, "the event whose image templates are still to be written"),
    yes("volatile.base_image", Text, "", Live, "the image that the instance was made of"),
    no("volatile.cloud-init.instance-id", Uuid, "", Live, Any, "the machine's identity for cloud-init"),
    no("volatile.idmap.base", COUNT, "", Live, Any, "first host id of the last start"),
    no("volatile.idmap.current", Text, "", Live, Any, "id map of the last start"),
    no("volatile.idmap.next", Text, "", Live, Any, "id map of the next start"),
    no("volatile.last_state.idmap", Text, "", Live, Any, "id map of the files on disk: none, they are not shifted"),
    yes("volatile.last_state.power", Text, "", Live, "whether it ran when it was last looked at"),
    no("volatile.last_state.ready", Bool, "", Live, Any, "whether the guest has said that it is ready"),
    yes("volatile.uuid", Uuid, "", Live, "identity of the instance"),
    no("volatile.uuid.generation", Uuid, "", Live, Any, "identity that changes when it is copied or restored"),
    no("volatile.*.host_name", Text, "", Live, Any, "name of a NIC's link on the host"),
    yes("volatile.*.hwaddr", Mac, "", Restart, "hardware address of a NIC that sets none"),
    no("volatile.*.last_state.ip_addresses", Text, "", Live, Any, "addresses that a NIC last had"),
    no("volatile.*.name", Text, "", Live, Any, "name inside of a NIC that sets none"),
    no("volatile.*.apply_quota", Text, "", Live, Any, "quota still to be set"),
    no("volatile.*.ceph_rbd", Text, "", Live, Any, "Ceph device of a disk"),
    no("volatile.*.io.bus", Text, "", Live, Vm, "bus of a device"),
    no("volatile.*.last_state.created", Text, "", Live, Any, "whether a NIC's parent was made"),
    no("volatile.*.last_state.hwaddr", Text, "", Live, Any, "a physical NIC's own address"),
    no("volatile.*.last_state.mtu", Text, "", Live, Any, "a physical NIC's own MTU"),
    no("volatile.*.last_state.pci.driver", Text, "", Live, Any, "a device's own driver"),
    no("volatile.*.last_state.pci.parent", Text, "", Live, Any, "a device's parent"),
    no("volatile.*.last_state.pci.slot.name", Text, "", Live, Any, "a device's slot"),
    no("volatile.*.last_state.usb.bus", Text, "", Live, Any, "a device's USB bus"),
    no("volatile.*.last_state.usb.device", Text, "", Live, Any, "a device's USB number"),
    no("volatile.*.last_state.vdpa.name", Text, "", Live, Any, "a vDPA device"),
    no("volatile.*.last_state.vf.hwaddr", Text, "", Live, Any, "a virtual function's own address"),
    no("volatile.*.last_state.vf.id", Text, "", Live, Any, "a virtual function's number"),
    no("volatile.*.last_state.vf.parent", Text, "", Live, Any, "a virtual function's parent"),
    no("volatile.*.last_state.vf.spoofcheck", Text, "", Live, Any, "a virtual function's own spoof check"),
    no("volatile.*.last_state.vf.trusted", Text, "", Live, Any, "a virtual function's own trust"),
    no("volatile.*.last_state.vf.vlan", Text, "", Live, Any, "a virtual function's own VLAN"),
    no("volatile.*.mig.uuid", Text, "", Live, Any, "a GPU slice"),
    no("volatile.*.vgpu.uuid", Text, "", Live, Any, "a virtual GPU"),
    no("volatile.apply_nvram", Bool, "", Live, Vm, "whether the firmware's memory is to be made anew"),
    no("volatile.cloud_init.instance-id", Text, "", Live, Any, "the machine's identity for cloud-init, Incus' name"),
    no("volatile.cluster.group", Text, "", Live, Any, "cluster group of the creation"),
    no("volatile.container.oci", Bool, "", Live, Container, "whether it is an application container"),
    no("volatile.cpu.nodes", Text, "", Live, Any, "NUMA node of the last start"),
    no("volatile.evacuate.origin", Text, "", Live, Any, "cluster member it was evacuated from"),
    no("volatile.last_state.agent", Text, "", Live, Any, "state of the guest's agent"),
    no("volatile.rebalance.last_move", COUNT, "", Live, Any, "when it was last moved"),
    no("volatile.vm.boot_state", Text, "", Live, Vm, "properties kept over a migration"),
    no("volatile.vm.needs_reset", Bool, "", Live, Vm, "whether it is to be reset at its reboot"),
    no("volatile.vm.rtc_adjustment", NUMBER, "", Live, Vm, "change of its clock"),
    no("volatile.vm.rtc_offset", NUMBER, "", Live, Vm, "offset of its clock"),
    no("volatile.vsock_id", COUNT, "", Live, Vm, "its vsock number"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exactly_the_promised_keys_are_honoured() {
        let honoured: Vec<_> = KEYS
            .iter()
            .filter(|key| key.status == Status::Honoured && !key.name.starts_with("volatile."))
            .map(|key| key.name)
            .collect();
        assert_eq!(
            honoured,
            [
                "boot.autostart",
                "boot.autostart.delay",
                "boot.autostart.priority",
                "boot.host_shutdown_action",
                "boot.host_shutdown_timeout",
                "boot.stop.priority",
                "environment.*",
                "image.*",
                "user.*",
                "limits.cpu",
                "limits.memory",
                "limits.processes",
            ]
        );
    }

    #[test]
    fn no_key_of_virtual_machines_is_honoured() {
        assert!(!KEYS.iter().any(|key| key.applies == Vm && key.status == Status::Honoured));
    }
}
