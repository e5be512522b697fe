// promise: 2
// tries: the quotas of the machine
// refused: EPERM
// record: call quotactl
// proof: bare
//
// Syncing no file system in particular asks for no right, so that anybody reaches the kernel by it.
#include "attack.h"
#include <sys/quota.h>

int main(void) {
    attempt("quotactl", syscall(SYS_quotactl, QCMD(Q_SYNC, USRQUOTA), NULL, 0, NULL));
    return verdict();
}
