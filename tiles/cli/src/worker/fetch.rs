//! What a worker gets from others: by hash, once, and kept within the disk's limit.

use super::{
	data::{Cache, Library, Source},
	error::{Error, Result},
	files::{read_note, write_note},
	merging::{join, Accepted},
	Worker,
};
use crate::chain::{
	types::{MixtureDataset, RoundView},
	View,
};
use blyan_primitives::{record::Manifest, update::Cids, H256};
use std::{collections::HashSet, sync::Arc};

/// The accepted updates of a live round, in ascending order of trainer account.
pub async fn accepted(view: &View, round: u32) -> Result<Vec<Accepted>> {
	let updates = view.accepted_updates(round).await?;
	Ok(updates
		.into_iter()
		.map(|(trainer, samples, update)| Accepted { trainer: trainer.0, samples, update })
		.collect())
}

impl Worker {
	/// The bytes with this hash, from `cache` or from the chain.
	async fn fetch(&self, cache: &Cache, cid: &H256) -> Result<Vec<u8>> {
		if let Some(bytes) = cache.read(cid)? {
			return Ok(bytes);
		}
		let bytes = self.chain.fetch(cid).await?;
		cache.write(&bytes)?;
		Ok(bytes)
	}

	/// A blob whose pieces have these hashes.
	pub(super) async fn blob(&self, cids: &Cids) -> Result<Vec<u8>> {
		let mut pieces = Vec::with_capacity(cids.len());
		for cid in cids {
			pieces.push(self.fetch(&self.blobs, cid).await?);
		}
		join(cids, &pieces)
	}

	/// A blob whose pieces have these hashes, or none if the chain does not keep all of them.
	///
	/// Whether something is kept is for the chain to say: a node that does not answer is the
	/// worker's own trouble and not the trainer's, so it is an error.
	pub(super) async fn blob_if_stored(&self, view: &View, cids: &Cids) -> Result<Option<Vec<u8>>> {
		for cid in cids {
			if !self.blobs.contains(cid) && !view.is_stored(*cid).await? {
				return Ok(None);
			}
		}
		self.blob(cids).await.map(Some)
	}

	/// The blobs of accepted updates' deltas.
	pub(super) async fn with_blobs(
		&self,
		updates: Vec<Accepted>,
	) -> Result<Vec<(Accepted, Vec<u8>)>> {
		let mut complete = Vec::with_capacity(updates.len());
		for accepted in updates {
			let blob = self.blob(&accepted.update.delta_cids).await?;
			complete.push((accepted, blob));
		}
		Ok(complete)
	}

	/// The datasets of a round: fetches what is missing, then reads and checks all of it.
	pub(super) async fn library(
		self: &Arc<Self>,
		view: &View,
		round: &RoundView,
	) -> Result<Library> {
		let mut sources = Vec::with_capacity(round.datasets.len());
		for dataset in &round.datasets {
			let source = Source {
				manifest: self.manifest(view, dataset).await?,
				entry: dataset.entry(),
				records_root: dataset.records_root,
			};
			source.check()?;
			sources.push(source);
		}
		self.fetch_shards(&sources).await?;
		let cache = self.shards.clone();
		self.compute(move |_| Library::open(cache, &sources)).await
	}

	/// The manifest of a dataset of a round. It is kept, since the chain forgets that of a dataset
	/// which is revoked while the round goes on.
	async fn manifest(&self, view: &View, dataset: &MixtureDataset) -> Result<Manifest> {
		let path = self.files.manifest(&dataset.records_root);
		if let Some(manifest) = read_note(&path)? {
			return Ok(manifest);
		}
		let manifest = view.manifest(dataset.id).await?.ok_or_else(|| {
			Error::missing(
				format!("the manifest of dataset {}", dataset.id),
				"the chain has forgotten it, so the dataset was revoked",
			)
		})?;
		write_note(&path, &manifest)?;
		Ok(manifest)
	}

	/// Fetches the shards that are not on this disk, after making room for all of them.
	pub(super) async fn fetch_shards(&self, sources: &[Source]) -> Result<()> {
		let all: HashSet<H256> = sources.iter().flat_map(Source::cids).collect();
		let missing: Vec<(H256, u64)> = sources
			.iter()
			.flat_map(|source| source.manifest.shards.iter())
			.filter(|shard| !self.shards.contains(&shard.cid))
			.map(|shard| (shard.cid, u64::from(shard.bytes)))
			.collect();
		let bytes: u64 = missing.iter().map(|(_, bytes)| bytes).sum();
		self.shards.make_room(&all, bytes)?;
		for (cid, _) in missing {
			self.stop.check()?;
			self.fetch(&self.shards, &cid).await?;
		}
		Ok(())
	}
}
