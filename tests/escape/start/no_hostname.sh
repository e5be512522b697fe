# promise: 1
# tries: being started where the host's name cannot be hidden
# refused: config refused
# record: config set its host name
# only: host the filter around it takes the set-id bit from newuidmap, so that a user's image is refused before that
# around: without-sethostname
# proof: unwrapped
. ./attack.sh
succeeded "the task was started"
