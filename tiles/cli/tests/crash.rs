//! Folders and keys whose writer is killed or has a full disk.
#![cfg(unix)]

#[path = "../../format/tests/support/child.rs"]
mod child;

use blyan_cli::{
	folder::{self, ModelFolder, Snapshot},
	keystore::{Error, Keystore, Protection, Scheme, Secret},
};
use blyan_engine::Weights;
use blyan_primitives::{model::Architecture, H256};
use blyan_tiles::staging::Staging;
use child::Running;
use std::{
	fs,
	path::{Path, PathBuf},
	process,
};

/// Where everything is written, in the folder of that name below the child's own.
const FOLDER: &str = "work";
/// How often a writer is killed at any moment.
const KILLS: u32 = 20;
/// Files of a folder that is staged.
const FILES: usize = 5;

/// What is in the folder so far: the paths, those of what is not finished apart.
fn found(folder: &Path) -> (Vec<PathBuf>, Vec<PathBuf>) {
	let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
	entries.partition(|path| path.extension().is_none_or(|extension| extension != "unfinished"))
}

/// A name that no other child uses.
fn name(times: usize) -> String {
	format!("{}-{times}", process::id())
}

/// What is in a file of a staged folder.
fn content(file: usize) -> Vec<u8> {
	vec![file as u8; 20_000 * (file + 1)]
}

#[test]
fn child_fills_folders() {
	let Some(folder) = child::folder() else { return };
	child::repeat(&folder, |times| {
		let staging = Staging::begin(&folder.join(FOLDER).join(name(times))).unwrap();
		for file in 0..FILES {
			fs::write(staging.path().join(file.to_string()), content(file)).unwrap();
		}
		staging.finish().unwrap();
	});
}

#[test]
fn folders_are_whole_or_absent_whenever_their_writer_is_killed() {
	let folder = tempfile::tempdir().unwrap();
	let work = folder.path().join(FOLDER);
	for round in 0..KILLS {
		Running::start("child_fills_folders", folder.path()).kill_in_round(folder.path(), round);
		let (whole, unfinished) = found(&work);
		assert!(!whole.is_empty());
		for path in &whole {
			for file in 0..FILES {
				assert_eq!(fs::read(path.join(file.to_string())).unwrap(), content(file));
			}
			fs::remove_dir_all(path).unwrap();
		}
		assert!(unfinished.len() <= 1);
		begin_again(&work, &unfinished);
	}
}

/// What was to be made when this was left: `.<name>.<process>.unfinished`.
fn target_name(unfinished: &Path) -> &str {
	let hidden = unfinished.file_name().unwrap().to_str().unwrap();
	hidden.split('.').nth(1).unwrap()
}

/// Asserts that the next attempt at each folder removes what was left of it, and that nothing else
/// is there.
fn begin_again(work: &Path, unfinished: &[PathBuf]) {
	for path in unfinished {
		drop(Staging::begin(&work.join(target_name(path))).unwrap());
	}
	assert_eq!(fs::read_dir(work).unwrap().count(), 0);
}

#[test]
fn folder_is_absent_when_its_writer_is_killed_within_a_write() {
	let folder = tempfile::tempdir().unwrap();
	let work = folder.path().join(FOLDER);
	// In its first file, and in one of those behind it.
	for blocks in [0, 1, 90] {
		child::kill_in_write("child_fills_folders", folder.path(), blocks);
		let (whole, unfinished) = found(&work);
		assert!(whole.is_empty(), "{blocks} blocks");
		assert_eq!(unfinished.len(), 1, "{blocks} blocks");
		begin_again(&work, &unfinished);
	}
}

/// Two versions of a model, of which the first two components are the same.
fn versions() -> [Weights; 2] {
	let architecture = Architecture {
		vocab: 256,
		d_model: 32,
		layers: 2,
		heads: 2,
		context: 8,
		experts: 2,
		top_k: 2,
		d_ff: 16,
	};
	let [old, mut new] = [1, 2].map(|seed| {
		let weights = Weights::initial(&architecture, H256([seed; 32])).unwrap();
		weights.components().to_vec()
	});
	new[..2].clone_from_slice(&old[..2]);
	[old, new].map(|components| Weights::new(&architecture, components).unwrap())
}

/// Puts a version into the folder of a model.
fn replace(path: &Path, versions: &[Weights; 2], version: usize) -> folder::Result<usize> {
	let (weights, snapshot) = (&versions[version], Snapshot { model: 0, number: version as u32 });
	let found = ModelFolder::find(path)?;
	let before = found.as_ref().map(ModelFolder::description);
	ModelFolder::replace(path, before, weights, &weights.roots(), snapshot)
}

/// The version that a folder has. Fails unless every component is of that version.
fn version_in(path: &Path, versions: &[Weights; 2]) -> usize {
	let model = ModelFolder::open(path).unwrap();
	let version = model.description().snapshot.unwrap().number as usize;
	assert_eq!(model.weights().unwrap(), versions[version]);
	version
}

#[test]
fn child_replaces_a_model() {
	let Some(folder) = child::folder() else { return };
	let versions = versions();
	child::repeat(&folder, |times| {
		replace(&folder.join(FOLDER), &versions, times % 2).unwrap();
	});
}

#[test]
fn model_is_the_old_or_the_new_one_whenever_its_writer_is_killed() {
	let folder = tempfile::tempdir().unwrap();
	let work = folder.path().join(FOLDER);
	let versions = versions();
	// A file for each component, and the description.
	let files = versions[0].components().len() + 1;
	for round in 0..KILLS {
		Running::start("child_replaces_a_model", folder.path()).kill_in_round(folder.path(), round);
		let found = version_in(&work, &versions);
		// The same version once more, or the other one: either leaves nothing behind.
		let next = (found + round as usize) % 2;
		replace(&work, &versions, next).unwrap();
		assert_eq!(version_in(&work, &versions), next);
		assert_eq!(fs::read_dir(&work).unwrap().count(), files);
	}
}

/// After how many blocks of a file the writer of a model is killed, or the disk is full. The first
/// file of the second version has 4,864 bytes and fits ten blocks; one behind it has 20,736.
const MODEL_BLOCKS: [u32; 3] = [0, 1, 10];

#[test]
fn child_puts_the_second_version_into_a_model() {
	let Some(folder) = child::folder() else { return };
	replace(&folder.join(FOLDER), &versions(), 1).unwrap();
}

#[test]
fn model_is_the_old_one_when_its_writer_is_killed_within_a_write() {
	let versions = versions();
	let files = versions[0].components().len() + 1;
	for blocks in MODEL_BLOCKS {
		let folder = tempfile::tempdir().unwrap();
		let work = folder.path().join(FOLDER);
		replace(&work, &versions, 0).unwrap();
		let child = "child_puts_the_second_version_into_a_model";
		for next in [0, 1] {
			child::kill_in_write(child, folder.path(), blocks);
			assert_eq!(version_in(&work, &versions), 0, "{blocks} blocks");
			// What is written is beside the old version.
			assert_eq!(fs::read_dir(&work).unwrap().count(), files + 1, "{blocks} blocks");
			replace(&work, &versions, next).unwrap();
			assert_eq!(version_in(&work, &versions), next, "{blocks} blocks");
			assert_eq!(fs::read_dir(&work).unwrap().count(), files, "{blocks} blocks");
		}
	}
}

#[test]
fn child_puts_a_version_into_a_model_on_a_full_disk() {
	let Some(folder) = child::folder() else { return };
	let error = replace(&folder.join(FOLDER), &versions(), 1).unwrap_err();
	let tile = |error: &blyan_tiles::Error| {
		matches!(error, blyan_tiles::Error::Io { action: "write", .. })
	};
	assert!(matches!(&error, folder::Error::Tile(error) if tile(error)), "{error}");
}

#[test]
fn full_disk_leaves_the_old_version_of_a_model_and_nothing_else() {
	let folder = tempfile::tempdir().unwrap();
	let work = folder.path().join(FOLDER);
	let versions = versions();
	replace(&work, &versions, 0).unwrap();
	for blocks in MODEL_BLOCKS {
		let child = "child_puts_a_version_into_a_model_on_a_full_disk";
		child::fill_disk(child, folder.path(), blocks);
		assert_eq!(version_in(&work, &versions), 0, "{blocks} blocks");
		let files = versions[0].components().len() + 1;
		assert_eq!(fs::read_dir(&work).unwrap().count(), files, "{blocks} blocks");
	}
}

#[test]
fn child_adds_keys() {
	let Some(folder) = child::folder() else { return };
	let keystore = Keystore::new(folder.join(FOLDER));
	let secret = Secret::from_uri("//Alice").unwrap();
	child::repeat(&folder, |times| {
		keystore.add(&name(times), &secret, Scheme::Sr25519, Protection::None).unwrap();
	});
}

#[test]
fn keys_are_whole_or_absent_whenever_the_key_store_is_killed() {
	let folder = tempfile::tempdir().unwrap();
	let work = folder.path().join(FOLDER);
	let keystore = Keystore::new(&work);
	for round in 0..KILLS {
		Running::start("child_adds_keys", folder.path()).kill_in_round(folder.path(), round);
		let (whole, unfinished) = found(&work);
		assert!(!whole.is_empty());
		for path in whole {
			let name = path.file_stem().unwrap().to_str().unwrap();
			assert!(keystore.entry(name).is_ok(), "{name}");
			fs::remove_file(path).unwrap();
		}
		assert!(unfinished.len() <= 1);
		for path in unfinished {
			fs::remove_file(path).unwrap();
		}
	}
}

#[test]
fn key_is_absent_when_the_key_store_is_killed_within_a_write() {
	let folder = tempfile::tempdir().unwrap();
	let work = folder.path().join(FOLDER);
	child::kill_in_write("child_adds_keys", folder.path(), 0);
	let (whole, unfinished) = found(&work);
	assert!(whole.is_empty());
	assert_eq!(unfinished.len(), 1);

	// Adding the key again removes what was left.
	let secret = Secret::from_uri("//Alice").unwrap();
	let keystore = Keystore::new(&work);
	let name = target_name(&unfinished[0]);
	keystore.add(name, &secret, Scheme::Sr25519, Protection::None).unwrap();
	assert!(keystore.entry(name).is_ok());
	assert!(found(&work).1.is_empty());
}

#[test]
fn child_writes_on_a_full_disk() {
	let Some(folder) = child::folder() else { return };
	let work = folder.join(FOLDER);
	let secret = Secret::from_uri("//Alice").unwrap();
	let added = Keystore::new(&work).add("alice", &secret, Scheme::Sr25519, Protection::None);
	let error = added.unwrap_err();
	assert!(matches!(error, Error::Io { action: "write", .. }), "{error}");
	let staging = Staging::begin(&work.join("target")).unwrap();
	assert!(fs::write(staging.path().join("file"), content(0)).is_err());
}

#[test]
fn full_disk_leaves_no_key_and_no_folder() {
	let folder = tempfile::tempdir().unwrap();
	child::fill_disk("child_writes_on_a_full_disk", folder.path(), 0);
	assert_eq!(fs::read_dir(folder.path().join(FOLDER)).unwrap().count(), 0);
}
