# Debian's kernel has no kernel.apparmor_restrict_unprivileged_userns. Its part is played by the profile of a launcher: what
# the launcher starts has that profile too, unless there is one of its own for it.
# shellcheck shell=bash disable=SC2034,SC2154 # words of ci/guest/scenario
undo() {
    [ ! -e /etc/apparmor.d/aido ] || apparmor_parser -R /etc/apparmor.d/aido
    rm -f /etc/apparmor.d/aido
    apparmor_parser -R "$room/profile" 2>/dev/null
}
cp /usr/bin/env /usr/local/bin/unprofiled
cat >"$room/profile" <<PROFILE
abi <abi/4.0>,
profile unprofiled /usr/local/bin/unprofiled {
  /** rwlkm,
  network, signal, ptrace, unix, mount, umount, pivot_root, dbus, mqueue, io_uring,
  /** pix,
  $rule
}
PROFILE
apparmor_parser -r "$room/profile"
launcher=/usr/local/bin/unprofiled
lost "${EVERYTHING[@]}"
says files AppArmor
refused '' AppArmor
[ "$($aido doctor --apparmor-profile | grep -c '^profile aido')" = 1 ] || fail "no profile is printed"
mend files
fine
