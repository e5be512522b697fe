# promise: 9
# tries: a fork bomb that is still growing when the task ends
# refused: gone
# record: control deadline
# options: --ttl 3s
# proof: bare
# judge: survivor
# within: 40
#
# Seven generations and no more, so that a sandbox without a bound does not take the machine along.
MARK=$1
grow() {
    [ "$1" -gt 0 ] || exec sleep "$MARK"
    grow $(($1 - 1)) & grow $(($1 - 1)) & wait
}
grow 6 >/dev/null 2>&1 &
sleep 0.3
