// Connections to a node as its peers make them: TCP, encrypted (noise.js), shared by streams with
// yamux, on each of which one protocol is spoken. As much of libp2p as it takes to ask a node for
// something: the packages of libp2p need newer versions of Node.js than the tests do.
//
// https://github.com/libp2p/specs/tree/master/connections describes multistream-select, and
// https://github.com/hashicorp/yamux/blob/master/spec.md yamux.

import { once } from 'node:events';
import { connect } from 'node:net';
import { base58Decode } from '@polkadot/util-crypto';
import { Inbox } from './inbox.js';
import { secured } from './noise.js';
import { varint } from './protobuf.js';

/** What both sides say before they speak of protocols. */
const HEADER = '/multistream/1.0.0';
/** The answer to a protocol that is not spoken. */
const NOT_SPOKEN = 'na';
/** The most bytes of a protocol's name. */
const MAX_LINE_BYTES = 1_024;
/** How many protocols the other side may propose for a stream. */
const MAX_PROPOSALS = 16;

/** Bytes of what comes before a frame's data. */
const FRAME_HEAD_BYTES = 12;
const EMPTY = Buffer.alloc(0);
/** What a frame is. */
const FRAME = { data: 0, window: 1, ping: 2, end: 3 };
/** What it says of its stream besides. */
const FLAG = { open: 1, accept: 2, close: 4, reset: 8 };
/** Bytes that may be on their way in a new stream. */
const FIRST_WINDOW_BYTES = 256 * 1_024;
/** Bytes that the other side may have on its way to here, in each stream. */
const WINDOW_BYTES = 16 * FIRST_WINDOW_BYTES + FIRST_WINDOW_BYTES;
/** The most bytes of a message that fits the window. */
export const MAX_MESSAGE_BYTES = 16 * FIRST_WINDOW_BYTES;
/** When so many were read, the other side is told that it may send as many. */
const RETURN_BYTES = FIRST_WINDOW_BYTES / 2;
/** How many streams the other side may open. */
const MAX_STREAMS = 64;

/** What a peer id has in front of a public key of 36 bytes: that it is the key itself. */
const INLINE_KEY = Buffer.from([0x00, 0x24]);

/** Host, port and the peer's public key of `/ip4/HOST/tcp/PORT/p2p/PEER`. */
function parse(address) {
	const found = /^\/ip4\/([0-9.]+)\/tcp\/(\d+)\/p2p\/(\w+)$/.exec(address);
	const peer = Buffer.from(found ? base58Decode(found[3]) : []);
	if (!found || !peer.subarray(0, 2).equals(INLINE_KEY)) {
		throw new Error(`${address} is not /ip4/HOST/tcp/PORT/p2p/PEER with an Ed25519 key`);
	}
	return { host: found[1], port: Number(found[2]), key: peer.subarray(2) };
}

// ---- protocols ------------------------------------------------------------------------------

function line(text) {
	const bytes = Buffer.from(`${text}\n`);
	return Buffer.concat([varint(bytes.length), bytes]);
}

async function readLine(inbox) {
	return (await inbox.message(MAX_LINE_BYTES)).toString().trimEnd();
}

/** Has the other side speak `protocol`. */
async function propose({ inbox, write }, protocol) {
	write(Buffer.concat([line(HEADER), line(protocol)]));
	for (const expected of [HEADER, protocol]) {
		const answer = await readLine(inbox);
		if (answer !== expected) {
			throw new Error(`the node speaks no ${protocol}, its answer is: ${answer}`);
		}
	}
}

/** The first protocol of those in `spoken` that the other side proposes, if there is one. */
async function accept({ inbox, write }, spoken) {
	for (let i = 0; i < MAX_PROPOSALS; i += 1) {
		const proposed = await readLine(inbox);
		const known = proposed === HEADER || spoken.includes(proposed);
		write(line(known ? proposed : NOT_SPOKEN));
		if (known && proposed !== HEADER) {
			return proposed;
		}
	}
	throw new Error(`the node proposes more than ${MAX_PROPOSALS} protocols`);
}

// ---- connections ----------------------------------------------------------------------------

/** A connection to a node. */
export class Connection {
	#socket;
	#channel;
	#handlers;
	/** By number, what is known of a stream: its inbox, and how many bytes may be sent. */
	#streams = new Map();
	#nextStream = 1;

	/**
	 * Connects to `/ip4/HOST/tcp/PORT/p2p/PEER`. `handlers` has functions by protocol, which get
	 * the streams that the node opens for it.
	 */
	static async dial(address, handlers) {
		const { host, port, key } = parse(address);
		const socket = connect({ host, port, noDelay: true });
		try {
			await once(socket, 'connect');
			const plain = { inbox: Inbox.of(socket), write: (bytes) => socket.write(bytes) };
			await propose(plain, '/noise');
			const channel = await secured(plain, key);
			await propose(channel, '/yamux/1.0.0');
			return new Connection(socket, channel, handlers);
		} catch (error) {
			socket.destroy();
			throw error;
		}
	}

	constructor(socket, channel, handlers) {
		this.#socket = socket;
		this.#channel = channel;
		this.#handlers = handlers;
		this.#run().catch((error) => {
			socket.destroy();
			for (const { inbox } of this.#streams.values()) {
				inbox.fail(error);
			}
		});
	}

	/** Opens a stream on which `protocol` is spoken. */
	async open(protocol) {
		const id = this.#nextStream;
		this.#nextStream += 2; // The even ones are for the node.
		const stream = this.#add(id, FLAG.open);
		await propose(stream, protocol);
		return stream;
	}

	/** Ends the connection. */
	close() {
		this.#socket.destroy();
	}

	/** A new stream, whose window is larger from now on than that of any new one. */
	#add(id, flag) {
		const tell = (bytes, flags = 0) => this.#send(FRAME.window, flags, id, bytes);
		let owed = 0;
		const inbox = new Inbox((count) => {
			owed += count;
			if (owed >= RETURN_BYTES) {
				tell(owed);
				owed = 0;
			}
		});
		const state = { inbox, credit: FIRST_WINDOW_BYTES };
		this.#streams.set(id, state);
		tell(WINDOW_BYTES - FIRST_WINDOW_BYTES, flag);
		const write = (bytes) => {
			if (bytes.length > state.credit) {
				throw new Error(`${bytes.length} bytes at once, the node takes ${state.credit}`);
			}
			state.credit -= bytes.length;
			this.#send(FRAME.data, 0, id, bytes.length, bytes);
		};
		return { inbox, write };
	}

	#send(type, flags, id, length, data = EMPTY) {
		const head = Buffer.alloc(FRAME_HEAD_BYTES);
		head.writeUInt8(type, 1);
		head.writeUInt16BE(flags, 2);
		head.writeUInt32BE(id, 4);
		head.writeUInt32BE(length, 8);
		this.#channel.write(Buffer.concat([head, data]));
	}

	async #run() {
		const { inbox } = this.#channel;
		for (;;) {
			const head = await inbox.take(FRAME_HEAD_BYTES);
			const [type, flags] = [head.readUInt8(1), head.readUInt16BE(2)];
			const [id, length] = [head.readUInt32BE(4), head.readUInt32BE(8)];
			if (type === FRAME.ping) {
				if (flags & FLAG.open) {
					this.#send(FRAME.ping, FLAG.accept, 0, length);
				}
			} else if (type === FRAME.data || type === FRAME.window) {
				if (flags & FLAG.open) {
					this.#accept(id);
				}
				await this.#receive(type, id, length);
				this.#ended(id, flags);
			} else {
				throw new Error(`the node ended the connection: frame ${type}, code ${length}`);
			}
		}
	}

	/** The node opens a stream. */
	#accept(id) {
		if (id % 2 !== 0 || this.#streams.size >= MAX_STREAMS) {
			throw new Error(`the node opens stream ${id} besides ${this.#streams.size} others`);
		}
		const stream = this.#add(id, FLAG.accept);
		accept(stream, Object.keys(this.#handlers)).then(
			(protocol) => this.#handlers[protocol](stream),
			// The node wants nothing that is spoken here.
			(error) => stream.inbox.fail(error),
		);
	}

	/** Takes what comes in a stream; nobody reads what comes in one that is not there any more. */
	async #receive(type, id, length) {
		const stream = this.#streams.get(id);
		if (type === FRAME.window) {
			if (stream !== undefined) {
				stream.credit += length;
			}
			return;
		}
		const waiting = stream?.inbox.length ?? 0;
		if (waiting + length > WINDOW_BYTES) {
			throw new RangeError(`stream ${id} has ${waiting} and ${length} bytes to be read`);
		}
		const data = await this.#channel.inbox.take(length);
		stream?.inbox.push(data);
	}

	/** Forgets a stream in which nothing comes any more. */
	#ended(id, flags) {
		if (flags & (FLAG.close | FLAG.reset)) {
			const how = flags & FLAG.reset ? 'reset' : 'closed';
			this.#streams.get(id)?.inbox.fail(new Error(`the node has ${how} the stream`));
			this.#streams.delete(id);
		}
	}
}
