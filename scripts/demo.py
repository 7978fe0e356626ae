#!/usr/bin/env python3
"""Blyan's main job from nothing, on this machine: a text becomes an approved dataset, two trainers learn
from it in rounds on a real chain, others check, merge and evaluate, BLY is paid, and the model writes.

    make demo                            three rounds
    make demo ARGS="--rounds 5"          more of them
    make demo ARGS="--cheat data"        one trainer uses other records, is refuted and slashed
    make demo ARGS="--keep"              leave node and workers running afterwards
"""

import argparse
import json
import os
import pathlib
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
TARGET = pathlib.Path(os.environ["CARGO_TARGET_DIR"]) / "debug"
# Who does what. All are funded development accounts; a contributor needs no funds.
WORKERS = {
    "auditor": "//One",
    "trainer-1": "//Bob",
    "trainer-2": "//Charlie",
    "verifier": "//Dave",
    "aggregator": "//Eve",
    "evaluator": "//Ferdie",
}
VOTERS = ["//Two", "//Alice//stash", "//Bob//stash"]
OWNER = "//Alice"
BLY = 10**18


class Failure(Exception):
    """Something that the user can read and act upon."""


def say(text=""):
    print(text, flush=True)


def heading(text):
    say(f"\n\033[1m== {text}\033[0m" if sys.stdout.isatty() else f"\n== {text}")


def human(size):
    return f"{size / 1024:.1f} KiB" if size < 1 << 20 else f"{size / (1 << 20):.2f} MiB"


class Process:
    """A child with its log in a file; what it says can be waited for."""

    def __init__(self, name, command, log):
        self.name, self.log = name, log
        self.child = subprocess.Popen(
            command, stdout=open(log, "w"), stderr=subprocess.STDOUT, start_new_session=True)

    def check(self):
        if self.child.poll() is not None:
            tail = "\n".join(self.log.read_text(errors="replace").splitlines()[-15:])
            raise Failure(f"{self.name} ended with {self.child.returncode}; the end of {self.log}:\n{tail}")

    def peak_memory(self):
        try:
            status = pathlib.Path(f"/proc/{self.child.pid}/status").read_text()
            return int(re.search(r"VmHWM:\s+(\d+)", status)[1]) * 1024
        except (OSError, TypeError):
            return 0

    def stop(self):
        if self.child.poll() is None:
            self.child.send_signal(signal.SIGTERM)
            try:
                self.child.wait(15)
            except subprocess.TimeoutExpired:
                self.child.kill()
                self.child.wait()
