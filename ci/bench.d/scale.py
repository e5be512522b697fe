"""Section `scale`: cost against the number of things. Each curve should be a straight line at worst."""
import os
import pathlib
import shutil
import statistics

from contenders import PROBE, Aido, Bare, archive, base_layer, layer
from measure import at_once, goal, timed
from place import Failed, say

ROUNDS = 9


def middle(aido, task, env=None):
    """Milliseconds."""
    command, cwd = aido.command(task)
    return statistics.median(timed(command, cwd, env or aido.env) for _ in range(ROUNDS)) * 1000


def mounts(world, typed):
    """Folders that are inputs: each one is a mount."""
    for count in (1, 10, 50, 100, 200):
        aido = Aido(world, project=f"scale-mounts-{count}")
        for number in range(count):
            (aido.project / f"d{number}").mkdir()
            (aido.project / f"d{number}/file").write_text("x")
        (aido.project / "sandbox.yaml").write_text("inputs: [" + ", ".join(f"d{n}/" for n in range(count)) + "]\n")
        yield count, middle(aido, [PROBE, "true"])


def inputs(world, typed):
    """Files that one pattern selects."""
    for count in (10, 100, 1000, 5000, 10000):
        aido = Aido(world, project=f"scale-inputs-{count}")
        for number in range(count):
            folder = aido.project / f"d{number % 50}"
            folder.mkdir(exist_ok=True)
            (folder / f"f{number}.txt").write_text(f"{number}\n")
        (aido.project / "sandbox.yaml").write_text("inputs: ['**/*.txt']\n")
        yield count, middle(aido, [PROBE, "true"])


def layers(world, typed):
    """Layers of the image, each with a file of its own."""
    base = base_layer(world.probe)
    for count in (1, 10, 50, 100):
        image = world.place.dir / f"home/layers-{count}.tar"
        more = [layer([{"name": f"f{number}", "content": b"x"}]) for number in range(count - 1)]
        archive(image, f"aido-bench-{count}", [base, *more])
        aido = Aido(world, project=f"scale-layers-{count}")
        aido.runtime = f"docker-archive:{image}"
        timed(*aido.command([PROBE, "true"]), aido.env)
        yield count, middle(aido, [PROBE, "true"])


def past(world, typed):
    """Runs that the project has had."""
    from sections import past as bring
    aido = Aido(world, project="project-past")
    for count in sorted({100, 1000, 3000, typed.past}):
        if count <= typed.past:
            bring(world, aido, count)
            yield count, middle(aido, [PROBE, "true"])


def parallel(world, typed):
    """Sandboxes at once, milliseconds for each."""
    aido = Aido(world, project="scale-parallel")
    for count in (1, 10, 30, 100):
        took = min(at_once([(*aido.command([PROBE, "true"]), aido.env)] * count, count) for _ in range(3))
        yield count, took * 1000 / count


def printed(world, typed):
    """Megabytes of output that are kept, and the same written to a file: where that is no straight line, the disk or the memory is none."""
    for count in (50, 500, 5000):
        if shutil.disk_usage(world.place.dir).free < 3 * count * 1_000_000:
            say(f"no room for {count} MB of output")
            return
        aido = Aido(world, project=f"scale-output-{count}")
        (aido.project / "sandbox.yaml").write_text("resources: {output: 8GiB}\ninputs: []\n")
        task = [PROBE, "lines", str(count * 1_000_000)]
        plain = aido.project / "plain"
        command, cwd = Bare(world).command(task)
        log = os.open(plain, os.O_CREAT | os.O_WRONLY, 0o600)
        bare = timed(command, cwd, aido.env, log) * 1000
        os.close(log)
        plain.unlink()
        yield count, timed(*aido.command(task), aido.env) * 1000, bare
        shutil.rmtree(aido.project / ".aido")


def bent(points):
    """What one more costs at the end of a curve, of what it cost before."""
    (first, at_first), (half, at_half), (last, at_last) = points[0], points[-2], points[-1]
    before, after = (at_half - at_first) / (half - first), (at_last - at_half) / (last - half)
    # Less than a microsecond for each is flat, whatever the ratio of two noises is.
    return after / before if before > 0.001 and after > 0.001 else 0.001


CURVES = {"mounts": mounts, "inputs": inputs, "layers": layers, "parallel": parallel, "output": printed, "past": past}
# Cost for each one is judged: no more at the end of the curve than so many times that in the middle of it.
BEND = 2.0


def scale(world, typed, absent):
    rows, goals = {}, []
    for name, curve in CURVES.items():
        if typed.curve and name not in typed.curve:
            continue
        points, plain = [], []
        print(f"\nscale: {name}: {curve.__doc__}")
        try:
            for count, ms, *bare in curve(world, typed):
                points.append((count, ms))
                plain += [(count, one) for one in bare]
                print(f"  {count:7} {ms:10.1f} ms" + "".join(f", to a file {one:.1f} ms" for one in bare), flush=True)
        except Failed as why:
            absent.append(f"scale {name}: {why}")
            print(f"  {why}")
        rows[name] = points
        if len(points) < 3:
            continue
        bend = points[-1][1] / points[1][1] if name == "parallel" else bent(points)
        if plain:
            bend /= max(bent(plain), 1.0)
        goals.append(goal(f"{name}: what one more costs at the end, of before", max(bend, 0.001), BEND))
    return rows, goals
