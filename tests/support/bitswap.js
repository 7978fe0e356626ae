// Asks a node for blocks as IPFS does: `/ipfs/bitswap/1.2.0`, among peers, without the node's RPC.
// https://specs.ipfs.tech/bitswap-protocol/

import { blake2b, cidBytes } from './formats.js';
import { Connection, MAX_MESSAGE_BYTES } from './libp2p.js';
import { field, fields, varint } from './protobuf.js';
import { later, within } from './scope.js';

const PROTOCOL = '/ipfs/bitswap/1.2.0';
/** Blocks that one message asks for: as many as nodes ask one another for. */
const MAX_WANTS = 16;
/** Until a node has answered a message, whose blocks have some megabytes. */
const ANSWER_MS = 60_000;
/** What a block is named by, but for its hash. */
const PREFIX = Buffer.from(cidBytes(new Uint8Array()));
/** What a field is that was left out. */
const EMPTY = Buffer.alloc(0);

/** Fields of `Message`, and of what is in it. */
const MESSAGE = { wantlist: 1, payload: 3, presences: 4 };
const WANTLIST = { entries: 1 };
const ENTRY = { cid: 1, priority: 2, sendDontHave: 5 };
const BLOCK = { prefix: 1, data: 2 };
const PRESENCE = { cid: 1, type: 2 };
/** `BlockPresenceType` of what a node does not have. */
const DONT_HAVE = 1;

/** A message that asks for the blocks with these hashes. */
function wantlist(hashes) {
	const entries = hashes.map((hash) => {
		const cid = field(ENTRY.cid, cidBytes(hash));
		const rest = [field(ENTRY.priority, 1), field(ENTRY.sendDontHave, 1)];
		return field(WANTLIST.entries, Buffer.concat([cid, ...rest]));
	});
	const message = field(MESSAGE.wantlist, Buffer.concat(entries));
	return Buffer.concat([varint(message.length), message]);
}

/** What `bytes` name a block by; its hash, in hexadecimal. */
function hashIn(bytes) {
	if (!bytes.subarray(0, PREFIX.length).equals(PREFIX)) {
		throw new Error(`${bytes.toString('hex')} names no raw block by its BLAKE2b-256 hash`);
	}
	return bytes.subarray(PREFIX.length).toString('hex');
}

/** A connection to a node that serves blocks. */
export class Bitswap {
	#connection;
	#stream;
	/** By hash, whom to tell what has become of a block. */
	#wanted = new Map();

	/** Connects to a node. The connection is closed when the test is done. */
	static async dial(node) {
		const bitswap = new Bitswap();
		// A node answers in a stream that it opens.
		const handlers = { [PROTOCOL]: (stream) => bitswap.#listen(stream) };
		const dialled = Connection.dial(await node.address(), handlers);
		const waited = () => `a connection\n${node.tail()}`;
		bitswap.#connection = await within(ANSWER_MS, waited, dialled);
		later(() => bitswap.#connection.close());
		const opened = bitswap.#connection.open(PROTOCOL);
		bitswap.#stream = await within(ANSWER_MS, waited, opened);
		// It may answer there as well, and that stream tells when the connection is lost.
		bitswap.#listen(bitswap.#stream);
		return bitswap;
	}

	/**
	 * The blocks with these hashes, all of them different, in this order; null for each that the
	 * node says it does not have. Of those that come, the hash was checked.
	 */
	async fetch(hashes) {
		const blocks = hashes.map((hash) => this.#block(hash));
		for (let at = 0; at < hashes.length; at += MAX_WANTS) {
			this.#stream.write(wantlist(hashes.slice(at, at + MAX_WANTS)));
			// So that the next ones are on their way while these come, and not all at once.
			await this.#answered(blocks.slice(Math.max(0, at - MAX_WANTS), at));
		}
		return this.#answered(blocks);
	}

	#answered(blocks) {
		const what = () => `an answer about ${this.#wanted.size} blocks`;
		return within(ANSWER_MS, what, Promise.all(blocks));
	}

	/** What the node will say about a block. */
	#block(hash) {
		const answer = new Promise((resolve, reject) => {
			this.#wanted.set(Buffer.from(hash).toString('hex'), { resolve, reject });
		});
		// It may fail before anybody waits for it.
		answer.catch(() => {});
		return answer;
	}

	/** Reads what the node says in a stream, until it says no more. */
	async #listen({ inbox }) {
		try {
			for (;;) {
				this.#read(await inbox.message(MAX_MESSAGE_BYTES));
			}
		} catch (error) {
			for (const { reject } of this.#wanted.values()) {
				reject(error);
			}
			this.#wanted.clear();
		}
	}

	#read(message) {
		for (const [number, value] of fields(message)) {
			if (number === MESSAGE.payload) {
				const block = Object.fromEntries(fields(value));
				const { [BLOCK.prefix]: prefix = EMPTY, [BLOCK.data]: data = EMPTY } = block;
				this.#settle(hashIn(Buffer.concat([prefix, blake2b(data)])), data);
			} else if (number === MESSAGE.presences) {
				const presence = Object.fromEntries(fields(value));
				const hash = hashIn(presence[PRESENCE.cid] ?? EMPTY);
				if (presence[PRESENCE.type] !== DONT_HAVE) {
					throw new Error(`the node says that it has ${hash}, instead of sending it`);
				}
				this.#settle(hash, null);
			}
		}
	}

	#settle(hash, block) {
		const wanted = this.#wanted.get(hash);
		if (wanted === undefined) {
			throw new Error(`the node sends ${hash}, which nobody has asked for`);
		}
		this.#wanted.delete(hash);
		wanted.resolve(block);
	}
}
