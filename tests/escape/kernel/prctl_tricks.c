// promise: 2
// tries: getting capabilities back: ambient set, bounding set, securebits, keepcaps, setuid 0
// refused: EPERM EINVAL unchanged
// record: control privileges
// proof: weakened capable
//
// `capable` leaves the capabilities to the task, so that the ambient set can be filled.
#include "attack.h"
#include <linux/capability.h>
#include <sys/fsuid.h>

static int has_any(void) {
    struct __user_cap_header_struct head = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct data[2] = {{0}};
    syscall(SYS_capget, &head, data);
    return data[0].effective || data[1].effective || data[0].permitted || data[0].inheritable;
}

int main(void) {
    struct __user_cap_header_struct head = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct all[2] = {{~0u, ~0u, ~0u}, {~0u, ~0u, ~0u}};
    struct __user_cap_data_struct one[2] = {{1, 1, 1}, {0}};
    attempt("capset to one", syscall(SYS_capset, &head, one));
    attempt("capset to all", syscall(SYS_capset, &head, all));
    prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0);
    attempt("ambient", prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_NET_ADMIN, 0, 0));
    attempt("securebits", prctl(PR_SET_SECUREBITS, 0));
    attempt("bounding set", prctl(PR_CAPBSET_DROP, CAP_SYS_ADMIN, 0, 0, 0));
    // As root of the namespace this one works, and must change nothing.
    if (setresuid(0, 0, 0) == -1)
        attempt("user 0", -1);
    setfsuid(0);
    if (has_any())
        succeeded("a capability");
    refused_as("unchanged");
    return verdict();
}
