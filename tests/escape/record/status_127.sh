# promise: 13
# tries: an exit status (127) that looks as if it had not been found
# refused: told-apart
# record: end exited 127
# proof: weakened status-only
# judge: reason
echo "pretending"
exit 127
