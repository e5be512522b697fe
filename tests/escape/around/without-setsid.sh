#!/bin/sh
exec python3 -B "${0%/*}/refusing.py" setsid "$@"
