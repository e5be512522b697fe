"""Runs a command as the leader of a session whose terminal is its standard input."""
import fcntl
import os
import sys

keeper, terminal = os.openpty()
pid = os.fork()
if pid == 0:
    os.setsid()
    fcntl.ioctl(terminal, 0x540E, 0)    # TIOCSCTTY
    os.dup2(terminal, 0)
    os.close(keeper)
    os.execvp(sys.argv[1], sys.argv[1:])
status = os.waitpid(pid, 0)[1]
sys.exit(os.waitstatus_to_exitcode(status) & 255)
