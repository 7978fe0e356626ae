// How fast tiles move between two nodes on this machine, against plain TCP and the data plane.
//
//   . scripts/env.sh && node tests/bench/tiles.js [--mib 256] [--stored-mib 32] [--runs 5]
//
// In each run the same number of bytes goes three ways, one after the other: through a bare TCP
// connection; through one whose other end hashes them with BLAKE2b and writes them to a file and
// on to the disk; and from node to node as tiles, hashed, written and checked. What the second
// one hashes with is OpenSSL's BLAKE2b, whose digest has 512 bits: the same work for each byte.
// A run's tiles are new to both nodes, and removed before the next one.
//
// Then, as often, bytes of the data plane: from a node's IPFS server by bitswap to a client in
// JavaScript that checks their hashes, and out of the node by its RPC, which is how workers read
// the data plane. They are stored on the chain before, in blocks of 1 MiB, the most that it
// takes, which takes a second for each; so there are fewer of them. Bitswap itself allows 2 MiB
// in a block.
//
// Prints a row of a table for each way: median, least and most MB/s, and the median as a part of
// both TCP rows. A run takes twice the bytes of disk, and nodes leave 2 GiB of it free.

import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createWriteStream } from 'node:fs';
import { open, rm } from 'node:fs/promises';
import { connect as dial, createServer } from 'node:net';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';

const MIB = 1024 * 1024;
/** Bytes that are written to a bare connection at once. */
const CHUNK_BYTES = MIB;

/** The second end of the TCP connection: sends as many bytes as it is told to whoever connects. */
async function serve({ bytes }) {
	const chunk = randomBytes(CHUNK_BYTES);
	const server = createServer(async (socket) => {
		for (let left = bytes; left > 0; left -= CHUNK_BYTES) {
			if (!socket.write(chunk.subarray(0, Math.min(left, CHUNK_BYTES)))) {
				await once(socket, 'drain');
			}
		}
		socket.end();
		server.close();
	});
	server.listen(0, '127.0.0.1', () => parentPort.postMessage(server.address().port));
}

/** What was measured of one way. */
class Way {
	#what;
	#bytes;
	#seconds = [];

	constructor(what, bytes) {
		this.#what = what;
		this.#bytes = bytes;
	}

	/** Measures a run, which ends when `action` does. */
	async measure(action) {
		const started = performance.now();
		await action();
		this.#seconds.push((performance.now() - started) / 1_000);
	}

	/** MB/s of all runs, the least first. */
	#rates() {
		return this.#seconds.map((seconds) => this.#bytes / 1e6 / seconds).sort((a, b) => a - b);
	}

	/** The rate in the middle, or between the two in the middle. */
	median() {
		const rates = this.#rates();
		const half = rates.length >> 1;
		return rates.length % 2 === 1 ? rates[half] : (rates[half - 1] + rates[half]) / 2;
	}

	/** A row of the table, with how its median stands to those of `others`. */
	row(others) {
		const rates = this.#rates();
		const ratios = others.map((other) => (this.median() / other.median()).toFixed(2));
		const columns = [
			this.#what,
			`${rates.length} × ${this.#bytes / MIB} MiB`,
			...[this.median(), rates[0], rates.at(-1)].map((rate) => rate.toFixed(1)),
			...ratios,
		];
		return `| ${columns.join(' | ')} |`;
	}
}

/** A connection to somebody who sends so many bytes, and is there already. */
async function source(bytes) {
	const worker = new Worker(fileURLToPath(import.meta.url), { workerData: { bytes } });
	const [port] = await once(worker, 'message');
	return () => dial(port, '127.0.0.1');
}

/** What passes a stream on and counts it; `take` sees each piece. */
function counted(bytes, take = () => {}) {
	return async function* count(stream) {
		let received = 0;
		for await (const chunk of stream) {
			received += chunk.length;
			take(chunk);
			yield chunk;
		}
		if (received !== bytes) {
			throw new Error(`${received} of ${bytes} bytes came`);
		}
	};
}

async function overTcp(way, bytes) {
	const connect = await source(bytes);
	await way.measure(async () => {
		for await (const _ of counted(bytes)(connect())) {
			// They are dropped.
		}
	});
}

async function overTcpToDisk(way, bytes, folder) {
	const connect = await source(bytes);
	const path = join(folder, 'received');
	await way.measure(async () => {
		const hash = createHash('blake2b512');
		const hashing = counted(bytes, (chunk) => hash.update(chunk));
		await pipeline(connect(), hashing, createWriteStream(path));
		hash.digest();
		const file = await open(path, 'r+');
		await file.sync();
		await file.close();
	});
	await rm(path);
}

/** Two nodes that know one another, the folders of their tiles, and what they move tiles with. */
async function startNodes({ Node, temporaryFolder, peersOf }) {
	const folders = [temporaryFolder(), temporaryFolder()].map((folder) => join(folder, 'tiles'));
	const sender = await Node.start(['--dev', '--tiles-dir', folders[0], '--ipfs-server']);
	const known = ['--bootnodes', await sender.address()];
	const args = ['--chain', 'dev', '--no-mdns', '--tiles-dir', folders[1], ...known];
	const receiver = await Node.start(args);
	await peersOf(receiver, 1);
	return { sender, receiver, folders };
}

async function overTiles(way, bytes, { sender, receiver, folders }, { Transfer, ...tiles }) {
	const root = tiles.writeTile(folders[0], randomBytes(bytes));
	// So that its tree is made before.
	await sender.rpc('tiles_offer', root);
	let transfer;
	await way.measure(async () => {
		transfer = await Transfer.want(receiver, root, bytes);
		const { state, error } = await transfer.over();
		if (state !== 'done') {
			throw new Error(`the transfer is ${state}: ${error}`);
		}
	});
	// It would take part in what is measured next.
	await transfer.close();
	await Promise.all([sender, receiver].map((node) => node.rpc('tiles_withdraw', root)));
	await Promise.all(folders.map((folder) => rm(tiles.tilePath(folder, root))));
}

/** Stores `bytes` on the chain of `node` by MiB; a client of the node, and their hashes. */
async function store({ connect, wellKnown, blake2b }, node, bytes) {
	const client = await connect(node);
	await client.best(1);
	const hashes = [];
	for (let at = 0; at < bytes; at += MIB) {
		const shard = randomBytes(MIB);
		const stored = client.api.tx.shards.store(`0x${shard.toString('hex')}`);
		await client.applied(stored, wellKnown('Alice'));
		hashes.push(blake2b(shard));
	}
	return { client, hashes };
}

async function overBitswap(bitswap, hashes) {
	const blocks = await bitswap.fetch(hashes);
	if (blocks.includes(null)) {
		throw new Error('the node does not have what it has stored');
	}
}

async function overRpc(client, hashes) {
	for (const hash of hashes) {
		await client.fetchShard(hash);
	}
}

/** The options of the command line, each a whole number above zero. */
function read() {
	const option = (value) => ({ type: 'string', default: value });
	const options = { mib: option('256'), 'stored-mib': option('32'), runs: option('5') };
	const { values } = parseArgs({ options });
	for (const [name, value] of Object.entries(values)) {
		if (!/^[1-9]\d*$/.test(value)) {
			throw new Error(`--${name} must be a whole number above zero, not ${value}`);
		}
	}
	return {
		bytes: Number(values.mib) * MIB,
		stored: Number(values['stored-mib']) * MIB,
		runs: Number(values.runs),
	};
}

async function main() {
	const { bytes, stored, runs } = read();
	// Not above, since the other thread needs none of it.
	const names = ['bitswap', 'client', 'formats', 'node', 'scope', 'tiles'];
	const [{ Bitswap }, client, formats, nodes, scope, tiles] = await Promise.all(
		names.map((name) => import(`../support/${name}.js`)),
	);
	const plain = new Way('plain TCP, nothing hashed or written', bytes);
	const toDisk = new Way('plain TCP, hashed with BLAKE2b and written to a file', bytes);
	const moved = new Way('`/blyan/tile/1`, verified and written', bytes);
	const what = 'bitswap from the IPFS server, to a client in JavaScript, verified';
	const swapped = new Way(what, stored);
	const local = new Way('`bitswap_v1_get`, local read by JSON-RPC, no network', stored);
	try {
		const both = await startNodes({ ...nodes, ...tiles });
		const scratch = nodes.temporaryFolder();
		for (let run = 0; run < runs; run += 1) {
			await overTcp(plain, bytes);
			await overTcpToDisk(toDisk, bytes, scratch);
			await overTiles(moved, bytes, both, tiles);
		}
		// It would take part in what is measured next.
		await both.receiver.kill();
		const kept = await store({ ...client, ...formats }, both.sender, stored);
		const bitswap = await Bitswap.dial(both.sender);
		for (let run = 0; run < runs; run += 1) {
			await swapped.measure(() => overBitswap(bitswap, kept.hashes));
			await local.measure(() => overRpc(kept.client, kept.hashes));
		}
	} finally {
		await scope.cleanUp();
	}
	const titles = ['way', 'runs', 'median MB/s', 'least', 'most', '÷ TCP', '÷ TCP to disk'];
	console.log(`| ${titles.join(' | ')} |`);
	console.log(`|${'---|'.repeat(titles.length)}`);
	for (const way of [plain, toDisk, moved, swapped, local]) {
		console.log(way.row([plain, toDisk]));
	}
}

await (isMainThread ? main() : serve(workerData));
