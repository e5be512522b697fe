# promise: 11
# tries: without namespaces: a link to the home in the place of declared outputs, and of the folders that hold them
# refused: left-out
# record: omitted result
# options: --isolation landlock
# only: host this second mechanism has no image roots
# yaml: outputs: [results/, result.txt]
# proof: bare
# judge: outputs
. ./attack.sh
cd "$AIDO_OUTPUTS" || exit 3
rm -rf results result.txt
ln -s "$AIM_HOME" results
ln -s "$AIM_HOME/secret" result.txt
cd /
# The folders themselves, which a collector may look up by name.
for folder in "$AIDO_OUTPUTS" "${AIDO_OUTPUTS%/*}/workspace"; do
    mv "$folder" "$folder-moved" 2>/dev/null && ln -s "$AIM_HOME" "$folder"
done
