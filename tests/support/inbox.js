// Bytes that have come and that nobody has read yet.

/** The most bytes of a varint; 64 bits need as many. */
const MAX_VARINT_BYTES = 10;

/** Bytes that have come and that nobody has read yet. One reader at a time. */
export class Inbox {
	#chunks = [];
	#length = 0;
	#error = null;
	#wake = () => {};
	#taken;

	/** An inbox into which everything is put that comes from `chunks`, until that ends. */
	static of(chunks) {
		const inbox = new Inbox();
		const fill = async () => {
			for await (const chunk of chunks) {
				inbox.push(chunk);
			}
			throw new Error('the connection was closed');
		};
		fill().catch((error) => inbox.fail(error));
		return inbox;
	}

	/** An empty one. `taken` is told how many bytes were read, each time. */
	constructor(taken = () => {}) {
		this.#taken = taken;
	}

	/** How many bytes are there. */
	get length() {
		return this.#length;
	}

	/** More bytes have come. */
	push(chunk) {
		this.#chunks.push(chunk);
		this.#length += chunk.length;
		this.#wake();
	}

	/** Nothing more comes, because of `error`. What is there can still be read. */
	fail(error) {
		this.#error ??= error;
		this.#wake();
	}

	/** The next `count` bytes, when they have come. */
	async take(count) {
		while (this.#length < count) {
			if (this.#error !== null) {
				throw this.#error;
			}
			await new Promise((wake) => {
				this.#wake = wake;
			});
		}
		const bytes = this.#chunks.length === 1 ? this.#chunks[0] : Buffer.concat(this.#chunks);
		this.#chunks = count < bytes.length ? [bytes.subarray(count)] : [];
		this.#length -= count;
		this.#taken(count);
		return bytes.subarray(0, count);
	}

	/** The next message: its length as a varint, and so many bytes, at most `limit`. */
	async message(limit) {
		let length = 0;
		for (let i = 0; ; i += 1) {
			const byte = (await this.take(1))[0];
			length += (byte % 128) * 128 ** i;
			if (length > limit || i === MAX_VARINT_BYTES) {
				throw new RangeError(`a message has ${length} bytes or more, ${limit} are allowed`);
			}
			if (byte < 128) {
				return this.take(length);
			}
		}
	}
}
