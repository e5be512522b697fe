# promise: 8
# tries: memory that belongs to no process: files in /tmp and /dev/shm, below the bound of the disk
# refused: out_of_memory ENOSPC SIGKILL killed
# record: control memory
# record: control disk
# needs: cgroups
# options: --memory 64MiB --disk 1GiB
# proof: bare
. ./attack.sh
for place in "$AIM_TMP" "$AIDO_OUTPUTS"; do
    if dd if=/dev/zero "of=$place/big" bs=1048576 count=128 2>/dev/null; then
        rm -f "$place/big"
        succeeded "128 MiB in $place"
    fi
    refused_as killed
done
verdict
