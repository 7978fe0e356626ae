// Starts the real node and waits for what it does.

import { execFile, spawn } from 'node:child_process';
import { EventEmitter } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';
import { later, within } from './scope.js';

/** Until a node answers: the debug build compiles its runtime first, on a machine that is busy. */
const START_MS = 120_000;
/** Until a node that was asked to stop has stopped. */
const STOP_MS = 90_000;
/** Until a maintenance command is done. */
const COMMAND_MS = 120_000;
/** Bytes that a command may print; a chain specification with its code has several million. */
const COMMAND_BYTES = 128 * 1024 * 1024;
/** Lines of the log that an error shows. */
const TAIL_LINES = 30;

/** Nodes that run, and folders that exist, in case the process ends without cleaning up. */
const running = new Set();
const folders = new Set();

process.once('exit', () => {
	for (const node of running) {
		node.signal('SIGKILL');
	}
	for (const folder of folders) {
		rmSync(folder, { recursive: true, force: true });
	}
});
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
	process.once(signal, () => process.exit(1));
}

function binary() {
	const target = process.env.CARGO_TARGET_DIR;
	if (!target) {
		throw new Error('CARGO_TARGET_DIR is not set; start the tests with tests/run.sh');
	}
	return join(target, 'debug', 'blyan-node');
}

/** A new folder, removed when the test is done. */
export function temporaryFolder() {
	const folder = mkdtempSync(join(tmpdir(), 'blyan-'));
	folders.add(folder);
	later(() => {
		rmSync(folder, { recursive: true, force: true, maxRetries: 3 });
		folders.delete(folder);
	});
	return folder;
}

/** Runs a maintenance command of the node; what it printed. Fails if the command does. */
export async function command(...args) {
	const limits = { timeout: COMMAND_MS, maxBuffer: COMMAND_BYTES };
	return promisify(execFile)(binary(), args, limits);
}

/** A running node. */
export class Node {
	#child;
	#lines = [];
	#events = new EventEmitter();
	#ended;
	#rpc;

	/**
	 * Starts a node on free ports and waits until its RPC server is up. Its data is in `base`; it
	 * is killed when the test is done.
	 */
	static async start(args, base = temporaryFolder()) {
		const node = new Node(args, base);
		later(() => node.kill());
		const [, port] = await node.logged(
			/Running JSON-RPC server: addr=.*?127\.0\.0\.1:(\d+)/,
			'the RPC server to start',
			START_MS,
		);
		node.#rpc = `127.0.0.1:${port}`;
		return node;
	}

	constructor(args, base) {
		this.name = args.filter((arg) => arg.startsWith('--')).join(' ');
		this.base = base;
		this.#events.setMaxListeners(0);
		const own = [
			...['--base-path', base],
			...['--rpc-port', '0'],
			...['--prometheus-port', '0'],
			...['--listen-addr', '/ip4/127.0.0.1/tcp/0'],
			'--no-telemetry',
			'--disable-log-color',
		];
		// In a process group of its own, so that nothing it may start outlives it.
		this.#child = spawn(binary(), [...own, ...args], {
			detached: true,
			stdio: ['ignore', 'pipe', 'pipe'],
		});
		running.add(this);
		// A node by itself is no reason to wait: whoever waits for it holds a timer.
		this.#child.unref();
		for (const stream of [this.#child.stdout, this.#child.stderr]) {
			stream.unref();
			createInterface({ input: stream }).on('line', (line) => {
				this.#lines.push(line);
				this.#events.emit('line', line);
			});
		}
		this.#ended = new Promise((resolve) => {
			const end = (how) => {
				running.delete(this);
				resolve(how);
			};
			this.#child.once('error', (error) => end({ error }));
			this.#child.once('close', (code, signal) => end({ code, signal }));
		});
	}

	/** The last lines of the log. */
	tail() {
		return [`log of ${this.name}:`, ...this.#lines.slice(-TAIL_LINES)].join('\n\t');
	}

	/** The match of `pattern` in the first line of the log that has one. */
	async logged(pattern, what, ms) {
		let look;
		const found = new Promise((resolve, reject) => {
			look = (line) => {
				const match = pattern.exec(line);
				if (match) {
					resolve(match);
				}
			};
			this.#lines.forEach(look);
			this.#events.on('line', look);
			this.#ended.then(({ error, code, signal }) => {
				const how = error ? error.message : `exit code ${code}, signal ${signal}`;
				reject(new Error(`waiting for ${what}, the node ended: ${how}\n${this.tail()}`));
			});
		});
		try {
			return await within(ms, () => `${what}\n${this.tail()}`, found);
		} finally {
			this.#events.off('line', look);
		}
	}

	/** Where polkadot.js connects to. */
	get url() {
		return `ws://${this.#rpc}`;
	}

	/** Where Prometheus reads. */
	async metricsUrl() {
		const pattern = /Prometheus exporter started at (\S+)/;
		const what = 'the Prometheus exporter to start';
		const [, address] = await this.logged(pattern, what, START_MS);
		return `http://${address}/metrics`;
	}

	/** The result of one RPC method. */
	async rpc(method, ...params) {
		const response = await fetch(`http://${this.#rpc}`, {
			method: 'POST',
			headers: { 'content-type': 'application/json' },
			body: JSON.stringify({ jsonrpc: '2.0', id: 1, method, params }),
			signal: AbortSignal.timeout(START_MS),
		});
		const { result, error } = await response.json();
		if (error) {
			throw new Error(`${method}: ${error.message}`);
		}
		return result;
	}

	/** Where other nodes find this one. */
	async address() {
		const peer = await this.rpc('system_localPeerId');
		const addresses = await this.rpc('system_localListenAddresses');
		const pattern = /^\/ip4\/127\.0\.0\.1\/tcp\/\d+/;
		const [address] = addresses.flatMap((listed) => pattern.exec(listed) ?? []);
		if (address === undefined) {
			throw new Error(`the node listens on no TCP port: ${addresses.join(', ')}`);
		}
		return `${address}/p2p/${peer}`;
	}

	/** Sends a signal to the node's process group. */
	signal(signal) {
		if (this.#child.pid === undefined) {
			return; // It could not be started.
		}
		try {
			process.kill(-this.#child.pid, signal);
		} catch (error) {
			// It may have ended by itself.
			if (error.code !== 'ESRCH') {
				throw error;
			}
		}
	}

	async #end(signal) {
		if (running.has(this)) {
			this.signal(signal);
		}
		const what = () => `the node to end after ${signal}\n${this.tail()}`;
		return within(STOP_MS, what, this.#ended);
	}

	/** Asks the node to stop, as an operator does; how it ended. */
	stop() {
		return this.#end('SIGTERM');
	}

	/** Ends the node without asking, as a power failure does. */
	kill() {
		return this.#end('SIGKILL');
	}
}
