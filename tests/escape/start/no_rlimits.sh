# promise: 1
# tries: being started where its limits cannot be set
# refused: config refused
# record: config limit
# around: without-prlimit64
# proof: unwrapped
. ./attack.sh
succeeded "the task was started"
