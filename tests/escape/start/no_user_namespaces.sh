# promise: 1
# tries: being started where no user namespace can be made
# refused: config refused
# record: config namespace
# only: host the namespace around it has one id, and an image with more is refused before that
# around: no-user-namespaces
# proof: unwrapped
. ./attack.sh
succeeded "the task was started"
