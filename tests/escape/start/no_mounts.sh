# promise: 1
# tries: being started where mounts cannot be made read-only
# refused: config refused
# record: config cannot build the sandbox
# around: without-mount_setattr
# proof: unwrapped
. ./attack.sh
succeeded "the task was started"
