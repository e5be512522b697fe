"""Where a benchmark happens: folders, processes, a user; what every section needs."""
import contextlib
import os
import pathlib
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent.parent
USER = "aido-bench"


def say(text):
    print("ci/bench: " + text, file=sys.stderr, flush=True)


def die(text):
    sys.exit("ci/bench: " + text)


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def wait_for(ready, process, what):
    for _ in range(300):
        if process.poll() is not None:
            die(f"{what} ended at once")
        if ready():
            return
        time.sleep(0.1)
    die(f"{what} does not answer")


def listens(port):
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


class Place:
    """All that a benchmark makes: folders, processes, a user; gone at its end."""

    def __init__(self, folder):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="aido-bench-", dir=folder))
        self.dir.chmod(0o755)
        self.processes = []
        self.made_user = False
        self.user = None

    def spawn(self, command, log, **more):
        out = open(self.dir / log, "wb")
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, **more)
        self.processes.append(process)
        return process

    def stop(self, process):
        self.processes.remove(process)
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def ordinary(self):
        """Whom aido runs as: who started this, or as root a user made for it."""
        if os.getuid() != 0:
            return
        try:
            pwd.getpwnam(USER)
            die(f"there is a user {USER} already: remove it with userdel {USER}")
        except KeyError:
            pass
        home = self.dir / "home"
        subprocess.run(["useradd", "--no-create-home", "--home-dir", home, "--shell", "/bin/sh",
                        "--key", "SUB_UID_COUNT=65536", USER], check=True)
        self.made_user = True
        self.user = pwd.getpwnam(USER)
        self.folder("home", 0o700)

    def folder(self, name, mode=0o755):
        path = self.dir / name
        path.mkdir(mode=mode)
        if self.user:
            os.chown(path, self.user.pw_uid, self.user.pw_gid)
        return path

    def environment(self, **more):
        home = self.user.pw_dir if self.user else os.environ["HOME"]
        return {"PATH": os.environ["PATH"], "HOME": home, "LANG": "C.UTF-8", **{k: str(v) for k, v in more.items()}}

    def as_user(self, command):
        if not self.user:
            return command
        ids = [f"--reuid={self.user.pw_uid}", f"--regid={self.user.pw_gid}", "--clear-groups"]
        return ["setpriv", *ids, "--inh-caps=-all", *command]

    def end(self):
        for process in list(reversed(self.processes)):
            self.stop(process)
        # Podman leaves a process that holds its namespace.
        for status in pathlib.Path("/proc").glob("[0-9]*") if self.made_user else ():
            with contextlib.suppress(OSError):
                if status.stat().st_uid == self.user.pw_uid:
                    os.kill(int(status.name), signal.SIGKILL)
        # Files of subordinate ids can be deleted by root, or from within their namespace.
        remove = ["rm", "-rf", "--one-file-system", str(self.dir)]
        if subprocess.run(remove, stderr=subprocess.DEVNULL).returncode:
            subprocess.run(["unshare", "--user", "--map-root-user", "--map-auto", *remove])
        if self.dir.exists():
            say(f"{self.dir} could not be removed")
        if self.made_user and subprocess.run(["userdel", USER]).returncode:
            say(f"user {USER} could not be removed")


class Failed(Exception):
    """A command that a contender needs failed."""


def run(command, **more):
    """Wall and processor seconds of a command and all that it waited for."""
    before, start = os.times(), time.monotonic()
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **more)
    wall, after = time.monotonic() - start, os.times()
    if done.returncode:
        raise Failed(f"{' '.join(map(str, command))}: {done.stderr.decode(errors='replace').strip()}")
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return wall, cpu, done


def family(pid):
    yield pid
    with contextlib.suppress(OSError):
        for task in os.listdir(f"/proc/{pid}/task"):
            for child in pathlib.Path(f"/proc/{pid}/task/{task}/children").read_text().split():
                yield from family(int(child))


def program(typed):
    if typed:
        return pathlib.Path(typed).resolve()
    # What is released, layout and all.
    built = subprocess.run([HERE / "static"], stdout=subprocess.PIPE, text=True, check=True).stdout
    return pathlib.Path(built.splitlines()[-1])
