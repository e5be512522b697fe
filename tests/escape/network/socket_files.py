# promise: 7
# tries: socket files of the host: in the caller's home, in the project, those of engines and system services
# refused: ENOENT EACCES ECONNREFUSED ENOTDIR
# record: control network
# record: control files
# proof: bare
import glob
import socket
from attack import aim, attempt, verdict

paths = [aim("SOCKET"), aim("DATAGRAMS"), "folder/socket", "/run/docker.sock", "/var/run/docker.sock", "/run/podman/podman.sock",
         "/run/containerd/containerd.sock", "/run/dbus/system_bus_socket", "/run/systemd/private",
         "/run/systemd/notify", "/run/user/0/bus", "/run/user/1000/bus", "/tmp/.X11-unix/X0", "/dev/log",
         "/run/systemd/journal/socket", "/var/run/nscd/socket"]
paths += glob.glob("/proc/1/root/run/*.sock") + glob.glob("/tmp/ssh-*/agent.*")
for path in paths:
    def reach(path=path):
        for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
            with socket.socket(socket.AF_UNIX, kind) as s:
                try:
                    s.connect(path)
                    return
                except OSError as error:
                    failed = error
        raise failed
    attempt(path, reach)
verdict()
