#!/bin/sh
# A mount namespace whose mounts are still joined to each other: what happens in one copy happens in all.
exec unshare --user --map-root-user --mount --propagation shared --pid --fork --kill-child -- "$@"
