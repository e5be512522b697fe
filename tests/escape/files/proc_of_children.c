// promise: 4
// tries: roots and descriptors of processes that came before it, kept through its children's /proc and by path descriptors
// refused: ENOENT EACCES EPERM ELOOP ENOTDIR
// record: control files
// proof: bare
#include "attack.h"

int main(void) {
    char path[4096];
    for (int pid = 1; pid < 12; pid++) {
        const char *links[] = {"root", "cwd", "exe", "task/1/root", "map_files"};
        for (int i = 0; i < 5; i++) {
            snprintf(path, sizeof path, "/proc/%d/%s/%s/secret", pid, links[i], aim("AIM_HOME"));
            attempt(links[i], open(path, O_RDONLY));
        }
        for (int fd = 0; fd < 12; fd++) {
            snprintf(path, sizeof path, "/proc/%d/fd/%d/../../%s/secret", pid, fd, aim("AIM_HOME"));
            attempt("a descriptor", open(path, O_RDONLY));
        }
    }
    snprintf(path, sizeof path, "/proc/self/root/%s/secret", aim("AIM_HOME"));
    attempt("its own root", open(path, O_RDONLY));
    return verdict();
}
