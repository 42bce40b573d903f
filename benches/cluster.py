"""Three nodes on this machine that a measurement starts, loads and kills."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager

PORT = 17_501
NODES = (1, 2, 3)
WAIT = 600


class Cluster:
    """Three nodes, with the configurations that `counterfoil dev` makes."""

    def __init__(self, binary, folder):
        self.binary, self.folder, self.nodes = binary, folder, {}
        dev = subprocess.Popen([binary, "dev", "--bare", "--dir", folder, "--port", str(PORT)], stdout=subprocess.DEVNULL)
        try:
            self.wait_for_all(0)
        finally:
            dev.send_signal(signal.SIGINT)
            dev.wait()

    def start(self, only=NODES):
        for node in only:
            log = open(f"{self.folder}/node-{node}.log", "a")
            command = [self.binary, "serve", "--config", f"{self.folder}/node-{node}.toml"]
            self.nodes[node] = subprocess.Popen(command, stdout=log, stderr=log)

    def end(self, how, only=NODES):
        ending = [self.nodes.pop(node) for node in only if node in self.nodes]
        for node in ending:
            node.send_signal(how)
        for node in ending:
            node.wait()

    def leader(self):
        """The leader, as soon as one node knows it."""
        while not (leaders := [seen["leader_id"] for node in self.nodes if (seen := self.status(node)) and seen["leader_id"]]):
            time.sleep(0.02)
        return leaders[0]

    def sequence(self, node):
        """The last event of a node, which may be too busy to say at once."""
        started = time.monotonic()
        while not (seen := self.status(node)):
            if time.monotonic() - started > WAIT:
                sys.exit(f"node {node} does not answer for {WAIT} s")
        return seen["sequence"]

    def status(self, node):
        command = [self.binary, "ctl", "--timeout", "1", "--endpoint", f"127.0.0.1:{PORT + node - 1}", "--output", "json"]
        done = subprocess.run(command + ["cluster", "status"], capture_output=True, text=True)
        return json.loads(done.stdout) if done.returncode == 0 else None

    def wait_for_all(self, sequence):
        """Until every node answers, knows a leader, and has come so far."""
        started = time.monotonic()
        for node in NODES:
            while not ((seen := self.status(node)) and seen["leader_id"] and seen["sequence"] >= sequence):
                if time.monotonic() - started > WAIT:
                    sys.exit(f"node {node} is not ready after {WAIT} s: {seen}")
                time.sleep(0.02)
        return time.monotonic() - started

    def bench_command(self, *words):
        endpoints = ",".join(f"127.0.0.1:{PORT + node - 1}" for node in NODES)
        return [self.binary, "bench", "--endpoint", endpoints, "--output", "json", "--warm-up", "0", *words]

    def bench(self, *words):
        done = subprocess.run(self.bench_command(*words), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        if done.returncode != 0:
            sys.exit(f"bench {' '.join(words)}: {done.stderr.strip()}")
        report = json.loads(done.stdout)
        if report["errors"]:
            sys.exit(f"bench {' '.join(words)}: {report['errors']} commands were refused")
        return report

    def memory_mib(self):
        def held(pid):
            fields = dict(line.split(":", 1) for line in open(f"/proc/{pid}/status"))
            return int(fields["VmRSS"].split()[0]) >> 10

        return max(held(node.pid) for node in self.nodes.values())

    def disk_bytes(self):
        """Of the node that takes the most, as the disk counts."""

        def taken(node):
            files = (os.path.join(at, name) for at, _, names in os.walk(f"{self.folder}/node-{node}") for name in names)
            return sum(size_of(file) for file in files)

        return max(taken(node) for node in NODES)


def size_of(file):
    try:
        return os.stat(file).st_blocks * 512
    except FileNotFoundError:  # purged meanwhile
        return 0


@contextmanager
def running(binary, where):
    """A cluster in a scratch folder, which is gone afterwards, as are the nodes."""
    folder = tempfile.mkdtemp(prefix="counterfoil-bench-", dir=where)
    try:
        cluster = Cluster(binary, folder)
        try:
            cluster.start()
            cluster.wait_for_all(0)
            yield cluster
        finally:
            cluster.end(signal.SIGKILL)
    finally:
        shutil.rmtree(folder)


def arguments_of(parser):
    """The options that all measurements of a cluster have, read."""
    root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    parser.add_argument("--accounts", type=int, default=10_000)
    parser.add_argument("--binary", default=os.path.join(root, "target/release/counterfoil"))
    parser.add_argument("--folder", help="where the scratch folder is made")
    return parser.parse_args()


def row(cells):
    print(f"| {' | '.join(str(cell) for cell in cells)} |", flush=True)
