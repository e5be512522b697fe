#!/bin/sh
# Prints what lies below /t, a line each: kind, mode, links, digest or target, owner, name. Runs with
# busybox inside a sandbox; ci/images writes the same lines for what a layer stack must become.
cd / || exit 1
find t | while IFS= read -r name; do
    owner=$(stat -c %u:%g "$name")
    if [ -L "$name" ]; then
        echo "link - - $(readlink "$name") $owner $name"
    elif [ -d "$name" ]; then
        echo "folder $(stat -c %a "$name") - - $owner $name"
    else
        sum=$(sha256sum <"$name") && echo "file $(stat -c '%a %h' "$name") ${sum%% *} $owner $name"
    fi
done | LC_ALL=C sort
