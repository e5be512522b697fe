// promise: 2
// tries: the machine as a whole: modules, kexec, swap, ports, clock, names, kernel log
// refused: EPERM ENOSYS
// record: call init_module
// record: call finit_module
// record: call syslog
// record: call sethostname
// record: call clock_settime
// record: call swapon
// proof: weakened capable
//
// All arguments are invalid, so that nothing could happen. What the kernel can give to the root of a namespace, it gives
// in `capable`: there the name of the host.
#include "attack.h"
#include <sys/klog.h>
#include <sys/swap.h>
#include <time.h>

int main(void) {
    struct timespec never = {-1, -1};
    attempt("sethostname", sethostname("aido-escape", 11));
    attempt("init_module", syscall(SYS_init_module, NULL, 0, ""));
    attempt("finit_module", syscall(SYS_finit_module, -1, "", 0));
    attempt("kexec_load", syscall(SYS_kexec_load, 0, ~0UL, NULL, ~0UL));
    attempt("syslog", klogctl(10, NULL, 0));
    attempt("clock_settime", syscall(SYS_clock_settime, CLOCK_REALTIME, &never));
    attempt("swapon", swapon("/nowhere", 0));
    attempt("acct", acct("/nowhere"));
#ifdef __x86_64__
    attempt("iopl", syscall(SYS_iopl, 4));
    attempt("ioperm", syscall(SYS_ioperm, ~0UL, ~0UL, 1));
#endif
    return verdict();
}
