// The data plane: storing data on the chain and fetching it by its CID.

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, before, describe, it } from 'node:test';
import { u8aToHex } from '@polkadot/util';
import { Bitswap } from '../support/bitswap.js';
import { connect, wellKnown } from '../support/client.js';
import { blake2b, MAX_SHARD_BYTES } from '../support/formats.js';
import { developmentChain, Node } from '../support/node.js';
import { cleanUp, setUp } from '../support/scope.js';

const alice = wellKnown('Alice');
const bob = wellKnown('Bob');

/** Bytes that no chain has seen. */
const fresh = (length) => new Uint8Array(randomBytes(length));

describe('the data plane', () => {
	const data = fresh(MAX_SHARD_BYTES);
	const cid = blake2b(data);
	let client;
	let api;
	/** Where the data was stored last. */
	let place;

	before(
		setUp(async () => {
			client = await connect(await Node.start(['--dev', '--chain', developmentChain()]));
			api = client.api;
			await client.best(1);
		}),
	);
	after(cleanUp);

	const store = (bytes) => api.tx.shards.store(u8aToHex(bytes));
	const location = async () => {
		const { block, index } = (await api.query.shards.cids(cid)).unwrap();
		return { block: block.toNumber(), index: index.toNumber() };
	};

	it('tells its fees in the metadata', () => {
		const { byteFee, entryFee } = api.consts.shards;
		assert.ok(byteFee.toBigInt() > 0n && entryFee.toBigInt() > byteFee.toBigInt());
	});

	it('stores a full shard and tells its CID', async () => {
		const stored = await client.applied(store(data), alice);
		const event = stored.event('shards', 'Stored');
		assert.equal(event.cid.toHex(), u8aToHex(cid));
		assert.equal(event.bytes.toNumber(), data.length);
		place = { block: stored.number, index: event.index.toNumber() };
		assert.deepEqual(await location(), place);
	});

	it('serves it by its CID', async () => {
		const fetched = await client.fetchShard(cid);
		assert.equal(fetched.length, data.length);
		assert.equal(u8aToHex(blake2b(fetched)), u8aToHex(cid));
	});

	it('says that it does not have what nobody stored', async () => {
		const unknown = client.fetchShard(blake2b(fresh(32)));
		await assert.rejects(unknown, { code: -32810, message: /Transaction not found/ });
		await assert.rejects(client.rpc('bitswap_v1_get', 'nonsense'), { code: -32602 });
	});

	it('refuses nothing, and more than a shard', async () => {
		assert.equal(await client.refused(store(new Uint8Array()), alice), 'shards.BadSize');
		const tooLong = store(fresh(MAX_SHARD_BYTES + 1));
		assert.equal(await client.refused(tooLong, alice), 'shards.BadSize');
	});

	it('refuses data that other bytes of the transaction follow', async () => {
		const batch = api.tx.utility.batchAll([store(fresh(100)), api.tx.system.remark('0x00')]);
		assert.equal(await client.refused(batch, alice), 'shards.NotAtEnd');
	});

	it('keeps data for longer when anybody renews it', async () => {
		const renewed = await client.applied(api.tx.shards.renew(place.block, place.index), bob);
		const event = renewed.event('shards', 'Renewed');
		assert.equal(event.cid.toHex(), u8aToHex(cid));
		const next = { block: renewed.number, index: event.index.toNumber() };
		assert.deepEqual(await location(), next);
		assert.equal(u8aToHex(blake2b(await client.fetchShard(cid))), u8aToHex(cid));

		const nowhere = api.tx.shards.renew(place.block, place.index + 1);
		assert.equal(await client.refused(nowhere, bob), 'shards.NotFound');
	});

	it('serves no blocks to peers unless it is told to', async () => {
		await assert.rejects(Bitswap.dial(client.node), /the node speaks no .ipfs.bitswap/);
	});
});

describe('a node with the IPFS server', () => {
	/** So many that they take several messages: a node asks for 16 blocks in one. */
	const UNKNOWN = 40;
	const shard = fresh(MAX_SHARD_BYTES);
	const small = fresh(1_000);
	let client;
	let bitswap;

	before(
		setUp(async () => {
			const args = ['--dev', '--chain', developmentChain(), '--ipfs-server'];
			client = await connect(await Node.start(args));
			await client.best(1);
			for (const data of [shard, small]) {
				await client.applied(client.api.tx.shards.store(u8aToHex(data)), alice);
			}
			bitswap = await Bitswap.dial(client.node);
		}),
	);
	after(cleanUp);

	it('serves what is stored, to whoever connects and asks by CID', async () => {
		const blocks = await bitswap.fetch([blake2b(shard), blake2b(small)]);
		assert.ok(blocks[0].equals(shard));
		assert.ok(blocks[1].equals(small));
	});

	it('says of each block that it does not have, and sends the others', async () => {
		const unknown = Array.from({ length: UNKNOWN }, () => blake2b(fresh(32)));
		const blocks = await bitswap.fetch([...unknown, blake2b(small)]);
		assert.ok(blocks.pop().equals(small));
		assert.deepEqual(blocks, unknown.map(() => null));
	});

	it('serves it to several at a time', async () => {
		const other = await Bitswap.dial(client.node);
		const fetched = [bitswap, other].map((peer) => peer.fetch([blake2b(shard)]));
		for (const [block] of await Promise.all(fetched)) {
			assert.ok(block.equals(shard));
		}
	});
});
