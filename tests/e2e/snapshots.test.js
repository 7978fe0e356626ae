// Compaction: whoever comes when the first deltas are gone gets a published snapshot and the
// deltas behind it, verifies all of it, and takes no byte that somebody has changed. On the way
// a worker whose disk is full drops what it can, takes on no round until there is room, and goes
// on from what is left. In the end a worker that has nothing catches up by itself, hands the head on
// to others, and withdraws what is too old.
//
// The newcomer's node keeps the bodies of few blocks, so that it forgets deltas as every node does
// some day. It starts when both rounds are over, so that it is known how many blocks these are.
// When the deltas of the first round are gone and those of the second are not, the chain is stopped:
// what is there stays, however long the rest takes. For the worker it goes on, and the newcomer's
// node forgets nothing more.

import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { after, before, describe } from 'node:test';
import { u8aToHex } from '@polkadot/util';
import { connect, wellKnown } from '../support/client.js';
import { blake2b, bytesRoot } from '../support/formats.js';
import {
	ARCHITECTURE,
	PERIODS,
	RECORD_BYTES,
	recipeOf,
	SLOT_MILLIS,
	TEXT,
	toml,
} from '../support/learning.js';
import { changedChain, Node, temporaryFolder } from '../support/node.js';
import { cleanUp, setUp, steps } from '../support/scope.js';
import { damageTile, eventually, peersOf, readTile, tilePath } from '../support/tiles.js';
import { blyan, bytesIn, Worker } from '../support/worker.js';

/** Committees of one. */
const COMMITTEES = {
	auditorsPerDataset: 1,
	verifiersPerUpdate: 1,
	evaluatorsPerRound: 1,
	minUpdates: 1,
	maxTrainers: 1,
	voteQuorum: 1,
	segmentsPerUpdate: 1,
};
/**
 * How many blocks come until the newcomer's node forgets the first deltas. If it starts so slowly
 * that it forgets the second ones as well, another one starts that has more time.
 */
const AHEAD_BLOCKS = [8, 64, 192];
/** Blocks that may come while the chain is being stopped. */
const STOP_BLOCKS = 3;
/** More blocks than come in this test. */
const MANY_BLOCKS = 100_000;
const MIB = 1024 * 1024;
/** Disk of the trainer, in MiB: the least that a configuration may say. An eighth shall be free. */
const MAX_MIB = 64;
/** Until a round has ended. */
const ROUND_MS = 240_000;
/** Until those blocks are final. */
const FINAL_MS = 300_000;

/** Has a command fail; what it complains about. */
async function complaint(...words) {
	const error = await blyan(...words).catch((failed) => failed);
	assert.equal(error.code, 1, `it should have failed: ${error.message}`);
	return error.stderr;
}

describe('a snapshot that was published', () => {
	const voter = wellKnown('One');
	const asOwner = ['--account', '//Alice'];
	const tiles = {};
	let folder;
	let specification;
	let node;
	let client;
	/** The newcomer's node. */
	let follower;
	let trainer;
	let checker;
	let server;
	/** A worker of the newcomer's node. */
	let newcomer;
	let dataset;
	let model;
	/** The newest block that can have deltas of the first round. */
	let firstDeltas;
	/** The block in which the second round opened; all of its deltas are newer. */
	let secondOpened;
	/** The roots of versions, by their number. */
	const roots = [];
	const step = steps();

	/** Number of the newest block. */
	const best = async () => (await client.api.rpc.chain.getHeader()).number.toNumber();

	/** Opens a round of the model; its number. */
	const open = async () => {
		const recipe = join(folder, 'recipe.toml');
		writeFileSync(recipe, toml(recipeOf(2)));
		const about = ['--model', model, '--dataset', dataset, '--recipe', recipe];
		return (await blyan(node, 'round', 'open', ...about, ...asOwner)).round;
	};

	/** Has the model learn in a round; when it opened, and the newest block with deltas of it. */
	const learn = async (round) => {
		await trainer.event('update_revealed', { round });
		const deltas = await best();
		const stored = await client.until(
			client.api.query.rounds.summaries,
			[round],
			(value) => value.isSome,
			`round ${round} to end`,
			ROUND_MS,
		);
		const summary = stored.unwrap();
		assert.equal(summary.outcome.type, 'Final', `it ended when in ${summary.reached.type}`);
		return { opened: summary.opened.toNumber(), deltas };
	};

	/** Writes a file of zeros, and the folders that it is in. */
	const fill = (path, mib) => {
		mkdirSync(dirname(path), { recursive: true });
		writeFileSync(path, Buffer.alloc(mib * MIB));
	};

	/** The roots of the files in a folder of tiles, in order. */
	const rootsIn = (place) => {
		const files = readdirSync(place).filter((name) => name.endsWith('.blyt'));
		return files.map((name) => `0x${name.slice(0, 64)}`).sort();
	};

	/** The roots of the newest version that the chain has agreed on. */
	const headRoots = async () => {
		const heads = await client.api.call.modelsApi.heads(model);
		return heads.map(([, , root]) => root.toHex());
	};

	/** Checks that a node offers these versions and nothing else, and has no other files. */
	const checkOffers = async (of, place, ...versions) => {
		const expected = [...new Set(versions.flatMap((number) => roots[number]))].sort();
		assert.deepEqual((await of.rpc('tiles_offered')).sort(), expected);
		assert.deepEqual(rootsIn(place), expected);
	};

	/** Prepares the dataset and the first weights, for which nobody is needed. */
	const prepare = async () => {
		const about = [
			...['--name', 'an-extract', '--licence', 'CC-PDDC', '--language', 'en'],
			...['--source', 'tests/data', '--record-bytes', RECORD_BYTES],
		];
		const architecture = join(folder, 'architecture.toml');
		writeFileSync(architecture, toml(ARCHITECTURE));
		const first = ['--architecture', architecture, '--seed', '01'.repeat(32)];
		await Promise.all([
			blyan(null, 'dataset', 'prepare', TEXT, '--out', join(folder, 'dataset'), ...about),
			blyan(null, 'model', 'init', '--out', join(folder, 'first'), ...first),
		]);
	};

	/** Has the dataset approved. */
	const approve = async () => {
		const submit = ['dataset', 'submit', join(folder, 'dataset'), '--account', '//Ferdie'];
		({ dataset } = await blyan(node, ...submit));
		await client.applied(client.api.tx.datasets.vote(dataset, true), voter);
		await client.until(
			client.api.query.datasets.allDatasets,
			[dataset],
			(value) => value.unwrap().status.type === 'Approved',
			`dataset ${dataset} to be approved`,
		);
	};

	/** Creates the model. */
	const create = async () => {
		const words = ['model', 'create', join(folder, 'first'), '--name', 'orator', ...asOwner];
		({ model } = await blyan(node, ...words));
	};

	/**
	 * Starts the newcomer's node and waits until it has forgotten the first deltas, which happens in
	 * `ahead` blocks: of block n the body goes when block n plus those that it keeps is final.
	 * Whether it still has the second ones.
	 */
	const follow = async (ahead) => {
		const goal = (await best()) + ahead;
		const kept = goal - firstDeltas;
		follower = await Node.start([
			...['--chain', specification, '--no-mdns', '--bootnodes', await node.address()],
			...['--blocks-pruning', `${kept}`, '--tiles-dir', tiles.follower],
		]);
		const isThere = async () => (await follower.finalised()) >= goal;
		await eventually(FINAL_MS, () => `block ${goal} to be final\n${follower.tail()}`, isThere);
		// Some blocks may come until the chain has stopped.
		return (await node.finalised()) + STOP_BLOCKS - kept < secondOpened;
	};

	/** Arguments of a pull to this folder. */
	const pull = (place, ...more) => {
		const out = ['--out', join(folder, place)];
		return ['model', 'pull', model, ...out, ...more];
	};

	before(
		setUp(async () => {
			folder = temporaryFolder();
			tiles.node = join(folder, 'tiles');
			tiles.follower = join(folder, 'newcomer');
			tiles.newcomer = join(folder, 'newcomer-worker');
			const changed = changedChain('dev', ({ network }) => {
				network.slotMillis = SLOT_MILLIS;
				Object.assign(network.parameters, COMMITTEES, PERIODS);
			});
			[specification] = await Promise.all([changed, prepare()]);
			node = await Node.start(['--dev', '--chain', specification, '--tiles-dir', tiles.node]);
			client = await connect(node);
			await client.best(1);

			trainer = new Worker(node, 'Bob', ['trainer', 'aggregator'], { max_mib: MAX_MIB });
			checker = new Worker(node, 'Charlie', ['auditor', 'verifier', 'evaluator']);
			const storage = { tiles_dir: tiles.node, snapshot_after_versions: 1 };
			server = new Worker(node, 'Dave', ['server'], storage);
			const machine = u8aToHex(blake2b(voter.publicKey));
			await Promise.all([
				checker.start(),
				client.applied(client.api.tx.datasets.registerVoter(machine), voter),
			]);
			await Promise.all([approve(), create(), trainer.start(), server.start()]);
		}),
	);
	after(cleanUp);

	step('is published by a server when enough versions have come', async () => {
		({ deltas: firstDeltas } = await learn(await open()));
		const { bytes } = await server.event('snapshot_published', { model, snapshot: 1 });
		roots[1] = await headRoots();
		await checkOffers(node, tiles.node, 1);
		const files = rootsIn(tiles.node).map((root) => tilePath(tiles.node, root));
		const size = files.reduce((sum, file) => sum + statSync(file).size, 0);
		// Each file has a header of 4,096 bytes.
		assert.equal(size, bytes + files.length * 4_096);
		// It is away when the next version comes.
		await server.kill();
	});

	step('is not the newest version any more, after a trainer with a full disk', async () => {
		// It holds nothing of the first round that is not settled.
		await trainer.event('round_ended', { round: 0 });
		await trainer.kill();
		const [chain] = trainer.chains();
		const old = join(chain, 'rounds', `00000000-${'ab'.repeat(6)}`, 'training.state');
		const unused = join(trainer.data, 'shards', 'ab'.repeat(32));
		const other = join(dirname(chain), `${'0'.repeat(12)}-${'0'.repeat(12)}`);
		fill(old, 2);
		fill(unused, 2);
		// Nothing of another chain is dropped, so less than an eighth can be free.
		fill(join(other, 'weights', 'left'), MAX_MIB - 4);
		const most = MAX_MIB * MIB;
		assert.ok(bytesIn(trainer.data) > most);
		const weights = join(chain, 'weights', `${model}`);
		assert.deepEqual(readdirSync(weights), ['0']);

		await trainer.start();
		const tidied = await trainer.event('storage_tidied', { max_bytes: most });
		assert.ok(tidied.dropped >= 2 && tidied.used_bytes <= most, JSON.stringify(tidied));
		await trainer.event('storage_full', { max_bytes: most });
		assert.ok(bytesIn(trainer.data) <= most);
		assert.ok(!existsSync(dirname(old)) && !existsSync(unused));
		assert.ok(existsSync(other));
		// The newest version that is whole here.
		assert.deepEqual(readdirSync(weights), ['0']);

		const round = await open();
		const opened = await best();
		// It has looked at a block in which the round is open, and is full all the same.
		const said = /block (\d+): what must stay on this disk/;
		await trainer.logged(said, ([, block]) => Number(block) >= opened);
		assert.ok(bytesIn(trainer.data) <= most);
		rmSync(other, { recursive: true });
		await trainer.event('storage_freed', { max_bytes: most });
		await trainer.event('joined', { round });
		const order = trainer.seen('storage_freed', 'joined').map(({ event }) => event);
		assert.deepEqual(order, ['storage_freed', 'joined'], 'it joined a round with a full disk');
		// From what is left it gets to the head, and learns there.
		({ opened: secondOpened } = await learn(round));
		await trainer.event('snapshot_rebuilt', { model, snapshot: 1 });
		assert.deepEqual(trainer.seen('caught_up'), []);
		assert.ok(bytesIn(trainer.data) <= most);
		const { snapshot } = await blyan(node, 'model', 'show', model);
		assert.equal(snapshot, 2);
		roots[2] = await headRoots();
	});

	step('is needed when the deltas before it are gone', async () => {
		await Promise.all([trainer.kill(), checker.kill()]);
		let hasSecond = false;
		for (const ahead of AHEAD_BLOCKS) {
			hasSecond = await follow(ahead);
			if (hasSecond) {
				break;
			}
			await follower.kill();
		}
		assert.ok(hasSecond, `the newcomer's node is too slow\n${follower.tail()}`);
		await client.close();
		await node.kill();
		const said = await complaint(follower, ...pull('replayed'));
		assert.match(said, /no way leads to version 2: the first weights: .* does not keep/);
	});

	step('leads a newcomer to the head, with the deltas behind it', async () => {
		// This one makes no blocks, and has what the server left in its folder.
		node = await node.again([
			...['--chain', specification, '--no-mdns', '--tiles-dir', tiles.node],
			...['--bootnodes', await follower.address()],
		]);
		await peersOf(follower, 1);
		const pulled = await blyan(follower, ...pull('pulled', '--tiles-dir', tiles.follower));
		assert.equal(pulled.from, 'published version 1');
		assert.equal(pulled.rounds_merged, 1);
		assert.equal(pulled.snapshot, 2);

		const states = await blyan(null, 'model', 'verify', join(folder, 'pulled'));
		assert.ok(states.every(({ genuine }) => genuine));
		assert.deepEqual(states.map(({ root }) => root), roots[2]);
	});

	step('is refused if one of its bytes is not what the chain says', async () => {
		const sizeOf = (root) => statSync(tilePath(tiles.node, root)).size;
		const [largest] = rootsIn(tiles.node).sort((one, other) => sizeOf(other) - sizeOf(one));
		damageTile(tiles.node, largest);
		rmSync(tilePath(tiles.follower, largest));
		const said = await complaint(follower, ...pull('refused', '--tiles-dir', tiles.follower));
		assert.match(said, /published version 1: tiles: 1 nodes sent wrong bytes/);
		assert.ok(!existsSync(join(folder, 'refused', 'model.json')));
		assert.ok(!existsSync(tilePath(tiles.follower, largest)));
		// Changed twice, they are what they were: whoever comes next finds the file whole.
		damageTile(tiles.node, largest);
	});

	step('leads a worker with an empty disk to the head, which it offers then', async () => {
		// The newcomer's node has a new folder of tiles, in which there is nothing.
		await Promise.all([node.kill(), follower.kill()]);
		node = await node.again(['--dev', '--chain', specification, '--tiles-dir', tiles.node]);
		follower = await follower.again([
			...['--chain', specification, '--no-mdns', '--bootnodes', await node.address()],
			...['--blocks-pruning', `${MANY_BLOCKS}`, '--tiles-dir', tiles.newcomer],
		]);
		client = await connect(node);
		const seen = await best();
		// By then it gets blocks as they are made, and takes transactions.
		const isThere = async () => (await follower.finalised()) > seen;
		const what = () => `a block after ${seen} to be final\n${follower.tail()}`;
		await eventually(FINAL_MS, what, isThere);

		const storage = { tiles_dir: tiles.newcomer, snapshot_after_versions: 1 };
		newcomer = new Worker(follower, 'Eve', ['server'], storage);
		await newcomer.start();
		const { from } = await newcomer.event('caught_up', { model, snapshot: 2 });
		assert.equal(from, 'published version 1');
		// One round was replayed, and not the one before the published version.
		const rebuilt = newcomer.seen('snapshot_rebuilt').map(({ snapshot }) => snapshot);
		assert.deepEqual(rebuilt, [2]);
		await newcomer.event('snapshot_published', { model, snapshot: 2 });
		await checkOffers(follower, tiles.newcomer, 1, 2);
		// Without the program's help: these are the weights that the chain has agreed on.
		const rootOf = (root) => u8aToHex(bytesRoot(readTile(tiles.newcomer, root)));
		assert.deepEqual(roots[2].map(rootOf), await headRoots());
	});

	step('is withdrawn behind two newer ones by a worker that fetches nothing twice', async () => {
		await newcomer.kill();
		await Promise.all([newcomer, trainer, checker].map((worker) => worker.start()));
		await learn(await open());
		roots[3] = await headRoots();
		await newcomer.event('snapshot_published', { model, snapshot: 3 });
		const { snapshots } = await newcomer.event('snapshots_withdrawn', { model });
		assert.deepEqual(snapshots, [1]);
		await checkOffers(follower, tiles.newcomer, 2, 3);
		// It went on from what it had.
		assert.deepEqual(newcomer.seen('caught_up'), []);
		const rebuilt = newcomer.seen('snapshot_rebuilt').map(({ snapshot }) => snapshot);
		assert.deepEqual(rebuilt, [3]);
	});
});
