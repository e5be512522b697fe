// promise: 5
// tries: kernel settings below /proc/sys, some of which need no capability where root is the owner
// refused: EROFS EACCES ENOENT EPERM
// record: control read-only
// proof: bare-root
//
// They are opened for writing only, and nothing is written.
#include "attack.h"

int main(void) {
    const char *files[] = {
        "/proc/sys/kernel/core_pattern", "/proc/sys/kernel/hostname", "/proc/sys/kernel/modprobe",
        "/proc/sys/kernel/hotplug", "/proc/sys/vm/overcommit_memory", "/proc/sys/fs/binfmt_misc/register",
        "/proc/sys/fs/file-max", "/proc/sys/net/ipv4/ip_forward", "/proc/sys/net/ipv4/ping_group_range",
        "/proc/sys/user/max_user_namespaces", "/proc/sys/kernel/unprivileged_bpf_disabled",
        "/proc/sys/kernel/ns_last_pid", "/proc/sys/kernel/shmmax", "/proc/sys/fs/mqueue/msg_max",
    };
    for (unsigned i = 0; i < sizeof files / sizeof *files; i++)
        attempt(files[i], open(files[i], O_WRONLY));
    return verdict();
}
