# promise: 13
# tries: a failing task that says on its last line that all went well
# refused: true-status
# record: end exited 9
# proof: weakened last-line
# judge: status
#
# `last-line` believes what a task says of itself, as harnesses of tests do.
echo '{"reason":"exited","code":0}'
echo "aido: exit 0 after 1ms" >&2
echo "exit status: 0"
exit 9
