// The handshake of libp2p, Noise_XX_25519_ChaChaPoly_SHA256, with which two peers also tell, and
// prove, who they are.
//
// https://noiseprotocol.org, https://github.com/libp2p/specs/tree/master/noise

import {
	createCipheriv,
	createDecipheriv,
	createHash,
	createPublicKey,
	diffieHellman,
	generateKeyPairSync,
	hkdfSync,
	sign,
	verify,
} from 'node:crypto';
import { Inbox } from './inbox.js';
import { field, fields } from './protobuf.js';

/** As long as a hash, so that it needs none. */
const NAME = Buffer.from('Noise_XX_25519_ChaChaPoly_SHA256');
const ALGORITHM = 'chacha20-poly1305';
const EMPTY = Buffer.alloc(0);
/** Bytes of a key or hash. */
const KEY_BYTES = 32;
/** Bytes by which what is sealed is longer. */
const TAG_BYTES = 16;
/** The most bytes of a message, which its length of 16 bits says. */
const MAX_MESSAGE_BYTES = 65_535;
/** What a peer signs in front of its static key. */
const SIGNED_PREFIX = Buffer.from('noise-libp2p-static-key:');
/** `KeyType` of a peer's identity. */
const ED25519 = 1;

/** A public key's bytes. */
function rawKey({ publicKey }) {
	return Buffer.from(publicKey.export({ format: 'jwk' }).x, 'base64url');
}

/** The public key of a curve, X25519 or Ed25519, that has these bytes. */
function publicKeyOf(crv, bytes) {
	const key = { kty: 'OKP', crv, x: bytes.toString('base64url') };
	return createPublicKey({ key, format: 'jwk' });
}

/** Two keys out of one secret. */
function derive(salt, secret) {
	const keys = Buffer.from(hkdfSync('sha256', secret, salt, EMPTY, 2 * KEY_BYTES));
	return [keys.subarray(0, KEY_BYTES), keys.subarray(KEY_BYTES)];
}

/** Seals or opens one message after another. */
class Cipher {
	#key;
	#count = 0n;

	constructor(key) {
		this.#key = key;
	}

	#next(create, data) {
		const nonce = Buffer.alloc(12);
		nonce.writeBigUInt64LE(this.#count, 4);
		this.#count += 1n;
		const cipher = create(ALGORITHM, this.#key, nonce, { authTagLength: TAG_BYTES });
		return cipher.setAAD(data);
	}

	seal(plain, data = EMPTY) {
		const cipher = this.#next(createCipheriv, data);
		return Buffer.concat([cipher.update(plain), cipher.final(), cipher.getAuthTag()]);
	}

	open(sealed, data = EMPTY) {
		const end = sealed.length - TAG_BYTES;
		if (end < 0) {
			throw new RangeError(`${sealed.length} bytes are too short to be sealed`);
		}
		const cipher = this.#next(createDecipheriv, data);
		cipher.setAuthTag(sealed.subarray(end));
		return Buffer.concat([cipher.update(sealed.subarray(0, end)), cipher.final()]);
	}
}

/** What both sides know of a handshake so far. */
class Handshake {
	#hash = NAME;
	#chain = NAME;
	#cipher = null;

	constructor() {
		this.mix(EMPTY); // There is no prologue.
	}

	/** Both sides have seen these bytes. */
	mix(bytes) {
		this.#hash = createHash('sha256').update(this.#hash).update(bytes).digest();
	}

	/** Both sides know the secret of these keys. */
	agree({ privateKey }, publicBytes) {
		const publicKey = publicKeyOf('X25519', publicBytes);
		const [chain, key] = derive(this.#chain, diffieHellman({ privateKey, publicKey }));
		this.#chain = chain;
		this.#cipher = new Cipher(key);
	}

	seal(plain) {
		const sealed = this.#cipher.seal(plain, this.#hash);
		this.mix(sealed);
		return sealed;
	}

	open(sealed) {
		const plain = this.#cipher.open(sealed, this.#hash);
		this.mix(sealed);
		return plain;
	}

	/** What seals what the one that began sends, and what opens the answers. */
	ciphers() {
		return derive(this.#chain, EMPTY).map((key) => new Cipher(key));
	}
}

/** The public key of an identity, as peers write it. */
function identityOf(key) {
	return Buffer.concat([field(1, ED25519), field(2, key)]);
}

/** What a peer says about itself: its identity, and that this one has this static key. */
function introduce(identity, statics) {
	const signed = Buffer.concat([SIGNED_PREFIX, rawKey(statics)]);
	const signature = sign(null, signed, identity.privateKey);
	return Buffer.concat([field(1, identityOf(rawKey(identity))), field(2, signature)]);
}

/** Fails if what a peer says about itself is not said by the one with the identity `expected`. */
function check(payload, statics, expected) {
	const { 1: identity = EMPTY, 2: signature = EMPTY } = Object.fromEntries(fields(payload));
	if (!identity.equals(expected)) {
		throw new Error(`another peer answers: its identity is ${identity.toString('hex')}`);
	}
	const { 2: key } = Object.fromEntries(fields(identity));
	const signed = Buffer.concat([SIGNED_PREFIX, statics]);
	if (!verify(null, signed, publicKeyOf('Ed25519', key), signature)) {
		throw new Error('the peer has not signed the key that it uses');
	}
}

/** Bytes in a frame: their length and they. */
function framed(bytes) {
	const length = Buffer.alloc(2);
	length.writeUInt16BE(bytes.length);
	return Buffer.concat([length, bytes]);
}

async function readFrame(inbox) {
	return inbox.take((await inbox.take(2)).readUInt16BE());
}

async function* opened(inbox, cipher) {
	for (;;) {
		yield cipher.open(await readFrame(inbox));
	}
}

/**
 * Agrees with the peer at the other end of a channel on keys, as the one that begins; a channel
 * that is encrypted. Fails if the peer is not the one whose identity's public key, as peers write
 * it, is `expected`.
 */
export async function secured({ inbox, write }, expected) {
	const identity = generateKeyPairSync('ed25519');
	const [ephemeral, statics] = [generateKeyPairSync('x25519'), generateKeyPairSync('x25519')];
	const handshake = new Handshake();

	// → e
	handshake.mix(rawKey(ephemeral));
	handshake.mix(EMPTY);
	write(framed(rawKey(ephemeral)));

	// ← e, ee, s, es, and who it is
	const answer = await readFrame(inbox);
	const theirs = answer.subarray(0, KEY_BYTES);
	handshake.mix(theirs);
	handshake.agree(ephemeral, theirs);
	const end = KEY_BYTES + KEY_BYTES + TAG_BYTES;
	const theirStatics = handshake.open(answer.subarray(KEY_BYTES, end));
	handshake.agree(ephemeral, theirStatics);
	check(handshake.open(answer.subarray(end)), theirStatics, expected);

	// → s, se, and who this is
	const sealed = handshake.seal(rawKey(statics));
	handshake.agree(statics, theirs);
	write(framed(Buffer.concat([sealed, handshake.seal(introduce(identity, statics))])));

	const [sealing, opening] = handshake.ciphers();
	const most = MAX_MESSAGE_BYTES - TAG_BYTES;
	return {
		inbox: Inbox.of(opened(inbox, opening)),
		write: (bytes) => {
			for (let at = 0; at < bytes.length; at += most) {
				write(framed(sealing.seal(bytes.subarray(at, at + most))));
			}
		},
	};
}
