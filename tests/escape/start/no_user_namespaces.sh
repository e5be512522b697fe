# promise: 1
# tries: being started where no user namespace can be made
# refused: config refused
# record: config namespace
# around: no-user-namespaces
# proof: unwrapped
. ./attack.sh
succeeded "the task was started"
