# promise: 1
# tries: being started where the host's tree cannot be left
# refused: config refused
# record: config change its root
# around: without-pivot_root
# proof: unwrapped
. ./attack.sh
succeeded "the task was started"
