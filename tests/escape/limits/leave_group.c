// promise: 8
// tries: leaving its control group, or widening it: cgroup files, new cgroup mounts, other hierarchies
// refused: ENOENT EACCES EPERM EROFS
// record: control memory
// needs: cgroups
// options: --memory 256MiB
// proof: bare-root
#include "attack.h"
#include <sys/mount.h>

int main(void) {
    const char *files[] = {"/sys/fs/cgroup/cgroup.procs", "/sys/fs/cgroup/memory/cgroup.procs",
                           "/sys/fs/cgroup/pids/tasks", "/sys/fs/cgroup/unified/cgroup.procs", "/proc/self/cgroup"};
    for (unsigned i = 0; i < sizeof files / sizeof *files; i++)
        attempt(files[i], open(files[i], O_WRONLY));
    const char *folders[] = {"/sys/fs/cgroup", "/sys/fs"};
    for (unsigned i = 0; i < sizeof folders / sizeof *folders; i++)
        attempt(folders[i], open(folders[i], O_RDONLY | O_DIRECTORY));
    // Outside the first file opens, so no mount is tried there.
    attempt("a cgroup mount", mount("none", "/tmp", "cgroup2", 0, NULL));
    return verdict();
}
