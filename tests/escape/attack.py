"""What the attacks in Python share. An attack tries things; the first that works ends it as `SUCCEEDED`, and when all
were refused it says with which errors."""
import ctypes
import errno
import os
import sys

libc = ctypes.CDLL(None, use_errno=True)
MARK = sys.argv[1]
OUT = os.environ["AIDO_OUTPUTS"]
_seen = []


def aim(name):
    """What the tests tell of the host: TCP, HOME and so on."""
    return os.environ["AIM_" + name].removeprefix("@")  # a path of the host


def succeeded(what):
    print("SUCCEEDED", what, flush=True)
    os._exit(0)


def refused_as(how):
    if how not in _seen:
        _seen.append(how)


def attempt(what, act):
    """`act` either works, or raises OSError and was refused."""
    try:
        act()
    except OSError as error:
        name = errno.errorcode.get(error.errno, str(error.errno))
        print(f"{what}: {name}", file=sys.stderr, flush=True)
        refused_as(name)
    else:
        succeeded(what)


def called(result):
    """The result of a libc call, or its error."""
    if result == -1:
        raise OSError(ctypes.get_errno(), "")
    return result


def syscall(number, *arguments):
    return called(libc.syscall(ctypes.c_long(number), *[ctypes.c_long(a) if isinstance(a, int) else a for a in arguments]))


def read_some(path):
    """One byte; a file that opens and is empty tells nothing."""
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        if not os.read(fd, 1):
            raise OSError(errno.ENODATA, "")
    finally:
        os.close(fd)


def verdict():
    print("REFUSED", *_seen, flush=True)
    sys.exit(1)
