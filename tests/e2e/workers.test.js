// Workers and money: a bond that comes back, and an author that is paid for its blocks.

import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { u8aToHex } from '@polkadot/util';
import { BLY, connect, wellKnown } from '../support/client.js';
import { blake2b } from '../support/formats.js';
import { changedChain, Node } from '../support/node.js';
import { cleanUp, setUp } from '../support/scope.js';

/** Periods, in blocks, that let everything happen within a minute. */
const PERIODS = { emissionEpoch: 8, heartbeatInterval: 16, unbondingPeriod: 8 };
/** Milliseconds of a slot. */
const SLOT_MILLIS = 1_000;

const alice = wellKnown('Alice');
const bob = wellKnown('Bob');
const charlie = wellKnown('Charlie');

describe('a network with short periods', () => {
	let client;
	let api;
	/** What the specification gives to all accounts together. */
	let endowment;

	before(
		setUp(async () => {
			const chain = await changedChain('dev', ({ network, balances }) => {
				network.slotMillis = SLOT_MILLIS;
				Object.assign(network.parameters, PERIODS);
				const amounts = balances.balances.map(([, amount]) => BigInt(amount));
				endowment = amounts.reduce((sum, amount) => sum + amount, 0n);
			});
			client = await connect(await Node.start(['--dev', '--chain', chain]));
			api = client.api;
			await client.best(1);
		}),
	);
	after(cleanUp);

	const free = async (account) =>
		(await api.query.system.account(account.address)).data.free.toBigInt();

	describe('a worker', () => {
		const hardwareId = u8aToHex(blake2b(new TextEncoder().encode('a machine')));
		const profile = {
			device: 'Cpu',
			vramMib: 24_576,
			tflopsMilli: 250,
			memoryMibPerS: 20_480,
			pcieMibPerS: 0,
			region: '0x4445',
		};
		/** Bits 0 and 1: trainer and verifier. */
		const roles = 0b11;
		const bond = 2_000n * BLY;
		let registered;
		let leaving;

		const register = (id, amount) => {
			const peer = u8aToHex(new TextEncoder().encode('12D3KooW'));
			return api.tx.workers.register(roles, profile, id, peer, [], amount);
		};
		const active = async (role) => {
			const workers = await api.call.workersApi.active(role);
			return workers.map(([who]) => who.toString());
		};
		const held = async () => {
			const holds = await api.query.balances.holds(bob.address);
			return holds.reduce((sum, { amount }) => sum + amount.toBigInt(), 0n);
		};

		it('registers and puts up a bond', async () => {
			const tooLittle = register(hardwareId, bond - 1n);
			assert.equal(await client.refused(tooLittle, bob), 'workers.BondTooLow');

			registered = await client.applied(register(hardwareId, bond), bob);
			const event = registered.event('workers', 'Registered');
			assert.equal(event.who.toString(), bob.address);
			assert.equal(event.tier.toNumber(), 2);
			assert.equal(await held(), bond);
			const worker = (await api.query.workers.workers(bob.address)).unwrap();
			assert.equal(worker.profile.vramMib.toNumber(), profile.vramMib);
			assert.equal(worker.profile.memoryMibPerS.toNumber(), profile.memoryMibPerS);
			assert.ok(worker.state.isListed);
			assert.deepEqual(await active('Trainer'), [bob.address]);
			assert.deepEqual(await active('Auditor'), []);
		});

		it('is alone on its machine', async () => {
			const error = await client.refused(register(hardwareId, bond), charlie);
			assert.equal(error, 'workers.HardwareInUse');
		});

		it('sends heartbeats, free of charge when they are due', async () => {
			const heartbeat = api.tx.workers.heartbeat();
			assert.equal(await client.refused(heartbeat, bob), 'workers.TooSoon');
			await client.best(registered.number + PERIODS.heartbeatInterval / 2);
			const balance = await free(bob);
			const beat = await client.applied(api.tx.workers.heartbeat(), bob);
			assert.equal(await free(bob), balance);
			const worker = (await api.query.workers.workers(bob.address)).unwrap();
			assert.equal(worker.heartbeatAt.toNumber(), beat.number);
		});

		it('leaves, and is off the lists at once', async () => {
			const left = await client.applied(api.tx.workers.deregister(), bob);
			leaving = left.event('workers', 'Deregistered').until.toNumber();
			assert.equal(leaving, left.number + PERIODS.unbondingPeriod);
			assert.deepEqual(await active('Trainer'), []);
			const early = await client.refused(api.tx.workers.withdraw(), bob);
			assert.equal(early, 'workers.StillUnbonding');
			assert.equal(await held(), bond);
		});

		it('has its bond back after the unbonding period', async () => {
			await client.best(leaving);
			const back = await client.applied(api.tx.workers.withdraw(), bob);
			assert.equal(back.event('workers', 'Withdrawn').amount.toBigInt(), bond);
			assert.equal(await held(), 0n);
			assert.ok((await api.query.workers.workers(bob.address)).isNone);
		});
	});

	describe('emission', () => {
		let amount;

		it('ends its first epoch on time and owes the author its share', async () => {
			await client.best(PERIODS.emissionEpoch);
			const at = await api.at(await client.hashOf(PERIODS.emissionEpoch));
			const records = await at.query.system.events();
			const ended = records.find(
				({ event }) => event.section === 'bly' && event.method === 'EpochEnded',
			);
			assert.ok(ended, `no epoch ended in block ${PERIODS.emissionEpoch}`);
			const { epoch, minted, pots } = ended.event.data;
			assert.equal(epoch.toNumber(), 0);
			assert.ok(minted.toBigInt() > 0n);
			// The network's only validator made every block, so the whole share is its own.
			const claimable = await api.call.blyApi.claimable(alice.address);
			const first = claimable.find(([number]) => number.toNumber() === 0);
			assert.ok(first, 'the author cannot claim anything for epoch 0');
			amount = first[1].toBigInt();
			assert.ok(amount > 0n);
			assert.equal(amount, pots.authors.toBigInt());
			assert.equal(pots.trainers.toBigInt(), 0n);
		});

		it('pays it when anybody claims it, once', async () => {
			const balance = await free(alice);
			const claim = () => api.tx.bly.claim(alice.address, 0);
			const claimed = await client.applied(claim(), charlie);
			assert.equal(claimed.event('bly', 'Claimed').amount.toBigInt(), amount);
			assert.equal(await free(alice), balance + amount);
			assert.equal(await client.refused(claim(), charlie), 'bly.NothingToClaim');
			const early = api.tx.bly.claim(alice.address, 1_000_000);
			assert.equal(await client.refused(early, charlie), 'bly.EpochNotEnded');
		});

		it('accounts for every unit: issuance is genesis plus minted minus burned', async () => {
			const { query } = await api.at(await api.rpc.chain.getFinalizedHead());
			const values = await Promise.all([
				query.balances.totalIssuance(),
				query.bly.genesisIssuance(),
				query.bly.minted(),
				query.bly.burned(),
			]);
			const [issuance, genesis, minted, burned] = values.map((value) => value.toBigInt());
			assert.equal(genesis, endowment);
			assert.ok(minted > 0n);
			assert.ok(burned > 0n, 'fees are burned');
			assert.equal(issuance, genesis + minted - burned);
		});
	});
});
