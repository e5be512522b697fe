# promise: 1
# tries: being started where mounts cannot be made read-only
# refused: config refused
# record: config cannot build the sandbox
# only: host the filter around it takes the set-id bit from newuidmap, so that a user's image is refused before that
# around: without-mount_setattr
# proof: unwrapped
. ./attack.sh
succeeded "the task was started"
