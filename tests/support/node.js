// Starts the real node and waits for what it does.

import { execFile } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { parseExact, stringifyExact } from './json.js';
import { REPOSITORY } from './paths.js';
import { binary, Process, temporaryFolder } from './process.js';
import { later } from './scope.js';

export { temporaryFolder };

/** Until a node answers: it may have to compile its runtime first, on a machine that is busy. */
const START_MS = 120_000;
/** Until a maintenance command is done. */
const COMMAND_MS = 120_000;
/** Bytes that a command may print; a chain specification with its code has several million. */
const COMMAND_BYTES = 128 * 1024 * 1024;
/** Where a chain's state has the runtime: `:code`. */
const CODE_KEY = '0x3a636f6465';

/** Runs a maintenance command of the node; what it printed. Fails if the command does. */
export async function command(...args) {
	const limits = { timeout: COMMAND_MS, maxBuffer: COMMAND_BYTES };
	return promisify(execFile)(binary('blyan-node'), args, limits);
}

/**
 * The specification of the development chain as a file with the state of the genesis in it. A node
 * that has to make that compiles the runtime for it, each time it starts.
 */
export function developmentChain() {
	const file = process.env.BLYAN_DEV_CHAIN;
	if (!file) {
		throw new Error('BLYAN_DEV_CHAIN is not set; start the tests with tests/run.sh');
	}
	return file;
}

/**
 * The development chain as if it were public, as a file. Its nodes take no addresses of this
 * machine from one another, so that they know only those that they were told.
 */
export function publicChain() {
	const specification = readFileSync(developmentChain(), 'utf8');
	const changed = specification.replace(/("chainType": *)"Development"/, '$1"Live"');
	if (changed === specification) {
		throw new Error(`${developmentChain()} has no "chainType": "Development"`);
	}
	const file = join(temporaryFolder(), 'public.json');
	writeFileSync(file, changed);
	return file;
}

/**
 * The specification of a network: the committed one, with the runtime in it. The node would have to
 * compile that to tell the same; node.test.js checks that it is the same.
 */
function specificationOf(network) {
	const committed = join(REPOSITORY, 'chain-spec', `${network}.json`);
	const specification = parseExact(readFileSync(committed, 'utf8'));
	const { raw } = JSON.parse(readFileSync(developmentChain(), 'utf8')).genesis;
	specification.genesis.runtimeGenesis.code = raw.top[CODE_KEY];
	return specification;
}

/**
 * Writes the specification of a network whose genesis is changed by `change`, as a file with the
 * state of the genesis in it; the file.
 */
export async function changedChain(network, change) {
	const specification = specificationOf(network);
	change(specification.genesis.runtimeGenesis.patch);
	const folder = temporaryFolder();
	const changed = join(folder, 'changed.json');
	writeFileSync(changed, stringifyExact(specification));
	const file = join(folder, 'chain.json');
	await command('export-chain-spec', '--raw', '--chain', changed, '--output', file);
	return file;
}

/** A running node. */
export class Node extends Process {
	#args;
	#port;

	/**
	 * Starts a node on free ports and waits until its RPC server is up. Its data is in `base`; it
	 * is killed when the test is done.
	 */
	static start(args, base = temporaryFolder()) {
		return Node.#start(args, base, 0);
	}

	static async #start(args, base, port) {
		const node = new Node(args, base, port);
		later(() => node.kill());
		const [, bound] = await node.logged(
			/Running JSON-RPC server: addr=.*?127\.0\.0\.1:(\d+)/,
			'the RPC server to start',
			START_MS,
		);
		// A node whose port is taken looks for another one.
		if (port !== 0 && Number(bound) !== port) {
			throw new Error(`port ${port} is taken, by whom? The node serves RPC at ${bound}`);
		}
		node.#port = Number(bound);
		return node;
	}

	constructor(args, base, port = 0) {
		const own = [
			...['--base-path', base],
			...['--rpc-port', `${port}`],
			...['--prometheus-port', '0'],
			...['--listen-addr', '/ip4/127.0.0.1/tcp/0'],
			// The runtime is the same in all of them, and takes seconds to compile.
			...['--runtime-cache', join(dirname(binary('blyan-node')), 'runtime-cache')],
			'--no-telemetry',
			'--disable-log-color',
		];
		const options = args.filter((arg) => arg.startsWith('--')).join(' ');
		super(`the node ${options}`, 'blyan-node', [...own, ...args]);
		this.base = base;
		this.#args = args;
	}

	/**
	 * Starts the node anew that this one was: with its data, and its RPC server where it was. With
	 * other arguments it may do something else.
	 */
	again(args = this.#args) {
		return Node.#start(args, this.base, this.#port);
	}

	/** Where polkadot.js connects to. */
	get url() {
		return `ws://127.0.0.1:${this.#port}`;
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
		const response = await fetch(`http://127.0.0.1:${this.#port}`, {
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

	/** Number of the newest final block. */
	async finalised() {
		const header = await this.rpc('chain_getHeader', await this.rpc('chain_getFinalizedHead'));
		return Number(header.number);
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
}
