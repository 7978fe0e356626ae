// The client's formats against the golden vectors that the Rust code is checked against.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import * as formats from '../support/formats.js';
import { Inbox } from '../support/inbox.js';
import { parseExact, stringifyExact } from '../support/json.js';
import { REPOSITORY } from '../support/paths.js';
import { field, fields, varint } from '../support/protobuf.js';

const folder = join(REPOSITORY, 'primitives', 'vectors');
const load = (name) => parseExact(readFileSync(join(folder, name), 'utf8'));
const hex = (bytes) => Buffer.from(bytes).toString('hex');
const bytes = (text) => new Uint8Array(Buffer.from(text, 'hex'));

describe('formats', () => {
	const rounds = load('rounds.json');

	it('roots of payloads are those of the vectors', () => {
		for (const { size, root } of load('tree.json').payloads) {
			const payload = new Uint8Array(size);
			for (let i = 0; i < size; i += 1) {
				payload[i] = i % 251;
			}
			assert.equal(hex(formats.bytesRoot(payload)), root, `${size} bytes`);
		}
	});

	it('roots of lists are those of the vectors', () => {
		for (const { size, root } of load('tree.json').lists) {
			const leaves = Array.from({ length: size }, (_, i) => {
				const number = new Uint8Array(8);
				new DataView(number.buffer).setUint32(0, i, true);
				return formats.blake2b(number);
			});
			assert.equal(hex(formats.listRoot(leaves)), root, `${size} leaves`);
		}
		assert.throws(() => formats.listRoot([]), RangeError);
	});

	it('records are those of the vectors, and decode to what they were', () => {
		for (const { encoded, hash, ...record } of rounds.records) {
			assert.equal(hex(formats.encodeRecord(record)), encoded);
			assert.equal(hex(formats.blake2b(bytes(encoded))), hash);
			assert.deepEqual(formats.decodeRecord(bytes(encoded)), record);
		}
	});

	it('a damaged record or shard is refused', () => {
		const record = formats.encodeRecord({ text: 'To be, or not to be' });
		for (let length = 0; length < record.length; length += 1) {
			const cut = record.subarray(0, length);
			assert.throws(() => formats.decodeRecord(cut), `cut to ${length}`);
		}
		assert.throws(() => formats.decodeRecord(formats.concat([record, Uint8Array.of(0)])));
		const [{ bytes: shard }] = formats.packShards([record]);
		assert.throws(() => formats.unpackShard(shard.subarray(0, shard.length - 1)));
	});

	it('the shard is that of the vectors, and its records come out again', () => {
		const { encoded, cid, records, records_root: root } = rounds.shard;
		const [shard, ...others] = formats.packShards(records.map(bytes));
		assert.deepEqual(others, []);
		assert.equal(hex(shard.bytes), encoded);
		assert.equal(hex(shard.cid), cid);
		assert.equal(shard.records, records.length);
		assert.deepEqual(formats.unpackShard(shard.bytes).map(hex), records);
		const leaves = records.map((record) => formats.blake2b(bytes(record)));
		assert.equal(hex(formats.listRoot(leaves)), root);
	});

	it('records that do not fit one shard go into the next', () => {
		const records = Array.from({ length: 10 }, (_, i) =>
			formats.encodeRecord({ text: `${i}`.repeat(100) }),
		);
		const shards = formats.packShards(records, 3 * (4 + records[0].length));
		assert.deepEqual(shards.map((shard) => shard.records), [3, 3, 3, 1]);
		const unpacked = shards.flatMap((shard) => formats.unpackShard(shard.bytes));
		assert.deepEqual(unpacked.map(hex), records.map(hex));
	});

	it('the manifest is that of the vectors', () => {
		const { encoded, hash, records_root: root, shards, ...rest } = rounds.manifest;
		const manifest = formats.encodeManifest({
			...rest,
			recordsRoot: bytes(root),
			shards: shards.map((shard) => ({ ...shard, cid: bytes(shard.cid) })),
		});
		assert.equal(hex(manifest), encoded);
		assert.equal(hex(formats.blake2b(manifest)), hash);
	});

	it('proofs of work are those of the vectors', () => {
		for (const { manifest, account, nonce, hash, bits } of rounds.pow) {
			const found = formats.workHash(bytes(manifest), bytes(account), nonce);
			assert.equal(hex(found), hash);
			assert.equal(formats.leadingZeroBits(found), bits);
		}
		for (const { manifest, account, difficulty, nonce } of rounds.solve) {
			const found = formats.solve(bytes(manifest), bytes(account), difficulty);
			assert.equal(found, BigInt(nonce));
		}
	});

	it('CIDs are written as IPFS writes them', () => {
		// RFC 4648, section 10.
		assert.equal(formats.base32(Buffer.from('foobar')), 'mzxw6ytboi');
		// What every CIDv1 of raw bytes under BLAKE2b-256 starts with.
		const cid = formats.cidString(formats.blake2b(Buffer.from('foobar')));
		assert.match(cid, /^bafk2bzace[a-z2-7]{52}$/);
	});

	it('messages of peers are read as they were written, and refused when they are cut', () => {
		const values = [300, Buffer.from('bytes'), Buffer.alloc(0), 2 ** 40];
		const parts = values.map((value, number) => field(number + 1, value));
		const message = Buffer.concat(parts);
		assert.deepEqual([...fields(message)], values.map((value, number) => [number + 1, value]));
		const ends = parts.map((_, i) => Buffer.concat(parts.slice(0, i)).length);
		for (let cut = 0; cut < message.length; cut += 1) {
			const read = () => [...fields(message.subarray(0, cut))].length;
			if (ends.includes(cut)) {
				assert.equal(read(), ends.indexOf(cut));
			} else {
				assert.throws(read, RangeError);
			}
		}
		assert.throws(() => [...fields(Buffer.alloc(20, 0xff))], /no number ends/);
		assert.throws(() => [...fields(Buffer.of(1 * 8 + 5, 0, 0, 0, 0))], /wire type 5/);
	});

	it('messages of peers wait for their last byte, and none is longer than the limit', async () => {
		const inbox = new Inbox();
		const [first, second] = [inbox.message(300), () => inbox.message(300)];
		for (const byte of Buffer.concat([varint(300), Buffer.alloc(300, 7)])) {
			inbox.push(Buffer.of(byte));
		}
		assert.deepEqual(await first, Buffer.alloc(300, 7));
		inbox.push(varint(301));
		await assert.rejects(second(), /301 bytes or more, 300 are allowed/);
		inbox.push(Buffer.of(2, 7));
		inbox.fail(new Error('no more'));
		await assert.rejects(second(), /no more/);
	});

	it('integers beyond a double survive JSON', () => {
		const text = '{"a":[1,1000000000000000000000001],"b":18446744073709551615,"c":"0x12"}';
		const value = parseExact(text);
		assert.deepEqual(value, { a: [1, 10n ** 24n + 1n], b: 2n ** 64n - 1n, c: '0x12' });
		assert.equal(stringifyExact(value), text);
	});
});
