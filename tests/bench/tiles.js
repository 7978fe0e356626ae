// How fast tiles move between two nodes on this machine, against plain TCP and the data plane.
//
//   . scripts/env.sh && node tests/bench/tiles.js [--mib 256] [--stored-mib 32] [--runs 5]
//
// In each run the same number of bytes goes three ways, one after the other: through a bare TCP
// connection; through one whose other end hashes them with BLAKE2b and writes them to a file and
// on to the disk; and from node to node as tiles, hashed, written and checked. What the second
// one hashes with is OpenSSL's BLAKE2b, whose digest has 512 bits: the same work for each byte.
//
// Then, as often and in turns, the very same bytes go these three ways and two more: from a node's
// IPFS server by bitswap, and out of the node by its RPC, which is how workers read the data plane.
// They are stored on the chain before, in blocks of 1 MiB, the most that it takes, which takes a
// second for each; so there are fewer of them. Bitswap itself allows 2 MiB in a block. In front of
// each run they are offered as one payload, piece behind piece.
//
// Clients differ: tiles come to a node, a program in Rust, which writes them to its disk; what
// comes by bitswap comes to a client in JavaScript, which checks its hashes, with BLAKE2b in
// WebAssembly, and writes nothing.
//
// Every run fetches everything: tiles are removed behind it, and how many bytes came is checked;
// what comes by bitswap is kept nowhere, and each time comes over a new connection.
//
// Prints a row of a table for each way: median, least and most MB/s, and the median as a part of
// both TCP rows of as many bytes. A run takes twice the bytes of disk, and nodes leave 2 GiB of it
// free.

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
/** Bytes that are written to a bare connection at once, of which all sizes here are multiples. */
const CHUNK_BYTES = MIB;
/** Until a node has the blocks that another one has, of 1 MiB each. */
const BLOCKS_MS = 120_000;
/** What the ways of bare connections are called. */
const TCP = [
	'plain TCP, nothing hashed or written',
	'plain TCP, hashed with BLAKE2b and written to a file',
];
/** The ways of bytes that are nowhere else. */
const NEW = [...TCP, '`/blyan/tile/1`, verified and written'];
/** The ways of bytes that lie on the chain. */
const STORED = [
	...TCP,
	'`/blyan/tile/1`, to a node in Rust, verified and written',
	'bitswap from the IPFS server, to a client in JavaScript, verified and not written',
	'`bitswap_v1_get`, local read by JSON-RPC, no network',
].map((what) => `stored bytes: ${what}`);

/**
 * The second end of the TCP connection: sends `bytes` bytes of `payload` to whoever connects, from
 * its beginning again if there are not as many.
 */
async function serve({ payload, bytes }) {
	const server = createServer(async (socket) => {
		for (let at = 0; at < bytes; at += CHUNK_BYTES) {
			const from = at % payload.length;
			if (!socket.write(payload.subarray(from, from + CHUNK_BYTES))) {
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

/** A connection to somebody who sends `sent`, and is there already. */
async function source(sent) {
	const worker = new Worker(fileURLToPath(import.meta.url), { workerData: sent });
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

async function overTcp(way, sent) {
	const connect = await source(sent);
	await way.measure(async () => {
		for await (const _ of counted(sent.bytes)(connect())) {
			// They are dropped.
		}
	});
}

async function overTcpToDisk(way, sent, folder) {
	const connect = await source(sent);
	const path = join(folder, 'received');
	await way.measure(async () => {
		const hash = createHash('blake2b512');
		const hashing = counted(sent.bytes, (chunk) => hash.update(chunk));
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

async function overTiles(way, payload, { sender, receiver, folders }, { Transfer, ...tiles }) {
	const root = tiles.writeTile(folders[0], payload);
	// So that its tree is made before.
	await sender.rpc('tiles_offer', root);
	let transfer;
	let end;
	await way.measure(async () => {
		transfer = await Transfer.want(receiver, root, payload.length);
		end = await transfer.over();
	});
	if (end.state !== 'done') {
		throw new Error(`the transfer is ${end.state}: ${end.error}`);
	}
	const came = Object.values(end.sources).reduce((sum, bytes) => sum + bytes, 0);
	if (came !== payload.length) {
		throw new Error(`${came} of ${payload.length} bytes came`);
	}
	// It would take part in what is measured next.
	await transfer.close();
	await Promise.all([sender, receiver].map((node) => node.rpc('tiles_withdraw', root)));
	await Promise.all(folders.map((folder) => rm(tiles.tilePath(folder, root))));
}

/**
 * Stores `bytes` bytes on the chain of `sender` by MiB, and waits until `receiver` has their
 * blocks, or it would fetch them in what is measured next. A client of the sender, the bytes, and
 * the hashes of their pieces.
 */
async function store({ connect, wellKnown, blake2b, eventually }, { sender, receiver }, bytes) {
	const client = await connect(sender);
	await client.best(1);
	const [shards, hashes] = [[], []];
	for (let at = 0; at < bytes; at += MIB) {
		const shard = randomBytes(MIB);
		const stored = client.api.tx.shards.store(`0x${shard.toString('hex')}`);
		await client.applied(stored, wellKnown('Alice'));
		shards.push(shard);
		hashes.push(blake2b(shard));
	}
	const newest = async (node) => Number((await node.rpc('chain_getHeader')).number);
	const last = await newest(sender);
	const what = () => `block ${last}\n${receiver.tail()}`;
	await eventually(BLOCKS_MS, what, async () => (await newest(receiver)) >= last);
	return { client, payload: Buffer.concat(shards), hashes };
}

async function overBitswap(way, hashes, { sender }, { Bitswap }) {
	// Anew each time: it was silent for a while, and a node may close what is.
	const bitswap = await Bitswap.dial(sender);
	await way.measure(async () => {
		const blocks = await bitswap.fetch(hashes);
		if (blocks.includes(null)) {
			throw new Error('the node does not have what it has stored');
		}
	});
}

async function overRpc(way, hashes, client) {
	await way.measure(async () => {
		for (const hash of hashes) {
			await client.fetchShard(hash);
		}
	});
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

/** Prints the table. The first two ways of each group are those of bare connections. */
function print(groups) {
	const titles = ['way', 'runs', 'median MB/s', 'least', 'most', '÷ TCP', '÷ TCP to disk'];
	console.log(`| ${titles.join(' | ')} |`);
	console.log(`|${'---|'.repeat(titles.length)}`);
	for (const ways of groups) {
		for (const way of ways) {
			console.log(way.row(ways.slice(0, TCP.length)));
		}
	}
	console.log('\nRows of "stored bytes" are of the same bytes, in turns; the others are of new ones.');
}

async function main() {
	const { bytes, stored, runs } = read();
	// Not above, since the other thread needs none of it.
	const names = ['bitswap', 'client', 'formats', 'node', 'scope', 'tiles'];
	const imported = names.map((name) => import(`../support/${name}.js`));
	const support = Object.assign({}, ...(await Promise.all(imported)));
	const ofNew = NEW.map((what) => new Way(what, bytes));
	const ofStored = STORED.map((what) => new Way(what, stored));
	try {
		const both = await startNodes(support);
		const scratch = support.temporaryFolder();
		for (let run = 0; run < runs; run += 1) {
			const sent = { payload: randomBytes(CHUNK_BYTES), bytes };
			await overTcp(ofNew[0], sent);
			await overTcpToDisk(ofNew[1], sent, scratch);
			await overTiles(ofNew[2], randomBytes(bytes), both, support);
		}
		const { client, payload, hashes } = await store(support, both, stored);
		const sent = { payload, bytes: stored };
		for (let run = 0; run < runs; run += 1) {
			await overTcp(ofStored[0], sent);
			await overTcpToDisk(ofStored[1], sent, scratch);
			await overTiles(ofStored[2], payload, both, support);
			await overBitswap(ofStored[3], hashes, both, support);
			await overRpc(ofStored[4], hashes, client);
		}
	} finally {
		await support.cleanUp();
	}
	print([ofNew, ofStored]);
}

await (isMainThread ? main() : serve(workerData));
