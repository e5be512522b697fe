# promise: 1
# tries: being started where the task cannot be parted from the terminal
# refused: config refused
# record: config cannot build the sandbox
# only: host the filter around it takes the set-id bit from newuidmap, so that a user's image is refused before that
# around: without-setsid
# proof: unwrapped
. ./attack.sh
succeeded "the task was started"
