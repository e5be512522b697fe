"""What a task can see and do, as key=value lines. Run by the end-to-end tests inside a sandbox, and by
ci/reference under bubblewrap (where the same answers are expected) and bare (where others are).

Usage: probe.py TCP_PORT ABSTRACT_NAME HOST_FILE INPUT_FILE HOST_PID

Every answer is `ok`, an errno's name, or a plain value. Nothing here lasts: what succeeds is undone.
"""
import ctypes
import errno
import os
import resource
import socket
import sys

libc = ctypes.CDLL(None, use_errno=True)
TCP_PORT, ABSTRACT, HOST_FILE, INPUT_FILE, HOST_PID = sys.argv[1:6]


def say(key, value):
    print(f"{key}={value}", flush=True)


def tried(key, act):
    """Whether `act` works, by the kernel's word."""
    try:
        act()
        say(key, "ok")
    except OSError as error:
        say(key, errno.errorcode.get(error.errno, error.errno))


def called(result):
    if result == -1:
        raise OSError(ctypes.get_errno(), "")
    return result


def in_child(act):
    """Runs `act` in a process of its own, since it may change that process for good."""
    def run():
        reader, writer = os.pipe()
        if (pid := os.fork()) == 0:
            code = 0
            try:
                act()
            except OSError as error:
                code = error.errno
            os.write(writer, code.to_bytes(4, "little"))
            os._exit(0)
        os.close(writer)
        code = int.from_bytes(os.read(reader, 4), "little")
        os.close(reader)
        status = os.waitpid(pid, 0)[1]
        if os.WIFSIGNALED(status):
            code = errno.EPERM  # the filter ended it
        if code:
            raise OSError(code, "")
    return run


def open_close(path, flags):
    def run():
        os.close(os.open(path, flags))
    return run


def read_some(path):
    def run():
        fd = os.open(path, os.O_RDONLY)
        try:
            os.read(fd, 1)
        finally:
            os.close(fd)
    return run


def content(key, path):
    """`empty` for what is masked: it opens, and says nothing."""
    try:
        with open(path, "rb") as file:
            say(key, "ok" if file.read(1) else "empty")
    except OSError as error:
        say(key, errno.errorcode.get(error.errno, error.errno))


def create_in(folder):
    def run():
        path = os.path.join(folder, "aido-probe")
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        os.unlink(path)
    return run


def connect(family, address):
    def run():
        with socket.socket(family, socket.SOCK_STREAM) as s:
            s.settimeout(3)
            s.connect(address)
    return run


def make_socket(family, kind, protocol=0):
    def run():
        socket.socket(family, kind, protocol).close()
    return run


def status_lines():
    wanted = {"CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs", "Seccomp"}
    with open("/proc/self/status") as file:
        for line in file:
            key, _, value = line.partition(":")
            if key in wanted:
                say(key, value.strip())


def mount_flags(path):
    """Options of the mount that holds `path`."""
    device = os.stat(path).st_dev
    with open("/proc/self/mountinfo") as file:
        found = [l.split() for l in file]
    of = [f for f in found if f[2] == f"{os.major(device)}:{os.minor(device)}"]
    best = max((f for f in of if path == f[4] or path.startswith(f[4].rstrip("/") + "/")), key=lambda f: len(f[4]))
    return ",".join(o for o in ("nosuid", "nodev") if o in best[5].split(",")) or "none"


def files():
    tried("host_file", read_some(HOST_FILE))
    tried("ssh_folder", lambda: os.listdir(os.path.join(os.path.dirname(HOST_FILE), ".ssh")))
    tried("input_read", read_some(INPUT_FILE))
    tried("input_write", open_close(INPUT_FILE, os.O_WRONLY))
    tried("input_chmod", lambda: os.chmod(INPUT_FILE, 0o777))
    tried("input_rename", lambda: (os.rename(INPUT_FILE, INPUT_FILE + "-"), os.rename(INPUT_FILE + "-", INPUT_FILE)))
    for folder in ("/", "/usr", "/etc", "/tmp"):
        tried("create_in_" + (folder.strip("/") or "root"), create_in(folder))
    say("flags_tmp", mount_flags("/tmp"))
    tried("shadow", read_some("/etc/shadow"))


def processes():
    say("pids_seen", "few" if len([p for p in os.listdir("/proc") if p.isdigit()]) < 8 else "many")
    tried("host_process", lambda: os.kill(int(HOST_PID), 0))
    if os.path.exists("/proc/" + HOST_PID):
        return  # the host's own first process is left in peace
    for name in ("environ", "maps"):
        tried("init_" + name, read_some("/proc/1/" + name))
    tried("init_mem", open_close("/proc/1/mem", os.O_RDONLY))
    for name in ("exe", "cwd", "root"):
        tried("init_" + name, lambda name=name: os.readlink("/proc/1/" + name))
    # The numbers may be seen by root; what they lead to may not.
    tried("init_fd", lambda: [os.readlink("/proc/1/fd/" + n) for n in os.listdir("/proc/1/fd")])
    # PTRACE_SEIZE does not stop it; the tracer's end lets go of it.
    tried("init_trace", in_child(lambda: called(libc.ptrace(0x4206, 1, 0, 0))))


def kernel():
    for path in ("/proc/sys/kernel/hostname", "/proc/sys/kernel/core_pattern", "/proc/sys/net/ipv4/ip_forward"):
        tried("write_" + os.path.basename(path), open_close(path, os.O_WRONLY))
    tried("read_kmsg", open_close("/dev/kmsg", os.O_RDONLY))
    for path in ("/proc/keys", "/proc/timer_list"):
        content("read_" + os.path.basename(path), path)
    tried("newuser", in_child(lambda: called(libc.unshare(0x10000000))))
    tried("newns", in_child(lambda: called(libc.unshare(0x00020000))))
    tried("chroot", in_child(lambda: os.chroot("/tmp")))
    tried("setgroups", in_child(lambda: os.setgroups([])))
    tried("set_hostname", in_child(lambda: called(libc.sethostname(socket.gethostname().encode(), len(socket.gethostname())))))
    tried("remount", in_child(remount))
    tried("nice", in_child(lambda: os.setpriority(os.PRIO_PROCESS, 0, -5)))
    tried("mknod", in_child(make_device))


def remount():
    called(libc.unshare(0x00020000))
    called(libc.mount(b"none", b"/tmp", b"tmpfs", 0, None))


def make_device():
    path = "/tmp/aido-probe-node"
    os.mknod(path, 0o600 | 0o20000, os.makedev(1, 3))
    os.unlink(path)


def network():
    with open("/proc/net/dev") as file:
        say("interfaces", ",".join(sorted(l.split(":")[0].strip() for l in file if ":" in l)))
    with open("/proc/net/route") as file:
        say("routes", len(file.readlines()) - 1)
    tried("tcp_host", connect(socket.AF_INET, ("127.0.0.1", int(TCP_PORT))))
    tried("abstract_host", connect(socket.AF_UNIX, "\0" + ABSTRACT))
    tried("raw_socket", make_socket(socket.AF_INET, socket.SOCK_RAW, 1))
    tried("packet_socket", make_socket(17, socket.SOCK_RAW))
    tried("vsock", make_socket(40, socket.SOCK_STREAM))
    tried("own_loopback", own_loopback)


def own_loopback():
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname(), 3):
        pass


def given():
    say("uid_gid", f"{os.getuid()}:{os.getgid()}")
    say("environment", ",".join(sorted(os.environ)))
    with os.scandir("/proc/self/fd") as listing:
        seen = sorted(int(e.name) for e in listing)
    # One of them is the listing itself.
    say("descriptors", len([fd for fd in seen if fd > 2]) - 1)
    tried("terminal", open_close("/dev/tty", os.O_RDWR))
    say("core", resource.getrlimit(resource.RLIMIT_CORE)[0])
    say("workdir", os.getcwd())
    say("hostname", socket.gethostname())


for part in (given, status_lines, files, processes, kernel, network):
    part()
say("done", "ok")
