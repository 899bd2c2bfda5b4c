"""One measurement: a server of its own, the program under test, and the figures of both."""
import importlib.machinery
import importlib.util
import json
import os
import subprocess
import sys
import threading
import urllib.parse

from systems import AT_ONCE, BATCH, FIGURES, HERE, PAYLOAD, PRODUCERS, ROOT, SYSTEMS

# Longest time of one measurement, s: something is stuck after that.
STUCK_AFTER = 240
BULRUSH_FIGURES = FIGURES + ("bytes_per_waiting_job", "bytes_per_finished_job", "server_cpu_us_per_job")


def port_proof():
    """scripts/port-proof as a module: the private server, and the loops that drive the floor scripts."""
    path = os.path.join(ROOT, "scripts", "port-proof")
    loader = importlib.machinery.SourceFileLoader("port_proof", path)
    spec = importlib.util.spec_from_loader("port_proof", loader)
    module = importlib.util.module_from_spec(spec)
    # Nothing is written beside the scripts.
    sys.dont_write_bytecode = True
    loader.exec_module(module)
    return module


class Failed(Exception):
    """A measurement that gave no figure; the others go on."""


# --- servers -------------------------------------------------------------------------------------------------------------------------

class Server:
    """Processor time and memory of a server that is ours, from the outside."""

    def __init__(self, proof, url=None):
        self.proof, self.given = proof, url

    def __enter__(self):
        if self.given is None:
            self.private = self.proof.Server().__enter__()
            self.call, self.url = self.private.call, f"redis://127.0.0.1:{self.private.port}"
        else:
            self.url = self.given
            self.call = remote(self.proof, self.given)
            keys = self.call("DBSIZE")
            if keys:
                raise SystemExit(f"bench-peers: the server at {self.given} holds {keys} keys; give one that is empty, it is flushed")
        return self

    def __exit__(self, *error):
        if self.given is None:
            self.private.__exit__(*error)
        else:
            self.call("FLUSHALL", "SYNC")

    def cpu_us(self):
        info = info_fields(self.call("INFO", "cpu"))
        return sum(float(info[f"used_cpu_{kind}_main_thread"]) for kind in ("user", "sys")) * 1e6

    def memory(self):
        return int(info_fields(self.call("INFO", "memory"))["used_memory"])


def remote(proof, url):
    """A connection to a server that was given."""
    parts = urllib.parse.urlsplit(url)
    if parts.scheme != "redis" or not parts.hostname or parts.password or parts.path not in ("", "/"):
        raise SystemExit(f"bench-peers: {url} cannot be used; an address is redis://HOST[:PORT], without password and database")
    try:
        return proof.Connection(parts.port or 6379, parts.hostname)
    except OSError as error:
        raise SystemExit(f"bench-peers: {url} does not answer: {error}") from None


def info_fields(text):
    return dict(line.split(":", 1) for line in text.decode().splitlines() if ":" in line)


# --- one measurement -----------------------------------------------------------------------------------------------------------------

def figures(line, wanted=FIGURES):
    """A line of figures, checked."""
    try:
        row = json.loads(line)
    except ValueError:
        raise Failed(f"not a line of figures: {line.strip()!r}") from None
    missing = [name for name in wanted if not isinstance(row, dict) or name not in row]
    if missing:
        raise Failed(f"{', '.join(missing)} missing in {line.strip()}")
    bad = [name for name in wanted if row[name] is not None and not isinstance(row[name], (int, float))]
    if bad or not row["jobs"] or not row["jobs_per_s"]:
        raise Failed(f"no figures in {line.strip()}")
    return row


class Peer:
    """A peer's program that is running."""

    def __init__(self, command):
        # Errors are told without a backtrace, which would push them out of what is kept.
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                        env=os.environ | {"RUST_BACKTRACE": "0"})
        self.errors = []
        self.reader = threading.Thread(target=self.read_errors, daemon=True)
        self.reader.start()
        self.stuck = threading.Timer(STUCK_AFTER, self.process.kill)
        self.stuck.start()

    def read_errors(self):
        for line in self.process.stderr:
            self.errors = (self.errors + [line.rstrip()])[-8:]

    def line(self):
        line = self.process.stdout.readline()
        if not line:
            self.process.wait()
            self.reader.join(1)
            raise Failed(f"it ended with {self.process.returncode}: {' / '.join(self.errors) or 'no word'}")
        return line

    def stage(self, name):
        line = self.line()
        try:
            row = json.loads(line)
        except ValueError:
            row = None
        if not isinstance(row, dict) or row.get("stage") != name:
            raise Failed(f"the stage {name} was due, it says {line.strip()!r}")
        return row

    def go_on(self):
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def end(self):
        self.stuck.cancel()
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()


def measure_peer(command, scenario, server):
    """Figures of one scenario, as rows."""
    peer = Peer(command)
    try:
        peer.stage("connected")
        empty, waiting = server.memory(), None
        if scenario == "process":
            peer.go_on()
            peer.stage("filled")
            waiting = server.memory() - empty
        before = server.cpu_us()
        peer.go_on()
        row = figures(peer.line())
        row["server_cpu_us_per_job"] = (server.cpu_us() - before) / row["jobs"]
        finished = server.memory() - empty
        peer.go_on()
        counted = peer.stage("checked")["count"]
        if counted != row["jobs"]:
            raise Failed(f"{row['jobs']} jobs were asked for, it counts {counted}")
    except BrokenPipeError:
        raise Failed("it ended early") from None
    finally:
        peer.end()
    rows = [dict(row, scenario=scenario)]
    if waiting is not None:
        rows.append({"scenario": "bytes", "jobs": row["jobs"], "bytes_per_waiting_job": waiting / row["jobs"],
                     "bytes_per_finished_job": finished / row["jobs"]})
    return rows


def measure_bulrush(scenario, jobs, server):
    command = [binary("bulrush"), "bench", "--json", "--backend", server.url, "--scenario", scenario, "--jobs", str(jobs),
               "--batch", str(BATCH), "--payload", str(PAYLOAD), "--concurrency", str(concurrency(scenario))]
    try:
        ran = subprocess.run(command, capture_output=True, text=True, timeout=STUCK_AFTER)
    except subprocess.TimeoutExpired:
        raise Failed(f"stuck for {STUCK_AFTER} s") from None
    if ran.returncode:
        raise Failed(f"it ended with {ran.returncode}: {ran.stderr.strip()}")
    row = figures(ran.stdout, BULRUSH_FIGURES)
    if scenario == "bytes":
        return [{name: row[name] for name in ("scenario", "jobs", "bytes_per_waiting_job", "bytes_per_finished_job")}]
    return [{name: row[name] for name in ("scenario",) + FIGURES + ("server_cpu_us_per_job",)}]


def measure_floor(proof, scenario, jobs):
    """The floor scripts: what Redis does for the packed layout, with no checks and no client."""
    with proof.Server() as server:
        server.load()
        if scenario == "add-bulk":
            timer = proof.load_floor_add(server, 0, jobs, BATCH)
        else:
            proof.load_floor_add(server, 0, jobs, BATCH)
            timer = proof.load_floor_process(server, jobs, BATCH)
            if server.call("LLEN", "{q}done") != jobs:
                raise Failed("the floor did not process all jobs")
        return [{"scenario": scenario, "jobs": jobs, "jobs_per_s": timer.rate, "server_cpu_us_per_job": timer.us}]


def binary(name, manifest=ROOT):
    return os.path.join(os.environ.get("CARGO_TARGET_DIR") or os.path.join(manifest, "target"), "release", name)


def concurrency(scenario):
    return PRODUCERS if scenario == "add-concurrent" else AT_ONCE


def command_of(system, scenario, jobs, url):
    program = SYSTEMS[system].program
    start = ["node", os.path.join(HERE, program)] if program.endswith(".js") else [binary(program, os.path.join(HERE, "rust"))]
    pause = SYSTEMS[system].latency_pause_ms
    return start + [url, scenario] + [str(n) for n in (jobs, BATCH, concurrency(scenario), PAYLOAD, pause)]
