"""Rounds in turns, and what is made of them: medians, the 99th of a hundred, the spread, ratios round by round."""
import os
import statistics
import threading
import time

from place import Failed

NOWHERE = os.open(os.devnull, os.O_RDWR)


def spawn(command, cwd, env, out=NOWHERE):
    """By posix_spawn, which copies nothing of this process; the folder is changed around it, there is one such thread."""
    here = os.open(".", os.O_RDONLY | os.O_DIRECTORY)
    try:
        if cwd:
            os.chdir(cwd)
        actions = [(os.POSIX_SPAWN_DUP2, NOWHERE, 0), (os.POSIX_SPAWN_DUP2, out, 1), (os.POSIX_SPAWN_DUP2, ERRORS, 2)]
        return os.posix_spawnp(command[0], command, env, file_actions=actions)
    finally:
        os.fchdir(here)
        os.close(here)


ERRORS = os.open(os.environ.get("TMPDIR", "/tmp"), os.O_TMPFILE | os.O_RDWR, 0o600)


def complaint():
    os.lseek(ERRORS, 0, os.SEEK_SET)
    return os.read(ERRORS, 1 << 16).decode(errors="replace").strip()[-400:]


def timed(command, cwd, env, out=NOWHERE):
    """Seconds from before the spawn to after the wait."""
    os.ftruncate(ERRORS, 0)
    os.lseek(ERRORS, 0, os.SEEK_SET)
    start = time.perf_counter()
    child = spawn(command, cwd, env, out)
    _, status = os.waitpid(child, 0)
    took = time.perf_counter() - start
    if status:
        raise Failed(f"{' '.join(map(str, command))}: status {os.waitstatus_to_exitcode(status)}: {complaint()}")
    return took


def in_turns(racers, rounds, once, dear_rounds=None):
    """{name: [value or None, one for each round]}; who begins moves on by one each round. Dear ones take part in the first rounds alone."""
    seen = {racer.name: [] for racer in racers}
    if dear_rounds is None:
        dear_rounds = max(3, rounds // 10)
    for number in range(rounds):
        for at in range(len(racers)):
            racer = racers[(at + number) % len(racers)]
            skip = getattr(racer, "dear", False) and number >= dear_rounds
            seen[racer.name].append(None if skip else once(racer))
    return seen


def having(values):
    return [value for value in values if value is not None]


def ratio(seen, one, other):
    """The middle of the ratios of the same rounds."""
    pairs = [(a, b) for a, b in zip(seen[one], seen[other]) if a is not None and b is not None]
    return statistics.median(a / b for a, b in pairs) if pairs else None


def percentile(values, part):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * part))]


def table(title, seen, unit, against, scale=1.0):
    """Prints and returns what a reader needs of one measurement."""
    rows = {}
    print(f"\n{title}\n  {'':14} {'median':>9} {'p99':>9} {'least':>9} {'spread':>7}   of {against}, {unit}")
    for name, values in sorted(seen.items(), key=lambda item: statistics.median(having(item[1]))):
        found = [value * scale for value in having(values)]
        middle = statistics.median(found)
        spread = (percentile(found, 0.75) - percentile(found, 0.25)) / middle
        of = ratio(seen, name, against) if against in seen else None
        rows[name] = {"median": middle, "p99": percentile(found, 0.99), "least": min(found), "spread": spread, "ratio": of, "count": len(found)}
        shown = f"{of:9.3f}" if of else f"{'-':>9}"
        print(f"  {name:14} {middle:9.2f} {rows[name]['p99']:9.2f} {min(found):9.2f} {spread:6.0%} {shown}   {len(found)} times")
    return rows


def at_once(commands, workers):
    """Seconds for all commands, by so many at a time."""
    rest, failed, lock = list(commands), [], threading.Lock()

    def work():
        while True:
            with lock:
                if not rest:
                    return
                command, cwd, env = rest.pop()
                child = spawn(command, cwd, env)
            _, status = os.waitpid(child, 0)
            if status:
                failed.append(f"{' '.join(map(str, command))}: {os.waitstatus_to_exitcode(status)}: {complaint()}")

    threads = [threading.Thread(target=work) for _ in range(workers)]
    start = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failed:
        raise Failed(f"{len(failed)} failed: {failed[0]}")
    return time.perf_counter() - start


def goal(what, seen, bound, least=False):
    """A goal of the project, what was seen, and by how much it is missed."""
    if seen is None:
        return {"goal": what, "seen": None, "bound": bound, "least": least, "missed_by": None}
    missed = (bound / seen if least else seen / bound) - 1
    return {"goal": what, "seen": seen, "bound": bound, "least": least, "missed_by": max(0.0, missed)}


def tell_goals(goals):
    print()
    for one in goals:
        sign = ">=" if one["least"] else "<="
        if one["seen"] is None:
            print(f"  ?    {one['goal']}: not measured ({sign} {one['bound']})")
            continue
        missed = f"missed by {one['missed_by']:.0%}" if one["missed_by"] else "held"
        print(f"  {'FAIL' if one['missed_by'] else 'ok  '} {one['goal']}: {one['seen']:.3f} ({sign} {one['bound']}), {missed}")
