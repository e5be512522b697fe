"""Section `workspace`: a project of 100,000 files made ready for a task that changes it, and its changes found, beside the
ways that people have without aido."""
import json
import os
import pathlib
import shutil
import subprocess
import time

from measure import goal, having, in_turns, ratio, table, tell_goals
from place import Failed, Place, die, program, say

FOLDERS, FILES = 1000, 100
# What the ten changes are: deletions, additions, edits, a mode and a rename.
CHANGES = ("rm d1/f1.txt d2/f2.txt; echo new > d3/new.txt; echo new > new.txt; for n in 4 5 6 7; do echo more >> d$n/f$n.txt; done; "
           "chmod +x d8/f8.txt; mv d9/f9.txt d9/moved.txt")


def git(folder, *words):
    # Nothing is packed behind our back while it is copied.
    ours = ["-c", "user.name=bench", "-c", "user.email=bench@localhost", "-c", "gc.auto=0", "-c", "maintenance.auto=false"]
    done = subprocess.run(["git", *ours, *words], cwd=folder,
                          stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if done.returncode:
        raise Failed(f"git {' '.join(words)}: {done.stderr.strip()}")
    return done.stdout


def grow(folder):
    for number in range(FOLDERS):
        below = folder / f"d{number}"
        below.mkdir()
        for file in range(FILES):
            (below / f"f{file}.txt").write_text(f"{number} {file}\n" * 20)
    git(folder, "init", "--quiet")
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", "all of it")


class Way:
    """One way to have a tree that may be changed; `once` gives seconds, and takes away what it made after the clock stood."""

    def __init__(self, name, place, project):
        self.name, self.place, self.project, self.count = name, place, project, 0
        # A way that takes seconds takes part in a few rounds.
        self.dear = name not in ("aido", "aido readonly")

    def beside(self):
        self.count += 1
        return self.place.dir / f"{self.name.replace(' ', '-')}-{self.count}"


class Copy(Way):
    def __init__(self, *more, words):
        super().__init__(*more)
        self.words = words

    def once(self):
        to = self.beside()
        # aido's own folder is no part of the project, and what a run left there may go meanwhile.
        all_of_it = [one for one in self.project.iterdir() if one.name != ".aido"]
        start = time.perf_counter()
        to.mkdir()
        done = subprocess.run([*self.words, "-t", to, *all_of_it], stderr=subprocess.PIPE, text=True)
        if done.returncode:
            raise Failed(f"{self.name}: {done.stderr.strip()}")
        return time.perf_counter() - start

    def works(self):
        to = self.beside()
        (self.project.parent / "one").write_text("x")
        return subprocess.run([*self.words, self.project.parent / "one", to], stderr=subprocess.DEVNULL).returncode == 0


class Worktree(Way):
    def once(self):
        to = self.beside()
        start = time.perf_counter()
        git(self.project, "worktree", "add", "--quiet", "--detach", str(to))
        return time.perf_counter() - start


class Sandbox(Way):
    """From the command to the first thing that the task does: it writes the time. The whole run is told beside it."""

    def __init__(self, *more, aido, words):
        super().__init__(*more)
        self.aido, self.words, self.whole = aido, words, []

    def once(self):
        start, clock = time.perf_counter(), time.time()
        done = subprocess.run([self.aido, "run", "--quiet", *self.words, "--", "date", "+%s.%N"], cwd=self.project,
                              stdin=subprocess.DEVNULL, capture_output=True, text=True)
        self.whole.append(time.perf_counter() - start)
        if done.returncode:
            raise Failed(f"aido: {done.stderr.strip()}")
        return float(done.stdout) - clock


def cold():
    """Drops what the kernel keeps of files; only root can, and elsewhere all is warm."""
    if os.getuid() != 0:
        return False
    os.sync()
    pathlib.Path("/proc/sys/vm/drop_caches").write_text("3")
    return True


class Finder:
    dear = False

    def __init__(self, name, words, folder):
        self.name, self.words, self.folder = name, words, folder

    def once(self, chilled):
        if chilled:
            cold()
        start = time.perf_counter()
        done = subprocess.run(self.words, cwd=self.folder, stdin=subprocess.DEVNULL, capture_output=True, text=True)
        took = time.perf_counter() - start
        if done.returncode:
            raise Failed(f"{self.name}: {done.stderr.strip()}")
        self.lines = len([line for line in done.stdout.splitlines() if line])
        return took


def workspace(typed):
    shutil.which("git") or die("git is missing")
    binary = program(typed.aido)
    place = Place(typed.dir)
    try:
        project = place.folder("project")
        say(f"making {FOLDERS * FILES} files")
        grow(project)
        os.sync()
        ways = [Sandbox("aido", place, project, aido=binary, words=["--filesystem", "overlay"]),
                Sandbox("aido readonly", place, project, aido=binary, words=[]),
                Worktree("git worktree add", place, project),
                Copy("cp -a", place, project, words=["cp", "-a"]),
                Copy("cp --reflink", place, project, words=["cp", "-a", "--reflink=always"])]
        absent = [way.name for way in ways if isinstance(way, Copy) and not way.works()]
        ways = [way for way in ways if way.name not in absent]
        # The first run makes what later ones find: keys, the ledger.
        ways[0].once()
        say("preparing, in turns")
        ready = in_turns(ways, typed.runs, lambda way: way.once(), dear_rounds=3)
        rows = table("a tree of 100,000 files that may be changed", ready, "seconds", "git worktree add")
        for way in ways[:2]:
            whole = sorted(way.whole)[len(way.whole) // 2]
            print(f"  {way.name}: the whole run, sealed, {whole * 1000:.0f} ms")
        for name in absent:
            print(f"  {name}: not possible on this file system")

        sandbox = subprocess.run([binary, "run", "--quiet", "--filesystem", "overlay", "--", "sh", "-c", CHANGES], cwd=project,
                                 stdin=subprocess.DEVNULL, capture_output=True, text=True)
        if sandbox.returncode:
            raise Failed(f"aido: {sandbox.stderr.strip()}")
        tree = place.dir / "changed"
        git(project, "worktree", "add", "--quiet", "--detach", str(tree))
        subprocess.run(["sh", "-c", CHANGES], cwd=tree, check=True)
        finders = [Finder("aido diff", [binary, "diff", "--patch"], project),
                   Finder("aido diff --name-status", [binary, "diff", "--name-status"], project),
                   Finder("git status", ["git", "status", "--short", "--untracked-files=all"], tree)]
        results = {}
        for title, chilled in (("warm", False), ("cold", True)):
            if chilled and not cold():
                print("  cold: only root can drop the kernel's caches")
                continue
            say(f"finding ten changes, {title}")
            found = in_turns(finders, min(typed.runs, 5), lambda finder: finder.once(chilled))
            results[title] = table(f"ten changes found, {title}", found, "seconds", "git status")
            results[title]["ratio"] = ratio(found, "git status", "aido diff")
        if finders[1].lines + 1 != finders[2].lines and finders[1].lines != finders[2].lines:
            raise Failed(f"aido saw {finders[1].lines} changes, git {finders[2].lines}")
        faster = ratio(ready, "git worktree add", "aido")
        goals = [goal("ready for changes, times as fast as git worktree add", faster, 100, least=True),
                 goal("diff of ten changes, times as fast as a cold git status", results.get("cold", {}).get("ratio"), 20, least=True)]
        tell_goals(goals)
        print(f"  load {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors")
        if typed.out:
            result = {"version": 1, "processors": os.cpu_count(), "kernel": os.uname().release, "ready": rows, "found": results,
                      "absent": absent, "seconds": {name: having(values) for name, values in ready.items()}, "goals": goals}
            pathlib.Path(typed.out).write_text(json.dumps(result, indent=1) + "\n")
        return 1 if typed.check and any(one["missed_by"] or one["seen"] is None for one in goals) else 0
    except Failed as failure:
        die(str(failure))
    finally:
        place.end()
