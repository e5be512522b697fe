"""Section `images`: pull and unpack, until the image could be run, from a registry on loopback."""
import contextlib
import hashlib
import http.client
import http.server
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import tempfile
import threading
import time

from place import HERE, Failed, Place, die, family, free_port, listens, program, run, say, wait_for

FLOOR_GOAL, PEER_GOAL, ZSTD_GOAL, MEMORY_GOAL = 1.5, 5.0, 1.3, 64 << 20
TOOLS = {"gzip": ["igzip", "-dc"], "zstd": ["zstd", "-dc"], "tar": ["cat"]}


class Image:
    def __init__(self, layout, base):
        self.name, self.layout, self.base = layout.name, layout, base
        top = json.loads((layout / "index.json").read_text())["manifests"][0]
        self.manifest = self.blob(top["digest"])
        self.layers = self.manifest.get("layers", [])
        media = self.layers[0]["mediaType"] if self.layers else ""
        self.packing = next((kind for kind in ("zstd", "gzip") if media.endswith(kind)), "tar")

    def blob(self, digest):
        return json.loads((self.layout / "blobs/sha256" / digest[7:]).read_bytes())

    def reference(self):
        return f"{self.base}/{self.name}:latest"


def registry(place, layouts):
    """A registry on loopback that holds the images."""
    shutil.which("docker-registry") or die("docker-registry is missing (apt-get install docker-registry)")
    port = free_port()
    (place.dir / "registry").mkdir()
    config = {"version": "0.1", "log": {"level": "error"}, "http": {"addr": f"127.0.0.1:{port}"},
              "storage": {"filesystem": {"rootdirectory": str(place.dir / "registry")}}}
    (place.dir / "registry.yml").write_text(json.dumps(config))
    process = place.spawn(["docker-registry", "serve", place.dir / "registry.yml"], "registry.log",
                          env={"PATH": os.environ["PATH"], "OTEL_TRACES_EXPORTER": "none"})
    wait_for(lambda: listens(port), process, "docker-registry")
    with tempfile.TemporaryDirectory(dir=place.dir) as links:
        for layout in layouts:
            os.symlink(layout, f"{links}/{layout.name}")
        subprocess.run([HERE / "images", "push", links, f"127.0.0.1:{port}"], check=True)
    return f"127.0.0.1:{port}"


class Floor:
    """curl each blob into a decompressor into tar, layers at once: nothing is checked, nothing protected."""

    name, needs = "floor", ["curl", "igzip", "zstd", "tar"]

    def __init__(self, place):
        self.place = place

    def pull(self, image, number):
        target = self.place.folder(f"floor-{image.name}-{number}")
        lines = ["set -o pipefail"]
        for at, layer in enumerate(image.layers):
            tool = " ".join(TOOLS[image.packing])
            url = f"http://{image.base}/v2/{image.name}/blobs/{layer['digest']}"
            lines.append(f"mkdir {target}/{at}; (curl -fsS {url} | {tool} | tar -x -C {target}/{at}) & all+=($!)")
        lines.append('for one in "${all[@]}"; do wait "$one" || exit 1; done')
        # Device nodes and owners are beyond an ordinary user, and it is the floor: tar's ill luck does not count.
        return run(self.place.as_user(["bash", "-c", "\n".join(lines)]), env=self.place.environment())


class Aido:
    name, needs = "aido", []

    def __init__(self, place, program):
        self.place, self.program = place, program

    def command(self, image, data):
        env = self.place.environment(XDG_DATA_HOME=data)
        return self.place.as_user([str(self.program), "image", "pull", "--quiet", image.reference()]), env

    def pull(self, image, number):
        command, env = self.command(image, self.place.folder(f"aido-{image.name}-{number}"))
        return run(command, env=env)


class Podman:
    name, needs = "podman", ["podman", "newuidmap"]

    def __init__(self, place):
        self.place = place

    def pull(self, image, number):
        home = self.place.folder(f"podman-{image.name}-{number}", 0o700)
        # It refuses a longer path than 50 characters here.
        short = self.place.folder(f"r{len(list(self.place.dir.glob('r[0-9]*')))}", 0o700)
        env = self.place.environment(HOME=home, XDG_RUNTIME_DIR=short)
        command = ["podman", "--root", f"{home}/root", "--runroot", short, "--cgroup-manager", "cgroupfs",
                   "pull", "--quiet", "--tls-verify=false", image.reference()]
        return run(self.place.as_user(command), env=env, cwd=home)


class Skopeo:
    name, needs = "skopeo+umoci", ["skopeo", "umoci"]

    def __init__(self, place):
        self.place = place

    def pull(self, image, number):
        target = self.place.folder(f"skopeo-{image.name}-{number}")
        lines = [f"skopeo copy -q --insecure-policy --src-tls-verify=false docker://{image.reference()} oci:{target}/l:i",
                 f"umoci unpack --rootless --image {target}/l:i {target}/bundle"]
        env = self.place.environment(XDG_RUNTIME_DIR=target)
        return run(self.place.as_user(["sh", "-ec", "\n".join(lines)]), env=env, cwd=target)


class Docker:
    """As root, each time by a new daemon with a store of its own; it starts before the clock does."""

    name, needs = "docker", ["docker", "dockerd"]

    def __init__(self, place):
        self.place = place

    def pull(self, image, number):
        home = self.place.dir / f"docker-{image.name}-{number}"
        home.mkdir()
        at = f"unix://{home}/socket"
        daemon = self.place.spawn(["dockerd", "--iptables=false", "--ip6tables=false", "--bridge=none", "-H", at,
                                   "--data-root", home / "data", "--exec-root", home / "exec", "-p", home / "pid"],
                                  f"{home.name}.log")
        try:
            answers = ["docker", "-H", at, "version"]
            wait_for(lambda: not subprocess.run(answers, capture_output=True).returncode, daemon, "dockerd")
            return run(["docker", "-H", at, "pull", "-q", image.reference()])
        finally:
            self.place.stop(daemon)


def contenders(place, program):
    found, absent = [Floor(place), Aido(place, program)], []
    for kind in (Podman, Skopeo, Docker):
        missing = [need for need in kind.needs if not shutil.which(need)]
        if kind is Docker and os.getuid() != 0:
            missing = ["root"]
        if missing:
            absent.append(f"{kind.name} ({', '.join(missing)} missing)")
        else:
            found.append(kind(place))
    missing = [need for need in Floor.needs if not shutil.which(need)]
    if missing:
        die(f"the floor needs {', '.join(missing)} (apt-get install curl isal zstd tar)")
    return found, absent


def peak_memory(aido, image, number):
    """VmHWM of the largest process of a pull, and the sum of all: one look every few milliseconds."""
    data = aido.place.folder(f"memory-{image.name}-{number}")
    command, env = aido.command(image, data)
    process = subprocess.Popen(command, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    peaks = {}
    while process.poll() is None:
        for pid in family(process.pid):
            with contextlib.suppress(OSError, ValueError, IndexError):
                status = pathlib.Path(f"/proc/{pid}/status").read_text()
                name = status.split("Name:")[1].split()[0]
                if name == "aido":
                    peaks[pid] = int(status.split("VmHWM:")[1].split()[0]) << 10
        time.sleep(0.004)
    if process.returncode:
        die(f"aido could not pull {image.name}")
    return sum(peaks.values())


def counting(base, asked):
    """A proxy that passes requests on and writes them down."""

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            asked.append((self.command, self.path))
            link = http.client.HTTPConnection(base)
            link.request(self.command, self.path, headers={k: v for k, v in self.headers.items() if k.lower() != "host"})
            answer = link.getresponse()
            body = answer.read()
            self.send_response(answer.status)
            for key, value in answer.getheaders():
                if key.lower() not in ("content-length", "transfer-encoding", "connection"):
                    self.send_header(key, value)
            length = answer.getheader("Content-Length") if self.command == "HEAD" else len(body)
            self.send_header("Content-Length", str(length or 0))
            self.end_headers()
            self.wfile.write(body)

        do_HEAD = do_GET

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def warm(aido, image):
    """What a pull of an image that is here already asks the registry for."""
    asked = []
    server = counting(image.base, asked)
    through = Image(image.layout, f"127.0.0.1:{server.server_address[1]}")
    data = aido.place.folder(f"warm-{image.name}")
    command, env = aido.command(through, data)
    run(command, env=env)
    asked.clear()
    wall, cpu, _ = run(command, env=env)
    server.shutdown()
    return {"requests": [f"{method} {path}" for method, path in asked], "seconds": wall, "cpu": cpu}


def default_layouts():
    digest = subprocess.run([HERE / "images", "digest"], capture_output=True, text=True, check=True).stdout.strip()
    cache = pathlib.Path(os.environ.get("XDG_CACHE_HOME", pathlib.Path.home() / ".cache")) / "aido-ci" / f"images-{digest}"
    if not cache.is_dir():
        say("making the images (once)")
        new = cache.with_suffix(".unfinished")
        shutil.rmtree(new, ignore_errors=True)
        new.mkdir(parents=True)
        subprocess.run([HERE / "images", "build", new], check=True)
        new.rename(cache)
    return [cache / "python"]


def layouts(folder):
    if not folder:
        return default_layouts()
    found = sorted(path.parent.resolve() for path in pathlib.Path(folder).glob("*/index.json"))
    # Small images and indexes measure something else.
    return [path for path in found if sum(file.stat().st_size for file in path.glob("blobs/sha256/*")) > 32 << 20
            and "layers" in Image(path, "").manifest] or die(f"{folder} holds no OCI layout of some size")


def rounds(images, racers, runs, absent):
    """seconds[image][contender] = [(wall, cpu)…]; contenders take turns, the first one moves on by one each round."""
    seconds = {image.name: {racer.name: [] for racer in racers} for image in images}
    for number in range(runs):
        for image in images:
            for at in range(len(racers)):
                racer = racers[(at + number) % len(racers)]
                if racer.name not in seconds[image.name]:
                    continue
                try:
                    wall, cpu, _ = racer.pull(image, number)
                except Failed as failure:
                    if racer.name in ("aido", "floor"):
                        raise
                    # Not every peer knows every kind of layer.
                    del seconds[image.name][racer.name]
                    absent.append(f"{racer.name} with {image.name}: {str(failure)[-160:]}")
                    continue
                seconds[image.name][racer.name].append((wall, cpu))
                say(f"{image.name} {number + 1}/{runs} {racer.name}: {wall:.2f} s, {cpu:.2f} s of processors")
    return seconds


def judge(images, seconds, memory, warmed):
    """What was seen against the goals: (goal, image, seen, bound, whether it holds)."""
    middle = {image: {racer: statistics.median(wall for wall, _ in all_) for racer, all_ in racers.items()}
              for image, racers in seconds.items()}
    judged = []
    for image in images:
        times = middle[image.name]
        floor = times["aido"] / times["floor"]
        judged.append(("of the floor's time", image.name, floor, f"<= {FLOOR_GOAL}", floor <= FLOOR_GOAL))
        peers = {racer: time for racer, time in times.items() if racer not in ("aido", "floor")}
        if peers:
            best = min(peers, key=peers.get)
            factor = peers[best] / times["aido"]
            judged.append((f"times as fast as {best}", image.name, factor, f">= {PEER_GOAL}", factor >= PEER_GOAL))
        if image.name.endswith("-zstd") and (plain := image.name.removesuffix("-zstd")) in middle:
            factor = middle[plain]["aido"] / times["aido"]
            judged.append(("times as fast as gzip", image.name, factor, f">= {ZSTD_GOAL}", factor >= ZSTD_GOAL))
        peak = memory[image.name]
        judged.append(("MiB of memory", image.name, peak / (1 << 20), f"<= {MEMORY_GOAL >> 20}", peak <= MEMORY_GOAL))
        count = len(warmed[image.name]["requests"])
        judged.append(("requests of a warm pull", image.name, count, "<= 1", count <= 1))
    return middle, judged


def report(images, middle, seconds, judged, absent):
    for image in images:
        print(f"\n{image.name}: {sum(layer['size'] for layer in image.layers) >> 20} MiB in {len(image.layers)} layers, {image.packing}")
        print(f"  {'':14} {'seconds':>8} {'processors':>11} {'of floor':>9}")
        for racer, wall in sorted(middle[image.name].items(), key=lambda item: item[1]):
            cpu = statistics.median(cpu for _, cpu in seconds[image.name][racer])
            cpu = "-" if racer == "docker" else f"{cpu:.2f}"   # its daemon's is not ours to see
            print(f"  {racer:14} {wall:8.2f} {cpu:>11} {wall / middle[image.name]['floor']:8.2f}x")
    print()
    for goal, image, seen, bound, holds in judged:
        print(f"  {'ok  ' if holds else 'FAIL'} {image:16} {seen:7.2f} {goal} ({bound})")
    for name in absent:
        print(f"  not measured: {name}")


def images(typed):
    binary = program(typed.aido)
    found = layouts(typed.layouts)
    place = Place(typed.dir)
    try:
        place.ordinary()
        aido_file = place.dir / "aido"
        shutil.copy(binary, aido_file)
        aido_file.chmod(0o755)
        base = registry(place, found)
        all_ = [Image(layout, base) for layout in found]
        racers, absent = contenders(place, aido_file)
        aido = next(racer for racer in racers if racer.name == "aido")
        warmed = {image.name: warm(aido, image) for image in all_}
        memory = {image.name: peak_memory(aido, image, 0) for image in all_}
        seconds = rounds(all_, racers, typed.runs, absent)
        middle, judged = judge(all_, seconds, memory, warmed)
        report(all_, middle, seconds, judged, absent)
        if typed.out:
            keys = ("goal", "image", "seen", "bound", "holds")
            result = {"version": 1, "aido": hashlib.sha256(binary.read_bytes()).hexdigest(), "processors": os.cpu_count(),
                      "kernel": os.uname().release, "runs": typed.runs, "seconds": seconds, "median": middle,
                      "memory": memory, "warm": warmed, "absent": absent,
                      "goals": [dict(zip(keys, goal)) for goal in judged]}
            pathlib.Path(typed.out).write_text(json.dumps(result, indent=1) + "\n")
        return 0 if all(holds for *_, holds in judged) else 1
    except Failed as failure:
        die(str(failure))
    finally:
        place.end()
