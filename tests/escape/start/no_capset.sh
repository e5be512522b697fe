# promise: 1
# tries: being started where capabilities cannot be given up
# refused: config refused
# record: config give up its privileges
# only: host the filter around it takes the set-id bit from newuidmap, so that a user's image is refused before that
# around: without-capset
# proof: unwrapped
. ./attack.sh
succeeded "the task was started"
