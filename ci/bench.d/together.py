"""The sections that share a place: made by root, measured as an ordinary user."""
import contextlib
import hashlib
import json
import os
import pathlib
import shutil
import subprocess
import sys
import traceback

from measure import tell_goals
from memory import Looker, memory
from place import HERE, Failed, Place, die, program, say
from scale import scale
from sections import SECTIONS

ALL = {**SECTIONS, "memory": memory, "scale": scale}


def groups(place):
    """Control groups that belong to the user, as a host with delegation gives them; this process's children begin there."""
    made = []
    for controller in ("memory", "pids", "cpu", "cpuacct"):
        parent = pathlib.Path("/sys/fs/cgroup") / controller
        if (parent / "tasks").exists():
            made.append(parent / f"aido-bench-{os.getpid()}")
    if pathlib.Path("/sys/fs/cgroup/cgroup.controllers").exists():
        made.append(pathlib.Path("/sys/fs/cgroup") / f"aido-bench-{os.getpid()}")
    for group in made:
        group.mkdir()
        for path in (group, *(group / name for name in ("cgroup.procs", "tasks", "cgroup.subtree_control"))):
            if path.exists():
                os.chown(path, place.user.pw_uid, place.user.pw_gid)
    return made


def join(made, place):
    for group in made:
        if (group / "tasks").exists():
            (group / "cgroup.procs").write_text(str(os.getpid()))
            continue
        # The processes of a group that hands controllers on live below it.
        own = group / "bench"
        own.mkdir()
        os.chown(own, place.user.pw_uid, place.user.pw_gid)
        os.chown(own / "cgroup.procs", place.user.pw_uid, place.user.pw_gid)
        (own / "cgroup.procs").write_text(str(os.getpid()))


def engine(place, sections):
    """Docker, for the sections that compare with it; its endpoint, or None."""
    if os.getuid() != 0 or not shutil.which("dockerd") or not set(sections) & {"start", "memory", "output"}:
        return None
    started = subprocess.run([HERE / "engine", "start", place.dir / "engine", "docker"], stdout=subprocess.PIPE, text=True)
    if started.returncode:
        return None
    place.dir.joinpath("engine").chmod(0o755)
    place.dir.joinpath("engine/engine.sock").chmod(0o666)
    return started.stdout.strip()


def become(user):
    os.initgroups(user.pw_name, user.pw_gid)
    os.setresgid(user.pw_gid, user.pw_gid, user.pw_gid)
    os.setresuid(user.pw_uid, user.pw_uid, user.pw_uid)


def measured(typed, sections, world):
    """All of the sections; what is not measured is said, and why."""
    result = {"absent": [], "sections": {}, "goals": []}
    for name in sections:
        typed_runs = typed.runs
        typed.runs = typed_runs or (60 if name == "start" else 20)
        try:
            rows, goals = ALL[name](world, typed, result["absent"])
            result["sections"][name] = rows
            result["goals"] += goals
        except Failed as why:
            result["absent"].append(f"{name}: {why}")
            say(f"{name}: {why}")
        typed.runs = typed_runs
    tell_goals(result["goals"])
    for name in result["absent"]:
        print(f"  not measured: {name}")
    print(f"  load {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors, Linux {os.uname().release}")
    return result


def apart(place, made, work):
    """What `work` returns, worked out by a process that is the user; None if it failed."""
    reads, writes = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        with contextlib.suppress(BaseException):
            try:
                os.close(reads)
                join(made, place)
                if place.user:
                    become(place.user)
                os.chdir("/")
                answer = json.dumps(work()).encode()
                with os.fdopen(writes, "wb") as out:
                    out.write(answer)
                status = 0
            except BaseException:
                traceback.print_exc()
            sys.stdout.flush()
        os._exit(status)
    os.close(writes)
    with os.fdopen(reads, "rb") as answers:
        text = answers.read()
    os.waitpid(child, 0)
    return json.loads(text) if text else None


def run(typed, sections):
    from contenders import World
    binary = program(typed.aido)
    place = Place(typed.dir)
    place.engine, place.looker, made = None, None, []
    try:
        place.ordinary()
        if not place.user:
            place.folder("home", 0o700)
        world = World(place, binary)
        if place.user:
            made = groups(place)
        place.engine = engine(place, sections)
        place.looker = Looker()
        result = apart(place, made, lambda: measured(typed, sections, world))
        if result is None:
            die("it was not finished")
        if typed.out:
            head = {"version": 1, "aido": hashlib.sha256(binary.read_bytes()).hexdigest(), "processors": os.cpu_count(), "kernel": os.uname().release}
            pathlib.Path(typed.out).write_text(json.dumps({**head, **result}, indent=1) + "\n")
        missed = [goal for goal in result["goals"] if goal["seen"] is None or goal["missed_by"]]
        return 1 if typed.check and missed else 0
    except Failed as failure:
        die(str(failure))
    finally:
        if place.looker:
            place.looker.end()
        if (place.dir / "engine").exists():
            subprocess.run([HERE / "engine", "stop", place.dir / "engine"])
        place.end()
        for group in made:
            for path in sorted(group.rglob("*"), reverse=True):
                if path.is_dir():
                    with contextlib.suppress(OSError):
                        path.rmdir()
            with contextlib.suppress(OSError):
                group.rmdir()
            if group.exists():
                say(f"{group} could not be removed")
