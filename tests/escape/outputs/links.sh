# promise: 11
# tries: links among the outputs that lead to host files, out of the folder, to each other
# refused: left-out
# record: omitted absolute
# record: omitted climbing
# record: omitted to-folder
# record: omitted loop
# record: collected plain
# proof: bare
# judge: outputs
. ./attack.sh
cd "$AIDO_OUTPUTS" || exit 3
ln -s "$AIM_HOME/secret" absolute
ln -s ../../../../../../etc/passwd climbing
ln -s "$AIM_HOME" to-folder
ln -s loop loop
ln -s / root
ln -s plain fine
echo plain >plain
chmod 644 plain
