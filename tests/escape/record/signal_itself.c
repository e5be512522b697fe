// promise: 13
// tries: looking as if it was killed for its memory, by a signal to itself
// refused: told-apart
// record: end signalled 9
// proof: weakened status-only
// judge: reason_of_kill
#include "attack.h"

int main(void) {
    kill(getpid(), SIGKILL);
    return 0;
}
