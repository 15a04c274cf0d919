#!/bin/bash
# Boots this machine's own systemd as PID 1 of namespaces of its own, over a
# root that is thrown away: /usr is an overlay, everything else a tmpfs. The
# machine itself is left as it was.
#
#   boot.sh DIR NAME ADRT SYSUSERS
#
# DIR is an empty directory, NAME one for the cgroup, ADRT the binary that
# becomes /usr/bin/adrt, SYSUSERS what makes its account. Says "booted PID" on
# stdout, PID being that of the new PID 1 as seen from here; or "skipped: WHY".
# Lives until its stdin ends, however that comes about; then it kills the whole
# and removes its cgroups.
set -u

skip() { echo "skipped: $*"; exit 0; }

# Where the cgroup of that controller is, for a new one under our own.
cgroup_of() {
    local own
    own=$(awk -F: -v c="$1" '$2 == c { print $3 }' /proc/self/cgroup)
    echo "$2${own%/}/$NAME"
}

outer() {
    [ "$(id -u)" = 0 ] || skip "needs root"
    for tool in unshare nsenter awk hostname /lib/systemd/systemd systemd-sysusers; do
        command -v "$tool" >/dev/null || skip "there is no $tool"
    done
    [ -x /usr/bin/python3 ] || skip "there is no /usr/bin/python3"
    grep -qw overlay /proc/filesystems || modprobe overlay 2>/dev/null || skip "the kernel has no overlay"
    grep -qw cgroup2 /proc/filesystems || skip "the kernel has no cgroup2"

    local unified=/sys/fs/cgroup
    [ -f $unified/cgroup.procs ] || unified=/sys/fs/cgroup/unified
    [ -f $unified/cgroup.procs ] || skip "there is no cgroup2 mount"
    cgroup_of "" $unified > "$DIR/cgroups"
    if [ $unified = /sys/fs/cgroup/unified ]; then
        # The controllers are those of version 1 here.
        for c in systemd pids cpu cpuacct memory freezer devices blkio cpuset; do
            [ -d /sys/fs/cgroup/$c ] || continue
            if [ $c = systemd ]; then k=name=systemd; else k=$c; fi
            echo "$(cgroup_of $k /sys/fs/cgroup/$c) $c" >> "$DIR/cgroups"
        done
    fi
    # Whoever started this may be gone before it is told anything.
    trap '' PIPE
    trap finish EXIT
    while read -r dir controller; do
        mkdir "$dir" 2>/dev/null || skip "no cgroup can be made: $dir"
        [ "${controller:-}" = cpuset ] || continue
        for file in cpuset.cpus cpuset.mems; do cat "$dir/../$file" > "$dir/$file"; done
    done < "$DIR/cgroups"

    unshare --fork --pid --mount --uts --ipc --net --kill-child=SIGKILL \
        bash "$SELF" "$DIR" "$NAME" "$ADRT" "$SYSUSERS" join </dev/null >"$DIR/console" 2>&1 &
    holder=$!
    local first=""
    for _ in $(seq 500); do
        [ -d /proc/$holder ] || break
        first=$(tr -d ' ' < /proc/$holder/task/$holder/children 2>/dev/null)
        if [ -n "$first" ] && [ "$(cat "/proc/$first/comm" 2>/dev/null)" = systemd ]; then
            state=$(nsenter -t "$first" -p -m -u -i -C -n systemctl is-system-running 2>/dev/null)
            case "$state" in running|degraded) break ;; esac
        fi
        sleep .02
    done
    case "${state:-}" in
        running|degraded) echo "booted $first" ;;
        *) echo "skipped: systemd does not come up here: $(tail -n 3 "$DIR/console" | tr '\n' ' ')" ;;
    esac
    cat >/dev/null
}

# Its end is that of its PID 1, and that of all. The cgroups go deepest first;
# what was killed may take a moment to leave them.
finish() {
    if [ -n "${holder:-}" ]; then
        kill -9 "$holder" 2>/dev/null
        wait "$holder" 2>/dev/null
    fi
    while read -r dir _; do
        for _ in $(seq 200); do
            find "$dir" -depth -type d -exec rmdir {} + 2>/dev/null
            [ -d "$dir" ] || break
            sleep .02
        done
    done < "$DIR/cgroups"
}

join() {
    set -e
    while read -r dir _; do echo 0 > "$dir/cgroup.procs"; done < "$DIR/cgroups"
    exec unshare --cgroup bash "$SELF" "$DIR" "$NAME" "$ADRT" "$SYSUSERS" root
}

root() {
    set -e
    local cgroups
    cgroups=$(cat "$DIR/cgroups")
    mount --make-rprivate /
    mount -t tmpfs -o mode=755,size=512m tmpfs "$DIR"
    mkdir "$DIR/root" "$DIR/upper" "$DIR/work"
    cp "$SYSUSERS" "$DIR/sysusers"
    mount -t tmpfs -o mode=755,size=512m tmpfs "$DIR/root"
    cd "$DIR/root"
    mkdir -p usr etc/systemd/system etc/adrt opt run var/log var/lib var/tmp tmp proc sys dev root home .old
    chmod 700 root
    mount -t overlay overlay -o "lowerdir=/usr,upperdir=$DIR/upper,workdir=$DIR/work" usr
    for link in bin sbin lib lib64; do ln -s usr/$link $link; done
    : > usr/bin/adrt
    mount --bind "$ADRT" usr/bin/adrt
    mkdir -p usr/lib/sysusers.d
    cp "$DIR/sysusers" usr/lib/sysusers.d/adrt.conf
    cp -a /etc/passwd /etc/group /etc/ld.so.cache /etc/ld.so.conf /etc/ld.so.conf.d etc/
    cp -a /etc/alternatives /etc/dbus-1 etc/ 2>/dev/null || true
    printf "passwd: files\ngroup: files\nshadow: files\nhosts: files\n" > etc/nsswitch.conf
    echo '127.0.0.1 localhost' > etc/hosts
    echo 0123456789abcdef0123456789abcdef > etc/machine-id
    : > etc/fstab
    mkdir etc/systemd/journald.conf.d
    printf '[Journal]\nRateLimitIntervalSec=0\n' > etc/systemd/journald.conf.d/all.conf
    ln -s ../run var/run
    for unit in sys-kernel-debug.mount sys-kernel-tracing.mount sys-kernel-config.mount \
        sys-fs-fuse-connections.mount dev-hugepages.mount dev-mqueue.mount \
        systemd-journald-audit.socket systemd-tmpfiles-clean.timer systemd-firstboot.service \
        systemd-udevd.service systemd-udev-trigger.service systemd-logind.service \
        systemd-networkd.service systemd-resolved.service systemd-timesyncd.service \
        systemd-binfmt.service systemd-modules-load.service systemd-sysctl.service \
        systemd-random-seed.service systemd-update-utmp.service getty.target \
        console-getty.service; do
        ln -s /dev/null etc/systemd/system/$unit
    done
    mount -t proc proc proc
    mount --bind proc/sys proc/sys && mount -o remount,bind,ro proc/sys
    mount -t sysfs -o ro sysfs sys
    mount_cgroups
    make_devices
    mount -t tmpfs -o mode=755 tmpfs run
    mount -t tmpfs -o mode=1777 tmpfs tmp
    hostname sandbox
    ip link set lo up 2>/dev/null || true
    pivot_root . .old
    cd /
    umount -l /.old
    mount --make-rshared /
    systemd-sysusers adrt.conf
    exec env -i container=unshare PATH=/usr/sbin:/usr/bin:/sbin:/bin \
        /lib/systemd/systemd --system --unit=basic.target --log-target=journal-or-kmsg --show-status=no
}

mount_cgroups() {
    if [ "$(wc -l <<< "$cgroups")" = 1 ]; then
        mount -t cgroup2 cgroup2 sys/fs/cgroup
        return
    fi
    mount -t tmpfs -o mode=755 tmpfs sys/fs/cgroup
    mkdir sys/fs/cgroup/unified
    mount -t cgroup2 cgroup2 sys/fs/cgroup/unified
    while read -r _ c; do
        [ -n "$c" ] || continue
        mkdir sys/fs/cgroup/$c
        if [ $c = systemd ]; then o=none,name=systemd; else o=$c; fi
        mount -t cgroup -o $o cgroup sys/fs/cgroup/$c
    done <<< "$cgroups"
}

make_devices() {
    mount -t tmpfs -o mode=755 tmpfs dev
    while read -r name major minor; do mknod -m 666 dev/$name c $major $minor; done <<'END'
null 1 3
zero 1 5
full 1 7
random 1 8
urandom 1 9
tty 5 0
END
    mkdir dev/pts dev/shm
    mount -t devpts -o newinstance,ptmxmode=0666,mode=620 devpts dev/pts
    ln -s pts/ptmx dev/ptmx
    mount -t tmpfs -o mode=1777 tmpfs dev/shm
    ln -s /proc/self/fd dev/fd
    for pair in "0 stdin" "1 stdout" "2 stderr"; do set -- $pair; ln -s /proc/self/fd/$1 dev/$2; done
}

SELF=$0 DIR=$1 NAME=$2 ADRT=$3 SYSUSERS=$4
${5:-outer}
