// promise: 3
// tries: tracing aido's first process: attach, seize, and interrupting it
// refused: EPERM ESRCH
// record: control processes
// proof: weakened open-init
#include "attack.h"
#include <sys/ptrace.h>

static int seize(void) { return ptrace(PTRACE_SEIZE, 1, 0, 0) == -1 ? errno : 0; }
static int attach(void) { return ptrace(PTRACE_ATTACH, 1, 0, 0) == -1 ? errno : 0; }
static int look(void) { return ptrace(PTRACE_PEEKDATA, 1, 0, 0) == -1 ? errno : 0; }

int main(void) {
    // Each in a child: its end lets go of what it traces.
    in_child("seize", seize);
    in_child("attach", attach);
    in_child("peek", look);
    return verdict();
}
