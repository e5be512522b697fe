# promise: 9
# tries: daemons that leave their session and outlive the task
# refused: gone
# record: end exited 0
# record: control deadline
# proof: bare
# judge: survivor
# within: 40
MARK=$1
(setsid sh -c "setsid sleep $MARK & sleep $MARK" >/dev/null 2>&1 &)
(trap '' HUP TERM INT; sleep "$MARK" >/dev/null 2>&1 &)
sleep 0.2
