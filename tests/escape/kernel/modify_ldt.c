// promise: 2
// tries: segment descriptors of its own
// refused: EPERM
// record: call modify_ldt
// proof: bare
// lacks: ENOSYS
#include "attack.h"

int main(void) {
#ifdef SYS_modify_ldt
    char table[64];
    attempt("modify_ldt", syscall(SYS_modify_ldt, 0, table, sizeof table));
#else
    errno = ENOSYS; // Only x86 has them.
    attempt("modify_ldt", -1);
#endif
    return verdict();
}
