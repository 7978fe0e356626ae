// A retention period passes: whoever makes a block proves that it holds what was stored one period
// ago, and what nobody has renewed is gone. Where the bodies that a node keeps, the proof that it
// makes of them and the runtime disagree, the chain stops here.
//
// Both nodes keep the bodies of no more blocks than a validator must. The second one has the other
// database and takes over half way: it proves what it has imported, and has not made.

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, before, describe } from 'node:test';
import { u8aToHex } from '@polkadot/util';
import { connect, wellKnown } from '../support/client.js';
import { blake2b } from '../support/formats.js';
import { changedChain, Node } from '../support/node.js';
import { cleanUp, setUp, steps } from '../support/scope.js';
import { eventually } from '../support/tiles.js';

/** The shortest slots that a network may have, in milliseconds. */
const SLOT_MILLIS = 500;
/** The shortest retention period that counts, in blocks. */
const RETENTION = 100;
/**
 * Blocks between what is stored and what is stored again or renewed. Between those in which their
 * proofs are due the other node takes over.
 */
const BETWEEN = 70;
/** Until a retention period has passed, on a machine that is busy. */
const PERIOD_MS = 300_000;
/** Until a node has forgotten what its finalised blocks say is over. */
const FORGOTTEN_MS = 60_000;

/** Bytes that no chain has seen. */
const fresh = (length) => new Uint8Array(randomBytes(length));

describe('a retention period', () => {
	const names = ['Alice', 'Bob', 'Charlie', 'Dave', 'Eve'];
	const [alice, bob, charlie, dave, eve] = names.map(wellKnown);
	/** Data by how long it lasts: less than a chunk, whole chunks, and some with a rest. */
	const data = {
		stored: fresh(1),
		storedAgain: fresh(10_000),
		renewed: fresh(3 * 256),
		kept: fresh(70_001),
	};
	/** How many items each block has that stored or renewed some. */
	const items = new Map();
	/** Where data was last stored or renewed, by its CID. */
	const places = new Map();
	/** The specification of the chain. */
	let chain;
	/** The arguments of the second node, apart from who it is. */
	let second;
	/** The node that makes the blocks, and the one that follows it. */
	let author;
	let follower;
	/** Connections to them. */
	let client;
	let later;
	/** The newest block of the first items, and the oldest of those that came afterwards. */
	let lastStored;
	let firstAgain;
	/** The newest block whose items expire in this test. */
	let lastAgain;
	const step = steps();

	const store = (bytes) => client.api.tx.shards.store(u8aToHex(bytes));
	const renew = (bytes) => {
		const { block, index } = places.get(u8aToHex(blake2b(bytes)));
		return client.api.tx.shards.renew(block, index);
	};

	/** Sends what stores or renews data, and notes where it did; the block's number. */
	const send = async (tx, signer) => {
		const { number, events } = await client.applied(tx, signer);
		const isItem = (event) =>
			event.section === 'shards' && ['Stored', 'Renewed'].includes(event.method);
		for (const { data: item } of events.filter(isItem)) {
			places.set(item.cid.toHex(), { block: number, index: item.index.toNumber() });
			items.set(number, (items.get(number) ?? 0) + 1);
		}
		return number;
	};

	/** Checks that a node serves this data. */
	const served = async (from, bytes) => {
		assert.deepEqual(await from.fetchShard(blake2b(bytes)), bytes);
	};

	/** Waits until a node has forgotten this data. Nothing tells when its database is done. */
	const forgotten = async (from, bytes) => {
		let answer;
		const isGone = async () => {
			answer = await from.fetchShard(blake2b(bytes)).catch((error) => error);
			return answer instanceof Error;
		};
		const what = () => `${bytes.length} bytes to be forgotten\n${from.node.tail()}`;
		await eventually(FORGOTTEN_MS, what, isGone);
		assert.equal(answer.code, -32810, answer.message);
		assert.match(answer.message, /Transaction not found/);
	};

	/** The names of the data that the chain still knows. */
	const known = async () => {
		const cids = Object.values(data).map(blake2b);
		const found = await client.api.query.shards.cids.multi(cids);
		return Object.keys(data).filter((_, place) => found[place].isSome);
	};

	/** Checks that these blocks prove what they owe and let expire what is over, and no more. */
	const checkBlocks = async (first, last) => {
		const numbers = Array.from({ length: last - first + 1 }, (_, place) => first + place);
		const check = async (number) => {
			const records = await client.api.query.system.events.at(await client.hashOf(number));
			const events = records.map(({ event }) => event);
			const of = (name) =>
				events.filter(({ section, method }) => section === 'shards' && method === name);
			const due = items.has(number - RETENTION) ? 1 : 0;
			assert.equal(of('ProofChecked').length, due, `proofs in block ${number}`);
			const over = number - RETENTION - 1;
			const expected = items.has(over) ? [[over, items.get(over)]] : [];
			const expired = of('Expired').map(({ data: [block, count] }) => [
				block.toNumber(),
				count.toNumber(),
			]);
			assert.deepEqual(expired, expected, `what expired in block ${number}`);
		};
		await Promise.all(numbers.map(check));
	};

	before(
		setUp(async () => {
			chain = await changedChain('dev', ({ network }) => {
				network.slotMillis = SLOT_MILLIS;
				network.parameters.retentionPeriod = RETENTION;
			});
			const common = ['--chain', chain, '--blocks-pruning', `${RETENTION}`];
			second = [...common, '--database', 'paritydb'];
			author = await Node.start(['--dev', ...common]);
			const network = ['--no-mdns', '--bootnodes', await author.address()];
			follower = await Node.start([...second, ...network]);
			[client, later] = await Promise.all([connect(author), connect(follower)]);
			await client.best(1);
		}),
	);
	after(cleanUp);

	step('begins when data is stored, some of it by two transactions', async () => {
		const stored = await Promise.all([
			send(store(data.stored), alice),
			send(store(data.storedAgain), bob),
			send(store(data.storedAgain), charlie),
			send(store(data.renewed), dave),
			send(store(data.kept), eve),
		]);
		lastStored = Math.max(...stored);
		await later.finalised(lastStored);
		await Promise.all(Object.values(data).map((bytes) => served(later, bytes)));
	});

	step('begins anew when data is stored again or renewed', async () => {
		await client.best(lastStored + BETWEEN, PERIOD_MS);
		firstAgain = await send(store(data.storedAgain), alice);
		await send(renew(data.kept), bob);
		const both = [renew(data.kept), renew(data.renewed)];
		lastAgain = await send(client.api.tx.utility.batchAll(both), charlie);
	});

	step('ends with a proof, and without the data that nobody has renewed', async () => {
		const end = lastStored + RETENTION + 1;
		await Promise.all([client, later].map((one) => one.finalised(end, PERIOD_MS)));
		assert.equal(await later.hashOf(end), await client.hashOf(end));
		const { stored, ...others } = data;
		for (const one of [client, later]) {
			await forgotten(one, stored);
			await Promise.all(Object.values(others).map((bytes) => served(one, bytes)));
		}
		await checkBlocks(RETENTION + 1, end);
		assert.deepEqual(await known(), Object.keys(others));
	});

	step('ends as well when the node makes the blocks that has imported the data', async () => {
		await Promise.all([client.close(), later.close()]);
		const { number } = await author.rpc('chain_getHeader');
		await author.kill();
		const late = `it was killed too late: it may have proven block ${firstAgain}`;
		assert.ok(Number(number) + 1 < firstAgain + RETENTION, `${late}\n${author.tail()}`);
		await follower.stop();
		author = await follower.again(['--dev', ...second]);
		const complaint = /lacks what was stored|Cannot check that this validator/;
		assert.ok(!author.lines.some((line) => complaint.test(line)), author.tail());
		client = await connect(author);
		assert.equal(await client.refused(renew(data.stored), alice), 'shards.NotFound');
		await send(renew(data.kept), dave);

		const end = lastAgain + RETENTION + 1;
		await client.finalised(end, PERIOD_MS);
		await checkBlocks(lastStored + RETENTION + 2, end);
		await forgotten(client, data.storedAgain);
		await forgotten(client, data.renewed);
		await served(client, data.kept);
		assert.deepEqual(await known(), ['kept']);
	});

	step('may begin again for what is gone', async () => {
		await client.finalised(await send(store(data.stored), alice));
		await served(client, data.stored);
		assert.deepEqual(await known(), ['stored', 'kept']);
	});

	step('keeps validators from starting that could not prove what is stored', async () => {
		const refused = async (reason, ...args) => {
			const ended = new RegExp(`ended: exit code 1, [^]*${reason}`);
			await assert.rejects(Node.start(['--dev', '--chain', chain, ...args]), ended);
		};
		await Promise.all([
			refused('a validator cannot sync with', '--sync', 'warp'),
			refused('a validator cannot sync with', '--sync', 'fast'),
			refused(`which is ${RETENTION} blocks`, '--blocks-pruning', `${RETENTION - 1}`),
		]);
	});
});
