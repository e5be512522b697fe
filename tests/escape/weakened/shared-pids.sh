#!/bin/sh
# No PID namespace: the process that should be the sandbox's first is an ordinary one, and AIM_INIT names it.
# shellcheck disable=SC2016 # the inner shell expands it
sh -c 'AIM_INIT=$$ "$@"; :' sh "$@" &
wait $!
sleep 1     # Whoever ended that process may still speak.
