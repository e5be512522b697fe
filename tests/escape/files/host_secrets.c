// promise: 4
// tries: what only root may read: shadow, keys of the machine, sudoers, root's home, logs
// refused: ENOENT EACCES EPERM
// record: control files
// proof: bare-root
#include "attack.h"

int main(void) {
    const char *files[] = {"/etc/shadow", "/etc/gshadow", "/etc/sudoers", "/etc/ssh/ssh_host_ed25519_key",
                           "/etc/ssh/ssh_host_rsa_key", "/etc/machine-id", "/root/.ssh", "/root/.bashrc",
                           "/root/.profile", "/var/log/wtmp", "/var/lib/dpkg/status", "/etc/shadow-"};
    for (unsigned i = 0; i < sizeof files / sizeof *files; i++)
        attempt(files[i], open(files[i], O_RDONLY));
    return verdict();
}
