// How fast tiles move between two nodes on this machine, against plain TCP and against the data plane.
//
//   . scripts/env.sh && node tests/bench/tiles.js [MIB] [SHARDS]
//
// MIB of payload (256) go from node to node, hashed, written and checked, and once through a bare TCP
// connection. SHARDS of its bytes (32), 1 MiB each, are stored on the chain before and fetched with
// `bitswap_v1_get`, which is how clients read the data plane. Prints a row of a table for each.

import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { connect as dial, createServer } from 'node:net';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';

const MIB = 1024 * 1024;
/** Bytes that are written at once. */
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
	const sender = await Node.start(['--dev', '--tiles-dir', folders[0]]);
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
	report('/blyan/tile/1, verified and written', payload.length, started);
	return sender;
}

async function overDataPlane({ connect, wellKnown, blake2b }, node, payload) {
	const client = await connect(node);
	await client.best(1);
	const cids = [];
	for (let at = 0; at < payload.length; at += MIB) {
		const shard = payload.subarray(at, at + MIB);
		const stored = client.api.tx.shards.store(`0x${shard.toString('hex')}`);
		await client.applied(stored, wellKnown('Alice'));
		cids.push(blake2b(shard));
	}
	const started = performance.now();
	for (const cid of cids) {
		await client.fetchShard(cid);
	}
	report('bitswap_v1_get, hexadecimal in JSON', payload.length, started);
}

async function main() {
	// Not above, since the other thread needs none of it.
	const [client, formats, nodes, scope, tiles] = await Promise.all(
		['client', 'formats', 'node', 'scope', 'tiles'].map((name) => import(`../support/${name}.js`)),
	);
	const [mebibytes = 256, shards = 32] = process.argv.slice(2).map(Number);
	const payload = randomBytes(mebibytes * MIB);
	try {
		await overTcp(payload.length);
		const sender = await overTiles({ ...nodes, ...tiles }, payload);
		const part = payload.subarray(0, Math.min(shards, mebibytes) * MIB);
		await overDataPlane({ ...client, ...formats }, sender, part);
	} finally {
		await scope.cleanUp();
	}
}

await (isMainThread ? main() : serve(workerData));
