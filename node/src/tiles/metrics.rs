//! What Prometheus reads about tiles.

use polkadot_sdk::substrate_prometheus_endpoint::{
	register, Counter, CounterVec, Gauge, Opts, PrometheusError, Registry, U64,
};

/// Bytes of an answer with leaves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AnswerBytes {
	/// Those of the leaves.
	pub leaves: u64,
	/// Those before the leaves: the answer's head and its proof.
	pub proof: u64,
}

impl AnswerBytes {
	/// Those of an answer of `length` bytes, `leaves` of which are those of leaves.
	pub fn new(length: usize, leaves: u64) -> Self {
		Self { leaves, proof: (length as u64).saturating_sub(leaves) }
	}
}

/// What Prometheus reads about tiles. Cloning it makes another handle to the same figures.
#[derive(Clone)]
pub struct Metrics {
	leaf_bytes: CounterVec<U64>,
	proof_bytes: CounterVec<U64>,
	requests: CounterVec<U64>,
	refusals: CounterVec<U64>,
	/// Peers that were banned.
	pub liars: Counter<U64>,
	/// Transfers that are not over.
	pub transfers: Gauge<U64>,
	/// Transfers that were dropped because nobody asked about them any more.
	pub expired: Counter<U64>,
}

impl Metrics {
	/// Registers the figures; without a registry they are counted for nobody.
	pub fn register(registry: Option<&Registry>) -> Result<Self, PrometheusError> {
		let registry = registry.cloned().unwrap_or_default();
		let vector = |name: &str, help: &str, label: &str| {
			register(CounterVec::<U64>::new(Opts::new(name, help), &[label])?, &registry)
		};
		Ok(Self {
			leaf_bytes: vector(
				"blyan_tiles_leaf_bytes_total",
				"Bytes of leaves that were verified and stored (in), or sent (out)",
				"direction",
			)?,
			proof_bytes: vector(
				"blyan_tiles_proof_bytes_total",
				"Bytes before the leaves: heads of answers and proofs, received (in) or sent (out)",
				"direction",
			)?,
			requests: vector(
				"blyan_tiles_requests_total",
				"Requests for leaves that were sent (out) or received (in)",
				"direction",
			)?,
			refusals: vector(
				"blyan_tiles_refusals_total",
				"Requests of others for which no leaves went out, by reason",
				"reason",
			)?,
			liars: register(
				Counter::new(
					"blyan_tiles_liars_total",
					"Peers that were banned because what they sent did not verify",
				)?,
				&registry,
			)?,
			transfers: register(
				Gauge::new("blyan_tiles_transfers", "Payloads that are being fetched")?,
				&registry,
			)?,
			expired: register(
				Counter::new(
					"blyan_tiles_expired_total",
					"Transfers that were dropped because nobody asked about them any more",
				)?,
				&registry,
			)?,
		})
	}

	/// Leaves came, and were verified and stored.
	pub fn received(&self, bytes: AnswerBytes) {
		self.moved("in", bytes);
	}

	/// Leaves were sent.
	pub fn sent(&self, bytes: AnswerBytes) {
		self.moved("out", bytes);
	}

	fn moved(&self, direction: &str, bytes: AnswerBytes) {
		self.leaf_bytes.with_label_values(&[direction]).inc_by(bytes.leaves);
		self.proof_bytes.with_label_values(&[direction]).inc_by(bytes.proof);
	}

	/// A peer was asked.
	pub fn asked(&self) {
		self.requests.with_label_values(&["out"]).inc();
	}

	/// A peer has asked.
	pub fn was_asked(&self) {
		self.requests.with_label_values(&["in"]).inc();
	}

	/// A peer was sent no leaves, or did not take them.
	pub fn refused(&self, reason: &str) {
		self.refusals.with_label_values(&[reason]).inc();
	}

	/// How often a peer was sent no leaves for this reason.
	#[cfg(test)]
	pub fn refusals(&self, reason: &str) -> u64 {
		self.refusals.with_label_values(&[reason]).get()
	}
}
