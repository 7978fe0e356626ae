// Runs the programs under test and waits for what they say. Nothing is left of them afterwards.

import { spawn } from 'node:child_process';
import { EventEmitter } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { later, within } from './scope.js';

/** Until a process that was asked to stop has stopped. */
const STOP_MS = 90_000;
/** Lines of the log that an error shows. */
const TAIL_LINES = 30;

/** What runs, and folders that exist, in case this process ends without cleaning up. */
const running = new Set();
const folders = new Set();

process.once('exit', () => {
	for (const child of running) {
		child.signal('SIGKILL');
	}
	for (const folder of folders) {
		rmSync(folder, { recursive: true, force: true });
	}
});
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
	process.on(signal, () => process.exit(1));
}

/** Where the build has put a program. */
export function binary(name) {
	const target = process.env.CARGO_TARGET_DIR;
	if (!target) {
		throw new Error('CARGO_TARGET_DIR is not set; start the tests with tests/run.sh');
	}
	return join(target, 'debug', name);
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

/** A process that runs, and its log. */
export class Process {
	#child;
	#lines = [];
	#events = new EventEmitter();
	#ended;

	/** Starts `program`, one of ours; `name` stands for it in errors. */
	constructor(name, program, args) {
		this.name = name;
		this.#events.setMaxListeners(0);
		// In a process group of its own, so that nothing it may start outlives it.
		this.#child = spawn(binary(program), args, {
			detached: true,
			stdio: ['ignore', 'pipe', 'pipe'],
		});
		running.add(this);
		// A process by itself is no reason to wait: whoever waits for it holds a timer.
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

	/** What it has said so far, line by line. */
	get lines() {
		return [...this.#lines];
	}

	/** The last lines of the log. */
	tail() {
		return [`log of ${this.name}:`, ...this.#lines.slice(-TAIL_LINES)].join('\n\t');
	}

	/**
	 * What `find` makes of the first line for which that is neither null nor undefined. It is handed
	 * every line in order, those that are there already first.
	 */
	async found(find, what, ms) {
		let look;
		const found = new Promise((resolve, reject) => {
			look = (line) => {
				const value = find(line) ?? null;
				if (value !== null) {
					resolve(value);
				}
			};
			this.#lines.forEach(look);
			this.#events.on('line', look);
			this.#ended.then(({ error, code, signal }) => {
				const how = error ? error.message : `exit code ${code}, signal ${signal}`;
				const why = `waiting for ${what}, ${this.name} ended: ${how}`;
				reject(new Error(`${why}\n${this.tail()}`));
			});
		});
		try {
			return await within(ms, () => `${what}\n${this.tail()}`, found);
		} finally {
			this.#events.off('line', look);
		}
	}

	/** The match of `pattern` in the first line of the log that has one. */
	logged(pattern, what, ms) {
		return this.found((line) => pattern.exec(line), what, ms);
	}

	/** Sends a signal to its process group. */
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
		const what = () => `${this.name} to end after ${signal}\n${this.tail()}`;
		return within(STOP_MS, what, this.#ended);
	}

	/** Asks it to stop, as an operator does; how it ended. */
	stop() {
		return this.#end('SIGTERM');
	}

	/** Ends it without asking, as a power failure does; how it ended. */
	kill() {
		return this.#end('SIGKILL');
	}
}
