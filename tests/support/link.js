// A bad link between two nodes: it lets so many bytes through per second, and can be cut.

import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import { pipeline } from 'node:stream/promises';
import { setTimeout as pause } from 'node:timers/promises';
import { later } from './scope.js';

const HOST = '127.0.0.1';
/** How often per second some bytes are let through. */
const TURNS_PER_S = 20;

/** A link to a node, for those who connect to `address` instead of the node's own. */
export class Link {
	/** Bytes per second that are let through, in each connection and direction. */
	rate;
	/** How many connections were made over it. */
	connections = 0;
	/** How many bytes the node has sent over it. */
	received = 0;
	/** Where others find the node, over this link. */
	address;
	#sockets = new Set();

	/** A link to the node at `address`, which is cut when the test is done. */
	static async to(address, rate) {
		const link = new Link();
		link.rate = rate;
		const [, port, peer] = /\/tcp\/(\d+)(\/p2p\/.+)$/.exec(address);
		const server = createServer({ noDelay: true }, (near) => link.#join(near, Number(port)));
		later(() => {
			server.close();
			link.cut();
		});
		server.listen(0, HOST);
		await once(server, 'listening');
		link.address = `/ip4/${HOST}/tcp/${server.address().port}${peer}`;
		return link;
	}

	/** Ends all connections over it. Others can be made. */
	cut() {
		for (const socket of this.#sockets) {
			socket.destroy();
		}
	}

	#join(near, port) {
		this.connections += 1;
		const far = connect({ host: HOST, port, noDelay: true });
		for (const socket of [near, far]) {
			this.#sockets.add(socket);
			socket.once('close', () => this.#sockets.delete(socket));
		}
		const count = (bytes) => {
			this.received += bytes;
		};
		const there = pipeline(near, (chunks) => this.#slowly(chunks, () => {}), far);
		const back = pipeline(far, (chunks) => this.#slowly(chunks, count), near);
		for (const direction of [there, back]) {
			// The nodes see by themselves that a connection has ended.
			direction.catch(() => {});
		}
	}

	async *#slowly(chunks, count) {
		for await (const chunk of chunks) {
			let rest = chunk;
			while (rest.length > 0) {
				const part = rest.subarray(0, Math.ceil(this.rate / TURNS_PER_S));
				rest = rest.subarray(part.length);
				count(part.length);
				yield part;
				await pause((1_000 * part.length) / this.rate);
			}
		}
	}
}
