// A second node: it follows the first one's chain and holds the same data.

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, before, describe, it } from 'node:test';
import { u8aToHex } from '@polkadot/util';
import { connect, wellKnown } from '../support/client.js';
import { blake2b } from '../support/formats.js';
import { developmentChain, Node } from '../support/node.js';
import { cleanUp, setUp } from '../support/scope.js';

/** Until a node that is up has said what it says before that. */
const SAID_MS = 10_000;

describe('a full node', () => {
	const data = new Uint8Array(randomBytes(200_000));
	let first;
	let second;
	/** Where the data was stored. */
	let stored;
	/** The arguments of a node that follows the first one. */
	let following;

	before(
		setUp(async () => {
			const validator = await Node.start(['--dev', '--chain', developmentChain()]);
			first = await connect(validator);
			await first.best(1);
			const tx = first.api.tx.shards.store(u8aToHex(data));
			stored = await first.applied(tx, wellKnown('Alice'));
			const network = ['--no-mdns', '--bootnodes', await validator.address()];
			following = ['--chain', developmentChain(), ...network];
			second = await connect(await Node.start(following));
		}),
	);
	after(cleanUp);

	it('is no validator', async () => {
		const roles = await second.api.rpc.system.nodeRoles();
		assert.deepEqual(roles.map((role) => role.type), ['Full']);
	});

	it('agrees with the first on what is final', async () => {
		await second.finalised(stored.number);
		assert.equal(await second.hashOf(stored.number), stored.hash);
		const head = await first.finalised(stored.number);
		await second.finalised(head.number.toNumber());
		assert.equal(await second.hashOf(head.number.toNumber()), head.hash.toHex());
	});

	it('serves the data that the chain carries', async () => {
		const cid = blake2b(data);
		assert.deepEqual(await second.fetchShard(cid), data);
	});

	it('passes transactions on to the validator', async () => {
		const bob = wellKnown('Bob');
		const tx = second.api.tx.system.remarkWithEvent('0x2a');
		// For ever, because the pool of a node that has just caught up can still be at the block that it
		// began with, and what was signed for a later one has no place there.
		const sent = await second.applied(tx, bob, { era: 0 });
		sent.event('system', 'Remarked');
		await first.best(sent.number);
		assert.equal(await first.hashOf(sent.number), sent.hash);
	});

	it('reports data that it lacks when it becomes a validator', async () => {
		const { number } = stored;
		const pruned = await connect(await Node.start([...following, '--blocks-pruning', '1']));
		// The body of a block goes when the next one is final.
		await pruned.finalised(number + 1);
		await pruned.close();
		await pruned.node.stop();
		// It keeps the block that renews the data, but has no data for it.
		const { index } = stored.event('shards', 'Stored');
		const tx = first.api.tx.shards.renew(number, index);
		const renewed = await first.applied(tx, wellKnown('Charlie'));
		const keeping = await connect(await pruned.node.again(following));
		await keeping.finalised(renewed.number);
		await keeping.close();
		await keeping.node.stop();
		const validator = await keeping.node.again(['--dev', '--chain', developmentChain()]);
		const blocks = `${number} to ${renewed.number}`;
		const report = `lacks what was stored in blocks ${blocks} \\(2 of them\\)`;
		await validator.logged(new RegExp(report), 'what the validator lacks', SAID_MS);
	});
});
