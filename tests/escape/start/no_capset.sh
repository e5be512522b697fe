# promise: 1
# tries: being started where capabilities cannot be given up
# refused: config refused
# record: config give up its privileges
# around: without-capset
# proof: unwrapped
. ./attack.sh
succeeded "the task was started"
