# shellcheck shell=bash
# What the tests in machines share. Sourced, not run.
#
# A scenario is a file here that `run` starts in a machine as root, once a boot of the same disk. Its
# tests are functions whose names are sentences: `check` runs one and says how it ended, as cargo's
# own tests do, and `sum_up` has the last line.

set -eu
here=$(dirname -- "${BASH_SOURCE[0]}")
passed=0
failed=0

# Runs a test in a shell of its own, in which every command that fails is the test's failure: so it
# must not stand in a condition.
check() {
    local log status
    log=$(mktemp)
    set +e
    (
        set -ex
        "$1"
    ) >"$log" 2>&1
    status=$?
    set -e
    if [ "$status" -eq 0 ]; then
        printf 'test %s::%s ... ok\n' "$(basename "$0" .sh)" "$1"
        passed=$((passed + 1))
    else
        printf 'test %s::%s ... FAILED\n' "$(basename "$0" .sh)" "$1"
        tail -n 60 "$log"
        failed=$((failed + 1))
    fi
}

sum_up() {
    printf 'test result: %s. %d passed; %d failed; 0 ignored\n' \
        "$([ "$failed" -eq 0 ] && echo ok || echo FAILED)" "$passed" "$failed"
    [ "$failed" -eq 0 ] || {
        journalctl --no-pager --lines 60 --unit 'scd*'
        exit 1
    }
}

# Says what is wrong and ends the test.
wrong() {
    printf 'wrong: %s\n' "$*"
    exit 1
}

# Turns a command's failure into success and the reverse, which `!` does not do for `set -e`.
fails() { if "$@"; then return 1; fi; }

# is WHAT SEEN WANTED
is() { [ "$2" = "$3" ] || wrong "$1 is \"$2\" and not \"$3\""; }

# Waits until a command succeeds; nobody measures how long that takes.
eventually() {
    local end=$((SECONDS + 300))
    until "$@" >/dev/null 2>&1; do
        [ "$SECONDS" -lt "$end" ] || wrong "not in time: $*"
        sleep 0.25
    done
}

# Installs the programs of a folder as the units have them, and starts the daemon.
install_sc() {
    install --mode=0755 "$1/sc" "$1/scd" /usr/local/bin/
    install --mode=0644 "$here"/../../packaging/*.service /etc/systemd/system/
    getent group sc >/dev/null || groupadd --system sc
    systemctl daemon-reload
    systemctl enable --quiet --now scd.service scd-guests.service
    sc admin waitready
}

# Imports the image bb: busybox, which keeps a record of when it started and stopped, in seconds of
# the host's uptime beside the boot. With a file /slow its end takes for ever.
import_busybox() {
    local root=$1/rootfs applet
    mkdir -p "$root"/{bin,sbin,etc,proc,sys,dev,tmp,run,root}
    cp /bin/busybox "$root/bin/"
    for applet in $(busybox --list); do
        [ "$applet" = busybox ] || ln -sf /bin/busybox "$root/bin/$applet"
    done
    ln -sf /bin/busybox "$root/sbin/init"
    printf '%s\n' '::sysinit:/etc/rc' '::shutdown:/etc/down' >"$root/etc/inittab"
    cat >"$root/etc/note" <<'END'
#!/bin/sh
echo "$(cat /proc/sys/kernel/random/boot_id) $1 $(cut -d' ' -f1 /proc/uptime)" >>/record
END
    printf '#!/bin/sh\n/etc/note started\nip link set eth0 up\nudhcpc -i eth0 -b -S -s /etc/lease >/dev/null 2>&1 &\ntouch /run/up\n' >"$root/etc/rc"
    printf '#!/bin/sh\n/etc/note stopping\nwhile [ -e /slow ]; do sleep 1; done\n/etc/note stopped\n' >"$root/etc/down"
    # shellcheck disable=SC2016 # for the guest's shell
    printf '#!/bin/sh\n[ "$1" != bound ] || ip address add "$ip/$mask" dev "$interface"\n' >"$root/etc/lease"
    chmod 755 "$root"/etc/{rc,down,note,lease}
    echo 'root::0:0:root:/root:/bin/sh' >"$root/etc/passwd"
    printf 'architecture: %s\ncreation_date: 1700000000\n' "$(uname -m)" >"$1/metadata.yaml"
    tar --create --gzip --numeric-owner --file "$1.tar.gz" --directory "$1" metadata.yaml rootfs
    sc --quiet image import "$1.tar.gz" --alias bb >/dev/null
}

# A guest has come up when its first program has: only then it hears what it is asked.
launch() {
    sc --quiet launch bb "$@" >/dev/null
    up "$1"
}

up() { eventually sc exec "$1" -- test -e /run/up; }

# Its state, such as RUNNING; nothing where it is not there.
state_of() { sc list --format csv --columns ns | sed -n "s/^$1,//p"; }

# The pid of its init on the host.
pid_of() { sc query "/1.0/instances/$1/state" | sed -n 's/.*"pid": *\([0-9]*\).*/\1/p'; }

# Its control group, which has its limits: above the one that its init is in.
group_of() {
    local path
    path=$(sed -n 's/^0:://p' "/proc/$(pid_of "$1")/cgroup")
    path=${path#/system.slice/sc.scope/}
    echo "$scope/${path%%/*}"
}

scope=/sys/fs/cgroup/system.slice/sc.scope

# The pid of the daemon as its service has it.
daemon_pid() { systemctl show --property MainPID --value scd.service; }

# Whatever has to outlive the daemon: the inits of guests, agents, dnsmasq.
survivors() {
    pgrep --exact sc-agent
    pgrep --full 'dnsmasq.*/var/lib/sc' | sort
    for guest in $(sc list --format csv --columns n); do pid_of "$guest"; done
}
