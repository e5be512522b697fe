# promise: 9
# tries: without namespaces: daemons that leave their session and outlive the task
# refused: gone
# record: end exited 0
# options: --isolation landlock
# only: host this second mechanism has no image roots
# proof: bare
# judge: survivor
# within: 15
MARK=$1
(setsid sh -c "trap '' TERM HUP INT; (sleep $MARK &) ; sleep $MARK" >/dev/null 2>&1 &)
(trap '' HUP TERM INT; sleep "$MARK" >/dev/null 2>&1 &)
sleep 0.2
