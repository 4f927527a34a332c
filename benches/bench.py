"""What the benchmarks share: two upstreams, proxies on free ports, load, and CPU time from /proc.

Everything runs on loopback, is pinned to cores, and is ended by its process id when the block that
started it ends, however it ends.
"""

import contextlib
import http.client
import os
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PROXY_CORE, LOAD_CORE = 0, 1
BOTH_CORES = {PROXY_CORE, LOAD_CORE}
CONNECTIONS = 64
ROUTES = 100
BODY_BYTES = 512
TICKS = os.sysconf("SC_CLK_TCK")
START_SECONDS = 60
# Of programs whose package is called otherwise.
PACKAGES = {"taskset": "util-linux", "protoc": "protobuf-compiler", "cargo": "rustup", "ld": "binutils", "cc": "gcc"}
# Functions of the C library by which Rust programs get memory.
ALLOCATING = {"malloc", "calloc", "realloc", "posix_memalign", "aligned_alloc"}


def skip(why):
    print(f"SKIPPED: {why}", file=sys.stderr)
    sys.exit(0)


def need(tools, cores=True):
    """Skips, visibly, where a tool is missing or the machine is too small to pin to."""
    missing = [tool for tool in tools if not shutil.which(tool)]
    if missing:
        skip(f"{', '.join(missing)} not installed (apt-get install {' '.join(PACKAGES.get(one, one) for one in missing)})")
    if cores and not BOTH_CORES <= os.sched_getaffinity(0):
        skip("two cores are needed, one for the proxy and one for load and upstreams")


def install(wanted):
    """Installs packages of programs that are missing, where that is allowed; who needs one finds out by looking for it."""
    missing = [program for program in wanted if not shutil.which(program)]
    if not missing or not shutil.which("apt-get"):
        return
    as_root = [] if os.geteuid() == 0 else ["sudo", "-n"]
    if as_root and (not shutil.which("sudo") or subprocess.run([*as_root, "true"], capture_output=True).returncode):
        return
    packages = [PACKAGES.get(program, program) for program in missing]
    print(f"installing {' '.join(packages)}", file=sys.stderr)
    for arguments in (["update", "-qq"], ["install", "-y", "-qq", "--no-install-recommends", *packages]):
        subprocess.run([*as_root, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", *arguments], stdout=sys.stderr)


def free_ports(count):
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def router_binary():
    """The release build, or the one that CROSSFADE names."""
    if named := os.environ.get("CROSSFADE"):
        return str(Path(named).resolve())
    subprocess.run(["cargo", "build", "--release", "--bin", "crossfade"], cwd=ROOT, check=True)
    target = os.environ.get("CARGO_TARGET_DIR", ROOT / "target")
    return str(Path(target) / "release" / "crossfade")


def load_binary():
    """Our tool for load at a fixed rate, tunnels and a bare relay; built once."""
    manifest, target = ROOT / "benches" / "load" / "Cargo.toml", ROOT / "target" / "bench" / "load"
    subprocess.run(["cargo", "build", "--release", "--quiet", "--locked", "--manifest-path", str(manifest), "--target-dir", str(target)],
                   cwd=ROOT, check=True)
    return str(target / "release" / "load")


@contextlib.contextmanager
def running(command, cores, port, log, env=None):
    """A server pinned to cores, from the moment it accepts until the block ends."""
    with open(log, "wb") as output:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, env=env,
            preexec_fn=lambda: os.sched_setaffinity(0, cores),
        )
    try:
        deadline = time.monotonic() + START_SECONDS
        while not accepts(port):
            if process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"{command[0]} did not start:\n{Path(log).read_text(errors='replace')[-4000:]}")
            time.sleep(0.05)
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def accepts(port):
    with contextlib.suppress(OSError):
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
        return True
    return False


def cpu_seconds(pid):
    """User and system time of a process and its children, as (user, system)."""
    user = system = 0
    for one in tree(pid):
        with contextlib.suppress(OSError):
            fields = Path(f"/proc/{one}/stat").read_text().rsplit(")", 1)[1].split()
            user, system = user + int(fields[11]), system + int(fields[12])
    return user / TICKS, system / TICKS


def tree(pid):
    found = [pid]
    for one in found:
        with contextlib.suppress(OSError):
            for task in Path(f"/proc/{one}/task").iterdir():
                found += [int(child) for child in (task / "children").read_text().split()]
    return found


def nginx(folder, name, workers_conf):
    """Writes a configuration without logs and answers the command that runs it in the foreground."""
    path = folder / f"{name}.conf"
    path.write_text(f"""
worker_processes 1; daemon off; pid {folder}/{name}.pid; error_log stderr crit;
events {{ worker_connections 16384; }}
http {{
  access_log off; server_tokens off; tcp_nodelay on; keepalive_requests 1000000000; keepalive_timeout 75s;
  client_body_temp_path {folder}/{name}-body; proxy_temp_path {folder}/{name}-proxy;
  fastcgi_temp_path {folder}/{name}-f; uwsgi_temp_path {folder}/{name}-u; scgi_temp_path {folder}/{name}-s;
  {workers_conf}
}}
""")
    return ["nginx", "-e", "stderr", "-p", str(folder), "-c", str(path)]


def upstreams(folder, legacy, new):
    """The command of two systems that answer 512 bytes, all L or all N."""
    servers = "".join(
        f'server {{ listen 127.0.0.1:{port} backlog=4096; location / {{ default_type text/plain; return 200 "{side * BODY_BYTES}"; }} }}'
        for port, side in ((legacy, "L"), (new, "N"))
    )
    return nginx(folder, "upstreams", servers)


def router_file(folder, port, admin, legacy, new, workers, mode, percent, token_sha256, name="crossfade",
                store=None, routes=ROUTES, more_routes=(), top="", migrations=1):
    """The configuration of a router with 100 routes, a sticky key and everything else as it is by default."""
    own = ["bench", *(f"bench-{n}" for n in range(1, migrations))]
    routes = [f"  - {{migration: {own[n % migrations]}, path: '/api/r{n}/{{id}}'}}" for n in range(routes)]
    routes = "\n".join([*routes, *more_routes])
    migrations = "\n".join(
        f"  - {{id: {each}, legacy: legacy, new: new, key: ['header:x-user-id'], initial: {{mode: {mode}, percent: {percent}}}}}"
        for each in own)
    path = folder / f"{name}.yaml"
    path.write_text(f"""
environment: bench
snapshot: ./{name}.snapshot
workers: {workers}
{top}
log: {{format: text, access: {{sample: 0%}}}}
listen: [{{address: "127.0.0.1:{port}"}}]
admin:
  address: 127.0.0.1:{admin}
  tokens: [{{name: bench, role: admin, sha256: {token_sha256}}}]
store: {store or f"{{embedded: ./{name}.redb}}"}
upstreams:
  legacy: {{endpoints: ["http://127.0.0.1:{legacy}"]}}
  new: {{endpoints: ["http://127.0.0.1:{new}"]}}
migrations:
{migrations}
routes:
{routes}
""")
    return path


def wrk_script(folder, routes=ROUTES):
    """Requests of many callers, prepared, so that the load costs the same for every proxy."""
    path = folder / f"load-{routes}.lua"
    path.write_text(f"""
local requests, at = {{}}, 0
function init()
  for n = 1, 512 do
    requests[n] = wrk.format("GET", "/api/r" .. (n * 37) % {routes} .. "/" .. n, {{["X-User-Id"] = "user-" .. n}})
  end
end
function request() at = at % 512 + 1; return requests[at] end
""")
    return path


def wrk_command(port, script, seconds, core=LOAD_CORE):
    return ["taskset", "-c", str(core), "wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "--timeout", "10s",
            "-s", str(script), f"http://127.0.0.1:{port}"]


def wrk_result(output):
    """Requests, requests a second, and everything that went wrong."""
    count = int(re.search(r"(\d+) requests in", output)[1])
    rate = float(re.search(r"Requests/sec:\s+([\d.]+)", output)[1])
    wrong = [int(n) for n in re.findall(r"Non-2xx or 3xx responses: (\d+)", output)]
    if errors := re.search(r"Socket errors: (.*)", output):
        wrong += [int(n) for n in re.findall(r"\d+", errors[1])]
    return count, rate, sum(wrong)


def ask(port, key, n=0):
    """Which side answers this caller: L, N, or the status that is not 200."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", f"/api/r{n % ROUTES}/1", headers={"X-User-Id": key})
        response = connection.getresponse()
        body = response.read()
        whole = response.status == 200 and len(body) == BODY_BYTES
        return body[:1].decode() if whole else str(response.status)
    finally:
        connection.close()


def counted(profile):
    """Instructions and allocations of a run, from what callgrind wrote."""
    instructions = allocations = 0
    names, callee = {}, None
    with open(profile, encoding="utf-8", errors="replace") as lines:
        for line in lines:
            if line.startswith("cfn="):
                # A name is written out once, and is a number in brackets from then on.
                number, _, name = line[4:].strip().partition(" ")
                callee = names.setdefault(number, name)
            elif line.startswith("fn="):
                number, _, name = line[3:].strip().partition(" ")
                names.setdefault(number, name)
            elif line.startswith("calls=") and callee in ALLOCATING:
                allocations += int(line[6:].split()[0])
            elif line.startswith(("summary:", "totals:")):
                instructions = int(line.split()[1])
    return instructions, allocations


def status(port, path):
    """The status of one answer, or None without an answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    except OSError:
        return None
    finally:
        connection.close()


def cpu_per_request(process, port, script, seconds, core=LOAD_CORE):
    """What a proxy spends while wrk keeps it busy."""
    before = cpu_seconds(process.pid)
    output = subprocess.run(wrk_command(port, script, seconds, core), check=True, capture_output=True, text=True, timeout=seconds + 60).stdout
    after = cpu_seconds(process.pid)
    count, rate, wrong = wrk_result(output)
    user, system = (1e6 * (late - early) / count for early, late in zip(before, after))
    return {"cpu_us": user + system, "user_us": user, "system_us": system, "requests_per_second": rate, "failed": wrong}


def resident_kib(pid):
    """Memory of a process and its children that is in use now."""
    total = 0
    for one in set(tree(pid)):
        with contextlib.suppress(OSError, StopIteration):
            lines = Path(f"/proc/{one}/status").read_text().splitlines()
            total += next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:"))
    return total


def spread(values, digits=2):
    """The median of values with the smallest and the largest."""
    return {"median": round(statistics.median(values), digits), "min": round(min(values), digits), "max": round(max(values), digits)}


def said(value, digits=2):
    """A spread, a number or nothing, as a cell of a table."""
    if value is None:
        return ""
    if isinstance(value, dict):
        return f"{value['median']:,.{digits}f} [{value['min']:,.{digits}f}-{value['max']:,.{digits}f}]"
    return value if isinstance(value, str) else f"{value:,.{digits}f}"


def table(lines):
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    for line in lines:
        print("  ".join(text.ljust(width) for text, width in zip(line, widths)).rstrip())


def in_turns(names, rounds, measure):
    """Rounds that each measure everything once, beginning with another each time; who is next to whom must not matter."""
    seen = []
    for number in range(rounds):
        turn = number % len(names)
        one = {name: measure(name) for name in names[turn:] + names[:turn]}
        seen.append({name: one[name] for name in names})
        print(f"round {number + 1}: " + ", ".join(f"{name} {one[name]['cpu_us']:.2f}" for name in names), file=sys.stderr)
    return seen


def machine():
    """What the figures were measured on, and how busy others kept it."""
    info = Path("/proc/cpuinfo").read_text()
    model = re.search(r"model name\s*:\s*(.*)", info)
    return {
        "cpu": model[1] if model else "unknown",
        "cores": os.cpu_count(),
        "kernel": os.uname().release,
        "load_average": os.getloadavg()[0],
    }
