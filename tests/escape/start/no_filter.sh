# promise: 1
# tries: being started where the filter cannot be loaded, since the call is refused
# refused: config refused
# record: config install its system call filter
# only: host the filter around it takes the set-id bit from newuidmap, so that a user's image is refused before that
# around: without-seccomp
# proof: unwrapped
. ./attack.sh
succeeded "the task was started"
