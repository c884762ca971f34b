#!/usr/bin/env bash
# The host goes down and comes back: which guests stop and start then, in which order. The guests
# keep the record themselves (see import_busybox).
# shellcheck source=tests/machines/lib.sh
. "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"

# Boot 1: what is to be seen after it.
prepare() {
    install_sc "$1"
    import_busybox /root/bb
    launch first -c boot.autostart=true -c boot.autostart.priority=10 -c boot.autostart.delay=5 -c boot.stop.priority=1
    launch second -c boot.autostart=true -c boot.autostart.priority=5 -c boot.stop.priority=10
    launch slow -c boot.stop.priority=5 -c boot.host_shutdown_timeout=5
    launch forced -c boot.stop.priority=5 -c boot.host_shutdown_action=force-stop
    launch unwanted -c boot.autostart=false
    sc exec slow -- touch /slow
    sc init bb idle
    cat /proc/sys/kernel/random/boot_id >/root/boot
}

# The uptime at which a guest noted something in the last boot, without its point.
noted() {
    sc exec "$1" -- sed -n "s/^$(cat /root/boot) $2 //p" /record | tr -d .
}

# before WHAT ONE OTHER
before() { [ "$2" -le "$3" ] || wrong "$1: $2 and then $3"; }

the_host_went_down_in_order() {
    dmesg | fails grep 'vda.*recovery'
    journalctl --boot=-1 --unit scd-guests.service | grep Stopped
    journalctl --boot=-1 --unit scd-guests.service | fails grep -i fail
}

guests_stopped_in_the_order_of_their_priority() {
    before "second and slow" "$(noted second stopped)" "$(noted slow stopping)"
    before "slow and first" "$(noted slow stopping)" "$(noted first stopping)"
    [ -n "$(noted first stopped)" ] || wrong "first has no end"
}

a_guest_that_does_not_stop_was_given_its_own_time_and_then_killed() {
    is "its end" "$(noted slow stopped)" ""
    before "five seconds" $(($(noted slow stopping) + 500)) "$(noted first stopping)"
}

a_guest_to_be_stopped_by_force_was_not_asked() {
    is "its wish" "$(noted forced stopping)" ""
}

guests_that_are_to_run_run_again_and_others_do_not() {
    is "those that are to start" "$(state_of first) $(state_of second)" "RUNNING RUNNING"
    is "those that ran" "$(state_of slow) $(state_of forced)" "RUNNING RUNNING"
    is "one that is not to start" "$(state_of unwanted)" STOPPED
    is "one that did not run" "$(state_of idle)" STOPPED
}

# The 22nd field of stat is when a process began, in hundredths of a second since the boot.
began() { cut -d' ' -f22 "/proc/$(pid_of "$1")/stat"; }

guests_start_in_the_order_of_their_priority_and_after_the_delay_of_the_one_before() {
    before "first, five seconds, second" $(($(began first) + 500)) "$(began second)"
    before "second and slow" "$(began second)" "$(began slow)"
}

# Boot 2: what the end of boot 1 and this start were like. The next start is not to come to its end.
after_reboot() {
    sc admin waitready
    for guest in first second slow forced; do up "$guest"; done
    check the_host_went_down_in_order
    check guests_stopped_in_the_order_of_their_priority
    check a_guest_that_does_not_stop_was_given_its_own_time_and_then_killed
    check a_guest_to_be_stopped_by_force_was_not_asked
    check guests_that_are_to_run_run_again_and_others_do_not
    check guests_start_in_the_order_of_their_priority_and_after_the_delay_of_the_one_before
    sc exec slow -- rm -f /slow
    sc config set first boot.autostart.delay=3600
}

# Boot 3: first runs, and the others wait for its delay to end; but second is started by hand.
the_host_goes_down_while_guests_start() {
    up first
    is "the guest after the delay" "$(state_of second)" STOPPED
    sc config set second boot.host_shutdown_timeout=5
    sc start second
    up second
    sc exec second -- touch /slow
    cat /proc/sys/kernel/random/boot_id >/root/boot
}

# Boot 4. The host's own last word to all processes, a SIGTERM, makes guests note their end, too.
guests_stop_in_order_also_when_the_host_goes_down_while_they_start() {
    up first
    sc start second
    before "second's five seconds" $(($(noted second stopping) + 500)) "$(noted first stopping)"
    [ -n "$(noted first stopped)" ] || wrong "first has no end"
}

case $2 in
1) prepare "$1" ;;
2) after_reboot ;;
3) check the_host_goes_down_while_guests_start ;;
4) check guests_stop_in_order_also_when_the_host_goes_down_while_they_start ;;
esac
sum_up
