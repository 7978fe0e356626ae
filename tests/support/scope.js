// What every test needs around it: waits that end, and a machine left as it was found.

import { it } from 'node:test';

const undo = [];

/** Has `action` run by `cleanUp`; what was registered last runs first. */
export function later(action) {
	undo.push(action);
}

/** Undoes everything that was registered. For `after` hooks. */
export async function cleanUp() {
	const errors = [];
	while (undo.length > 0) {
		try {
			await undo.pop()();
		} catch (error) {
			errors.push(error);
		}
	}
	if (errors.length > 0) {
		throw new AggregateError(errors, 'cleaning up failed');
	}
}

/**
 * A `before` hook that cleans up when it fails: node:test runs no `after` hook then, and an open
 * connection would keep the process alive.
 */
export function setUp(hook) {
	return async () => {
		try {
			await hook();
		} catch (error) {
			await cleanUp();
			throw error;
		}
	};
}

/**
 * The result of `promise`, or an error after `ms` milliseconds. `what` names what was waited for; a
 * function is called when the time is over.
 */
export async function within(ms, what, promise) {
	let timer;
	const over = new Promise((_, reject) => {
		timer = setTimeout(() => {
			const text = typeof what === 'function' ? what() : what;
			reject(new Error(`not within ${ms / 1000} s: ${text}`));
		}, ms);
	});
	try {
		return await Promise.race([promise, over]);
	} finally {
		clearTimeout(timer);
	}
}

/** For tests that make sense only after those before them: like `it`, until one of them has failed. */
export function steps() {
	let broken;
	return (name, action) =>
		it(name, async (context) => {
			if (broken !== undefined) {
				context.skip(`because of: ${broken}`);
				return;
			}
			broken = name;
			await action();
			broken = undefined;
		});
}
