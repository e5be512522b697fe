#!/bin/sh
# All that a shell knows of a command's end is one number.
"$@"
exit $?
