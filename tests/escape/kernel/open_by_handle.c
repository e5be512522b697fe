// promise: 2
// tries: opening by handle, which goes past every mount and path
// refused: EPERM
// record: call open_by_handle_at
// proof: bare-root
//
// It needs a capability of the whole machine, which nobody but root has outside.
#include "attack.h"

int main(void) {
    struct {
        struct file_handle head;
        unsigned char bytes[128];
    } handle = {.head = {.handle_bytes = 128}};
    int mount_id, at = open(aim("AIM_TMP"), O_RDONLY | O_DIRECTORY);
    if (at == -1 || name_to_handle_at(at, "", &handle.head, &mount_id, AT_EMPTY_PATH) == -1) {
        // Some file systems give no handles: then one is made up.
        handle.head.handle_bytes = 8;
        handle.head.handle_type = 1;
        handle.bytes[0] = 2;
    }
    attempt("open_by_handle_at", open_by_handle_at(at, &handle.head, O_RDONLY));
    return verdict();
}
