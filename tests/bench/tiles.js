// How fast tiles move between two nodes on this machine, against plain TCP and the data plane.
//
//   . scripts/env.sh && node tests/bench/tiles.js [MIB]
//
// The same MIB of payload (32) go four ways: through a bare TCP connection; from node to node as
// tiles, hashed, written and checked; from a node's IPFS server by bitswap, in blocks of 1 MiB, to
// a client in JavaScript that checks their hashes; and out of the node by its RPC, which is how
// workers read the data plane. For the last two they are stored on the chain before, which takes a
// second for each MiB. Prints a row of a table for each.

import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { connect as dial, createServer } from 'node:net';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
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

/** Prints a row; `started` is what performance.now() said. */
function report(what, bytes, started) {
	const seconds = (performance.now() - started) / 1_000;
	const rate = (bytes / 1e6 / seconds).toFixed(1);
	console.log(`| ${what} | ${bytes / MIB} MiB | ${seconds.toFixed(2)} s | ${rate} MB/s |`);
}

async function overTcp(bytes) {
	const worker = new Worker(fileURLToPath(import.meta.url), { workerData: { bytes } });
	const [port] = await once(worker, 'message');
	const started = performance.now();
	const socket = dial(port, '127.0.0.1');
	let received = 0;
	socket.on('data', (chunk) => {
		received += chunk.length;
	});
	await once(socket, 'close');
	if (received !== bytes) {
		throw new Error(`${received} of ${bytes} bytes came`);
	}
	report('plain TCP, nothing hashed or written', bytes, started);
}

async function overTiles({ Node, temporaryFolder, peersOf, Transfer, writeTile }, payload) {
	const folders = [temporaryFolder(), temporaryFolder()].map((folder) => join(folder, 'tiles'));
	const root = writeTile(folders[0], payload);
	const sender = await Node.start(['--dev', '--tiles-dir', folders[0], '--ipfs-server']);
	const known = ['--bootnodes', await sender.address()];
	const args = ['--chain', 'dev', '--no-mdns', '--tiles-dir', folders[1], ...known];
	const receiver = await Node.start(args);
	await peersOf(receiver, 1);
	// So that its tree is made before.
	await sender.rpc('tiles_offer', root);
	const started = performance.now();
	const transfer = await Transfer.want(receiver, root, payload.length);
	const { state, error } = await transfer.over();
	if (state !== 'done') {
		throw new Error(`the transfer is ${state}: ${error}`);
	}
	report('`/blyan/tile/1`, verified and written', payload.length, started);
	// It would take part in what is measured next.
	await transfer.close();
	await receiver.kill();
	return sender;
}

/** Stores the payload on the chain of `node` by MiB; a client of the node, and their hashes. */
async function store({ connect, wellKnown, blake2b }, node, payload) {
	const client = await connect(node);
	await client.best(1);
	const hashes = [];
	for (let at = 0; at < payload.length; at += MIB) {
		const shard = payload.subarray(at, at + MIB);
		const stored = client.api.tx.shards.store(`0x${shard.toString('hex')}`);
		await client.applied(stored, wellKnown('Alice'));
		hashes.push(blake2b(shard));
	}
	return { client, hashes };
}

async function overBitswap({ Bitswap }, node, hashes, bytes) {
	const bitswap = await Bitswap.dial(node);
	const started = performance.now();
	const blocks = await bitswap.fetch(hashes);
	if (blocks.includes(null)) {
		throw new Error('the node does not have what it has stored');
	}
	report('bitswap from the IPFS server, to a client in JavaScript, verified', bytes, started);
}

async function overRpc(client, hashes, bytes) {
	const started = performance.now();
	for (const hash of hashes) {
		await client.fetchShard(hash);
	}
	report('`bitswap_v1_get`, local read by JSON-RPC, no network', bytes, started);
}

async function main() {
	// Not above, since the other thread needs none of it.
	const names = ['bitswap', 'client', 'formats', 'node', 'scope', 'tiles'];
	const [bitswap, client, formats, nodes, scope, tiles] = await Promise.all(
		names.map((name) => import(`../support/${name}.js`)),
	);
	const payload = randomBytes(Number(process.argv[2] ?? 32) * MIB);
	try {
		await overTcp(payload.length);
		const sender = await overTiles({ ...nodes, ...tiles }, payload);
		const stored = await store({ ...client, ...formats }, sender, payload);
		await overBitswap(bitswap, sender, stored.hashes, payload.length);
		await overRpc(stored.client, stored.hashes, payload.length);
	} finally {
		await scope.cleanUp();
	}
}

await (isMainThread ? main() : serve(workerData));
