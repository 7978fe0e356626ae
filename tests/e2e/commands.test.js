// What people type about accounts and bonds, and the tables that they see of a chain that is new.

import assert from 'node:assert/strict';
import { after, before, describe } from 'node:test';
import { BLY, connect, wellKnown } from '../support/client.js';
import { changedChain, Node } from '../support/node.js';
import { cleanUp, setUp, steps } from '../support/scope.js';
import { blyan, table, Worker } from '../support/worker.js';

/** Blocks after which a bond comes back. */
const UNBONDING = 8;

const bob = wellKnown('Bob');

describe('somebody at a terminal', () => {
	const step = steps();
	let node;
	let client;
	let worker;

	before(
		setUp(async () => {
			const chain = await changedChain('dev', ({ network }) => {
				Object.assign(network.parameters, { unbondingPeriod: UNBONDING });
			});
			node = await Node.start(['--dev', '--chain', chain]);
			client = await connect(node);
			await client.best(1);
		}),
	);
	after(cleanUp);

	const free = async () =>
		(await client.api.query.system.account(bob.address)).data.free.toBigInt();
	/** How a command fails: its exit code, and what it says. */
	const failure = async (...words) => {
		const failed = await table(node, ...words).then(
			(shown) => assert.fail(`it should have failed: ${shown}`),
			(error) => error,
		);
		assert.equal(failed.code, 1);
		return failed.stderr;
	};

	step('sees that there is nothing yet', async () => {
		for (const [what, words] of [
			['models', /^no models; create one with `blyan model create`\n$/],
			['datasets', /^no such datasets\n$/],
			['rounds', /^no rounds\n$/],
		]) {
			assert.match(await table(node, what.slice(0, -1), 'list'), words);
			assert.deepEqual(await blyan(node, what.slice(0, -1), 'list'), []);
		}
		assert.match(await failure('round', 'watch'), /no round was ever opened/);
	});

	step('sends BLY, and no more than there is', async () => {
		const before = await free();
		const from = ['--account', '//Alice'];
		const sent = await blyan(node, 'account', 'transfer', '//Bob', '12.5', ...from);
		assert.equal(sent.to, bob.address);
		assert.equal(await free(), before + (25n * BLY) / 2n);
		const shown = await table(node, 'account', 'transfer', '//Bob', '0.5', ...from);
		assert.ok(shown.includes(bob.address), shown);
		assert.equal(await free(), before + 13n * BLY);
		const tooMuch = await failure('account', 'transfer', '//Bob', '1000000000', ...from);
		assert.match(tooMuch, /has only [0-9,.]+ BLY/);
		assert.equal(await free(), before + 13n * BLY);
	});

	step('adds to the bond of a worker', async () => {
		const asBob = ['--account', '//Bob'];
		assert.match(await failure('account', 'bond', '500', ...asBob), /worker/);
		worker = new Worker(node, 'Bob', ['aggregator']);
		await worker.start();
		const holds = async () => (await client.api.query.workers.workers(bob.address)).unwrap().bond;
		const before = (await holds()).toBigInt();
		const { state } = await blyan(node, 'account', 'bond', '500', ...asBob);
		assert.equal(state, 'listed');
		assert.equal((await holds()).toBigInt(), before + 500n * BLY);
		const shown = await table(node, 'account', 'balance', '//Bob');
		assert.ok(shown.includes(bob.address), shown);
		assert.match(shown, /aggregator/);
	});

	step('leaves with it, and has it back when its time is over', async () => {
		const asBob = ['--account', '//Bob'];
		assert.match(await failure('account', 'withdraw', ...asBob), /`blyan account leave` comes first/);
		await worker.kill();
		const left = await blyan(node, 'account', 'leave', ...asBob);
		assert.equal(left.state, 'leaving');
		const until = left.bond_free_from_block;
		assert.match(await failure('account', 'leave', ...asBob), /is leaving already/);
		assert.match(await failure('account', 'withdraw', ...asBob), new RegExp(`from block ${until}`));
		await client.best(until);
		const before = await free();
		const shown = await table(node, 'account', 'withdraw', ...asBob);
		assert.match(shown, /no worker/);
		assert.ok((await free()) > before + 500n * BLY);
		assert.ok((await client.api.query.workers.workers(bob.address)).isNone);
	});
});
