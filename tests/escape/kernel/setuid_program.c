// promise: 2
// tries: a program with the set-user-id bit and one with a file capability
// refused: EPERM EINVAL EOPNOTSUPP unchanged
// record: control privileges
// proof: weakened suid-allowed
//
// The bit can be set, and must lend nothing: nosuid on every mount, no-new-privs. `suid-allowed` has neither.
#include "attack.h"
#include <sys/statvfs.h>
#include <sys/xattr.h>

int main(int count, char **words) {
    if (count > 2) {
        // Run by the file with the bit: no-new-privs alone or nosuid alone would do, both are promised.
        struct statvfs where;
        int bare = prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 0;
        int lends = statvfs(words[0], &where) == 0 && !(where.f_flag & ST_NOSUID);
        if (bare || lends)
            succeeded(bare ? "no-new-privs is off" : "the mount is not nosuid");
        refused_as("unchanged");
        return verdict();
    }
    char path[256], buffer[65536];
    snprintf(path, sizeof path, "%s/suid", aim("AIM_TMP"));
    int from = open("/proc/self/exe", O_RDONLY), to = open(path, O_CREAT | O_WRONLY, 0700);
    for (ssize_t n; (n = read(from, buffer, sizeof buffer)) > 0;)
        if (write(to, buffer, n) != n)
            return 2;
    fchmod(to, 06755);
    // CAP_SYS_ADMIN for whoever runs it; as root of a user namespace this would be allowed.
    unsigned char capability[20] = {1, 0, 0, 2, 0, 0, 32, 0};
    fsetxattr(to, "security.capability", capability, sizeof capability, 0);
    close(to);
    char *again[] = {path, words[1], "again", NULL};
    execv(path, again);
    attempt("execv", -1);
    return verdict();
}
