// promise: 2
// tries: a performance counter on itself
// refused: EPERM
// record: call perf_event_open
// proof: bare-root
// lacks: ENOENT EOPNOTSUPP
//
// Where perf_event_paranoid is 3 or more an ordinary user has none, so it is shown as root.
#include "attack.h"

int main(void) {
    // A software clock: virtual machines have no hardware counters.
    uint32_t attr[32] = {1, sizeof attr};
    attempt("a counter", syscall(SYS_perf_event_open, attr, 0, -1, -1, 0));
    return verdict();
}
