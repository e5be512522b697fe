// promise: 2
// tries: the keyrings of the host's session and user
// refused: EPERM
// record: call keyctl
// record: call add_key
// record: call request_key
// proof: bare
#include "attack.h"

int main(void) {
    attempt("the session's keyring", syscall(SYS_keyctl, 0 /* get id */, -3, 0));
    attempt("the user's keyring", syscall(SYS_keyctl, 0, -4, 1));
    attempt("a key of its own", syscall(SYS_add_key, "user", "aido-escape", "x", 1, -2));
    // What is not there is asked for last: its own answer (ENOKEY) would say that the kernel was reached.
    attempt("a key by name", syscall(SYS_request_key, "user", "aido-escape-none", NULL, 0));
    return verdict();
}
