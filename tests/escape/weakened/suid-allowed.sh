#!/bin/sh
# Namespaces without no-new-privs and nosuid: what most people's first sandbox is.
exec unshare --user --map-root-user --mount --pid --fork --kill-child --mount-proc -- "$@"
