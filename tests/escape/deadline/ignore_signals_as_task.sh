# promise: 9
# tries: a task that itself goes on after SIGTERM at the time limit
# refused: gone
# record: end deadline
# options: --ttl 1s
# proof: bare
# judge: survivor
# within: 40
MARK=$1
trap 'echo "not yet"' INT TERM HUP QUIT
# Outside nobody sends it a signal: its child stands for it.
(trap '' HUP; sleep "$MARK" &)
i=0
while [ $i -lt 40 ]; do sleep 0.1; i=$((i + 1)); done
# Under aido it goes on until it is killed.
[ -z "${AIDO_SANDBOX:-}" ] || while :; do sleep 0.1; done
