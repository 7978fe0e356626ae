// Runs `blyan`: commands that answer, and workers that go on until they are killed.

import { execFile } from 'node:child_process';
import { appendFileSync, lstatSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { binary, Process, temporaryFolder } from './process.js';
import { later } from './scope.js';

/** Until a command is done: the longest waits for a few blocks, on a machine that is busy. */
const COMMAND_MS = 120_000;
/** Until a worker is up and registered. */
const START_MS = 120_000;
/** Until an event that somebody has to train for, on a machine that is busy. */
const EVENT_MS = 240_000;
/** Bytes that a command may print. */
const COMMAND_BYTES = 16 * 1024 * 1024;

/**
 * What `blyan` answers to these words; they come after the address of `node`, if there is one. An
 * error of a command that fails has its `code`, its `stdout` and its `stderr`.
 */
export async function blyan(node, ...words) {
	const place = node ? ['--url', node.url] : [];
	const limits = { timeout: COMMAND_MS, maxBuffer: COMMAND_BYTES };
	const args = ['--json', ...place, ...words.map(String)];
	const { stdout } = await promisify(execFile)(binary('blyan'), args, limits);
	return JSON.parse(stdout);
}

/** What `blyan` prints for people to these words, as text. */
export async function table(node, ...words) {
	const limits = { timeout: COMMAND_MS, maxBuffer: COMMAND_BYTES };
	const args = ['--url', node.url, ...words.map(String)];
	return (await promisify(execFile)(binary('blyan'), args, limits)).stdout;
}

/** The event in a line of a worker; null if there is none. */
function eventIn(line) {
	try {
		return JSON.parse(line);
	} catch {
		return null; // Not an event, but a complaint.
	}
}

/** The names in a folder, in order; none if there is no such folder. */
function list(folder) {
	try {
		return readdirSync(folder).sort();
	} catch (error) {
		if (error.code === 'ENOENT' || error.code === 'ENOTDIR') {
			return [];
		}
		throw error;
	}
}

/** Bytes of all files below these folders, one with several names counted once. */
export function bytesIn(...folders) {
	const files = new Map();
	const look = (path) => {
		const about = lstatSync(path, { throwIfNoEntry: false });
		if (about?.isDirectory()) {
			list(path).forEach((name) => look(join(path, name)));
		} else if (about?.isFile()) {
			files.set(about.ino, about.size);
		}
	};
	folders.forEach(look);
	return [...files.values()].reduce((sum, bytes) => sum + bytes, 0);
}

/** The lines of a table of a configuration. */
const linesOf = (table) =>
	Object.entries(table).map(([field, value]) => `${field} = ${JSON.stringify(value)}`);

/** A worker: the same configuration and the same folder, however often it is started. */
export class Worker {
	#config;
	#data;
	#process;
	#runs = 0;

	/**
	 * A worker of `node` in these roles that signs as `account`, a well-known one. `storage` and
	 * `renewal` are fields of these tables of its configuration. If there is a limit for all of its
	 * files, it is the one for what it can fetch again as well.
	 */
	constructor(node, account, roles, storage = {}, renewal = null) {
		this.account = account;
		const folder = join(temporaryFolder(), account);
		mkdirSync(folder);
		this.#config = join(folder, 'worker.toml');
		this.#data = join(folder, 'data');
		const lines = [
			`urls = ["${node.url}"]`,
			`dev = "//${account}"`,
			`roles = ${JSON.stringify(roles)}`,
			'data_dir = "data"',
			'threads = 1',
			...(storage.max_mib === undefined ? [] : [`disk_limit_mib = ${storage.max_mib}`]),
			'[storage]',
			...linesOf(storage),
			...(renewal === null ? [] : ['[renewal]', ...linesOf(renewal)]),
			'[hardware]',
			'device = "cpu"',
			`id = "${Buffer.from(account).toString('hex').padEnd(64, '0')}"`,
		];
		writeFileSync(this.#config, lines.join('\n'));
	}

	/** Adds fields to the table `[hardware]` of its configuration, for its next start. */
	describe(hardware) {
		appendFileSync(this.#config, ['', ...linesOf(hardware)].join('\n'));
	}

	/** Starts it and waits until it works. It is killed when the test is done. */
	async start() {
		this.#runs += 1;
		const name = `worker ${this.account}, run ${this.#runs}`;
		const args = ['--json', 'worker', '--config', this.#config];
		const started = new Process(name, 'blyan', args);
		later(() => started.kill());
		this.#process = started;
		const first = this.#runs === 1 ? 'registered' : 'started';
		await this.event(first, {}, 1, START_MS);
	}

	/** Kills it, as a power failure does. It must have been running. */
	async kill() {
		const { code, signal } = await this.#process.kill();
		if (signal !== 'SIGKILL') {
			throw new Error(`it had ended by itself, with exit code ${code}\n${this.tail()}`);
		}
	}

	/** Lets it sleep, as a machine does whose lid is closed. */
	sleep() {
		this.#process.signal('SIGSTOP');
	}

	/** Wakes it up. */
	wake() {
		this.#process.signal('SIGCONT');
	}

	/** Its folder. The module `files` of the workers says what is where. */
	get data() {
		return this.#data;
	}

	/** The folders of the chains that it knows. */
	chains() {
		const chains = join(this.#data, 'chains');
		return list(chains).map((chain) => join(chains, chain));
	}

	/** What it has on disk of a round: names of files, and of files in folders as `folder/file`. */
	filesOf(round) {
		const prefix = `${String(round).padStart(8, '0')}-`;
		const rounds = this.chains().map((chain) => join(chain, 'rounds'));
		const folders = rounds.flatMap((place) =>
			list(place)
				.filter((name) => name.startsWith(prefix))
				.map((name) => join(place, name)),
		);
		return folders.flatMap((folder) =>
			list(folder).flatMap((name) => {
				const within = list(join(folder, name)).map((file) => `${name}/${file}`);
				return within.length > 0 ? within : [name];
			}),
		);
	}

	/** The last lines of its log. */
	tail() {
		return this.#process.tail();
	}

	/** The events of these names in its present run, so far. */
	seen(...names) {
		const events = this.#process.lines.map(eventIn);
		return events.filter((event) => names.includes(event?.event));
	}

	/** Waits for the first match of `pattern` in the log of its present run that passes `test`. */
	logged(pattern, test) {
		const find = (line) => {
			const match = pattern.exec(line);
			return match !== null && test(match) ? match : null;
		};
		return this.#process.found(find, `${pattern}`, EVENT_MS);
	}

	/**
	 * Waits for the `count`th event of this name with these fields in its present run. A field is a
	 * value, or a function that says whether a value will do.
	 */
	event(name, fields = {}, count = 1, ms = EVENT_MS) {
		let left = count;
		const wanted = Object.entries({ event: name, ...fields });
		const fits = (event) =>
			wanted.every(([field, value]) =>
				typeof value === 'function' ? value(event[field]) : event[field] === value,
			);
		const find = (line) => {
			const event = eventIn(line);
			if (event === null || !fits(event)) {
				return null;
			}
			left -= 1;
			return left === 0 ? event : null;
		};
		return this.#process.found(find, `${count} × ${name}`, ms);
	}
}
