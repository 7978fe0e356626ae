// JSON with integers that a double cannot hold, such as balances and nonces.

const MARK = '@integer:';

/** The value of `text`, with integers of 16 digits and more as BigInt. */
export function parseExact(text) {
	// Matches between values only, unless a string holds such a number between spaces; the files
	// that this reads (golden vectors and chain specifications) have no such string.
	const marked = text.replace(/(?<=[\s:,[])\d{16,}(?=[\s,\]}])/g, `"${MARK}$&"`);
	return JSON.parse(marked, (_, value) =>
		typeof value === 'string' && value.startsWith(MARK)
			? BigInt(value.slice(MARK.length))
			: value,
	);
}

/** The text of `value`, with every BigInt as a plain integer. */
export function stringifyExact(value) {
	const marked = JSON.stringify(value, (_, part) =>
		typeof part === 'bigint' ? `${MARK}${part}` : part,
	);
	return marked.replace(new RegExp(`"${MARK}(\\d+)"`, 'g'), '$1');
}
