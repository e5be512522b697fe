# What the attacks in shell share (dash and busybox). An attack tries things; the first that works ends it as
# `SUCCEEDED`, and when all were refused it says with which errors.
# shellcheck shell=sh
MARK=$1
AIM_HOME=${AIM_HOME#@} AIM_PROJECT=${AIM_PROJECT#@} AIM_SOCKET=${AIM_SOCKET#@}   # paths of the host
seen=''

succeeded() { echo "SUCCEEDED $*"; exit 0; }

refused_as() { case " $seen " in *" $1 "*) ;; *) seen="$seen $1" ;; esac; }

# attempt WHAT COMMAND...
attempt() {
    what=$1
    shift
    if said=$( ("$@") 2>&1 >/dev/null </dev/null); then succeeded "$what"; fi
    echo "$what: $said" >&2
    case $said in
        *"Read-only file system"*) refused_as EROFS ;;
        *"Permission denied"*) refused_as EACCES ;;
        *"Operation not permitted"*) refused_as EPERM ;;
        *"No such file"* | *"onexistent"* | *"no such file"* | *"t exist"*) refused_as ENOENT ;;
        *"Cross-device link"* | *"Invalid cross-device"*) refused_as EXDEV ;;
        *"No space left"*) refused_as ENOSPC ;;
        *"not found"*) refused_as no-such-program ;;
        *"No such process"*) refused_as ESRCH ;;
        *"refused"*) refused_as ECONNREFUSED ;;
        *"No such device"*) refused_as ENXIO ;;
        *) refused_as "unknown" ;;
    esac
}

# put TEXT FILE: what a redirection cannot be asked to do under `attempt`.
put() { echo "$1" >>"$2"; }

verdict() { echo "REFUSED$seen"; exit 1; }
