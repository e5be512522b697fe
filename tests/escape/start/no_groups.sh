# promise: 1
# tries: being started with a bound that was asked for where the control groups are out of reach
# refused: config refused
# record: config --accept-weaker
# options: --memory 64MiB
# needs: cgroups
# around: no-groups
# proof: unwrapped
. ./attack.sh
succeeded "the task was started"
