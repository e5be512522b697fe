# promise: 1
# tries: being started where an outer container has covered parts of /proc, so that no new one can be mounted
# refused: config refused
# record: config /proc
# only: host the namespace around it has one id, and an image with more is refused before that
# around: masked-proc
# proof: unwrapped
. ./attack.sh
succeeded "the task was started"
