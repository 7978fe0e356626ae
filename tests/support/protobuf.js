// Protocol Buffers, as far as the messages of libp2p need them: fields that are numbers or bytes.

/** What a field's number is followed by. */
const WIRE = { number: 0, bytes: 2 };
/** The most bytes of a varint: a negative number of 32 bits is written as one of 64. */
const MAX_VARINT_BYTES = 10;

/** A number that is not negative as a varint: seven bits a byte, the lowest first. */
export function varint(value) {
	const bytes = [];
	let rest = value;
	while (rest > 127) {
		bytes.push((rest % 128) + 128);
		rest = Math.floor(rest / 128);
	}
	return Buffer.from([...bytes, rest]);
}

/** A field with a number or with bytes, as part of a message. */
export function field(number, value) {
	return typeof value === 'number'
		? Buffer.concat([varint(number * 8 + WIRE.number), varint(value)])
		: Buffer.concat([varint(number * 8 + WIRE.bytes), varint(value.length), value]);
}

/** The fields of a message in order, each as its number and its value. */
export function* fields(message) {
	let at = 0;
	const read = () => {
		let value = 0;
		for (let i = 0; i < MAX_VARINT_BYTES && at < message.length; i += 1) {
			const byte = message[at];
			at += 1;
			value += (byte % 128) * 128 ** i;
			if (byte < 128) {
				return value;
			}
		}
		throw new RangeError(`no number ends before byte ${at} of a message`);
	};
	while (at < message.length) {
		const key = read();
		const [number, wire] = [Math.floor(key / 8), key % 8];
		if (wire === WIRE.number) {
			yield [number, read()];
		} else if (wire === WIRE.bytes) {
			const length = read();
			const end = at + length;
			if (end > message.length) {
				throw new RangeError(`field ${number} ends at ${end}, behind its message`);
			}
			yield [number, message.subarray(at, end)];
			at = end;
		} else {
			throw new RangeError(`field ${number} is no number and no bytes: wire type ${wire}`);
		}
	}
}
