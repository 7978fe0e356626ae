// Tiles over a bad link: bytes come slowly, too slowly, or not at all because the link is cut.

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { Link } from '../support/link.js';
import { Node, publicChain, temporaryFolder } from '../support/node.js';
import { cleanUp, setUp } from '../support/scope.js';
import { LEAF_BYTES, peersOf, readTile, Transfer, writeTile } from '../support/tiles.js';

/** A tile, some leaves and a short one. */
const SIZE = 24 * LEAF_BYTES + 512;
/** Leaves that a peer is asked for at first. */
const FIRST_LEAVES = 4;
/** Bytes per second at which a payload takes some seconds, and a request much less than 30. */
const SLOW = 8 * LEAF_BYTES;
/** Bytes per second at which the first request takes a minute; a node waits for half of that. */
const TOO_SLOW = (FIRST_LEAVES * LEAF_BYTES) / 60;
/** Until a node that has waited for so long says so. */
const TIMEOUT_MS = 60_000;

describe('a node behind a bad link', () => {
	const folder = {};
	let sender;
	let receiver;
	let link;

	/** Starts a node that finds no other one by itself. */
	const start = (name, ...args) => {
		folder[name] = join(temporaryFolder(), 'tiles');
		const own = ['--chain', publicChain(), '--no-mdns', '--tiles-dir', folder[name]];
		return Node.start([...own, ...args]);
	};

	/** A new payload that the sender offers; its root and its bytes. */
	const offered = async () => {
		const bytes = randomBytes(SIZE);
		const root = writeTile(folder.sender, bytes);
		assert.equal(await sender.rpc('tiles_offer', root), SIZE);
		return { root, bytes };
	};

	/** Waits until some of the payload has come, and not all; how the transfer stands then. */
	const middleOf = async (transfer) => {
		const began = ({ verifiedBytes }) => verifiedBytes > 0;
		const middle = await transfer.until(began, 'the first bytes to be verified');
		assert.equal(middle.state, 'running', 'it was over before there was a middle');
		return middle;
	};

	/** Waits until the payload is there. All of it was verified, and no byte came twice. */
	const assertArrives = async (transfer, { root, bytes }) => {
		const end = await transfer.over();
		assert.equal(end.state, 'done', end.error);
		assert.equal(end.liars, 0);
		const peer = await sender.rpc('system_localPeerId');
		assert.deepEqual(end.sources, { [peer]: SIZE });
		assert.ok(readTile(folder.receiver, root).equals(bytes));
	};

	before(
		setUp(async () => {
			sender = await start('sender');
			link = await Link.to(await sender.address(), SLOW);
			receiver = await start('receiver', '--bootnodes', link.address, '--log', 'tiles=debug');
			await peersOf(receiver, 1);
		}),
	);
	after(cleanUp);

	it('asks for less when an answer does not come in time', async () => {
		const payload = await offered();
		link.rate = TOO_SLOW;
		const transfer = await Transfer.want(receiver, payload.root, SIZE);
		await receiver.logged(/did not answer: .*[Tt]imeout/, 'the time to be over', TIMEOUT_MS);
		assert.equal(link.connections, 1, 'the connection was lost');

		// So slowly that what comes first is seen before more of it comes. It asks for half; a sender
		// that has noticed that its answer was not taken sends less than that.
		const less = (FIRST_LEAVES / 2) * LEAF_BYTES;
		link.rate = less;
		const { verifiedBytes } = await middleOf(transfer);
		assert.ok(verifiedBytes <= less, `${verifiedBytes} bytes came at once`);
		link.rate = SLOW;
		await assertArrives(transfer, payload);
	});

	it('fetches what comes slowly', async () => {
		const payload = await offered();
		const before = link.received;
		const transfer = await Transfer.want(receiver, payload.root, SIZE);
		await middleOf(transfer);
		await assertArrives(transfer, payload);
		assert.ok(link.received - before >= SIZE, 'it did not come over the link');
		assert.equal(link.connections, 1);
	});

	it('goes on where it was when the link was cut', async () => {
		const payload = await offered();
		const transfer = await Transfer.want(receiver, payload.root, SIZE);
		await middleOf(transfer);
		link.cut();
		const before = link.received;

		await assertArrives(transfer, payload);
		assert.ok(link.connections > 1, 'the connection was not lost');
		assert.ok(link.received - before < SIZE, 'what was there was fetched again');
	});
});
