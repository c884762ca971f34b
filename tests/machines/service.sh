#!/usr/bin/env bash
# The daemon as a service of systemd's, on a host with cgroup2 alone.
# shellcheck disable=SC2016 # what stands in single quotes is for guests' shells
# shellcheck source=tests/machines/lib.sh
. "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"

a_started_service_answers_at_once() {
    systemctl restart scd.service
    sc query /1.0
    is "its kind" "$(systemctl show --property Type --value scd.service)" notify
    is "its watchdog" "$(systemctl show --property WatchdogUSec --value scd.service)" 2min
}

the_service_has_the_daemon_alone_and_the_scope_has_all_else() {
    local agents=$scope/agents/cgroup.procs pid
    is "the service" "$(cat /sys/fs/cgroup/system.slice/scd.service/cgroup.procs)" "$(daemon_pid)"
    is "delegation" "$(systemctl show --property Delegate --value sc.scope)" yes
    for pid in $(pgrep --exact sc-agent) $(pgrep --full 'dnsmasq.*/var/lib/sc'); do
        grep --line-regexp "$pid" "$agents" || wrong "process $pid is not in $agents"
    done
    is "where the guest is" "$(dirname "$(group_of c1)")" "$scope"
}

a_restart_of_the_service_leaves_guests_agents_and_dnsmasq_alone() {
    local before old
    before=$(survivors) old=$(daemon_pid)
    systemctl restart scd.service
    [ "$(daemon_pid)" != "$old" ] || wrong "the same daemon"
    is "what survives" "$(survivors)" "$before"
    is "what c1 says" "$(sc exec c1 -- hostname)" c1
}

a_service_stopped_and_a_manager_executed_anew_leave_them_alone() {
    local before
    before=$(survivors)
    systemctl stop scd.service
    systemctl daemon-reexec
    systemctl start scd.service
    is "what survives" "$(survivors)" "$before"
}

a_killed_daemon_is_started_again_and_guests_do_not_notice() {
    local before old
    before=$(survivors) old=$(daemon_pid)
    sc exec c1 -- sh -c 'touch /open; sleep 3600' 2>/run/told &
    eventually sc exec c1 -- test -e /open
    kill -KILL "$old"
    eventually another_daemon "$old"
    fails wait $!
    grep 'the connection to the daemon broke' /run/told
    is "what survives" "$(survivors)" "$before"
    is "what c1 says" "$(sc exec c1 -- hostname)" c1
}

another_daemon() {
    [ "$(daemon_pid)" != "$1" ] && [ "$(daemon_pid)" != 0 ] && systemctl --quiet is-active scd.service
}

a_daemon_that_hangs_is_ended_by_the_watchdog_and_guests_do_not_notice() {
    local before old
    before=$(survivors)
    mkdir -p /run/systemd/system/scd.service.d
    printf '[Service]\nWatchdogSec=15\n' >/run/systemd/system/scd.service.d/soon.conf
    systemctl daemon-reload
    systemctl restart scd.service
    old=$(daemon_pid)
    kill -STOP "$old"
    eventually another_daemon "$old"
    journalctl --unit scd.service | grep 'Watchdog timeout'
    rm /run/systemd/system/scd.service.d/soon.conf
    systemctl daemon-reload
    systemctl restart scd.service
    is "what survives" "$(survivors)" "$before"
}

limits_are_the_kernels_and_bind() {
    local group
    group=$(group_of c1)
    sc config set c1 limits.memory=64MiB limits.cpu=1 limits.processes=40
    is "memory.max" "$(cat "$group/memory.max")" $((64 << 20))
    is "pids.max" "$(cat "$group/pids.max")" 40
    is "nproc" "$(sc exec c1 -- nproc)" 1
    is "what fits" "$(sc exec c1 -- sh -c 'head -c 8m /dev/zero | tail -c 8m | wc -c')" $((8 << 20))
    sc exec c1 -- sh -c 'head -c 128m /dev/zero | tail -c 128m | wc -c' | fails grep $((128 << 20))
    grep 'oom_kill [1-9]' "$group/memory.events"
    sc exec c1 -- sh -c 'for i in $(seq 60); do sleep 3 & done; wait' 2>&1 | grep "can't fork"
    sc config set c1 limits.memory= limits.cpu= limits.processes=
    is "memory.max" "$(cat "$group/memory.max")" max
    is "what c1 says" "$(sc exec c1 -- hostname)" c1
}

limits_outlive_a_restart_of_the_service() {
    sc config set c2 limits.memory=80MiB
    systemctl restart scd.service
    is "memory.max" "$(cat "$(group_of c2)/memory.max")" $((80 << 20))
    sc config unset c2 limits.memory
    is "memory.max" "$(cat "$(group_of c2)/memory.max")" max
}

exec_goes_on_while_the_guest_has_enabled_controllers() {
    sc config set c2 limits.processes=60
    sc exec c2 -- sh -c 'cd /sys/fs/cgroup; mkdir all; for pid in $(cat cgroup.procs); do echo $pid >all/cgroup.procs; done
        echo "+pids +memory" >cgroup.subtree_control; grep pids cgroup.subtree_control'
    is "what c2 says" "$(sc exec c2 -- hostname)" c2
    sc exec c2 -- sh -c 'for i in $(seq 80); do sleep 3 & done; wait' 2>&1 | grep "can't fork"
    sc restart c2
    up c2
    is "what c2 says" "$(sc exec c2 -- hostname)" c2
    sc config unset c2 limits.processes
}

# What waits and watches goes by a clock that nobody sets.
a_clock_that_jumps_a_day_forth_and_back_changes_nothing() {
    local before restarts executed stopped turn
    launch c3
    sc exec c3 -- touch /slow
    eventually has_address c1
    before=$(serving) restarts=$(systemctl show --property NRestarts scd.service)
    sc exec c1 -- sh -c 'sleep 30; echo slept' >/run/slept &
    executed=$!
    sc stop c3 --timeout 3600 &
    stopped=$!
    eventually sc exec c3 -- grep stopping /record
    for turn in '1 day' '1 day ago' '1 day ago' '1 day'; do
        date --set "$turn"
        is "what c1 says" "$(sc exec c1 -- hostname)" c1
        launch jump
        sc delete --force jump
    done
    kill -0 "$stopped" || wrong "who waits for an hour has given up"
    sc exec c3 -- rm /slow
    wait "$stopped" "$executed"
    is "the exec that went on" "$(cat /run/slept)" slept
    is "c3" "$(state_of c3)" STOPPED
    sc delete c3
    is "the restarts" "$(systemctl show --property NRestarts scd.service)" "$restarts"
    is "who serves" "$(serving)" "$before"
    has_address c1
    launch later
    eventually has_address later
    sc delete --force later
}

serving() {
    daemon_pid
    pgrep --full 'dnsmasq.*/var/lib/sc'
    pid_of c1
}

has_address() { sc list --format csv --columns n4 | grep "^$1,\"*[0-9]"; }

install_sc "$1"
import_busybox /root/bb
launch c1
launch c2
check a_started_service_answers_at_once
check the_service_has_the_daemon_alone_and_the_scope_has_all_else
check a_restart_of_the_service_leaves_guests_agents_and_dnsmasq_alone
check a_service_stopped_and_a_manager_executed_anew_leave_them_alone
check a_killed_daemon_is_started_again_and_guests_do_not_notice
check a_daemon_that_hangs_is_ended_by_the_watchdog_and_guests_do_not_notice
check limits_are_the_kernels_and_bind
check limits_outlive_a_restart_of_the_service
check exec_goes_on_while_the_guest_has_enabled_controllers
check a_clock_that_jumps_a_day_forth_and_back_changes_nothing
sum_up
