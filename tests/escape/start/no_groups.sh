# promise: 1
# tries: being started with a bound that was asked for where the control groups are out of reach
# refused: config refused
# record: config --accept-weaker
# options: --memory 64MiB
# needs: cgroups
# only: host the namespace around it has one id, and an image with more is refused before that
# around: no-groups
# proof: unwrapped
. ./attack.sh
succeeded "the task was started"
