//! Work that [`pulp`] compiles for the vector instructions that processors may have, and for those
//! that have none.

use pulp::{Scalar256b, Simd, WithSimd};

/// Does something with the vector instructions that the processor has.
pub(crate) fn run<W: WithSimd>(work: W) -> W::Output {
	#[cfg(target_arch = "x86_64")]
	if let Some(simd) = pulp::x86::V3::try_new() {
		return Simd::vectorize(simd, work);
	}
	run_portable(work)
}

/// The same without registers of eight numbers.
pub(crate) fn run_portable<W: WithSimd>(work: W) -> W::Output {
	Simd::vectorize(Scalar256b, work)
}
