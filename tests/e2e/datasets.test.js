// Contributing a dataset without owning a token: proof of work, bare extrinsics, and the data back.

import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { u8aToHex, u8aWrapBytes } from '@polkadot/util';
import { BLY, connect, stranger } from '../support/client.js';
import * as formats from '../support/formats.js';
import { changedChain, Node } from '../support/node.js';
import { REPOSITORY } from '../support/paths.js';
import { cleanUp, setUp } from '../support/scope.js';
import { eventually } from '../support/tiles.js';
import { blyan, table, Worker } from '../support/worker.js';

/** Characters of a record, at most; one sentence may be longer. */
const RECORD_CHARACTERS = 1_000;
/** Small shards, so that a small text has several. */
const SHARD_BYTES = 64 * 1024;
/** Periods, in blocks, that let data end soon. */
const PERIODS = { retentionPeriod: 120, uploadPeriod: 100 };
/** How long before it ends data is renewed: the most that a worker takes. */
const RENEWED_BEFORE_BLOCKS = 90;
/** Until what is stored is renewed. */
const RENEWED_MS = 120_000;
/** What a dataset must have. */
const MIN_RECORDS = 64;

/** The committed text, cut after sentences. */
function readTexts() {
	const folder = join(REPOSITORY, 'tests', 'data');
	const files = readdirSync(folder).filter((name) => name.endsWith('.txt'));
	assert.notEqual(files.length, 0, `${folder} has no text`);
	const text = files.map((name) => readFileSync(join(folder, name), 'utf8')).join('\n');
	const texts = [''];
	for (const sentence of text.split(/(?<=[.?!])\s+/)) {
		const last = texts.length - 1;
		if (texts[last].length + 1 + sentence.length <= RECORD_CHARACTERS) {
			texts[last] = `${texts[last]} ${sentence}`.trim();
		} else {
			texts.push(sentence.trim());
		}
	}
	return texts.filter((part) => part !== '');
}

/** Everything that a contributor makes of some texts before it talks to a node. */
function prepare(name, texts) {
	const records = texts.map((text) => formats.encodeRecord({ text }));
	const shards = formats.packShards(records, SHARD_BYTES);
	const recordsRoot = formats.listRoot(records.map(formats.blake2b));
	const manifest = formats.encodeManifest({
		name,
		kind: formats.KIND.text,
		licence: 'CC0-1.0',
		language: 'en',
		source: 'an extract for tests',
		records: records.length,
		bytes: shards.reduce((sum, shard) => sum + shard.bytes.length, 0),
		recordsRoot,
		shards: shards.map(({ bytes, cid, records: count }) => ({
			cid,
			bytes: bytes.length,
			records: count,
		})),
		availability: formats.AVAILABILITY.chain,
	});
	return { texts, shards, recordsRoot, manifest, hash: formats.blake2b(manifest) };
}

describe('a contributor without tokens', () => {
	const texts = readTexts();
	assert.ok(texts.length >= 2 * MIN_RECORDS, `${texts.length} records do not make two datasets`);
	const dataset = prepare('An extract', texts.slice(0, -MIN_RECORDS));
	const owner = stranger();
	/** It pays for another period of what the dataset stores. */
	let worker;
	let client;
	let api;
	let events;
	/** The id and the block in Chain D of the first dataset. */
	let id;
	let block;

	before(
		setUp(async () => {
			const chain = await changedChain('dev', ({ network }) => {
				Object.assign(network.parameters, PERIODS);
			});
			const node = await Node.start(['--dev', '--chain', chain]);
			client = await connect(node);
			api = client.api;
			await client.best(1);
			events = await client.watchEvents();
			worker = new Worker(node, 'Bob', ['aggregator'], {}, await policy());
			await worker.start();
		}),
	);
	after(cleanUp);

	/** The policy of the worker: to renew the first dataset of this chain, but not all of it. */
	const policy = async () => {
		const { byteFee, entryFee } = api.consts.shards;
		const fees = dataset.shards.map(
			({ bytes }) => entryFee.toBigInt() + byteFee.toBigInt() * BigInt(bytes.length),
		);
		const renewal = await api.tx.shards.renew(0, 0).paymentInfo(owner.address);
		const transaction = renewal.partialFee.toBigInt();
		// Half the fee of a transaction is missing for all; that fee changes with how full blocks are.
		const half = BigInt(2 * fees.length - 1);
		const limit = fees.reduce((sum, fee) => sum + fee, (half * transaction) / 2n);
		const decimals = `${limit % BLY}`.padStart(18, '0');
		return {
			datasets: [0],
			max_fee_per_day: `${limit / BLY}.${decimals}`,
			before_blocks: RENEWED_BEFORE_BLOCKS,
		};
	};

	/** The transaction that submits `prepared`, with a signature as wallets make it over bytes. */
	const submission = ({ manifest, hash }, account, nonce, signer = account) => {
		const signature = { Sr25519: u8aToHex(signer.sign(u8aWrapBytes(hash))) };
		return api.tx.datasets.submit(manifest, account.address, signature, nonce);
	};
	/** A nonce that the chain accepts now. */
	const work = async ({ hash }, account) => {
		const difficulty = (await api.call.datasetsApi.difficulty()).toNumber();
		return formats.solve(hash, account.publicKey, difficulty);
	};
	const upload = (to, index, bytes) => api.tx.datasets.storeShard(to, index, u8aToHex(bytes));

	it('has a text of several shards to give', () => {
		assert.ok(dataset.shards.length > 1);
	});

	it('is refused when it did no work', async () => {
		let nonce = 0n;
		const bits = () =>
			formats.leadingZeroBits(formats.workHash(dataset.hash, owner.publicKey, nonce));
		while (bits() > 0) {
			nonce += 1n;
		}
		const error = await client.refused(submission(dataset, owner, nonce));
		assert.equal(error, 'datasets.InsufficientWork');
	});

	it('is refused when somebody else signed, or the work is for somebody else', async () => {
		const nonce = await work(dataset, owner);
		const other = stranger();
		const forged = submission(dataset, owner, nonce, other);
		assert.equal(await client.refused(forged), 'datasets.BadSignature');
		const stolen = submission(dataset, other, nonce);
		assert.equal(await client.refused(stolen), 'datasets.InsufficientWork');
	});

	it('submits a manifest with a proof of work', async () => {
		const tx = submission(dataset, owner, await work(dataset, owner));
		assert.equal(u8aToHex(tx.method.args[0].toU8a()), u8aToHex(dataset.manifest));
		const submitted = await client.applied(tx);
		const event = submitted.event('datasets', 'Submitted');
		id = event.dataset.toNumber();
		block = event.blockHash.toU8a();
		assert.equal(event.owner.toString(), owner.address);
		assert.equal(event.manifestHash.toHex(), u8aToHex(dataset.hash));
		const expected = formats.datasetBlockHash({
			number: id,
			parent: new Uint8Array(32),
			manifestHash: dataset.hash,
			owner: owner.publicKey,
			at: submitted.number,
		});
		assert.equal(u8aToHex(block), u8aToHex(expected));
	});

	it('cannot upload what the manifest does not name', async () => {
		const [first] = dataset.shards;
		const lie = first.bytes.slice();
		lie[lie.length - 1] ^= 1;
		assert.equal(await client.refused(upload(id, 0, lie)), 'datasets.WrongShard');
		const short = first.bytes.subarray(1);
		assert.equal(await client.refused(upload(id, 0, short)), 'datasets.WrongShard');
		const beyond = upload(id, dataset.shards.length, first.bytes);
		assert.equal(await client.refused(beyond), 'datasets.UnknownShard');
		const nowhere = upload(id + 1, 0, first.bytes);
		assert.equal(await client.refused(nowhere), 'datasets.UnknownDataset');
	});

	it('uploads its shards', async () => {
		await Promise.all(
			dataset.shards.map(({ bytes }, index) => client.applied(upload(id, index, bytes))),
		);
		const { status, recordsRoot } = (await api.query.datasets.allDatasets(id)).unwrap();
		assert.ok(status.isAuditing, `the dataset is ${status.type}`);
		assert.equal(recordsRoot.toHex(), u8aToHex(dataset.recordsRoot));
	});

	it('sees all of it in the events', async () => {
		const [submitted] = await events.wait('datasets', 'Submitted');
		assert.equal(submitted.manifestHash.toHex(), u8aToHex(dataset.hash));
		const stored = await events.wait('datasets', 'ShardStored', dataset.shards.length);
		const cids = new Map(stored.map(({ index, cid }) => [index.toNumber(), cid.toHex()]));
		dataset.shards.forEach(({ cid }, index) => assert.equal(cids.get(index), u8aToHex(cid)));
		const [uploaded] = await events.wait('datasets', 'Uploaded');
		assert.equal(uploaded.dataset.toNumber(), id);
	});

	it('reads its text back from the chain', async () => {
		const manifest = (await api.query.datasets.manifests(id)).unwrap();
		assert.equal(u8aToHex(manifest.toU8a()), u8aToHex(dataset.manifest));
		const records = [];
		for (const { cid } of manifest.shards) {
			const bytes = await client.fetchShard(cid.toU8a());
			assert.equal(u8aToHex(formats.blake2b(bytes)), cid.toHex());
			records.push(...formats.unpackShard(bytes));
		}
		const root = formats.listRoot(records.map(formats.blake2b));
		assert.equal(u8aToHex(root), manifest.recordsRoot.toHex());
		const read = records.map((record) => formats.decodeRecord(record).text);
		assert.deepEqual(read, dataset.texts);
	});

	it('cannot submit the same again, nor under another name', async () => {
		const again = submission(dataset, owner, await work(dataset, owner));
		assert.equal(await client.refused(again), 'datasets.AlreadySubmitted');
		const renamed = prepare('Another name', dataset.texts);
		const copy = submission(renamed, owner, await work(renamed, owner));
		assert.equal(await client.refused(copy), 'datasets.DuplicateRecords');
	});

	it('cannot submit too little', async () => {
		const few = prepare('A few', texts.slice(-MIN_RECORDS + 1));
		const tx = submission(few, owner, await work(few, owner));
		assert.equal(await client.refused(tx), 'datasets.TooFewRecords');
	});

	it('finds it in the list, as a table and by its owner', async () => {
		const shown = await table(client.node, 'dataset', 'list');
		assert.ok(shown.includes('An extract') && shown.includes('auditing'), shown);
		const own = await blyan(client.node, 'dataset', 'list', '--owner', owner.address);
		assert.deepEqual(own.map(({ dataset: number, records }) => [number, records]), [
			[id, dataset.texts.length],
		]);
		const others = ['--owner', stranger().address];
		assert.deepEqual(await blyan(client.node, 'dataset', 'list', ...others), []);
	});

	it('is followed in Chain D by the next one', async () => {
		const next = prepare('The rest', texts.slice(-MIN_RECORDS));
		const other = stranger();
		// Programs sign the hash as it is.
		const signature = { Sr25519: u8aToHex(other.sign(next.hash)) };
		// Whoever does not want to search for the nonce has `blyan` do it.
		const asked = ['dataset', 'work', u8aToHex(next.hash), '--owner', other.address];
		const { nonce } = await blyan(client.node, ...asked);
		const tx = api.tx.datasets.submit(next.manifest, other.address, signature, nonce);
		const event = (await client.applied(tx)).event('datasets', 'Submitted');
		assert.equal(event.dataset.toNumber(), id + 1);
		const { parent } = (await api.query.datasets.blocks(id + 1)).unwrap();
		assert.equal(parent.toHex(), u8aToHex(block));
	});

	it('is renewed by a worker that was told to, as far as its limit goes', async () => {
		const most = dataset.shards.length - 1;
		const renewed = () => worker.seen('shards_renewed');
		const count = () => renewed().reduce((sum, { shards }) => sum + shards, 0);
		const what = () => `${most} shards to be renewed\n${worker.tail()}`;
		await eventually(RENEWED_MS, what, async () => count() >= most);
		const { shards, why } = await worker.event('renewal_short');
		assert.equal(shards, 1);
		assert.match(why, /raise renewal\.max_fee_per_day to/);
		assert.equal(count(), most);
		assert.ok(renewed().every(({ datasets }) => datasets.length === 1 && datasets[0] === id));
		const paid = await events.wait('shards', 'Renewed', most);
		const cids = new Set(dataset.shards.map(({ cid }) => u8aToHex(cid)));
		assert.ok(paid.every(({ cid }) => cids.delete(cid.toHex())), 'a shard was paid for twice');
		await worker.kill();
	});

	it('has paid nothing', async () => {
		const { data, providers } = await api.query.system.account(owner.address);
		assert.equal(data.free.toBigInt(), 0n);
		assert.equal(providers.toNumber(), 0);
	});
});
