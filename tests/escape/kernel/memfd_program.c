// promise: 2
// tries: a program that lies in memory only, to be free of the filter
// refused: EPERM
// record: call unshare
// proof: bare
//
// Running it is allowed; what is refused is what it then does.
#include "attack.h"
#include <sys/mman.h>

int main(int count, char **words) {
    if (count > 2) {
        attempt("unshare", unshare(CLONE_NEWUSER));
        return verdict();
    }
    char buffer[65536];
    int from = open("/proc/self/exe", O_RDONLY), to = memfd_create("x", 0);
    for (ssize_t n; (n = read(from, buffer, sizeof buffer)) > 0;)
        if (write(to, buffer, n) != n)
            return 2;
    char *again[] = {words[0], words[1], "again", NULL};
    fexecve(to, again, environ);
    attempt("fexecve", -1);
    return verdict();
}
