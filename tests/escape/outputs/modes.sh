# promise: 11
# tries: set-user-id and executable files, folders that are closed or writable for all
# refused: left-out
# record: collected suid
# record: collected program
# record: collected shut/inner
# proof: bare
# judge: outputs
#
# They come home, and their modes do not.
cd "$AIDO_OUTPUTS" || exit 3
echo '#!/bin/sh' >program
cp program suid
chmod 6755 suid
chmod 777 program
mkdir -m 1777 open
mkdir shut
echo inner >shut/inner
chmod 0 shut/inner shut
