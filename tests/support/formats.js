// What a client has to compute by itself, written from the format descriptions and not from the
// Rust code: a second implementation, checked against `primitives/vectors` by formats.test.js.

import { blake2AsU8a, cryptoWaitReady } from '@polkadot/util-crypto';

await cryptoWaitReady();

/** The most bytes of one record. */
export const MAX_RECORD_BYTES = 65_536;
/** The most bytes of one shard. */
export const MAX_SHARD_BYTES = 1_048_576;
/** Bytes of a payload's leaf. */
const LEAF_BYTES = 262_144;
/** Children of an inner node. */
const FAN_OUT = 8;
/** First byte of what inner nodes and roots hash. */
const TAG = { inner: 0x01, bytesRoot: 0x02, listRoot: 0x03 };
/** First byte of a record. */
const RECORD = { text: 0, instruction: 1 };
/** Of a manifest. */
export const KIND = { text: 0, instruction: 1, game: 2 };
/** Of a manifest. */
export const AVAILABILITY = { chain: 0, peers: 1 };

// ---- bytes ----------------------------------------------------------------------------------

/** BLAKE2b with a digest of 32 bytes, the only hash there is. */
export function blake2b(bytes) {
	return blake2AsU8a(bytes, 256);
}

/** The byte arrays in `parts`, one after another. */
export function concat(parts) {
	const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
	let at = 0;
	for (const part of parts) {
		bytes.set(part, at);
		at += part.length;
	}
	return bytes;
}

/** `value` in `width` bytes, the lowest first. */
function littleEndian(value, width) {
	const bytes = new Uint8Array(width);
	let rest = BigInt(value);
	for (let i = 0; i < width; i += 1) {
		bytes[i] = Number(rest & 0xffn);
		rest >>= 8n;
	}
	if (rest !== 0n) {
		throw new RangeError(`${value} does not fit ${width} bytes`);
	}
	return bytes;
}

/** The number of 32 bits at `offset`. */
function readU32(bytes, offset) {
	if (offset + 4 > bytes.length) {
		throw new RangeError(`the input ends at byte ${bytes.length}, within a length`);
	}
	return new DataView(bytes.buffer, bytes.byteOffset).getUint32(offset, true);
}

/** SCALE's compact encoding of numbers below 2^30. */
function compact(value) {
	if (value < 1 << 6) {
		return littleEndian(value << 2, 1);
	}
	if (value < 1 << 14) {
		return littleEndian((value << 2) | 1, 2);
	}
	if (value < 2 ** 30) {
		return littleEndian(value * 4 + 2, 4);
	}
	throw new RangeError(`${value} is 2^30 or more`);
}

const utf8 = new TextEncoder();
const fromUtf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

// ---- tree -----------------------------------------------------------------------------------

function treeRoot(tag, size, leaves) {
	if (leaves.length === 0) {
		throw new RangeError('an empty tree has no root');
	}
	let nodes = leaves;
	for (let level = 1; nodes.length > 1; level += 1) {
		const parents = [];
		for (let first = 0; first < nodes.length; first += FAN_OUT) {
			const children = nodes.slice(first, first + FAN_OUT);
			const head = Uint8Array.of(TAG.inner, level, children.length);
			parents.push(blake2b(concat([head, ...children])));
		}
		nodes = parents;
	}
	return blake2b(concat([Uint8Array.of(tag), littleEndian(size, 8), nodes[0]]));
}

/** The root of a list of hashes, such as those of a dataset's records. */
export function listRoot(hashes) {
	return treeRoot(TAG.listRoot, hashes.length, hashes);
}

/** The root of a payload. */
export function bytesRoot(payload) {
	const leaves = [];
	for (let first = 0; first < payload.length; first += LEAF_BYTES) {
		leaves.push(blake2b(payload.subarray(first, first + LEAF_BYTES)));
	}
	return treeRoot(TAG.bytesRoot, payload.length, leaves);
}

// ---- records and shards ---------------------------------------------------------------------

/** The canonical bytes of `{ text }` or `{ instruction, input, output }`. */
export function encodeRecord(record) {
	const [kind, fields] =
		record.text === undefined
			? [RECORD.instruction, [record.instruction, record.input, record.output]]
			: [RECORD.text, [record.text]];
	const parts = [Uint8Array.of(kind)];
	for (const field of fields) {
		const text = utf8.encode(field);
		parts.push(littleEndian(text.length, 4), text);
	}
	const bytes = concat(parts);
	if (bytes.length > MAX_RECORD_BYTES) {
		throw new RangeError(`a record of ${bytes.length} bytes is too long`);
	}
	return bytes;
}

/** The record that canonical bytes stand for. */
export function decodeRecord(bytes) {
	const fields = {
		[RECORD.text]: ['text'],
		[RECORD.instruction]: ['instruction', 'input', 'output'],
	}[bytes[0]];
	if (fields === undefined) {
		throw new RangeError(`no record has the kind ${bytes[0]}`);
	}
	const record = {};
	let at = 1;
	for (const name of fields) {
		const end = at + 4 + readU32(bytes, at);
		if (end > bytes.length) {
			throw new RangeError(`the field ${name} ends after the record`);
		}
		record[name] = fromUtf8.decode(bytes.subarray(at + 4, end));
		at = end;
	}
	if (at !== bytes.length) {
		throw new RangeError(`${bytes.length - at} bytes follow the record`);
	}
	return record;
}

/**
 * Puts encoded records into shards of at most `limit` bytes, in order. Each shard has its `bytes`,
 * its `cid` and how many `records` it holds.
 */
export function packShards(records, limit = MAX_SHARD_BYTES) {
	const shards = [];
	let parts = [];
	let size = 0;
	const close = () => {
		const bytes = concat(parts);
		shards.push({ bytes, cid: blake2b(bytes), records: parts.length / 2 });
		parts = [];
		size = 0;
	};
	for (const record of records) {
		if (size > 0 && size + 4 + record.length > limit) {
			close();
		}
		parts.push(littleEndian(record.length, 4), record);
		size += 4 + record.length;
	}
	if (size > 0) {
		close();
	}
	return shards;
}

/** The encoded records of a shard. */
export function unpackShard(bytes) {
	const records = [];
	for (let at = 0; at < bytes.length; ) {
		const end = at + 4 + readU32(bytes, at);
		if (end > bytes.length) {
			throw new RangeError(`record ${records.length} ends after the shard`);
		}
		records.push(bytes.subarray(at + 4, end));
		at = end;
	}
	return records;
}

// ---- manifest and Chain D -------------------------------------------------------------------

/** The bytes of a manifest; their hash is what the owner signs. */
export function encodeManifest(manifest) {
	const text = (value) => {
		const bytes = utf8.encode(value);
		return [compact(bytes.length), bytes];
	};
	const shards = manifest.shards.flatMap((shard) => [
		shard.cid,
		littleEndian(shard.bytes, 4),
		littleEndian(shard.records, 4),
	]);
	return concat([
		Uint8Array.of(1),
		...text(manifest.name),
		Uint8Array.of(manifest.kind),
		...text(manifest.licence),
		...text(manifest.language),
		...text(manifest.source),
		littleEndian(manifest.records, 4),
		littleEndian(manifest.bytes, 8),
		manifest.recordsRoot,
		compact(manifest.shards.length),
		...shards,
		Uint8Array.of(manifest.availability),
	]);
}

/** The hash of a block of Chain D. */
export function datasetBlockHash({ number, parent, manifestHash, owner, at }) {
	return blake2b(
		concat([
			utf8.encode('blyan/D\x01'),
			littleEndian(number, 4),
			parent,
			manifestHash,
			owner,
			littleEndian(at, 4),
		]),
	);
}

// ---- proof of work --------------------------------------------------------------------------

/** The hash whose leading zero bits are the work. */
export function workHash(manifestHash, account, nonce) {
	return blake2b(concat([manifestHash, account, littleEndian(nonce, 8)]));
}

/** How many bits of `hash` are zero before its first one. */
export function leadingZeroBits(hash) {
	let bits = 0;
	for (const byte of hash) {
		// Of the 32 bits of the number, 24 are above the byte.
		bits += Math.clz32(byte) - 24;
		if (byte !== 0) {
			break;
		}
	}
	return bits;
}

/** The first nonce with at least `difficulty` bits of work. */
export function solve(manifestHash, account, difficulty) {
	const input = concat([manifestHash, account, new Uint8Array(8)]);
	const nonceAt = manifestHash.length + account.length;
	const view = new DataView(input.buffer);
	// The chance that this many tries find nothing is e^-64.
	const tries = 2 ** (difficulty + 6);
	for (let nonce = 0; nonce < tries; nonce += 1) {
		view.setBigUint64(nonceAt, BigInt(nonce), true);
		if (leadingZeroBits(blake2b(input)) >= difficulty) {
			return BigInt(nonce);
		}
	}
	throw new Error(`no nonce below ${tries} has ${difficulty} bits of work`);
}

// ---- CID ------------------------------------------------------------------------------------

/** RFC 4648 without padding, in lower case. */
export function base32(bytes) {
	const alphabet = 'abcdefghijklmnopqrstuvwxyz234567';
	let text = '';
	let pending = 0;
	let bits = 0;
	for (const byte of bytes) {
		pending = (pending << 8) | byte;
		bits += 8;
		while (bits >= 5) {
			bits -= 5;
			text += alphabet[(pending >> bits) & 31];
		}
		pending &= (1 << bits) - 1;
	}
	return bits > 0 ? text + alphabet[(pending << (5 - bits)) & 31] : text;
}

/** The CID of what has this hash: version 1, raw bytes, BLAKE2b-256. */
export function cidBytes(hash) {
	// 0x01: version; 0x55: raw; 0xb220 as a varint: BLAKE2b-256; 0x20: bytes of the digest.
	return concat([Uint8Array.of(0x01, 0x55, 0xa0, 0xe4, 0x02, 0x20), hash]);
}

/** The CID of what has this hash, as IPFS writes it. */
export function cidString(hash) {
	return `b${base32(cidBytes(hash))}`;
}
