#!/usr/bin/env bash
# Writes tiles/chain/metadata.scale, from which `blyan`'s calls and storage are typed, out of a running
# node; with --check, fails if the committed file is not what the node answers.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/env.sh
exec python3 - "$CARGO_TARGET_DIR/debug/blyan-node" tiles/chain/metadata.scale "${1:-}" <<'PYTHON'
import json, re, subprocess, sys, tempfile, urllib.request

node, path, mode = sys.argv[1:]

with tempfile.TemporaryDirectory() as base:
    process = subprocess.Popen(
        [node, "--dev", "--base-path", base, "--rpc-port", "0", "--port", "0",
         "--no-prometheus", "--no-telemetry", "--no-mdns"],
        stderr=subprocess.PIPE, text=True)
    try:
        for line in process.stderr:
            found = re.search(r"Running JSON-RPC server: addr=127\.0\.0\.1:(\d+)", line)
            if found:
                break
        else:
            sys.exit("the node ended before it served RPC")
        request = {"id": 1, "jsonrpc": "2.0", "method": "state_call",
                   "params": ["Metadata_metadata_at_version", "0x10000000"]}
        answer = urllib.request.urlopen(urllib.request.Request(
            f"http://127.0.0.1:{found[1]}", json.dumps(request).encode(),
            {"Content-Type": "application/json"}))
        data = bytes.fromhex(json.load(answer)["result"][2:])
    finally:
        process.kill()
        process.wait()

# Option<Vec<u8>>: one byte for Some, then the compact length, then the metadata.
assert data[0] == 1, "the runtime has no metadata of version 16"
metadata = data[1 + {0: 1, 1: 2, 2: 4}[data[1] & 3]:]
assert metadata[:4] == b"meta"

if mode == "--check":
    if open(path, "rb").read() != metadata:
        sys.exit(f"{path} is not what the node answers; run scripts/metadata.sh and commit it")
    print(f"{path}: current")
else:
    open(path, "wb").write(metadata)
    print(f"{path}: {len(metadata)} bytes")
PYTHON
