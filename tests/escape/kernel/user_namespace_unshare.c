// promise: 2
// tries: a user namespace of its own by unshare, and so all capabilities in it
// refused: EPERM
// record: call unshare
// proof: bare
#include "attack.h"

int main(void) {
    attempt("unshare", unshare(CLONE_NEWUSER));
    attempt("unshare with mounts", unshare(CLONE_NEWUSER | CLONE_NEWNS));
    return verdict();
}
