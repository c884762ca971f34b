#!/usr/bin/env bash
# scripts/quickstart from programs that were built elsewhere, on a Debian that has none of the
# packages it needs; again; and taken away.
# shellcheck source=tests/machines/lib.sh
. "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"
# shellcheck source=scripts/lib.sh
. "$here/../../scripts/lib.sh"
programs=$1
before=/root/before
told=/root/told

# What sc may change of this host, a line each. Logs and what apt and dpkg keep are theirs.
host() {
    find /etc /usr /var /opt /root /srv -xdev -not -path '/var/lib/apt/*' -not -path '/var/cache/*' -not -path '/var/log/*' \
        -not -path '/var/lib/dpkg/*' -not -path '/var/lib/run-vm/*' -not -path "$before*" -not -path "$told*" \
        -not -name 'ld.so.cache*' | sort
    getent passwd
    getent group
    ip -oneline link | cut -d: -f2
    nft list tables 2>/dev/null || true
    findmnt --list --noheadings --output TARGET
    find /sys/fs/cgroup -type d -name 'sc*'
    # One by one: a pattern longer than a process's name finds nothing.
    for program in sc-agent scd dnsmasq; do
        pgrep --list-full --exact "$program" || true
    done
    systemctl list-unit-files --no-legend 'sc*' || true
}

a_fresh_debian_gets_a_guest_that_is_running() {
    "$top/scripts/quickstart" --prebuilt "$programs" >"$told"
    cat "$told"
    grep 'installing dnsmasq-base: gives the guests' "$told"
    grep --extended-regexp '^web1 is running at [0-9.]+$' "$told"
    is "the last line" "$(tail -n 1 "$told")" "for a shell in it: sc shell web1"
    is "what its systemd says" "$(sc exec web1 -- systemctl is-system-running)" running
    is "the service" "$(systemctl is-active scd.service scd-guests.service | uniq)" active
}

a_second_run_does_nothing_that_is_done() {
    local daemon guest
    daemon=$(daemon_pid) guest=$(pid_of web1)
    "$top/scripts/quickstart" --prebuilt "$programs" >"$told"
    cat "$told"
    is "what it says" "$(wc -l <"$told")" 2
    is "the daemon" "$(daemon_pid)" "$daemon"
    is "the guest" "$(pid_of web1)" "$guest"
}

# What a package brings with it is named as a whole, and goes with autoremove as it is told.
what_is_left_after_the_removal_is_what_it_says() {
    "$top/scripts/quickstart" --remove >"$told"
    cat "$told"
    grep "'apt-get autoremove' takes that away" "$told"
    grep 'removed /var/lib/sc' "$told"
    apt-get --quiet --quiet autoremove --purge --yes >/dev/null
    eval "$(sed -n "s/.*'\(dpkg --purge .*\)' takes.*/\1/p" "$told")"
    host >"$told"
    diff "$before" "$told"
}

{ packages_to_run; } | cut -d' ' -f1 | grep --invert-match keyring | xargs apt-get --quiet --quiet autoremove --purge --yes >/dev/null
host >"$before"
check a_fresh_debian_gets_a_guest_that_is_running
check a_second_run_does_nothing_that_is_done
check what_is_left_after_the_removal_is_what_it_says
sum_up
