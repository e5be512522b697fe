// promise: 2
// tries: execution domains that loosen memory protection
// refused: EPERM
// record: call personality
// proof: bare
#include "attack.h"
#include <sys/personality.h>

int main(void) {
    attempt("READ_IMPLIES_EXEC", personality(READ_IMPLIES_EXEC));
    attempt("MMAP_PAGE_ZERO", personality(MMAP_PAGE_ZERO));
    attempt("an emulated system", personality(PER_SVR4));
    return verdict();
}
