# promise: 1
# tries: being started where its limits cannot be set
# refused: config refused
# record: config limit
# only: host the filter around it takes the set-id bit from newuidmap, so that a user's image is refused before that
# around: without-prlimit64
# proof: unwrapped
. ./attack.sh
succeeded "the task was started"
