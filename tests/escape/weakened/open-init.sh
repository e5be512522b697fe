#!/bin/sh
# A PID namespace whose first process is an ordinary one of the task's own user, with its environment: what most
# sandboxes begin with.
# shellcheck disable=SC2016 # the inner shell expands it
exec unshare --user --map-current-user --mount --pid --fork --kill-child --mount-proc -- sh -c '"$@"; exit $?' sh "$@"
