"""Section `memory`: what a tool's own processes hold beside a task that sleeps."""
import contextlib
import json
import os
import pathlib
import signal
import socket
import statistics
import subprocess
import time

from contenders import PROBE, Aido, Bwrap, Crun, Docker, Podman, Runc, peers
from measure import goal
from place import Failed

WORDS = (b"aido", b"bwrap", b"crun", b"podman", b"conmon", b"docker", b"containerd", b"catatonit", b"runc", b"/proc/self/exe")


class Looker:
    """A process that keeps the rights that the others give up: it may look at any process, and end the tasks of this section."""

    def __init__(self):
        self.ours, theirs = socket.socketpair()
        self.pid = os.fork()
        if self.pid == 0:
            self.ours.close()
            for line in theirs.makefile():
                what, pid = line.split()
                answer = held(int(pid)) if what == "look" else ended(int(pid))
                theirs.sendall(json.dumps(answer).encode() + b"\n")
            os._exit(0)
        theirs.close()
        self.answers = self.ours.makefile()

    def ask(self, what, pid):
        self.ours.sendall(f"{what} {pid}\n".encode())
        return json.loads(self.answers.readline())

    def end(self):
        self.answers.close()
        self.ours.close()
        os.waitpid(self.pid, 0)


def held(pid):
    """PSS in KiB, and the command line's first two words."""
    with contextlib.suppress(OSError):
        line = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        for row in pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if row.startswith("Pss:"):
                return int(row.split()[1]), [word.decode(errors="replace") for word in line[:2]]
    return 0, []


def ended(pid):
    if held(pid)[1] == [PROBE, "sleep"]:
        with contextlib.suppress(OSError):
            os.kill(pid, signal.SIGKILL)
    return True


def processes():
    return {int(one.name) for one in pathlib.Path("/proc").glob("[0-9]*")}


def once(racer, looker):
    """PSS in MiB of all that came with a task, without the task; and each process's."""
    before = processes()
    command, cwd = racer.command([PROBE, "sleep", "60"])
    quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    child = subprocess.Popen(list(map(str, command)), cwd=cwd, env=racer.env, **quiet)
    task = None
    try:
        for _ in range(200):
            time.sleep(0.1)
            task = next((pid for pid in processes() - before if looker.ask("look", pid)[1] == [PROBE, "sleep"]), None)
            if task:
                break
        else:
            raise Failed("no task was seen")
        time.sleep(1.0)
        mine = {}
        for pid in processes() - before - {task}:
            pss, line = looker.ask("look", pid)
            # What else began on this machine meanwhile does not count.
            if line and any(word.decode() in line[0] for word in WORDS):
                mine[f"{pid} {os.path.basename(line[0])}"] = pss / 1024
        return sum(mine.values()), mine
    finally:
        for pid in processes() - before:
            looker.ask("end", pid)
        try:
            child.wait(30)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def memory(world, typed, absent):
    rows, looker = {}, world.place.looker
    print("\nmemory: PSS of a tool's own processes beside a sleeping task, MiB")
    for racer in [Bwrap(world), Aido(world), *peers(world, (Crun, Runc, Podman, Docker), absent)]:
        try:
            found = [once(racer, looker) for _ in range(3)]
        except Failed as why:
            absent.append(f"memory of {racer.name}: {why}")
            continue
        middle = statistics.median(total for total, _ in found)
        rows[racer.name] = {"MiB": middle, "processes": found[-1][1]}
        print(f"  {racer.name:14} {middle:7.2f}   " + ", ".join(f"{name.split()[1]} {pss:.2f}" for name, pss in found[-1][1].items()))
    return {"memory": rows}, [goal("MiB beside a sleeping task", rows.get("aido", {}).get("MiB"), 1.5)]
