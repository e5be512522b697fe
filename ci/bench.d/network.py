"""Section `network`: what goes through the gateway against the same without one, and against mitmproxy."""
import http.client
import json
import os
import pathlib
import shutil
import ssl
import statistics
import subprocess
import sys
import time

PASSED, OPENED, TCP = "passed.example.com", "files.example.com", 8000
LARGE = 2 << 30
RULES = f"""ttl: 1h
permissions:
  network:
    - {{host: {PASSED}, ports: [{TCP}]}}
    - {{host: {OPENED}, ports: [443], methods: [GET]}}
"""
LISTENS = "listen 93.184.215.15:443 ssl http2; server_name files.example.com; "
PROXY = 8081


def connect(opened, proxy, context):
    if not opened:
        return http.client.HTTPConnection(PASSED, TCP, timeout=30)
    if not proxy:
        return http.client.HTTPSConnection(OPENED, timeout=30, context=context)
    connection = http.client.HTTPSConnection("127.0.0.1", PROXY, timeout=30, context=context)
    connection.set_tunnel(OPENED, 443)
    return connection


def bytes_a_second(url, proxy):
    """Megabytes. By curl: Python's own client takes a record of TLS at a time and more of a processor for it than the way that is measured."""
    more = ["--proxy", f"http://127.0.0.1:{PROXY}", "--cacert", os.environ["PROXY_CA"]] if proxy else []
    told = "%{size_download} %{time_starttransfer} %{time_total}"
    done = subprocess.run(["curl", "-sS", "--http1.1", *more, "-o", "/dev/null", "-w", told, f"{url}/large"], stdout=subprocess.PIPE, text=True)
    size, began, ended = map(float, done.stdout.split())
    if done.returncode or size != LARGE:
        sys.exit(f"curl: status {done.returncode}, {size:.0f} bytes came of {LARGE}")
    return size / 1e6 / (ended - began)


def probe(what, opened, proxy):
    """One number: megabytes a second of one large answer, milliseconds of a connection with a small one, or of a request in one."""
    def get(connection, path):
        connection.request("GET", path)
        return connection.getresponse()

    if what == "throughput":
        return bytes_a_second(f"https://{OPENED}" if opened else f"http://{PASSED}:{TCP}", proxy)
    # Made once: reading a system's certificates takes longer than a connection.
    context = ssl.create_default_context(cafile=os.environ["PROXY_CA"] if proxy else None)
    taken, kept = [], connect(opened, proxy, context)
    for _ in range(200):
        start = time.perf_counter()
        connection = kept if what == "requests" else connect(opened, proxy, context)
        get(connection, "/small").read()
        if connection is not kept:
            connection.close()
        taken.append((time.perf_counter() - start) * 1000)
    return statistics.median(taken[20:])


def in_world(aido, runs):
    """Within the world of the tests: all numbers, round by round, as JSON."""
    with open("/mnt/files/large", "wb") as large:
        large.truncate(LARGE)
    pathlib.Path("/mnt/files/small").write_text("small\n")
    # The same files without TLS at a port that is no web's, so that nobody looks into them.
    config = pathlib.Path("/mnt/nginx.conf")
    text = config.read_text().replace(LISTENS, LISTENS + f"listen 93.184.215.15:{TCP}; ")
    config.write_text(text)
    subprocess.run(["nginx", "-e", "/mnt/nginx.log", "-p", "/mnt", "-c", config, "-s", "reload"], check=True)
    pathlib.Path("sandbox.yaml").write_text(RULES)
    shutil.copy(__file__, "probe.py")
    python = "/usr/bin/python3"
    env = {**os.environ, "PROXY_CA": "/mnt/mitm/mitmproxy-ca-cert.pem"}
    racers = {"direct": ([python, "probe.py"], ()), "aido": ([aido, "run", "--quiet", "--input", "probe.py", "--", python, "probe.py"], ())}
    if shutil.which("mitmdump"):
        subprocess.Popen(["mitmdump", "-q", "--listen-host", "127.0.0.1", "--listen-port", str(PROXY), "--set", "confdir=/mnt/mitm",
                          "--set", "ssl_verify_upstream_trusted_ca=/mnt/root.pem", "--set", "stream_large_bodies=1m"], stdin=subprocess.DEVNULL)
        for _ in range(300):
            if pathlib.Path(env["PROXY_CA"]).exists():
                break
            time.sleep(0.1)
        time.sleep(2)
        racers["mitmproxy"] = ([python, "probe.py"], ("proxy",))
    seen = {}
    for number in range(runs):
        for what in ("throughput", "connections", "requests"):
            for how in ("passed", "opened"):
                names = [name for name in racers if how == "opened" or name != "mitmproxy"]
                for at in range(len(names)):
                    name = names[(at + number) % len(names)]
                    command, more = racers[name]
                    done = subprocess.run([*command, "probe", what, how, *more], env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
                    if done.returncode:
                        sys.exit(f"{name}, {what}, {how}: status {done.returncode}")
                    seen.setdefault(f"{what}, {how}", {}).setdefault(name, []).append(float(done.stdout))
    print(json.dumps(seen))


def network(typed):
    """The section itself, outside."""
    from measure import goal, ratio, table, tell_goals
    from place import HERE, Place, die, program, say
    binary = program(typed.aido)
    place = Place(typed.dir)
    try:
        project = place.folder("project")
        unshare = ["unshare", *([] if os.getuid() == 0 else ["--user", "--map-root-user"]), "--net", "--mount", "--pid", "--fork",
                   "--kill-child", "--mount-proc", "--propagation", "private", "sh", HERE.parent / "tests/network/world.sh"]
        env = place.environment(WORLD_SERVERS="nginx", HOME=place.folder("home"))
        command = [*unshare, sys.executable, pathlib.Path(__file__).resolve(), "world", binary, str(typed.runs)]
        done = subprocess.run(command, cwd=project, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        if done.returncode:
            die(f"the network section: status {done.returncode}")
        seen = json.loads(done.stdout.splitlines()[-1])
    finally:
        place.end()
    rows = {}
    for what, of in seen.items():
        unit = "MB a second" if what.startswith("throughput") else "ms"
        rows[what] = table(f"network: {what}", of, unit, "direct")
    opened = seen["throughput, opened"]
    goals = [goal("passed TCP, of direct", ratio(seen["throughput, passed"], "aido", "direct"), 0.7, least=True),
             goal("opened TLS, of mitmproxy", ratio(opened, "aido", "mitmproxy") if "mitmproxy" in opened else None, 3.0, least=True)]
    if "mitmproxy" not in opened:
        say("not measured beside mitmproxy: mitmdump is not in PATH")
    tell_goals(goals)
    if typed.out:
        result = {"version": 1, "processors": os.cpu_count(), "kernel": os.uname().release, "rows": rows, "goals": goals}
        pathlib.Path(typed.out).write_text(json.dumps(result, indent=1) + "\n")
    return 1 if typed.check and any(one["missed_by"] for one in goals) else 0


if __name__ == "__main__":
    if sys.argv[1] == "world":
        in_world(sys.argv[2], int(sys.argv[3]))
    else:
        print(probe(sys.argv[2], sys.argv[3] == "opened", "proxy" in sys.argv[4:]))
