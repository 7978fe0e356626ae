// Talks to a node as a wallet does: through @polkadot/api, by transactions, storage and events.

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { ApiPromise, WsProvider } from '@polkadot/api';
import { Keyring } from '@polkadot/keyring';
import { hexToU8a } from '@polkadot/util';
import { cidString } from './formats.js';
import { later, within } from './scope.js';

/** One BLY in its smallest unit. */
export const BLY = 10n ** 18n;

/** Until the API knows the runtime, whose metadata a debug build takes a while to make. */
const CONNECT_MS = 60_000;
/** Until something that a few blocks bring has happened, at slots of one second. */
const BLOCKS_MS = 60_000;
/** Between two questions about what there is no subscription to. */
const ASK_MS = 100;

const keyring = new Keyring({ type: 'sr25519' });

/** A well-known account: `Alice`, `Bob` and so on. */
export function wellKnown(name) {
	return keyring.addFromUri(`//${name}`);
}

/** An account that nobody has ever seen, without a token. */
export function stranger() {
	return keyring.addFromSeed(randomBytes(32));
}

/** Connects to a node. The connection is closed when the test is done. */
export async function connect(node) {
	const provider = new WsProvider(node.url, 500);
	const client = new Client(node, provider);
	later(() => client.close());
	client.api = await client.within(
		CONNECT_MS,
		'the API to be ready',
		ApiPromise.create({ provider, noInitWarn: true, throwOnConnect: true }),
	);
	return client;
}

/** A connection to one node. */
class Client {
	constructor(node, provider) {
		this.node = node;
		this.provider = provider;
	}

	/** Closes the connection. Must come before the node is killed, or the API tries again. */
	async close() {
		await (this.api ?? this.provider).disconnect();
	}

	/** The result of `promise`, or an error with the node's last words. */
	within(ms, what, promise) {
		return within(ms, () => `${what}\n${this.node.tail()}`, promise);
	}

	/** The result of an RPC method that the API has no name for. */
	rpc(method, ...params) {
		return this.within(BLOCKS_MS, `an answer to ${method}`, this.provider.send(method, params));
	}

	/** The data with this hash, from the node's data plane. */
	async fetchShard(cid) {
		return hexToU8a(await this.rpc('bitswap_v1_get', cidString(cid)));
	}

	/** The hash of block `number`, on the node's best chain. */
	async hashOf(number) {
		return (await this.api.rpc.chain.getBlockHash(number)).toHex();
	}

	/** Waits until a subscription to headers sees one of at least `number`. */
	async #header(subscribe, number, what, ms) {
		let stop = () => {};
		const seen = async () => {
			let resolve;
			const found = new Promise((done) => {
				resolve = done;
			});
			stop = await subscribe((header) => {
				if (header.number.toNumber() >= number) {
					resolve(header);
				}
			});
			return found;
		};
		try {
			return await this.within(ms, what, seen());
		} finally {
			stop();
		}
	}

	/** Waits until the best block is `number` or higher. */
	best(number, ms = BLOCKS_MS) {
		const { subscribeNewHeads } = this.api.rpc.chain;
		return this.#header(subscribeNewHeads, number, `block ${number}`, ms);
	}

	/** Waits until block `number` is final. */
	finalised(number, ms = BLOCKS_MS) {
		const { subscribeFinalizedHeads } = this.api.rpc.chain;
		return this.#header(subscribeFinalizedHeads, number, `block ${number} to be final`, ms);
	}

	/**
	 * Waits until what is stored under `args` passes `test`, and returns it. What was stored in
	 * between may go unnoticed.
	 */
	async until(query, args, test, what, ms = BLOCKS_MS) {
		let stop = () => {};
		const stored = async () => {
			let resolve;
			const found = new Promise((done) => {
				resolve = done;
			});
			stop = await query(...args, (value) => {
				if (test(value)) {
					resolve(value);
				}
			});
			return found;
		};
		try {
			return await this.within(ms, what, stored());
		} finally {
			stop();
		}
	}

	/**
	 * Waits until the node has `count` transactions that are in no block yet. Nothing tells of them,
	 * so it is asked again and again.
	 */
	async pending(count, ms = BLOCKS_MS) {
		let over = false;
		const arrived = async () => {
			while (!over) {
				const waiting = await this.api.rpc.author.pendingExtrinsics();
				if (waiting.length >= count) {
					return waiting;
				}
				await new Promise((again) => setTimeout(again, ASK_MS));
			}
		};
		try {
			return await this.within(ms, `${count} transactions that wait for a block`, arrived());
		} finally {
			over = true;
		}
	}

	/**
	 * Submits a transaction, signed by `signer` or bare, and waits until it is in a block. The
	 * result has that block's `hash` and `number`, the transaction's `events`, and its `error` as
	 * `pallet.Name` if it failed. `options` are those of `signAndSend`.
	 */
	async send(tx, signer, options = {}) {
		const { section, method } = tx.method;
		let stop = () => {};
		const included = new Promise((resolve, reject) => {
			const watch = (result) => {
				if (result.internalError) {
					reject(result.internalError);
				} else if (result.isError) {
					reject(new Error(`${section}.${method} left the pool: ${result.status.type}`));
				} else if (result.status.isInBlock || result.status.isFinalized) {
					resolve(result);
				}
			};
			const sent = signer ? tx.signAndSend(signer, { nonce: -1, ...options }, watch) : tx.send(watch);
			sent.then((unsubscribe) => {
				stop = unsubscribe;
			}, reject);
		});
		try {
			const what = `${section}.${method} to be in a block`;
			const { blockNumber, dispatchError, events, status } = await this.within(
				BLOCKS_MS,
				what,
				included,
			);
			const hash = status.isInBlock ? status.asInBlock : status.asFinalized;
			return {
				hash: hash.toHex(),
				number: blockNumber.toNumber(),
				events: events.map((record) => record.event),
				error: dispatchError ? this.#nameOf(dispatchError) : null,
			};
		} finally {
			stop();
		}
	}

	/** Submits a transaction that must succeed. `event` finds one of its events. */
	async applied(tx, signer, options) {
		const { section, method } = tx.method;
		const result = await this.send(tx, signer, options);
		assert.equal(result.error, null, `${section}.${method} failed`);
		const event = (pallet, name) => {
			const found = result.events.find((e) => e.section === pallet && e.method === name);
			const all = result.events.map((e) => `${e.section}.${e.method}`).join(', ');
			assert.ok(found, `${section}.${method} emitted no ${pallet}.${name}, but ${all}`);
			return found.data;
		};
		return { ...result, event };
	}

	/**
	 * Submits a transaction that must fail; the name of its error. One that is signed is included
	 * and fails; a bare one must not even get into the pool.
	 */
	async refused(tx, signer) {
		const { section, method } = tx.method;
		if (signer) {
			const { error } = await this.send(tx, signer);
			assert.notEqual(error, null, `${section}.${method} succeeded`);
			return error;
		}
		const answer = await this.rpc('author_submitExtrinsic', tx.toHex()).catch((error) => error);
		assert.ok(answer instanceof Error, `the pool took ${section}.${method}`);
		// The pallets report their own errors by number.
		const custom = /Custom error: (\d+)/.exec(answer.message);
		if (!custom) {
			return answer.message;
		}
		const index = new Uint8Array([tx.callIndex[0], Number(custom[1])]);
		const error = this.api.registry.findMetaError(index);
		return `${error.section}.${error.name}`;
	}

	/** The error of a failed transaction, as `pallet.Name`. */
	#nameOf(dispatchError) {
		if (!dispatchError.isModule) {
			return dispatchError.toString();
		}
		const error = this.api.registry.findMetaError(dispatchError.asModule);
		return `${error.section}.${error.name}`;
	}

	/** Subscribes to the events of all blocks from now on. */
	async watchEvents() {
		const seen = [];
		let look = () => {};
		const stop = await this.api.query.system.events((records) => {
			seen.push(...records.map((record) => record.event));
			look();
		});
		later(() => stop());
		return {
			/** Waits until `count` events of this name were seen; all of them. */
			wait: (pallet, name, count = 1) => {
				const arrived = new Promise((resolve) => {
					look = () => {
						const found = seen.filter((e) => e.section === pallet && e.method === name);
						if (found.length >= count) {
							resolve(found.map((event) => event.data));
						}
					};
					look();
				});
				return this.within(BLOCKS_MS, `${count} × ${pallet}.${name}`, arrived);
			},
		};
	}
}
