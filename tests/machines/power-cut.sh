#!/usr/bin/env bash
# What goes on in a machine whose power is cut: scripts/power-cuts runs this.
#
#   power-cut.sh PROGRAMS FOLDER [last]
#
# FOLDER/known has what clients said before the last cut, as this script has printed it: "launching
# NAME" before the request, "launched NAME" when it was acknowledged, and so with deletions. First
# what the daemon now has is held against it; then a new load begins, which the cut is to hit. With
# "last" behind the folder there is none.
# shellcheck source=tests/machines/lib.sh
. "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"

programs=$1
known=$2/known
before=/root/before

# --- what was acknowledged is so ---

said() { sed -n "s/^$1 //p" "$known" | sort; }

# Who deletes what it has launched. That it begins to may be on its way out when the power goes.
deletes() { case $1 in *[369]) ;; *) return 1 ;; esac; }

# Those that are there for sure.
kept() { said launched | while read -r name; do deletes "$name" || echo "$name"; done; }

# An instance that is there is whole: it runs, or can be started.
is_alive() {
    case $(state_of "$1") in
    RUNNING) ;;
    STOPPED) sc start "$1" || return 1 ;;
    *) return 1 ;;
    esac
    eventually sc exec "$1" -- test -e /run/up
    [ "$(sc exec "$1" -- hostname)" = "$1" ] || return 1
    echo "$1" >>/run/alive
}

hold_against_what_was_said() {
    local name
    : >/run/alive
    sc list --format csv --columns n | sort >/run/there
    if [ -n "$(comm -23 <(kept) /run/there)" ]; then
        echo "WRONG: acknowledged and gone: $(comm -23 <(kept) /run/there | tr '\n' ' ')"
    fi
    if [ -n "$(comm -12 <(said deleted) /run/there)" ]; then
        echo "WRONG: deleted and there: $(comm -12 <(said deleted) /run/there | tr '\n' ' ')"
    fi
    while read -r name; do is_alive "$name" </dev/null & done </run/there
    wait
    sort -o /run/alive /run/alive
    if [ -n "$(comm -13 /run/alive /run/there)" ]; then
        echo "WRONG: there and cannot be started: $(comm -13 /run/alive /run/there | tr '\n' ' ')"
        journalctl --no-pager --boot --unit scd.service | tail -n 30
    fi
    if [ -n "$(said imported)" ]; then
        sc --quiet launch new image-new </dev/null || echo "WRONG: no instance can be made of an image that was acknowledged"
        is_alive image-new || echo "WRONG: an instance of an image that was acknowledged does not come up"
    fi
    echo "found $(wc -l </run/there) instances, $(kept | wc -l) of them acknowledged; $(said deleted | wc -l) deletions acknowledged"
}

# --- nothing else is there ---

# All that the daemon has on the host when it has no instance.
now() { "$programs/host-snapshot" /var/lib/sc | sort >/run/now; }

nothing_is_left() {
    now
    [ -z "$(comm -13 "$before" /run/now)" ]
}

clear_all() {
    local names
    mapfile -t names < <(sc list --format csv --columns n)
    [ ${#names[@]} -eq 0 ] || sc --quiet delete --force "${names[@]}" || echo "WRONG: it cannot be deleted"
    # The alias comes after the image: the cut may have been in between.
    sc image list --format csv --columns fl | sed -n '/,bb$/!s/,.*//p' | while read -r image; do
        sc --quiet image delete "$image" </dev/null || echo "WRONG: the image cannot be deleted"
    done
    (eventually nothing_is_left) || {
        echo "WRONG: left:"
        comm -13 "$before" /run/now
    }
}

# --- the load ---

# acknowledged WHAT NAME ARGUMENT...: asks for it; tells where it is refused.
acknowledged() {
    local what=$1 name=$2 said=/run/said-of-$2
    shift 2
    sc --quiet "$@" >"$said" 2>&1 || {
        echo "WRONG: $what refused: $name: $(tr '\n' ' ' <"$said")"
        return 1
    }
}

# client NAME IMAGE
client() {
    echo "launching $1"
    acknowledged launch "$1" launch "$2" "$1" || return 0
    echo "launched $1"
    deletes "$1" || return 0
    echo "deleting $1"
    acknowledged deletion "$1" delete --force "$1" || return 0
    echo "deleted $1"
}

# An image is new when one of its files is.
client_with_an_image() {
    echo "importing new"
    acknowledged import new image import /root/new.tar --alias new || return 0
    echo "imported new"
    client "$1" new
}

load() {
    local number
    date +%s%N >/root/bb/rootfs/etc/date
    tar --create --numeric-owner --file /root/new.tar --directory /root/bb metadata.yaml rootfs
    echo "load"
    for number in $(seq 19); do client "c$number" bb & done
    client_with_an_image c20 &
    wait
    echo "over"
}

trash_is_empty() { [ -z "$(ls /var/lib/sc/storage-pools/default/trash)" ]; }

prepare() {
    install_sc "$programs"
    import_busybox /root/bb
    launch first
    sc delete --force first
    eventually trash_is_empty
    now
    mv /run/now "$before"
    sync
}

if [ ! -e "$before" ]; then
    prepare
    exit
fi
sc admin waitready
hold_against_what_was_said
clear_all
echo "checked"
[ "${3-}" = last ] || load
sleep infinity
