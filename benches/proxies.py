"""The proxies that `benches/peers` compares: how each is had, and how it is told to split callers evenly.

Each has one worker, keeps connections to its upstreams, sets `X-Forwarded-For` and writes no access log. HAProxy and nginx
come from the system's packages. Pingora is a library, so the smallest proxy on it is in `peers.d/pingora`; that and sozu are
built from the Rust registry, once. Who cannot be had is skipped, visibly.
"""

import shutil
import subprocess
import sys

import bench

OURS = "crossfade"
FLOOR = "tcp relay"
SOZU_VERSION = "2.3.3"
BUILT = bench.ROOT / "target" / "bench"


def crossfade(folder, name, port, legacy, new, _tunnels):
    [admin] = bench.free_ports(1)
    file = bench.router_file(folder, port, admin, legacy, new, 1, "gradual", 50, "0" * 64, name=name)
    return [bench.router_binary(), "serve", "-c", str(file)]


def haproxy(folder, name, port, legacy, new, _tunnels):
    path = folder / f"{name}.cfg"
    path.write_text(f"""
global
  nbthread 1
  maxconn 8192
defaults
  mode http
  option http-keep-alive
  option forwardfor
  http-reuse always
  timeout connect 2s
  timeout client 75s
  timeout server 15s
  timeout http-request 10s
  timeout tunnel 1h
frontend bench
  bind 127.0.0.1:{port}
  use_backend new if {{ req.hdr(x-user-id),xxh32,mod(10000) -m int lt 5000 }}
  default_backend legacy
backend legacy
  server legacy 127.0.0.1:{legacy}
backend new
  server new 127.0.0.1:{new}
""")
    return ["haproxy", "-db", "-f", str(path)]


def nginx_location(target, tunnels):
    # An empty `Connection` keeps connections to upstreams; where tunnels are opened it is what asks for one.
    upgrade = 'proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection "upgrade"; proxy_read_timeout 1h;'
    return f"""location / {{
      proxy_pass http://{target}; proxy_http_version 1.1; {upgrade if tunnels else 'proxy_set_header Connection "";'}
      proxy_set_header Host $host; proxy_set_header X-Forwarded-For $remote_addr;
    }}"""


def nginx_split(folder, name, port, legacy, new, tunnels):
    return bench.nginx(folder, name, f"""
  split_clients $http_x_user_id $side {{ 50% new; * legacy; }}
  upstream legacy {{ server 127.0.0.1:{legacy}; keepalive 128; keepalive_requests 1000000000; }}
  upstream new {{ server 127.0.0.1:{new}; keepalive 128; keepalive_requests 1000000000; }}
  server {{ listen 127.0.0.1:{port} backlog=4096; {nginx_location("$side", tunnels)} }}""")


def nginx_weighted(folder, name, port, legacy, new, tunnels):
    return bench.nginx(folder, name, f"""
  upstream both {{
    server 127.0.0.1:{legacy} weight=1; server 127.0.0.1:{new} weight=1; keepalive 128; keepalive_requests 1000000000;
  }}
  server {{ listen 127.0.0.1:{port} backlog=4096; {nginx_location("both", tunnels)} }}""")


def sozu(folder, name, port, legacy, new, _tunnels):
    path = folder / f"{name}.toml"
    path.write_text(f"""
command_socket = "{folder}/{name}.sock"
log_level = "error"
log_target = "stdout"
max_connections = 8192
max_buffers = 65536
worker_count = 1
worker_automatic_restart = false
handle_process_affinity = false
activate_listeners = true
[[listeners]]
protocol = "http"
address = "127.0.0.1:{port}"
[clusters.split]
protocol = "http"
load_balancing = "ROUND_ROBIN"
frontends = [{{ address = "127.0.0.1:{port}", hostname = "*" }}]
backends = [{{ address = "127.0.0.1:{legacy}" }}, {{ address = "127.0.0.1:{new}" }}]
""")
    return [str(BUILT / "sozu" / "bin" / "sozu"), "-c", str(path), "start"]


def pingora(_folder, _name, port, legacy, new, _tunnels):
    return [str(BUILT / "pingora" / "release" / "pingora-split"), *(f"127.0.0.1:{one}" for one in (port, legacy, new))]


def relay(_folder, _name, port, legacy, new, _tunnels):
    return [bench.load_binary(), "relay", *(f"127.0.0.1:{one}" for one in (port, legacy, new))]


MAKERS = {
    OURS: crossfade,
    "haproxy": haproxy,
    "nginx split_clients": nginx_split,
    "nginx weighted": nginx_weighted,
    "sozu": sozu,
    "pingora": pingora,
    FLOOR: relay,
}


def packaged(program):
    """Why a program of the system's packages is not there."""
    bench.install([program])
    return None if shutil.which(program) else f"{program} is not installed and cannot be here"


def built(command, needs, what):
    """Why something cannot be built; None once it is there. Only the first time takes its minutes."""
    bench.install(needs)
    missing = [program for program in needs if not shutil.which(program)]
    if missing:
        return f"{what} needs {', '.join(missing)} to be built"
    print(f"building {what}, unless it is there; the first time takes some minutes", file=sys.stderr)
    done = subprocess.run(command, cwd=bench.ROOT, capture_output=True, text=True)
    if done.returncode:
        return f"{what} cannot be built: " + " / ".join(done.stderr.strip().splitlines()[-3:])
    return None


def why_not(name):
    """Why a proxy cannot take part, or None."""
    cargo = ["cargo", "cc"]
    if name == "haproxy":
        return packaged("haproxy")
    if name.startswith("nginx"):
        return packaged("nginx")
    if name == "sozu":
        folder = BUILT / "sozu"
        if (folder / "bin" / "sozu").exists():
            return None
        return built(["cargo", "install", "sozu", "--version", SOZU_VERSION, "--locked", "--root", str(folder), "--target-dir",
                      str(folder / "build")], [*cargo, "protoc"], f"sozu {SOZU_VERSION}")
    if name == "pingora":
        manifest = bench.ROOT / "benches" / "peers.d" / "pingora" / "Cargo.toml"
        return built(["cargo", "build", "--release", "--locked", "--manifest-path", str(manifest), "--target-dir",
                      str(BUILT / "pingora")], [*cargo, "cmake"], "the proxy on Pingora")
    return None


def versions(names):
    """What each that takes part says it is."""
    asked = {"haproxy": ["haproxy", "-v"], "nginx split_clients": ["nginx", "-v"], "sozu": None, "pingora": None}
    found = {}
    for name in names:
        if command := asked.get(name):
            done = subprocess.run(command, capture_output=True, text=True)
            found[name] = (done.stdout + done.stderr).strip().splitlines()[0]
    if "sozu" in names:
        found["sozu"] = SOZU_VERSION
    if "pingora" in names:
        lock = (bench.ROOT / "benches" / "peers.d" / "pingora" / "Cargo.lock").read_text()
        found["pingora"] = lock.split('name = "pingora-proxy"\nversion = "')[1].split('"')[0]
    return found
