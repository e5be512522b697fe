# promise: 1
# tries: being started where the host's tree cannot be left
# refused: config refused
# record: config change its root
# only: host the filter around it takes the set-id bit from newuidmap, so that a user's image is refused before that
# around: without-pivot_root
# proof: unwrapped
. ./attack.sh
succeeded "the task was started"
