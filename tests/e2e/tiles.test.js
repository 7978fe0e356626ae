// Tiles between nodes: from several peers at once, who send slowly, from liars, and after crashes.

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { developmentChain, Node, temporaryFolder } from '../support/node.js';
import { cleanUp, setUp } from '../support/scope.js';
import {
	damageTile,
	eventually,
	LEAF_BYTES,
	peersOf,
	readTile,
	tilePath,
	Transfer,
	writeTile,
} from '../support/tiles.js';

/** Two tiles, some leaves and a short one. */
const SIZE = 40 * LEAF_BYTES + 512;
/** A limit of the sender at which a transfer has a middle: 40 leaves take about ten seconds. */
const SLOW = ['--tiles-rate-limit', `${4 * LEAF_BYTES}`];
/** Until a node has asked another one for a payload. */
const ASKED_MS = 30_000;

describe('nodes that move tiles', () => {
	let alice;
	let bob;
	let carol;
	/** What each of them has in its folder. */
	const folder = {};
	const chain = ['--chain', developmentChain()];

	/** Starts a node with a folder for tiles, which knows the nodes at `others`. */
	const start = async (name, args, ...others) => {
		folder[name] = join(temporaryFolder(), 'tiles');
		const known = others.flatMap((address) => ['--bootnodes', address]);
		return Node.start([...args, '--tiles-dir', folder[name], ...known]);
	};

	/** A new payload that these nodes have and offer; its root and its bytes. */
	const offered = async (...owners) => {
		const bytes = randomBytes(SIZE);
		let root;
		for (const [name, node] of owners) {
			root = writeTile(folder[name], bytes);
			assert.equal(await node.rpc('tiles_offer', root), SIZE);
		}
		return { root, bytes };
	};

	/** That Carol has the payload, and offers it to others. */
	const assertArrived = async ({ root, bytes }) => {
		assert.ok(readTile(folder.carol, root).equals(bytes));
		assert.ok((await carol.rpc('tiles_offered')).includes(root));
		const left = readdirSync(folder.carol).filter((name) => !name.endsWith('.blyt'));
		assert.deepEqual(left, ['.lock']);
	};

	/** The value of one of a node's figures, the one with this label. */
	const figure = async (node, name, label = '') => {
		const text = await (await fetch(await node.metricsUrl())).text();
		const fits = (line) => line.startsWith(name) && line.includes(label);
		const line = text.split('\n').find(fits);
		assert.ok(line, `${name} is not in\n${text}`);
		return Number(line.split(' ').pop());
	};

	/** How often a node said that it does not have a payload; the figure comes with the first. */
	const denials = (node) =>
		figure(node, 'blyan_tiles_refusals_total', 'reason="dont_have"').catch(() => 0);

	before(
		setUp(async () => {
			// Neither needs to know the other: Carol knows both.
			[alice, bob] = await Promise.all([
				start('alice', ['--dev', ...chain, ...SLOW]),
				start('bob', [...chain, '--no-mdns', ...SLOW]),
			]);
			const known = [await alice.address(), await bob.address()];
			carol = await start('carol', [...chain, '--no-mdns'], ...known);
			await peersOf(carol, 2);
		}),
	);
	after(cleanUp);

	it('says what is wrong with an offer', async () => {
		const root = `0x${'12'.repeat(32)}`;
		await assert.rejects(alice.rpc('tiles_offer', root), /is not offered; put its file/);
		writeFileSync(tilePath(folder.alice, root), 'not a tile file');
		await assert.rejects(alice.rpc('tiles_offer', root), /is no tile file/);
		await assert.rejects(alice.rpc('tiles_want', root, 5), /cannot have 5 bytes/);
		await assert.rejects(alice.rpc('tiles_status', root), /call tiles_want/);
		await assert.rejects(alice.rpc('tiles_cancel', root), /call tiles_want/);
	});

	it('fetches from several peers, though one of them leaves in the middle', async () => {
		const payload = await offered(['alice', alice], ['bob', bob]);
		const peers = [await alice.rpc('system_localPeerId'), await bob.rpc('system_localPeerId')];
		const transfer = await Transfer.want(carol, payload.root, SIZE);
		const middle = await transfer.until(
			({ sources }) => peers.every((peer) => sources[peer] > 0),
			'bytes from both peers',
		);
		assert.equal(middle.state, 'running', 'it was over before there was a middle');
		await bob.kill();

		const end = await transfer.over();
		assert.equal(end.state, 'done', end.error);
		assert.equal(end.verifiedBytes, SIZE);
		const sum = Object.values(end.sources).reduce((total, bytes) => total + bytes, 0);
		assert.equal(sum, SIZE, 'a leaf came twice, or did not come');
		await assertArrived(payload);
		// Or its connection would be tried again when Carol is killed.
		await transfer.close();

		// They have a limit, so that it was told to wait.
		assert.ok((await figure(alice, 'blyan_tiles_refusals_total', 'reason="busy"')) > 0);
		assert.ok((await figure(alice, 'blyan_tiles_leaf_bytes_total', 'direction="out"')) > 0);
		assert.ok((await figure(alice, 'blyan_tiles_proof_bytes_total', 'direction="out"')) > 0);
		const received = await figure(carol, 'blyan_tiles_leaf_bytes_total', 'direction="in"');
		assert.equal(received, SIZE);
		assert.equal(await figure(carol, 'blyan_tiles_transfers'), 0);
	});

	it('goes on where it was when it was killed', async () => {
		const payload = await offered(['alice', alice]);
		const before = await Transfer.want(carol, payload.root, SIZE);
		const middle = await before.until(
			({ verifiedBytes }) => verifiedBytes > 8 * LEAF_BYTES,
			'some leaves to be stored',
		);
		assert.equal(middle.state, 'running', 'it was over before there was a middle');
		await before.close();
		await carol.kill();

		carol = await carol.again();
		const transfer = await Transfer.want(carol, payload.root, SIZE);
		const end = await transfer.over();
		assert.equal(end.state, 'done', end.error);
		const fetched = Object.values(end.sources).reduce((total, bytes) => total + bytes, 0);
		assert.ok(fetched > 0, 'nothing was left to fetch');
		assert.ok(fetched <= SIZE - middle.verifiedBytes, 'what was there was fetched again');
		await assertArrived(payload);
		// What it has, it need not fetch.
		const again = await Transfer.want(carol, payload.root, SIZE);
		assert.equal((await again.over()).state, 'done');
	});

	it('bans a peer that sends wrong bytes, and fetches from others', async () => {
		const known = [await alice.address(), await carol.address()];
		const mallory = await start('mallory', [...chain, '--no-mdns'], ...known);
		await peersOf(carol, 2);
		const payload = await offered(['alice', alice], ['mallory', mallory]);
		damageTile(folder.mallory, payload.root);

		const transfer = await Transfer.want(carol, payload.root, SIZE);
		const end = await transfer.over();
		assert.equal(end.state, 'done', end.error);
		assert.equal(end.liars, 1);
		const liar = await mallory.rpc('system_localPeerId');
		assert.deepEqual(Object.keys(end.sources), [await alice.rpc('system_localPeerId')]);
		await assertArrived(payload);
		const pattern = new RegExp(`Report ${liar}: .* sent tile bytes .* Banned, disconnecting`);
		await carol.logged(pattern, 'the ban', 10_000);
		assert.equal(await figure(carol, 'blyan_tiles_liars_total'), 1);
	});

	it('waits for somebody who has it, and forgets what is cancelled', async () => {
		const bytes = randomBytes(LEAF_BYTES);
		const root = writeTile(folder.alice, bytes);
		const transfer = await Transfer.want(carol, root, LEAF_BYTES);
		await transfer.until(({ state }) => state === 'running', 'the transfer to run');
		await assert.rejects(carol.rpc('tiles_want', root, 512), /is known here with 262144 bytes/);
		await carol.rpc('tiles_cancel', root);
		assert.equal((await transfer.over()).state, 'cancelled');
		assert.ok(!readdirSync(folder.carol).some((name) => name.startsWith(root.slice(2))));

		const before = await denials(alice);
		const again = await Transfer.want(carol, root, LEAF_BYTES);
		const denied = async () => (await denials(alice)) > before;
		await eventually(ASKED_MS, () => `Alice to be asked\n${carol.tail()}`, denied);
		await alice.rpc('tiles_offer', root);
		assert.equal((await again.over()).state, 'done');
		await assertArrived({ root, bytes });
		assert.equal(await alice.rpc('tiles_withdraw', root), true);
		assert.equal(await alice.rpc('tiles_withdraw', root), false);
	});
});

describe('a node without a folder for tiles, whose RPC is for strangers', () => {
	after(cleanUp);

	it('moves none, and takes no orders', async () => {
		const args = ['--dev', '--chain', developmentChain(), '--rpc-methods', 'safe'];
		const node = await Node.start(args);
		const root = `0x${'12'.repeat(32)}`;
		await assert.rejects(node.rpc('tiles_offered'), /start it with --tiles-dir/);
		for (const method of ['tiles_offer', 'tiles_withdraw', 'tiles_cancel']) {
			await assert.rejects(node.rpc(method, root), /unsafe/);
		}
		await assert.rejects(node.rpc('tiles_want', root, 512), /unsafe/);
	});
});
