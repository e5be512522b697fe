# promise: 1
# tries: being started where the task cannot be parted from the terminal
# refused: config refused
# record: config cannot build the sandbox
# around: without-setsid
# proof: unwrapped
. ./attack.sh
succeeded "the task was started"
