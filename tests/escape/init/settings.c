// promise: 3
// tries: settings of aido's first process below /proc: memory kills, maps of ids, dumps, its name
// refused: EROFS EACCES EPERM ENOENT
// record: control processes
// proof: weakened open-init
#include "attack.h"

int main(void) {
    const char *files[] = {"/proc/1/oom_score_adj", "/proc/1/oom_adj", "/proc/1/uid_map", "/proc/1/gid_map",
                           "/proc/1/setgroups", "/proc/1/coredump_filter", "/proc/1/comm", "/proc/1/clear_refs",
                           "/proc/1/timerslack_ns", "/proc/1/attr/current", "/proc/1/loginuid", "/proc/1/sched"};
    for (unsigned i = 0; i < sizeof files / sizeof *files; i++)
        attempt(files[i], open(files[i], O_WRONLY));
    return verdict();
}
