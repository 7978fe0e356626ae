//! The proof of work of a submission, on all processor cores but one; `dataset work`.

use super::{account_of, connect};
use crate::{args::DatasetWorkArgs, context::Context, output::Output};
use anyhow::Context as _;
use blyan_primitives::{pow, H256};
use serde::Serialize;
use std::{
	num::NonZeroUsize,
	sync::{
		atomic::{AtomicBool, AtomicU64, Ordering},
		Mutex, PoisonError,
	},
	thread,
};
use tokio::task::block_in_place;

/// Nonces that a thread tries between two looks at the others.
const BATCH: u64 = 1 << 14;
/// Bits of bad luck after which the search ends: it happens once in e^128 times.
const BITS_OF_BAD_LUCK: u32 = 7;
/// The hardest work that is begun; one core would take a year.
const MAX_BITS: u32 = 45;

/// A proof of work.
#[derive(Serialize)]
struct WorkRow {
	manifest_hash: H256,
	owner: String,
	bits: u32,
	nonce: u64,
}

/// Finds the proof of work for a submission that another program makes.
pub async fn dataset_work(args: DatasetWorkArgs, context: &Context) -> anyhow::Result<()> {
	let owner = account_of(&args.owner, context)?;
	let bits = match args.bits {
		Some(bits) => bits,
		None => connect(context).await?.view().await?.difficulty().await?,
	};
	let hash = args.manifest_hash;
	let nonce = block_in_place(|| solve(&hash, &owner.0, bits, &context.output));
	let nonce = nonce.with_context(|| {
		format!("a proof of work of {bits} bits takes too long; {MAX_BITS} are the most")
	})?;
	let owner = owner.to_string();
	context.output.record(&WorkRow { manifest_hash: hash, owner, bits, nonce })
}

/// A nonce of at least `bits` bits for this manifest and account. `None` if it would take too long.
pub(super) fn solve(
	manifest: &H256,
	account: &[u8; 32],
	bits: u32,
	output: &Output,
) -> Option<u64> {
	if bits > MAX_BITS {
		return None;
	}
	let bar = output.progress("working", 1 << bits);
	let limit = 1u64 << (bits + BITS_OF_BAD_LUCK);
	let cores = thread::available_parallelism().map_or(1, NonZeroUsize::get);
	let next = AtomicU64::new(0);
	let done = AtomicBool::new(false);
	let found: Mutex<Option<u64>> = Mutex::new(None);
	thread::scope(|scope| {
		for _ in 0..cores.saturating_sub(1).max(1) {
			scope.spawn(|| {
				while !done.load(Ordering::Relaxed) {
					let first = next.fetch_add(BATCH, Ordering::Relaxed);
					if first >= limit {
						break;
					}
					if let Some(nonce) = pow::solve_from(manifest, account, bits, first, BATCH) {
						done.store(true, Ordering::Relaxed);
						*found.lock().unwrap_or_else(PoisonError::into_inner) = Some(nonce);
					}
					bar.inc(BATCH);
				}
			});
		}
	});
	bar.finish_and_clear();
	found.into_inner().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
	use super::*;

	#[test]
	fn nonce_meets_the_difficulty() {
		let (manifest, account) = (H256([3; 32]), [5; 32]);
		for bits in [0, 1, 8, 14] {
			let nonce = solve(&manifest, &account, bits, &Output::new(true)).unwrap();
			assert!(pow::meets(&manifest, &account, nonce, bits));
		}
	}

	#[test]
	fn work_that_takes_for_ever_is_not_begun() {
		assert_eq!(solve(&H256::zero(), &[0; 32], MAX_BITS + 1, &Output::new(true)), None);
	}
}
