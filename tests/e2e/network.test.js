// Four validators: they agree on what is final, and three of them go on without the fourth. Two do
// not: what is in their blocks may be taken back, so that no weights are pulled of it.

import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { connect } from '../support/client.js';
import { ARCHITECTURE, toml } from '../support/learning.js';
import { changedChain, Node, temporaryFolder } from '../support/node.js';
import { cleanUp, setUp } from '../support/scope.js';
import { blyan } from '../support/worker.js';

/** Milliseconds of a slot: enough for four nodes of a debug build on two cores to follow. */
const SLOT_MILLIS = 3_000;
/** Finality trails the best block by a few blocks. */
const FINALITY_MS = 180_000;

describe('a network of four validators', () => {
	/** Each has its `node` and its `client`. */
	let validators;

	before(
		setUp(async () => {
			const chain = await changedChain('local', ({ network }) => {
				network.slotMillis = SLOT_MILLIS;
			});
			const start = (name, ...args) => {
				// A validator is expected to have a network key; these have none yet.
				const key = '--unsafe-force-node-key-generation';
				const own = ['--chain', chain, `--${name}`, '--no-mdns', key];
				return Node.start([...own, ...args]);
			};
			const withClient = async (started) => {
				const node = await started;
				return { node, client: await connect(node) };
			};
			const first = await start('alice');
			const bootnode = ['--bootnodes', await first.address()];
			const others = ['bob', 'charlie', 'dave'].map((name) => start(name, ...bootnode));
			validators = await Promise.all([first, ...others].map(withClient));
		}),
	);
	after(cleanUp);

	/** Waits until block `number` is final everywhere; its hash, which all must agree on. */
	const agreed = async (number) => {
		const hashes = await Promise.all(
			validators.map(async ({ client }) => {
				await client.finalised(number, FINALITY_MS);
				return client.hashOf(number);
			}),
		);
		assert.equal(new Set(hashes).size, 1, `block ${number} is ${hashes.join(', ')}`);
		return hashes[0];
	};

	it('has four validators', async () => {
		const accounts = await validators[0].client.api.query.session.validators();
		assert.equal(accounts.length, 4);
	});

	it('agrees on a final block', async () => {
		await agreed(1);
	});

	/** Kills the last validator; the best block that it had. */
	const lose = async () => {
		const lost = validators.pop();
		const best = await lost.client.best(1);
		await lost.client.close();
		await lost.node.kill();
		return best;
	};

	it('goes on when one of them is killed', async () => {
		const best = await lose();
		// A block that was made after the loss: the votes of three are enough for it.
		const next = best.number.toNumber() + 2;
		const hash = await agreed(next);
		const header = await validators[0].client.api.rpc.chain.getHeader(hash);
		assert.equal(header.number.toNumber(), next);
	});

	it('has no weights to pull of what is not final', async () => {
		await lose();
		const [{ node }] = validators;
		const folder = temporaryFolder();
		const architecture = join(folder, 'architecture.toml');
		writeFileSync(architecture, toml(ARCHITECTURE));
		const first = join(folder, 'first');
		await blyan(null, 'model', 'init', '--out', first, '--architecture', architecture);
		const created = ['model', 'create', first, '--name', 'orator', '--account', '//Alice'];
		const { model } = await blyan(node, ...created);
		// It is in a block, for which two votes of four are too few.
		assert.equal((await blyan(node, 'model', 'show', model)).name, 'orator');
		const pulled = blyan(node, 'model', 'pull', model, '--out', join(folder, 'pulled'));
		const { code, stderr } = await pulled.catch((failed) => failed);
		assert.equal(code, 1);
		assert.match(stderr, /model 0 is in no finalised block yet/);
	});
});
