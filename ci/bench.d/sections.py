"""Sections of ci/bench about one run: what its start, its throughput, its memory, its output, its work cost beside others."""
import contextlib
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import time

from contenders import PROBE, Aido, AidoHost, AidoWarm, Bare, Bwrap, BwrapHost, Crun, Docker, Podman, Runc, peers
from measure import at_once, goal, having, in_turns, percentile, ratio, spawn, table, timed
from place import Failed, say


def starts(racers, task, rounds, out=None):
    def once(racer):
        command, cwd = racer.command(task)
        return timed(command, cwd, racer.env) if out is None else timed(command, cwd, racer.env, out)

    return in_turns(racers, rounds, once)


def start(world, typed, absent):
    """Milliseconds of `true`, cold to exit: in an image, on the host's root, in a sandbox that is up; and of Python."""
    true = [PROBE, "true"]
    warm = AidoWarm(world, name="aido-warm")
    try:
        racers = [Bare(world), Bwrap(world), Aido(world), warm, *peers(world, (Crun, Runc, Podman, Docker), absent)]
        for racer in racers[:4]:
            starts([racer], true, 3)
        image = starts(racers, true, typed.runs)
        hosts = [BwrapHost(world), AidoHost(world)]
        starts(hosts, ["true"], 3)
        host = starts(hosts, ["true"], typed.runs)
        python = starts(hosts, ["/usr/bin/python3", "-c", "pass"], max(5, typed.runs // 4)) if pathlib.Path("/usr/bin/python3").exists() else None
    finally:
        warm.end()
    rows = {"image": table("start: true in an image", image, "ms", "bwrap", 1000),
            "host": table("start: true on the host's root", host, "ms", "bwrap-host", 1000)}
    if python:
        rows["python"] = table("start: python3 -c pass on the host's root", python, "ms", "bwrap-host", 1000)
    dirty = after_dirt(world, [Bwrap(world), Aido(world)], max(3, typed.runs // 20))
    rows["dirty"] = dirty
    mine = rows["image"]["aido"]
    goals = [goal("start of aido, of bwrap's", ratio(image, "aido", "bwrap"), 1.0),
             goal("start on the host's root, of bwrap's", ratio(host, "aido-host", "bwrap-host"), 0.9),
             goal("99th of 100 starts, of the median", mine["p99"] / mine["median"], 2.0),
             goal("start in a sandbox that is up, of bwrap's", ratio(image, "aido-warm", "bwrap"), 0.5),
             goal("start after 600 MB of dirty pages, of an idle start", dirty["aido"]["ratio"], 2.0)]
    return rows, goals


def after_dirt(world, racers, rounds):
    """A start right after another process wrote 600 MB on the same disk, against the same before."""
    rows = {}
    seen = {racer.name: ([], []) for racer in racers}
    victim = world.place.dir / "home/dirt"
    for _ in range(rounds):
        for racer in racers:
            command, cwd = racer.command([PROBE, "true"])
            os.sync()
            seen[racer.name][0].append(timed(command, cwd, racer.env))
            subprocess.run(["dd", "if=/dev/zero", f"of={victim}", "bs=1M", "count=600", "status=none"], check=True)
            seen[racer.name][1].append(timed(command, cwd, racer.env))
            victim.unlink()
    for name, (idle, dirty) in seen.items():
        of = statistics.median(b / a for a, b in zip(idle, dirty))
        rows[name] = {"idle": statistics.median(idle) * 1000, "median": statistics.median(dirty) * 1000, "ratio": of}
        print(f"  after 600 MB of dirty pages: {name} {rows[name]['median']:.1f} ms, idle {rows[name]['idle']:.1f} ms, {of:.2f} times")
    return rows


def throughput(world, typed, absent):
    """Runs in a second: one after another, two at a time; and 100 sandboxes at once."""
    racers = [Bwrap(world), Aido(world), *peers(world, (Crun, Runc), absent)]
    many, rows, goals = 200, {}, []
    starts(racers, [PROBE, "true"], 3)
    for workers in (1, 2):
        def once(racer):
            return many / at_once([(*racer.command([PROBE, "true"]), racer.env) for _ in range(many)], workers)

        # crun's bundle is made by each call of command(): the clock starts after that.
        rounds = max(2, typed.runs // 20)
        try:
            seen = in_turns(racers, rounds, once)
        except Failed as why:
            # Two runc at a time trip over each other's copy of themselves on some hosts.
            absent.append(f"rate of {', '.join(racer.name for racer in racers[2:])}: {why}")
            racers = racers[:2]
            seen = in_turns(racers, rounds, once)
        rows[f"{workers} at a time"] = table(f"throughput: {many} runs, {workers} at a time", seen, "runs a second", "bwrap")
        goals.append(goal(f"rate of runs, {workers} at a time, of bwrap's", ratio(seen, "aido", "bwrap"), 1.0, least=True))
    aido = Aido(world)
    try:
        took = at_once([(*aido.command([PROBE, "sleep", "1"]), aido.env) for _ in range(100)], 100)
        clean = not left(world)
        print(f"  100 sandboxes at once: {took:.1f} s, {'all ended cleanly' if clean else 'SOMETHING IS LEFT'}")
    except Failed as why:
        took, clean = None, False
        print(f"  100 sandboxes at once: {why}")
    rows["100 at once"] = {"seconds": took, "clean": clean}
    goals.append(goal("of 100 sandboxes at once, not clean", 0.0 if clean else 1.0, 0.5))
    return rows, goals


def left(world):
    """Processes of the program's that outlived their run."""
    time.sleep(0.5)
    found = []
    for one in pathlib.Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if os.readlink(one / "exe") == str(world.aido):
                found.append(one.name)
    return found


def output(world, typed, absent):
    """Megabytes a second of 200 MB of lines that are kept; aido keeps a secret out of them meanwhile."""
    size = 200_000_000
    task = [PROBE, "lines", str(size)]
    folder = world.place.dir / "home/logs"
    folder.mkdir(exist_ok=True)
    aido = Aido(world, options=["-e", "BENCH_TOKEN", "-f", "big.yaml"])
    aido.env["BENCH_TOKEN"] = "s3cr3t-0123456789abcdef"
    (aido.project / "big.yaml").write_text("resources: {output: 1GiB}\ninputs: []\n")
    piped = Bwrap(world)
    piped.name = "bwrap | cat"
    racers = [Bwrap(world), piped, aido, *peers(world, (Podman, Docker), absent)]
    straight = piped.command
    piped.command = lambda task: (["sh", "-c", '"$@" | cat', "sh", *straight(task)[0]], None)

    def once(racer):
        command, cwd = racer.command(task)
        to_file = racer in (racers[0], piped)
        log = os.open(folder / "log" if to_file else os.devnull, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600)
        try:
            return size / 1e6 / timed(command, cwd, racer.env, log)
        finally:
            os.close(log)
            # What it wrote is not to be on the next one's disk.
            shutil.rmtree(aido.project / ".aido", ignore_errors=True) if racer is aido else None

    once(aido)
    seen = in_turns(racers, max(3, typed.runs // 10), once, dear_rounds=2)
    rows = {"output": table("output: 200 MB of lines, kept", seen, "MB a second", "bwrap")}
    goals = [goal("output, of bwrap > file", ratio(seen, "aido", "bwrap"), 0.9, least=True)]
    for name, bound in (("podman", 3.0), ("docker", 10.0)):
        if name in seen:
            goals.append(goal(f"output, of {name}'s log", ratio(seen, "aido", name), bound, least=True))
    return rows, goals


def told(command, cwd, env):
    done = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if done.returncode:
        raise Failed(f"{' '.join(map(str, command))}: {done.stderr.strip()[-300:]}")
    return float(done.stdout)


def build(world, typed, absent):
    """Seconds of 2,000 short processes and 20,000 small files, in memory, as the task itself sees them."""
    shm = pathlib.Path("/dev/shm") / f"aido-bench-{os.getpid()}"
    off = Aido(world, name="aido refusals", options=["--record", "refusals"], project="project-build-off")
    racers = [Bare(world), Bwrap(world), Aido(world, project="project-build"), off]

    def once(racer):
        folder = "/tmp"
        if racer.name == "bare":
            shutil.rmtree(shm, ignore_errors=True)
            shm.mkdir()
            folder = str(shm)
        command, cwd = racer.command([PROBE, "build", folder, "2000", "20000"])
        return told(command, cwd, racer.env)

    try:
        seen = in_turns(racers, max(5, typed.runs // 5), once)
    finally:
        shutil.rmtree(shm, ignore_errors=True)
    rows = {"build": table("build: 2,000 processes and 20,000 files", seen, "seconds", "bare")}
    return rows, [goal("a build inside, of bare", ratio(seen, "aido", "bare"), 1.05),
                  goal("a build with its record, of without", ratio(seen, "aido", "aido refusals"), 1.03)]


def syscalls(world, typed, absent):
    """Nanoseconds of getppid, and what loading the filter takes of a start."""
    racers = [Bare(world), Bwrap(world), Aido(world), *peers(world, (Crun, Runc), absent)]

    def once(racer):
        command, cwd = racer.command([PROBE, "getppid", "2000000"])
        return told(command, cwd, racer.env)

    seen = in_turns(racers, max(5, typed.runs // 5), once)
    other = next((name for name in ("crun", "runc") if name in seen), None)
    rows = {"getppid": table("syscalls: getppid", seen, "ns", other or "bare")}
    goals = [goal(f"getppid, of {other or 'crun'}'s with Podman's default profile", ratio(seen, "aido", other) if other else None, 1.05)]
    loading = filter_ms(world)
    if loading is not None:
        print(f"  seccomp(2) of one start, seen by strace: {loading:.3f} ms")
    rows["filter"] = {"ms": loading}
    goals.append(goal("milliseconds to load the filters", loading, 1.0))
    return rows, goals


def filter_ms(world):
    """The sum of the times in seccomp(2) of a run, the middle of five."""
    if not shutil.which("strace"):
        return None
    # On the host's root: a traced newuidmap is not privileged, so that there are no ids for an image.
    aido, sums = AidoHost(world), []
    log = world.place.dir / "home/trace"
    for _ in range(5):
        command, cwd = aido.command(["true"])
        traced = ["strace", "-f", "-qq", "-T", "-e", "trace=seccomp", "-o", log, *command]
        done = subprocess.run(traced, cwd=cwd, env=aido.env, capture_output=True, text=True)
        # A call that another process came in between of has its time on the line that goes on with it.
        times = [line.rsplit("<", 1)[1].rstrip(">\n") for line in open(log) if "seccomp" in line and line.rstrip().endswith(">") and "unfinished" not in line]
        if done.returncode or not times:
            say(f"the filters of a start could not be timed: status {done.returncode}: {done.stderr.strip()[-300:]}")
            return None
        sums.append(sum(map(float, times)) * 1000)
    return statistics.median(sums)


def cli(world, typed, absent):
    """Milliseconds of commands that only look, in a project with many runs."""
    aido = Aido(world, project="project-past")
    past(world, aido, typed.past)
    bare = Bare(world)
    looks = {"--version": ["--version"], "logs": ["logs"], "runs": ["runs"], "run": None}

    class Look(Bare):
        def __init__(self, name, given):
            super().__init__(world)
            self.name, self.given = name, given

        def command(self, task):
            return ([str(world.aido), *self.given], aido.project) if self.given else aido.command(task)

    racers = [bare, *(Look(name, given) for name, given in looks.items())]
    seen = starts(racers, [PROBE, "true"], max(5, typed.runs // 4))
    rows = {"cli": table(f"cli: with {typed.past} runs in the project", seen, "ms", "bare", 1000)}
    return rows, [goal("aido --version, of bare", ratio(seen, "--version", "bare"), 5.0),
                  goal(f"ms of aido logs with {typed.past} runs", rows["cli"]["logs"]["median"], 20),
                  goal(f"ms of aido runs with {typed.past} runs", rows["cli"]["runs"]["median"], 20)]


def past(world, aido, count):
    """Brings the project of `aido` to so many runs."""
    command, cwd = aido.command([PROBE, "true"])
    there = len(list((cwd / ".aido/sandboxes").glob("s????????????"))) if (cwd / ".aido").exists() else 0
    while there < count:
        step = min(500, count - there)
        at_once([(command, cwd, aido.env)] * step, 2)
        there += step
        say(f"{there} of {count} runs")


def size(world, typed, absent):
    """Of the program itself."""
    found = world.aido.stat().st_size / (1 << 20)
    print(f"\nsize: {found:.2f} MiB")
    return {"size": {"MiB": found}}, [goal("MiB of the static program", found, 8.0)]


SECTIONS = {"start": start, "throughput": throughput, "output": output, "build": build, "syscalls": syscalls, "cli": cli, "size": size}
