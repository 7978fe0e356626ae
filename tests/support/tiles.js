// Tile files, written from the description of the format, and transfers of them between nodes.

import { closeSync, mkdirSync, openSync, readFileSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { WsProvider } from '@polkadot/api';
import { bytesRoot } from './formats.js';
import { later, within } from './scope.js';

/** Bytes before the payload of a tile file. */
const HEADER_BYTES = 4_096;
/** Bytes of a leaf. */
export const LEAF_BYTES = 262_144;
/** Until something has become of a transfer of some megabytes, on a machine that is busy. */
const TRANSFER_MS = 120_000;
/** Until nodes that were just started know one another. */
const PEERS_MS = 60_000;
/** Between two questions about what there is no subscription to. */
const ASK_MS = 100;

/** The header of a payload of master weights. */
function header(size, root) {
	const bytes = Buffer.alloc(HEADER_BYTES);
	bytes.write('BLYTILE\x01', 0, 'latin1');
	bytes.writeUInt8(1, 11); // One dimension.
	bytes.writeUInt32LE(size / 4, 12);
	bytes.writeUInt8(24, 28); // Fraction bits.
	bytes.writeBigUInt64LE(BigInt(size), 32);
	bytes.set(root, 48);
	return bytes;
}

/** Where a node looks for the payload of this root, `0x` and 64 digits. */
export function tilePath(folder, root) {
	return join(folder, `${root.slice(2)}.blyt`);
}

/** Writes the file of `payload`, a multiple of 256 bytes, into a folder; its root. */
export function writeTile(folder, payload) {
	const bytes = bytesRoot(payload);
	const root = `0x${Buffer.from(bytes).toString('hex')}`;
	mkdirSync(folder, { recursive: true });
	writeFileSync(tilePath(folder, root), Buffer.concat([header(payload.length, bytes), payload]));
	return root;
}

/** The payload in the file of this root. */
export function readTile(folder, root) {
	return readFileSync(tilePath(folder, root)).subarray(HEADER_BYTES);
}

/** Changes a byte of every leaf in the file of this root, where it is. */
export function damageTile(folder, root) {
	const path = tilePath(folder, root);
	const size = readFileSync(path).length;
	const file = openSync(path, 'r+');
	for (let at = HEADER_BYTES; at < size; at += LEAF_BYTES) {
		writeSync(file, Uint8Array.of(readFileSync(path)[at] ^ 1), 0, 1, at);
	}
	closeSync(file);
}

/** Waits until `test` passes. Nothing tells of that, so it is asked again and again. */
export async function eventually(ms, what, test) {
	let over = false;
	const passed = async () => {
		while (!over && !(await test())) {
			await new Promise((again) => setTimeout(again, ASK_MS));
		}
	};
	try {
		await within(ms, what, passed());
	} finally {
		over = true;
	}
}

/** Waits until a node has `count` peers. */
export async function peersOf(node, count) {
	const what = () => `${count} peers\n${node.tail()}`;
	await eventually(PEERS_MS, what, async () => (await node.rpc('system_health')).peers >= count);
}

/** A transfer to a node, and how it stands. */
export class Transfer {
	#node;
	#provider;
	#latest = null;
	#look = () => {};

	/** Has `node` fetch a payload of this root and size, and watches how that goes. */
	static async want(node, root, size) {
		await node.rpc('tiles_want', root, size);
		const transfer = new Transfer(node);
		later(() => transfer.close());
		await transfer.#watch(root);
		return transfer;
	}

	constructor(node) {
		this.#node = node;
		this.#provider = new WsProvider(node.url, 500);
	}

	async #watch(root) {
		await this.#provider.isReady;
		const take = (error, status) => {
			if (!error) {
				this.#latest = status;
				this.#look();
			}
		};
		const method = 'tiles_subscribeStatus';
		await this.#provider.subscribe('tiles_statusChanged', method, [root], take);
	}

	/** Waits until its status passes `test`, and returns it. What it was before may go unnoticed. */
	async until(test, what) {
		const passed = new Promise((resolve) => {
			this.#look = () => {
				if (this.#latest !== null && test(this.#latest)) {
					resolve(this.#latest);
				}
			};
			this.#look();
		});
		const found = () =>
			`${what}; it is ${JSON.stringify(this.#latest)}\n${this.#node.tail()}`;
		return within(TRANSFER_MS, found, passed);
	}

	/** Waits until it is over, well or not. */
	over() {
		const ends = ['done', 'failed', 'cancelled', 'expired'];
		return this.until(({ state }) => ends.includes(state), 'the transfer to be over');
	}

	/** Watches it no more. Must come before the node is killed, or the connection is tried again. */
	close() {
		return this.#provider.disconnect();
	}
}
