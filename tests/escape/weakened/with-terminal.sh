#!/bin/sh
# No sandbox, but a terminal: its session is led by what is run.
exec python3 -B "${0%/*/*}/around/with-terminal.py" "$@"
