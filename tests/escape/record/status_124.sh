# promise: 13
# tries: an exit status (124) that looks as if the time limit had struck
# refused: told-apart
# record: end exited 124
# proof: weakened status-only
# judge: reason
echo "pretending"
exit 124
