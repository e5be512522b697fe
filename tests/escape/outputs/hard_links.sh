# promise: 11
# tries: hard links among the outputs: each name is to be a file of its own
# refused: left-out
# record: collected one
# record: collected two
# proof: bare
# judge: outputs
cd "$AIDO_OUTPUTS" || exit 3
echo one >one
chmod 644 one
ln one two
ln one three
