// A second node: it follows the first one's chain and holds the same data.

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, before, describe, it } from 'node:test';
import { u8aToHex } from '@polkadot/util';
import { connect, wellKnown } from '../support/client.js';
import { blake2b } from '../support/formats.js';
import { developmentChain, Node } from '../support/node.js';
import { cleanUp, setUp } from '../support/scope.js';

describe('a full node', () => {
	const data = new Uint8Array(randomBytes(200_000));
	let first;
	let second;
	/** Where the data was stored. */
	let stored;

	before(
		setUp(async () => {
			const validator = await Node.start(['--dev', '--chain', developmentChain()]);
			first = await connect(validator);
			await first.best(1);
			const tx = first.api.tx.shards.store(u8aToHex(data));
			stored = await first.applied(tx, wellKnown('Alice'));
			const bootnode = await validator.address();
			const network = ['--no-mdns', '--bootnodes', bootnode];
			second = await connect(await Node.start(['--chain', developmentChain(), ...network]));
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
});
