# promise: 11
# tries: a link to a host file, and a folder, in the place of declared outputs
# refused: left-out
# record: omitted result.txt
# yaml: outputs: [result.txt, results/]
# proof: bare
# judge: outputs
. ./attack.sh
cd "$AIDO_OUTPUTS" || exit 3
rm -rf result.txt results
ln -s "$AIM_HOME/secret" result.txt
ln -s "$AIM_HOME" results
