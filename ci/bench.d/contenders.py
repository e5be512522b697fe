"""Who is measured beside aido: each one gives the command line that runs a task, as an ordinary user."""
import contextlib
import hashlib
import io
import json
import os
import pathlib
import platform
import shutil
import subprocess
import tarfile

from place import HERE, Failed, die, say

PROBE = "/probe"
BWRAP = ["bwrap", "--unshare-all", "--die-with-parent", "--new-session", "--cap-drop", "ALL"]
DEBIAN_ARCHES = {"x86_64": "amd64", "aarch64": "arm64"}


def add(tar, name, content=None, mode=0o755, link=None):
    entry = tarfile.TarInfo(name)
    entry.mode, entry.type = mode, tarfile.DIRTYPE
    if link:
        entry.type, entry.linkname = tarfile.SYMTYPE, link
    elif content is not None:
        entry.type, entry.size = tarfile.REGTYPE, len(content)
    tar.addfile(entry, io.BytesIO(content) if content is not None else None)


def layer(entries):
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for entry in entries:
            add(tar, **entry)
    return packed.getvalue()


def archive(path, name, layers):
    """What `docker save` writes; podman, docker and aido read it."""
    digests = [hashlib.sha256(one).hexdigest() for one in layers]
    machine = DEBIAN_ARCHES.get(platform.machine(), platform.machine())
    config = {"architecture": machine, "os": "linux", "config": {"Env": ["PATH=/bin"]},
              "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}" for digest in digests]}}
    config = json.dumps(config).encode()
    manifest = [{"Config": "config.json", "RepoTags": [f"{name}:latest"], "Layers": [f"{digest}.tar" for digest in digests]}]
    with tarfile.open(path, "w") as tar:
        for digest, one in zip(digests, layers):
            add(tar, f"{digest}.tar", one, 0o644)
        add(tar, "config.json", config, 0o644)
        add(tar, "manifest.json", json.dumps(manifest).encode(), 0o644)
    path.chmod(0o644)


def base_layer(probe):
    busybox = pathlib.Path(shutil.which("busybox") or die("busybox is missing (apt-get install busybox-static)"))
    folders = ["bin", "etc", "proc", "dev", "sys", "tmp", "root"]
    entries = [{"name": folder} for folder in folders]
    entries += [{"name": "bin/busybox", "content": busybox.read_bytes()}, {"name": "probe", "content": probe.read_bytes()}]
    entries += [{"name": f"bin/{applet}", "link": "busybox"} for applet in ("sh", "true", "sleep", "cat")]
    return layer(entries)


class World:
    """Root file system, image and probe, the same for all."""

    def __init__(self, place, aido):
        self.place = place
        self.probe = place.dir / "probe"
        shutil.which("cc") or die("cc is missing (apt-get install gcc libc6-dev)")
        subprocess.run(["cc", "-O2", "-static", "-o", self.probe, HERE / "bench.d/probe.c"], check=True)
        self.root = place.dir / "root"
        self.image = place.dir / "image.tar"
        packed = base_layer(self.probe)
        archive(self.image, "aido-bench", [packed])
        self.root.mkdir()
        with tarfile.open(fileobj=io.BytesIO(packed)) as tar:
            tar.extractall(self.root)
        self.aido = place.dir / "aido"
        shutil.copy(aido, self.aido)
        self.aido.chmod(0o755)

    def project(self, name):
        """A project of aido's: an empty folder."""
        path = self.place.dir / "home" / name
        path.mkdir(exist_ok=True)
        return path

    def environment(self, **more):
        return self.place.environment(XDG_DATA_HOME=self.place.dir / "home/data", XDG_STATE_HOME=self.place.dir / "home/state", **more)


class Bare:
    """fork and exec, nothing else."""
    name, dear = "bare", False

    def __init__(self, world):
        self.world = world
        self.env = world.environment()

    def command(self, task):
        return [str(self.world.probe), *task[1:]] if task[0] == PROBE else task, None


class Bwrap(Bare):
    name = "bwrap"

    def command(self, task):
        return [*BWRAP, "--ro-bind", str(self.world.root), "/", "--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp", *task], None


class BwrapHost(Bare):
    """Of the host's root."""
    name = "bwrap-host"

    def command(self, task):
        return [*BWRAP, "--ro-bind", "/", "/", "--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp", *task], None


class Aido(Bare):
    """A fresh sandbox of a cached image, and everything on: confinement, limits, canaries, supervisor, evidence."""
    name = "aido"
    runtime = "docker-archive:{image}"

    def __init__(self, world, name=None, options=(), project=None):
        super().__init__(world)
        self.name, self.options = name or self.name, list(options)
        self.project = world.project(project or f"project-{self.name}")

    def command(self, task):
        runtime = ["--runtime", self.runtime.format(image=self.world.image)] if self.runtime else []
        return [str(self.world.aido), "run", "--quiet", *runtime, *self.options, "--", *task], self.project


class AidoHost(Aido):
    name, runtime = "aido-host", "host"


class AidoWarm(Aido):
    """A run in a sandbox that is up."""
    name, runtime = "aido-warm", None

    def __init__(self, world, **more):
        super().__init__(world, **more)
        up = [world.aido, "sandbox", "up", "--runtime", f"docker-archive:{world.image}"]
        done = subprocess.run(up, cwd=self.project, env=self.env, capture_output=True, text=True)
        if done.returncode:
            raise Failed(f"aido sandbox up: {done.stderr}")

    def end(self):
        subprocess.run([self.world.aido, "sandbox", "destroy", "--all"], cwd=self.project, env=self.env, capture_output=True)


class Crun(Bare):
    name, needs = "crun", ["crun"]
    options = ["--cgroup-manager", "disabled"]

    def __init__(self, world):
        super().__init__(world)
        self.state = world.place.dir / f"home/{self.name}"
        self.number = 0

    def bundle(self, task):
        bundle = self.world.place.dir / f"home/bundle-{self.name}"
        bundle.mkdir(exist_ok=True)
        with contextlib.suppress(FileNotFoundError):
            (bundle / "config.json").unlink()
        subprocess.run([self.name, "spec", "--rootless"], cwd=bundle, check=True)
        config = json.loads((bundle / "config.json").read_text())
        config["process"].update(terminal=False, args=task)
        config["root"] = {"path": str(self.world.root), "readonly": True}
        config["linux"]["seccomp"] = default_profile()
        (bundle / "config.json").write_text(json.dumps(config))
        return bundle

    def command(self, task):
        bundle = self.bundle(task)
        self.number += 1
        return [self.name, "--root", str(self.state), *self.options, "run", "-b", str(bundle), f"bench-{os.getpid()}-{self.number}"], None


class Runc(Crun):
    """Where crun does not run: it refuses hosts with both versions of control groups."""
    name, needs = "runc", ["runc"]
    options = []


def default_profile():
    """The profile that Podman gives crun, resolved as Podman does for a container without capabilities."""
    found = [path for path in map(pathlib.Path, ("/usr/share/containers/seccomp.json", "/etc/containers/seccomp.json")) if path.exists()]
    if not found:
        return None
    profile = json.loads(found[0].read_text())
    machine = DEBIAN_ARCHES.get(platform.machine())
    calls = []
    for rule in profile["syscalls"]:
        only, never = rule.get("includes") or {}, rule.get("excludes") or {}
        if only.get("caps") or (only.get("arches") and machine not in only["arches"]) or machine in (never.get("arches") or []):
            continue
        calls.append({key: rule[key] for key in ("names", "action", "args", "errnoRet") if rule.get(key)})
    arches = {"amd64": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"], "arm64": ["SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"]}
    return {"defaultAction": profile["defaultAction"], "defaultErrnoRet": profile.get("defaultErrnoRet", 1),
            "architectures": arches.get(machine, []), "syscalls": calls}


class Podman(Bare):
    name, needs, dear = "podman", ["podman", "newuidmap"], True

    def __init__(self, world):
        super().__init__(world)
        short = world.place.dir / "home/r"
        short.mkdir(mode=0o700, exist_ok=True)
        self.env = world.environment(XDG_RUNTIME_DIR=short)
        self.tool = ["podman", "--root", str(world.place.dir / "home/podman"), "--runroot", str(short), "--cgroup-manager", "cgroupfs"]
        done = subprocess.run([*self.tool, "load", "-q", "-i", world.image], env=self.env, capture_output=True, text=True)
        if done.returncode:
            raise Failed(f"podman load: {done.stderr.strip()[-200:]}")
        # With crun where that runs.
        self.groups = ["--cgroups", "disabled"]
        command, _ = self.command([PROBE, "true"])
        if subprocess.run(command, env=self.env, capture_output=True, stdin=subprocess.DEVNULL).returncode and shutil.which("runc"):
            self.tool, self.groups = [*self.tool, "--runtime", "runc"], []

    def command(self, task):
        return [*self.tool, "run", "--rm", *self.groups, "--network", "none", "--log-driver", "k8s-file", "localhost/aido-bench:latest", *task], None


class Docker(Bare):
    """Its engine is started by root before, and its log is what it is by default: json-file."""
    name, needs, dear = "docker", ["docker", "dockerd"], True

    def __init__(self, world):
        super().__init__(world)
        if not world.place.engine:
            raise Failed("no engine: only root can start one")
        self.tool = ["docker", "-H", world.place.engine]
        done = subprocess.run([*self.tool, "load", "-q", "-i", world.image], env=self.env, capture_output=True, text=True)
        if done.returncode:
            raise Failed(f"docker load: {done.stderr.strip()[-200:]}")

    def command(self, task):
        return [*self.tool, "run", "--rm", "--network", "none", "aido-bench:latest", *task], None


def peers(world, kinds, absent):
    """Those of them that are installed and run a task here; runc stands in for crun."""
    found = []
    for kind in kinds:
        if kind is Runc and any(isinstance(one, Crun) for one in found):
            continue
        missing = [need for need in getattr(kind, "needs", []) if not shutil.which(need)]
        try:
            if missing:
                raise Failed(f"{', '.join(missing)} missing")
            one = kind(world)
            command, cwd = one.command([PROBE, "true"])
            done = subprocess.run(command, cwd=cwd, env=one.env, capture_output=True, text=True, stdin=subprocess.DEVNULL)
            if done.returncode:
                raise Failed(done.stderr.strip()[-200:] or f"status {done.returncode}")
            found.append(one)
        except Failed as why:
            say(f"without {kind.name}: {why}")
            absent.append(f"{kind.name}: {why}")
    return found
