// The node itself: blocks, finality, metadata, databases, specifications, metrics.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { promisify } from 'node:util';
import { BLY, connect, stranger, wellKnown } from '../support/client.js';
import { parseExact } from '../support/json.js';
import { command, developmentChain, Node, temporaryFolder } from '../support/node.js';
import { REPOSITORY } from '../support/paths.js';
import { cleanUp, setUp } from '../support/scope.js';
import { eventually } from '../support/tiles.js';

const specifications = join(REPOSITORY, 'chain-spec');

/** Until the first block is final. */
const FINAL_MS = 60_000;

/** More than a specification has. */
const MAX_SPECIFICATION_BYTES = 64 << 20;

/** Where a development chain's data is, below a base path. */
const chainFolder = (base) => join(base, 'chains', 'blyan_dev');

describe('a development node', () => {
	const alice = wellKnown('Alice');
	const receiver = stranger();
	const amount = 5n * BLY;
	let base;
	let node;
	let client;
	/** The block of the transfer. */
	let transfer;

	before(
		setUp(async () => {
			base = temporaryFolder();
			node = await Node.start(['--dev'], base);
			client = await connect(node);
		}),
	);
	after(cleanUp);

	const balance = async () => {
		const { data } = await client.api.query.system.account(receiver.address);
		return data.free.toBigInt();
	};

	it('makes blocks', async () => {
		const first = await client.best(1);
		const second = await client.best(first.number.toNumber() + 1);
		assert.ok(second.number.toNumber() > first.number.toNumber());
	});

	it('has metadata of version 16 with every call, event and runtime API', () => {
		const { api } = client;
		assert.equal(api.runtimeMetadata.version, 16);
		assert.equal(api.runtimeVersion.specName.toString(), 'blyan');
		assert.equal(typeof api.tx.workers.register, 'function');
		assert.equal(typeof api.call.blyApi.claimable, 'function');
		assert.deepEqual(api.registry.chainTokens, ['BLY']);
		assert.deepEqual(api.registry.chainDecimals, [18]);
	});

	it('transfers BLY and says so in an event', async () => {
		const tx = client.api.tx.balances.transferKeepAlive(receiver.address, amount);
		transfer = await client.applied(tx, alice);
		const event = transfer.event('balances', 'Transfer');
		assert.equal(event.from.toString(), alice.address);
		assert.equal(event.to.toString(), receiver.address);
		assert.equal(event.amount.toBigInt(), amount);
		assert.equal(await balance(), amount);
	});

	it('makes blocks final', async () => {
		await client.finalised(transfer.number);
		assert.equal(await client.hashOf(transfer.number), transfer.hash);
	});

	it('answers Prometheus', async () => {
		const url = await node.metricsUrl();
		const response = await fetch(url, { signal: AbortSignal.timeout(10_000) });
		assert.equal(response.status, 200);
		const metrics = await response.text();
		assert.match(metrics, /^substrate_block_height\{.*status="best".*\} \d+$/m);
	});

	it('goes on from its database after it was killed', async () => {
		const last = (await client.best(transfer.number)).number.toNumber();
		await client.close();
		const { signal } = await node.kill();
		assert.equal(signal, 'SIGKILL');

		// The same chain as before, with its genesis made already.
		node = await Node.start(['--dev', '--chain', developmentChain()], base);
		client = await connect(node);
		assert.equal(await client.hashOf(transfer.number), transfer.hash);
		assert.equal(await balance(), amount);
		await client.best(last + 1);
		await client.finalised(last);
	});

	it('stops when asked, and its chain can be purged', async () => {
		await client.close();
		assert.deepEqual(await node.stop(), { code: 0, signal: null });
		const database = join(chainFolder(base), 'db');
		assert.ok(existsSync(database));
		const { stdout } = await command('purge-chain', '--dev', '--base-path', base, '-y');
		assert.match(stdout, /removed/);
		assert.ok(!existsSync(database));
	});
});

describe('a node with ParityDB', () => {
	after(cleanUp);

	it('makes blocks and keeps them', async () => {
		const base = temporaryFolder();
		const args = ['--dev', '--chain', developmentChain(), '--database', 'paritydb'];
		const first = await Node.start(args, base);
		const what = () => `block 1 to be final\n${first.tail()}`;
		await eventually(FINAL_MS, what, async () => (await first.finalised()) >= 1);
		const hash = await first.rpc('chain_getBlockHash', 1);
		await first.stop();
		assert.ok(existsSync(join(chainFolder(base), 'paritydb')));
		assert.ok(!existsSync(join(chainFolder(base), 'db')));

		const again = await Node.start(args, base);
		assert.equal(await again.rpc('chain_getBlockHash', 1), hash);
	});
});

describe('chain specifications', () => {
	/** What chain-spec/build.sh says, which may be a whole runtime. */
	const build = (...args) => {
		const limit = { maxBuffer: MAX_SPECIFICATION_BYTES };
		return promisify(execFile)(join(specifications, 'build.sh'), args, limit);
	};

	for (const network of ['dev', 'local', 'testnet']) {
		it(`the preset of ${network} is the committed one`, async () => {
			const { stdout } = await command('export-chain-spec', '--chain', network);
			const exported = parseExact(stdout);
			assert.match(exported.genesis.runtimeGenesis.code, /^0x[0-9a-f]{1000}/);
			// As chain-spec/build.sh does: the code is in the node, and megabytes long.
			exported.genesis.runtimeGenesis.code = '0x';
			const file = join(specifications, `${network}.json`);
			const committed = parseExact(readFileSync(file, 'utf8'));
			assert.deepEqual(exported, committed, `${network}.json is old: \`make chain-spec\``);
		});
	}

	it('have what the operators of a test network add', async () => {
		const example = join(specifications, 'operators.example.json');
		const { stdout } = await build('testnet', example);
		const { patch } = parseExact(stdout).genesis.runtimeGenesis;
		const added = Object.entries(parseExact(readFileSync(example, 'utf8')));
		assert.notEqual(added.length, 0);
		for (const [pallet, fields] of added) {
			for (const [name, value] of Object.entries(fields)) {
				assert.deepEqual(patch[pallet][name], value, `${pallet}.${name}`);
			}
		}
	});

	it('tell why a network has none', async () => {
		const built = build('nowhere', 'operators.json');
		const { code, stdout, stderr } = await built.catch((failed) => failed);
		assert.equal(code, 1);
		assert.equal(stdout, '');
		assert.match(stderr, /nowhere.*No such file[^]*cannot export nowhere/);
	});
});
