# promise: 13
# tries: an exit status (126) that looks as if it could not be executed
# refused: told-apart
# record: end exited 126
# proof: weakened status-only
# judge: reason
echo "pretending"
exit 126
