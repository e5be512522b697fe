# promise: 13
# tries: an exit status (137) that looks as if the memory limit had struck
# refused: told-apart
# record: end exited 137
# proof: weakened status-only
# judge: reason
echo "pretending"
exit 137
