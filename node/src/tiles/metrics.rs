//! What Prometheus reads about tiles.

use polkadot_sdk::substrate_prometheus_endpoint::{
	register, Counter, CounterVec, Gauge, Opts, PrometheusError, Registry, U64,
};

/// What Prometheus reads about tiles. Cloning it makes another handle to the same figures.
#[derive(Clone)]
pub struct Metrics {
	bytes: CounterVec<U64>,
	requests: CounterVec<U64>,
	refusals: CounterVec<U64>,
	/// Answers that did not verify.
	pub lies: Counter<U64>,
	/// Transfers that are not over.
	pub transfers: Gauge<U64>,
}

impl Metrics {
	/// Registers the figures; without a registry they are counted for nobody.
	pub fn register(registry: Option<&Registry>) -> Result<Self, PrometheusError> {
		let registry = registry.cloned().unwrap_or_default();
		let vector = |name: &str, help: &str, label: &str| {
			register(CounterVec::<U64>::new(Opts::new(name, help), &[label])?, &registry)
		};
		Ok(Self {
			bytes: vector(
				"blyan_tiles_bytes_total",
				"Bytes of leaves that were verified and stored (in), or sent (out)",
				"direction",
			)?,
			requests: vector(
				"blyan_tiles_requests_total",
				"Requests for leaves that were sent (out) or received (in)",
				"direction",
			)?,
			refusals: vector(
				"blyan_tiles_refusals_total",
				"Requests that were answered without leaves, by reason",
				"reason",
			)?,
			lies: register(
				Counter::new(
					"blyan_tiles_lies_total",
					"Answers whose leaves did not verify; each ended in a ban",
				)?,
				&registry,
			)?,
			transfers: register(
				Gauge::new("blyan_tiles_transfers", "Payloads that are being fetched")?,
				&registry,
			)?,
		})
	}

	/// Leaves came.
	pub fn received(&self, bytes: u64) {
		self.bytes.with_label_values(&["in"]).inc_by(bytes);
	}

	/// Leaves were sent.
	pub fn sent(&self, bytes: u64) {
		self.bytes.with_label_values(&["out"]).inc_by(bytes);
	}

	/// A peer was asked.
	pub fn asked(&self) {
		self.requests.with_label_values(&["out"]).inc();
	}

	/// A peer has asked.
	pub fn was_asked(&self) {
		self.requests.with_label_values(&["in"]).inc();
	}

	/// A peer was sent no leaves.
	pub fn refused(&self, reason: &str) {
		self.refusals.with_label_values(&[reason]).inc();
	}
}
