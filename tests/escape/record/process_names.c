// promise: 12
// tries: driving the terminal of who looks through the names of processes in refused calls
// refused: made-visible
// record: call bpf
// proof: bare
// judge: terminal
//
// The record names the process of a refused call, and a process gives itself its name.
#include "attack.h"

int main(void) {
    const char *names[] = {"\033[2J\033c", "\033]0;x\007", "a\nb\rc", "\302\233" "31m", "\xe2\x80\xae" "gpj", "\"}\n{\""};
    for (unsigned i = 0; i < sizeof names / sizeof *names; i++) {
        prctl(PR_SET_NAME, names[i], 0, 0, 0);
        syscall(SYS_bpf, 0, NULL, 0);
        // Outside the name goes to who looks as it is.
        if (!getenv("AIDO_SANDBOX"))
            printf("%s: bpf refused\n", names[i]);
    }
    return 0;
}
