// promise: 4
// tries: climbing out: `..` from everywhere, the links of /proc, descriptors of folders, a moved working folder
// refused: ENOENT EACCES EPERM ELOOP ENOTDIR
// record: control files
// proof: bare
#include "attack.h"

static void from(const char *start) {
    char path[8192];
    snprintf(path, sizeof path, "%s/../../../../../../../../../../../../..%s/secret", start, aim("AIM_HOME"));
    attempt(start, open(path, O_RDONLY));
}

int main(void) {
    const char *starts[] = {".", "/", "folder", "/proc/self/root", "/proc/self/cwd", "/proc/thread-self/root",
                            "/proc/self/task/../root", "/dev/fd/0", "/tmp"};
    for (unsigned i = 0; i < sizeof starts / sizeof *starts; i++)
        from(starts[i]);
    // A folder that is moved while a process stands in it.
    char here[256], there[256];
    snprintf(here, sizeof here, "%s/a/b", aim("AIM_TMP"));
    snprintf(there, sizeof there, "%s/b", aim("AIM_TMP"));
    char *slash = strrchr(here, '/');
    *slash = 0;
    mkdir(here, 0755);
    *slash = '/';
    mkdir(here, 0755);
    int root = open("/", O_PATH);
    if (chdir(here) == 0) {
        rename(here, there);
        from(".");
    }
    fchdir(root);
    from("..");
    return verdict();
}
