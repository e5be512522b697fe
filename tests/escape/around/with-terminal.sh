#!/bin/sh
# aido with a terminal for standard input, which leads its session.
exec python3 -B "${0%.sh}.py" "$@"
