# promise: 1
# tries: being started where the host's name cannot be hidden
# refused: config refused
# record: config set its host name
# around: without-sethostname
# proof: unwrapped
. ./attack.sh
succeeded "the task was started"
