// What a small model needs to learn on a development network, in seconds.

import { join } from 'node:path';
import { REPOSITORY } from './paths.js';

/** Milliseconds of a slot. */
export const SLOT_MILLIS = 1_000;
/**
 * Periods, in blocks. Those that end when everybody has acted are long: that costs nothing, and a
 * machine that is busy needs it. A vote and a challenge take all their time.
 */
export const PERIODS = {
	uploadPeriod: 900,
	auditPhase: 900,
	votingPeriod: 10,
	openPeriod: 900,
	trainPeriod: 900,
	revealPeriod: 900,
	verifyPeriod: 1_800,
	mergeTurn: 900,
	challengePeriod: 2,
	evaluatePeriod: 1_800,
	heartbeatInterval: 900,
	emissionEpoch: 900,
};

/** A small model that learns fast. */
export const ARCHITECTURE = {
	vocab: 256,
	d_model: 32,
	layers: 1,
	heads: 2,
	context: 64,
	experts: 2,
	top_k: 2,
	d_ff: 64,
};

/** Steps from one checkpoint to the next. */
export const CHECKPOINT_EVERY = 8;

/** How it learns in so many segments, each from one checkpoint to the next. */
export const recipeOf = (segments) => ({
	numeric: 'f32',
	steps: CHECKPOINT_EVERY * segments,
	batch: 48,
	checkpoint_every: CHECKPOINT_EVERY,
	learning_rate_nano: 5_000_000,
	weight_decay_ppm: 100_000,
	warmup_steps: 4,
	tolerance_ppm: 10_000,
	min_alignment_ppm: 200_000,
	delta_bytes_per_chunk: 1_024,
	evaluation_records: 16,
	margin_micronats: 1_000,
	max_delta_norm: 2 ** 34,
});

/** A few hundred records of at most so many bytes. */
export const TEXT = join(REPOSITORY, 'tests', 'data', 'state-of-the-union-extract.txt');
export const RECORD_BYTES = 512;

/** A flat table as TOML. */
export const toml = (table) =>
	Object.entries(table)
		.map(([key, value]) => `${key} = ${JSON.stringify(value)}\n`)
		.join('');
