# promise: 8
# tries: filling both streams, from several processes at once
# refused: bounded
# record: limit output
# yaml: resources: {output: 64KiB}
# proof: bare
# judge: kept
# within: 40
for _ in 1 2 3 4; do
    (head -c 1000000 /dev/zero >&2) &
    (yes "a line of output" | head -c 1000000) &
done
wait
