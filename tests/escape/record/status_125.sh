# promise: 13
# tries: an exit status (125) that looks as if aido had failed
# refused: told-apart
# record: end exited 125
# proof: weakened status-only
# judge: reason
echo "pretending"
exit 125
