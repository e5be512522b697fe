"""Section `recording`: what it costs that each program and each refused change is on record."""
import contextlib
import ctypes
import json
import os
import pathlib
import shutil
import statistics
import subprocess

from place import Failed, Place, die, program, say

LEVELS = ("refusals", "standard", "full")
RECORD_GOAL, SOURCES = 1.03, 60
# Written for each file: a few declarations of the system's, so that the compiler has something to do.
SOURCE = "#include <stdio.h>\n#include <stdlib.h>\n#include <string.h>\nint part%d(int n) { char b[64]; snprintf(b, sizeof b, \"%%d\", n); return atoi(b) + (int)strlen(b); }\n"
BUILD = """mkdir -p /tmp/b; cd /tmp/b || exit 1
python3 -c 'import time; print(time.monotonic())' >&3
for f in /workspace/*.c; do n=${f##*/}; cc -O1 -c -o "${n%.c}.o" "$f" || exit 1; test -s "${n%.c}.o" || exit 1; done
ar rc all.a ./*.o || exit 1
python3 -c 'import time; print(time.monotonic())' >&3
"""


def reap():
    """Takes what the run left to wait for: processes of it whose parent did not. Their time counts then."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def build_once(aido, project, level):
    """Seconds that the build took inside, and those of processors of the whole run."""
    before = os.times()
    command = [aido, "run", "--quiet", "--record", level, "--output", "times", "--", "sh", "-c", "exec 3> times; . ./build.sh"]
    done = subprocess.run(command, cwd=project, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    reap()
    after = os.times()
    if done.returncode:
        raise Failed(f"the build: {done.stderr.decode(errors='replace').strip()}")
    begun, over = map(float, (project / ".aido/sandboxes/latest/outputs/times").read_text().split())
    summary = json.loads((project / ".aido/sandboxes/latest/runs/latest/summary.json").read_text())
    programs = sum(one["count"] for one in summary["outcome"].get("executed", []))
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return {"wall": over - begun, "cpu": cpu, "programs": programs}


def recording(typed):
    shutil.which("cc") or die("cc is missing")
    # What a command line does not wait for becomes ours: PR_SET_CHILD_SUBREAPER.
    ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)
    binary = program(typed.aido)
    place = Place(typed.dir)
    try:
        project = place.folder("project")
        for number in range(SOURCES):
            (project / f"part{number}.c").write_text(SOURCE % number)
        (project / "build.sh").write_text(BUILD)
        (project / "sandbox.yaml").write_text("inputs: ['*.c', build.sh]\n")
        build_once(binary, project, "full")
        rounds_ = []
        for number in range(typed.runs):
            order = [LEVELS[(at + number) % len(LEVELS)] for at in range(len(LEVELS))]
            seen = {level: build_once(binary, project, level) for level in order}
            say(f"{number + 1}/{typed.runs}: " + ", ".join(f"{level} {seen[level]['wall']:.2f} s, {seen[level]['cpu']:.2f} s of processors" for level in LEVELS))
            rounds_.append(seen)
        judged = []
        for level in LEVELS[1:]:
            for what in ("wall", "cpu"):
                ratio = statistics.median(one[level][what] / one["refusals"][what] for one in rounds_)
                middle = statistics.median(one[level][what] for one in rounds_)
                judged.append((level, what, middle, ratio))
        for what in ("wall", "cpu"):
            print(f"  refusals {what:5} {statistics.median(one['refusals'][what] for one in rounds_):7.2f} s")
        for level, what, middle, ratio in judged:
            print(f"  {level:8} {what:5} {middle:7.2f} s, {ratio:.3f} of refusals")
        print(f"  programs executed: {rounds_[-1]['standard']['programs']}; load {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors")
        held = next(ratio for level, what, _, ratio in judged if (level, what) == ("standard", "wall")) < RECORD_GOAL
        print(f"  {'ok  ' if held else 'FAIL'} standard costs less than {(RECORD_GOAL - 1) * 100:.0f} %")
        if typed.out:
            result = {"version": 1, "processors": os.cpu_count(), "kernel": os.uname().release, "rounds": rounds_}
            pathlib.Path(typed.out).write_text(json.dumps(result, indent=1) + "\n")
        return 0 if held else 1
    except Failed as failure:
        die(str(failure))
    finally:
        place.end()
