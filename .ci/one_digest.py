"""Exits 0 when every node of a quiet cluster shows one sequence and one state digest."""

import json
import subprocess
import sys

binary, ports = sys.argv[1], sys.argv[2:]
seen = set()
for port in ports:
    command = [binary, "ctl", "--endpoint", f"127.0.0.1:{port}", "--output", "json", "cluster", "status"]
    status = json.loads(subprocess.run(command, check=True, capture_output=True, timeout=10).stdout)
    seen.add((status["sequence"], status["applied_index"], status["state_digest"]))
if len(seen) != 1:
    sys.exit(f"the nodes differ: {sorted(seen)}")
