// Learning, and what it survives: every worker is killed in the middle of its work, then the node
// is, and whoever comes later still gets the weights that all agree on.
//
// Nothing here is a matter of luck. There are two trainers, and two who check. Whoever is to be
// killed after it joined, or between a commitment and its reveal, waits for a partner who is away:
// as long as that one has not done the same, the round does not go on. Whoever is to be killed
// before it posts cannot pay for that. Two things cannot be held up. The end of a computation:
// whoever is to be killed at work is killed at its first checkpoint of many, and what it leaves on
// disk must show that it had not come to the end. And the end of a challenge: it takes some blocks,
// and the round must still be in it when whoever is to be killed has ended.

import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe } from 'node:test';
import { u8aToHex } from '@polkadot/util';
import { BLY, connect, wellKnown } from '../support/client.js';
import { blake2b, bytesRoot } from '../support/formats.js';
import {
	ARCHITECTURE,
	CHECKPOINT_EVERY,
	PERIODS,
	RECORD_BYTES,
	recipeOf,
	SLOT_MILLIS,
	TEXT,
	toml,
} from '../support/learning.js';
import { changedChain, Node, temporaryFolder } from '../support/node.js';
import { Process } from '../support/process.js';
import { cleanUp, later, setUp, steps } from '../support/scope.js';
import { blyan, table, Worker } from '../support/worker.js';

/** Committees of two, in which there is a place for everybody. */
const COMMITTEES = {
	auditorsPerDataset: 2,
	verifiersPerUpdate: 2,
	evaluatorsPerRound: 2,
	minUpdates: 2,
	maxTrainers: 2,
	voteQuorum: 1,
};
/** Blocks of a challenge, in which there is time to be killed. */
const CHALLENGE_BLOCKS = 5;
/** Until a round has changed its phase. */
const PHASE_MS = 180_000;

/** Every segment is drawn, so that whoever verifies does all that a trainer did. */
const SEGMENTS = 8;
/** A training of some seconds, in which there is time to be killed. */
const RECIPE = recipeOf(SEGMENTS);
/** Bytes of a tile file before its payload. */
const HEADER_BYTES = 4_096;

/** Whether a training has come to a checkpoint that is not its last. */
const isOnTheWay = (step) => step >= CHECKPOINT_EVERY && step < RECIPE.steps;
/** Whether these files are those of a worker that trains, behind its first checkpoint. */
const isTraining = (files) => files.includes('training.state') && !files.includes('update');
/** Whether they are those of one that trains anew what somebody else has trained. */
const isVerifying = (files) => files.some((file) => /^rerun-.*\/training\.state$/.test(file));

describe('learning', () => {
	const voter = wellKnown('One');
	const asOwner = ['--account', '//Alice'];
	const asContributor = ['--account', '//Ferdie'];
	let folder;
	/** The file of the chain's specification. */
	let chain;
	let node;
	let client;
	/** Two of each. The second one is the partner that is away when the first one commits. */
	let trainers;
	let checkers;
	/** What each worker has at stake. */
	let bonds;
	let dataset;
	let model;
	/** A node that came later. */
	let follower;
	const step = steps();

	const workers = () => [...trainers, ...checkers];
	const addressOf = (worker) => wellKnown(worker.account).address;

	/** What the chain holds of each worker's balance. */
	const held = () =>
		Promise.all(
			workers().map(async (worker) => {
				const holds = await client.api.query.balances.holds(addressOf(worker));
				return holds.reduce((sum, { amount }) => sum + amount.toBigInt(), 0n);
			}),
		);

	/** Opens a round of the model; its number. */
	const open = async () => {
		const recipe = join(folder, 'recipe.toml');
		writeFileSync(recipe, toml(RECIPE));
		const about = ['--model', model, '--dataset', dataset, '--recipe', recipe];
		return (await blyan(node, 'round', 'open', ...about, ...asOwner)).round;
	};

	/**
	 * Kills a worker behind the first checkpoint of a training, which it tells of as `name`. What it
	 * has on disk then must be what `isAtWork` knows: nothing could change that any more, so a kill
	 * that came too late shows.
	 */
	const killAtWork = async (worker, name, round, isAtWork) => {
		await worker.event(name, { round, step: isOnTheWay });
		await worker.kill();
		const files = worker.filesOf(round);
		const left = `the killed ${worker.account} left ${files.join(', ')}\n${worker.tail()}`;
		assert.ok(isAtWork(files), `it was killed too late for the phase "${name}": ${left}`);
	};

	/** Takes all that a worker could pay fees with, so that nothing it sends gets into a block. */
	const takeFees = async (worker) => {
		const transfer = client.api.tx.balances.transferAll(voter.address, false);
		await client.applied(transfer, wellKnown(worker.account));
	};

	/** Gives a worker something to pay fees with. */
	const giveFees = async (worker) => {
		const { balances } = client.api.tx;
		const transfer = balances.transferKeepAlive(addressOf(worker), 1_000n * BLY);
		await client.applied(transfer, voter);
	};

	/** Kills a worker in this phase of a round. */
	const killIn = async (worker, round, phase) => {
		await worker.kill();
		const { phase: reached } = (await client.api.query.rounds.rounds(round)).unwrap();
		const late = `it was killed too late for the phase ${phase}\n${worker.tail()}`;
		assert.equal(reached.type, phase, late);
	};

	/** Waits until a round is in this phase. */
	const reach = async (round, phase) => {
		const stored = await client.until(
			client.api.query.rounds.rounds,
			[round],
			(value) => value.isNone || value.unwrap().phase.type === phase,
			`round ${round} to be in the phase ${phase}`,
			PHASE_MS,
		);
		assert.ok(stored.isSome, `round ${round} ended before the phase ${phase}`);
	};

	/** Waits until a round has ended as it should; what is kept of it. */
	const end = async (round) => {
		const stored = await client.until(
			client.api.query.rounds.summaries,
			[round],
			(value) => value.isSome,
			`round ${round} to end`,
			PHASE_MS,
		);
		const summary = stored.unwrap();
		assert.equal(summary.outcome.type, 'Final', `it ended in the phase ${summary.reached.type}`);
		const { base, candidate } = summary.losses.unwrap();
		assert.ok(candidate.lt(base), `the loss went from ${base} to ${candidate}`);
		assert.equal(summary.trainers.toNumber(), trainers.length);
		assert.equal(summary.accepted.toNumber(), trainers.length);
		return summary;
	};

	/** Prepares the dataset, for which nobody is needed. */
	const prepare = () => {
		const about = [
			...['--name', 'an-extract', '--licence', 'CC-PDDC', '--language', 'en'],
			...['--source', 'tests/data', '--record-bytes', RECORD_BYTES],
		];
		return blyan(null, 'dataset', 'prepare', TEXT, '--out', join(folder, 'dataset'), ...about);
	};

	/** What happened to updates in these blocks. */
	const fates = async (first, last) => {
		const blocks = Array.from({ length: last - first + 1 }, async (_, place) => {
			const hash = await client.hashOf(first + place);
			const records = await client.api.query.system.events.at(hash);
			return records.map(({ event }) => event).filter(({ section }) => section === 'podl');
		});
		return (await Promise.all(blocks)).flat();
	};

	before(
		setUp(async () => {
			folder = temporaryFolder();
			const changed = changedChain('dev', ({ network }) => {
				network.slotMillis = SLOT_MILLIS;
				Object.assign(network.parameters, COMMITTEES, PERIODS, {
					challengePeriod: CHALLENGE_BLOCKS,
					segmentsPerUpdate: SEGMENTS,
				});
			});
			[chain] = await Promise.all([changed, prepare()]);
			node = await Node.start(['--dev', '--chain', chain]);
			client = await connect(node);
			await client.best(1);

			// Nobody measures what it has merged, so it is a trainer who merges.
			const checks = ['auditor', 'verifier', 'evaluator'];
			trainers = [
				new Worker(node, 'Bob', ['trainer', 'aggregator']),
				new Worker(node, 'Charlie', ['trainer']),
			];
			checkers = ['Dave', 'Eve'].map((name) => new Worker(node, name, checks));
			const machine = u8aToHex(blake2b(voter.publicKey));
			const voting = client.api.tx.datasets.registerVoter(machine);
			await Promise.all([
				...workers().map((worker) => worker.start()),
				client.applied(voting, voter),
			]);
			bonds = await held();
			assert.ok(bonds.every((bond) => bond >= 1_000n * BLY));
		}),
	);
	after(cleanUp);

	describe('from a dataset whose auditor is killed', () => {
		step('an auditor killed after its commitment reveals when it is back', async () => {
			const [first, second] = checkers;
			await second.kill();
			second.describe({ region: 'DE' });
			const place = join(folder, 'dataset');
			const submit = ['dataset', 'submit', place, '--no-wait', ...asContributor];
			({ dataset } = await blyan(node, ...submit));
			await first.event('report_committed', { dataset });
			await first.kill();
			await second.start();
			await second.event('hardware_set', { region: 'DE' });
			await second.event('report_revealed', { dataset });
			const audit = (await client.api.query.datasets.audits(dataset)).unwrap();
			assert.equal(audit.phase.type, 'Reveal');

			await first.start();
			await first.event('report_revealed', { dataset });
			assert.deepEqual(first.seen('report_committed'), [], 'it judged again');
		});

		step('the dataset is approved, and a model is there to learn from it', async () => {
			const { query, tx } = client.api;
			const status = (name) =>
				client.until(
					query.datasets.allDatasets,
					[dataset],
					(value) => value.unwrap().status.type === name,
					`dataset ${dataset} to be ${name}`,
				);
			await status('Voting');
			await client.applied(tx.datasets.vote(dataset, true), voter);

			const architecture = join(folder, 'architecture.toml');
			writeFileSync(architecture, toml(ARCHITECTURE));
			const place = join(folder, 'first');
			const about = ['--architecture', architecture, '--seed', '01'.repeat(32)];
			await blyan(null, 'model', 'init', '--out', place, ...about);
			const create = ['model', 'create', place, '--name', 'orator', ...asOwner];
			({ model } = await blyan(node, ...create));
			await status('Approved');
		});
	});

	describe('in a round in whose every phase a worker is killed', () => {
		const round = 0;

		step('a trainer killed after it joined trains when it is back', async () => {
			const [first, second] = trainers;
			// As long as it is away the round stays open.
			await second.kill();
			assert.equal(await open(), round);
			await first.event('joined', { round });
			await killIn(first, round, 'Open');

			await Promise.all([first.start(), second.start()]);
			await second.event('joined', { round });
		});

		step('a trainer killed at work goes on behind its last checkpoint', async () => {
			const [first, second] = trainers;
			await killAtWork(second, 'training', round, isTraining);
			await first.event('update_committed', { round });
			assert.deepEqual(first.seen('joined'), [], 'it joined again');
			await first.kill();

			await second.start();
			const { step: resumed } = await second.event('training_resumed', { round });
			assert.ok(resumed >= CHECKPOINT_EVERY, `it went back to step ${resumed}`);
			await second.event('update_committed', { round });
		});

		step('a trainer killed after its commitment reveals the same update', async () => {
			const [first, second] = trainers;
			await second.event('update_revealed', { round });
			await reach(round, 'Reveal');
			await first.start();
			await first.event('update_revealed', { round });
			for (const name of ['training', 'trained', 'update_committed']) {
				assert.deepEqual(first.seen(name), [], 'it trained again');
			}
		});

		step('a verifier killed at work goes on behind its last checkpoint', async () => {
			const [first, second] = checkers;
			await killAtWork(second, 'verifying', round, isVerifying);
			await first.event('verdict_committed', { round }, trainers.length);
			await first.kill();

			await second.start();
			await second.event('verdict_committed', { round }, trainers.length);
			// It tells of the first step of whatever it begins; those of both updates may be told in
			// any order.
			const steps = second.seen('verifying').map((event) => event.step);
			const begun = steps.filter((number, place) => place === 0 || number <= steps[place - 1]);
			assert.ok(Math.max(...begun) > CHECKPOINT_EVERY, `it began at ${begun.join(' and ')}`);
		});

		step('a verifier killed after its commitments reveals the same verdicts', async () => {
			const [first, second] = checkers;
			await second.event('verdict_revealed', { round, verdict: 'match' }, trainers.length);
			// It is away until the first has measured the candidate: see below.
			await second.kill();
			await reach(round, 'Audit');
			// The aggregator shall be killed before it posts: see below.
			await takeFees(trainers[0]);
			await first.start();
			await first.event('verdict_revealed', { round, verdict: 'match' }, trainers.length);
			for (const name of ['verifying', 'verdict_committed']) {
				assert.deepEqual(first.seen(name), [], 'it verified again');
			}
		});

		step('an aggregator killed when it has merged posts without merging again', async () => {
			const [aggregator] = trainers;
			await aggregator.event('merged', { round });
			// It cannot pay for what it posts, and tries again until it can.
			await aggregator.event('failed', { round, task: 'merge' });
			await aggregator.kill();
			const { posts } = await client.api.query.rounds.merges(round);
			assert.equal(posts.length, 0, 'it was killed too late for the phase "merge": it had posted');
			await giveFees(aggregator);
			await aggregator.start();
			// Nobody else could post.
			await reach(round, 'Challenge');
			await killIn(aggregator, round, 'Challenge');
			assert.deepEqual(aggregator.seen('merged'), [], 'it merged again');
		});

		step('an aggregator killed during the challenge has nothing more to post', async () => {
			const [aggregator] = trainers;
			await aggregator.start();
			// The evaluation waits for the second evaluator.
			await reach(round, 'Evaluate');
		});

		step('an evaluator killed after its commitment reveals the same losses', async () => {
			const [first, second] = checkers;
			await first.event('evaluation_committed', { round });
			await first.kill();
			await second.start();
			await second.event('evaluation_revealed', { round });
			await reach(round, 'Evaluate');
			await first.start();
			await first.event('evaluation_revealed', { round });
			assert.deepEqual(first.seen('evaluation_committed'), [], 'it measured again');
		});

		step('the model is better, each trainer has one update, nobody was slashed', async () => {
			const summary = await end(round);
			for (const name of ['merged', 'merge_posted']) {
				assert.deepEqual(trainers[0].seen(name), [], 'it merged or posted again');
			}
			const events = await fates(summary.opened.toNumber(), summary.ended.toNumber());
			for (const trainer of trainers) {
				const own = events.filter(({ data }) => data.trainer.eq(addressOf(trainer)));
				const of = (name) => own.filter(({ method }) => method === name);
				assert.equal(of('UpdateCommitted').length, 1);
				assert.equal(of('UpdateRevealed').length, 1);
				const rulings = of('Ruled').map(({ data }) => data.ruling.type);
				assert.deepEqual(rulings, ['Accepted']);
			}
			assert.deepEqual(await held(), bonds);
		});
	});

	describe('in a round during which the node is killed', () => {
		const round = 1;

		step('trainers go on while there is no node', async () => {
			assert.equal(await open(), round);
			const asleep = trainers.map(async (trainer) => {
				await trainer.event('training', { round });
				// Until there is no node any more.
				trainer.sleep();
			});
			await Promise.all(asleep);
			await client.close();
			await node.kill();
			for (const trainer of trainers) {
				const atWork = !trainer.filesOf(round).includes('update');
				assert.ok(atWork, `killed too late for the phase "training"\n${trainer.tail()}`);
			}
			trainers.forEach((trainer) => trainer.wake());
			await Promise.all(trainers.map((trainer) => trainer.event('trained', { round })));
		});

		step('what waits for a block when the node is killed is sent again', async () => {
			// How long a node takes to start must not matter: trainers would try again later.
			trainers.forEach((trainer) => trainer.sleep());
			// This one makes no blocks.
			node = await node.again(['--chain', chain, '--no-mdns']);
			client = await connect(node);
			trainers.forEach((trainer) => trainer.wake());
			await client.pending(trainers.length);
			await client.close();
			await node.kill();

			node = await node.again(['--dev', '--chain', chain]);
			client = await connect(node);
			const committed = trainers.map((one) => one.event('update_committed', { round }));
			await Promise.all(committed);
		});

		step('all go on with the node that is back, and the round ends well', async () => {
			const bootnodes = ['--bootnodes', await node.address()];
			const args = ['--chain', chain, '--no-mdns', ...bootnodes];
			[, follower] = await Promise.all([end(round), Node.start(args)]);
			assert.deepEqual(await held(), bonds);
			// None of them has ended, or it could not be killed.
			await Promise.all(workers().map((worker) => worker.kill()));
		});
	});

	describe('whoever comes later', () => {
		let place;

		step('follows the chain with a node that is no validator', async () => {
			const later = await connect(follower);
			const { number, hash } = await client.best(1);
			// Weights are pulled of what is final.
			await later.finalised(number.toNumber());
			assert.equal(await later.hashOf(number.toNumber()), hash.toHex());
		});

		step('pulls the weights from it whose roots are the heads of the validator', async () => {
			const heads = await client.api.call.modelsApi.heads(model);
			const roots = heads.map(([, , root]) => root.toHex());
			place = join(folder, 'pulled');
			const pulled = await blyan(follower, 'model', 'pull', model, '--out', place);
			// One snapshot for each round.
			assert.equal(pulled.snapshot, 2);
			const shown = await blyan(follower, 'model', 'show', model);
			// In development networks every model does.
			assert.equal(shown.earns, true);
			assert.deepEqual(shown.component_heads.map(({ root }) => root), roots);
			const states = await blyan(null, 'model', 'verify', place);
			assert.ok(states.every(({ genuine }) => genuine));
			assert.deepEqual(states.map(({ root }) => root), roots);
			// The same, without the program's help.
			const computed = states.map(({ component }) => {
				const file = readFileSync(join(place, `${component}.blyt`));
				return u8aToHex(bytesRoot(file.subarray(HEADER_BYTES)));
			});
			assert.deepEqual(computed, roots);
		});

		step('finds a byte that was changed since, and has it mended', async () => {
			const component = 'layer.0.expert.1';
			const file = join(place, `${component}.blyt`);
			const bytes = readFileSync(file);
			bytes[HEADER_BYTES + 1_234] ^= 1;
			writeFileSync(file, bytes);
			const error = await blyan(null, 'model', 'verify', place).catch((failed) => failed);
			assert.equal(error.code, 1, `it should have failed: ${error.message}`);
			const wrong = JSON.parse(error.stdout).filter(({ genuine }) => !genuine);
			assert.deepEqual(wrong.map((state) => state.component), [component]);
			assert.ok(wrong[0].problem.includes(file), wrong[0].problem);

			const { written } = await blyan(follower, 'model', 'pull', model, '--out', place);
			assert.equal(written, 1);
			await blyan(null, 'model', 'verify', place);
		});
	});

	describe('the model', () => {
		step('is in the list, and its rounds can be watched', async () => {
			const { name } = await blyan(node, 'model', 'show', model);
			const [listed] = await blyan(node, 'model', 'list');
			assert.deepEqual([listed.model, listed.snapshot, listed.name], [model, 2, name]);
			const shown = await table(node, 'model', 'list');
			assert.ok(shown.includes(name), shown);
			// A round that has ended is shown as it ended.
			const { round, phase } = await blyan(node, 'round', 'watch', 0);
			assert.deepEqual([round, phase], [0, 'final']);
			assert.match(await table(node, 'round', 'list'), /final/);
			const watching = ['--url', node.url, 'round', 'watch', '--model', String(model)];
			const watch = new Process('round watch', 'blyan', watching);
			later(() => watch.kill());
			await watch.logged(/loss of the snapshots up to 2, in nats/, 'the plot of losses', 60_000);
		});

		step('is given to another account by its owner', async () => {
			const { to } = await blyan(node, 'model', 'transfer', model, '//Bob', ...asOwner);
			assert.equal((await blyan(node, 'model', 'show', model)).owner, to);
		});
	});
});
