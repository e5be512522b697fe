// promise: 4
// tries: the caller's home and the whole project by their host paths, and through links of the project
// refused: ENOENT EACCES ENOTDIR ELOOP
// record: control files
// proof: bare
#include "attack.h"

int main(void) {
    char path[4096];
    const char *below[] = {"secret", ".ssh/id_ed25519", ".ssh", "."};
    for (int i = 0; i < 4; i++) {
        snprintf(path, sizeof path, "%s/%s", aim("AIM_HOME"), below[i]);
        attempt(below[i], open(path, O_RDONLY));
    }
    attempt("a link that leads out", open("leads-out", O_RDONLY));
    attempt("a link that climbs out", open("folder/climbs-out", O_RDONLY));
    snprintf(path, sizeof path, "%s/input", aim("AIM_PROJECT"));
    attempt("the project by its path", open(path, O_RDONLY));
    return verdict();
}
