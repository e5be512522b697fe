// promise: 4
// tries: the kernel's own doors and secrets: kmsg, kcore, kallsyms, sysrq, keys, timers, slabs, /sys
// refused: ENOENT EACCES EPERM EROFS empty
// record: control files
// proof: bare-root
//
// As an ordinary user most of them are shut outside too.
#include "attack.h"

static void can_read(const char *path) {
    char byte;
    int fd = open(path, O_RDONLY | O_NONBLOCK);
    if (fd == -1)
        attempt(path, -1);
    else if (read(fd, &byte, 1) == 1)
        succeeded(path);
    else
        refused_as("empty");
}

int main(void) {
    const char *read_only[] = {"/proc/kcore", "/dev/kmsg", "/proc/kmsg", "/proc/kallsyms", "/proc/keys",
                               "/proc/timer_list", "/proc/slabinfo", "/proc/sched_debug", "/proc/iomem",
                               "/proc/config.gz", "/proc/cmdline", "/sys/kernel/uevent_seqnum",
                               "/sys/fs/cgroup/cgroup.procs", "/dev/mem", "/dev/port", "/proc/vmallocinfo"};
    for (unsigned i = 0; i < sizeof read_only / sizeof *read_only; i++)
        can_read(read_only[i]);
    attempt("sysrq", open("/proc/sysrq-trigger", O_WRONLY));
    attempt("firmware", open("/sys/firmware/efi", O_RDONLY));
    return verdict();
}
