// promise: 6
// tries: finding a mount that is joined to the host's or to another, so that changes spread
// refused: none-found
// record: control files
// proof: weakened shared-mounts
//
// Whether the host's own mounts are joined differs from host to host; `shared-mounts` makes it so.
#include "attack.h"

int main(void) {
    char line[8192];
    FILE *table = fopen("/proc/self/mountinfo", "r");
    while (fgets(line, sizeof line, table))
        if (strstr(line, " shared:") || strstr(line, " master:") || strstr(line, " propagate_from:"))
            succeeded("a mount that is joined");
    refused_as("none-found");
    return verdict();
}
