//! Tests of the bound on the disk, on real folders.

use super::*;
use crate::{
	catch_up::Version,
	worker::{files::write_note, merging::tests::update_of, training::tests::recipe},
};
use blyan_tiles::atomic;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

/// The components of a model.
const NAMES: [&str; 2] = ["head", "norm"];

fn item(worth: Worth, order: u64, files: &[u64]) -> Item {
	let files = files.iter().map(|file| (0, *file)).collect();
	Item { worth, order, files, what: What::File(PathBuf::from("any")) }
}

/// What is dropped where everything can be removed.
fn choose(measured: &mut Measured, items: Vec<Item>, limit: u64) -> Vec<Item> {
	let dropped = drop_least(measured, items, limit, |item| (item.files.clone(), None));
	assert!(dropped.failures.is_empty());
	dropped.items
}

/// All files of these items, of ten bytes each.
fn measured(items: &[Item]) -> Measured {
	let mut measured = Measured::default();
	items.iter().flat_map(|item| &item.files).for_each(|file| measured.add(*file, 10));
	measured
}

#[test]
fn least_worth_is_dropped_first_and_no_more_than_needed() {
	let items = vec![
		item(Worth::Delta, 0, &[1]),
		item(Worth::Shard, 9, &[2]),
		item(Worth::Shard, 3, &[3]),
		item(Worth::EndedRound, 7, &[4, 5]),
	];
	let mut all = measured(&items);
	assert_eq!(all.used(), 50);
	let chosen = choose(&mut all, items.clone(), 25);
	assert_eq!(chosen, [items[3].clone(), items[2].clone()]);
	assert_eq!(all.used(), 20);
	assert!(choose(&mut measured(&items), items.clone(), 50).is_empty());
	let mut all = measured(&items);
	assert_eq!(choose(&mut all, items, 0).len(), 4);
	assert_eq!(all.used(), 0);
}

#[test]
fn file_with_two_names_counts_once_and_goes_with_the_last_one() {
	let items = vec![item(Worth::Published, 0, &[1, 2]), item(Worth::Version, 0, &[2, 3])];
	let mut all = measured(&items);
	assert_eq!(all.used(), 30);
	assert_eq!(choose(&mut all, items.clone(), 20), items[..1]);
	assert_eq!(all.used(), 20);
	assert_eq!(choose(&mut measured(&items), items.clone(), 19).len(), 2);
}

#[test]
fn folders_are_measured_with_what_is_in_them() {
	let place = tempfile::tempdir().unwrap();
	let folder = place.path().join("a/b");
	fs::create_dir_all(&folder).unwrap();
	fs::write(place.path().join("one"), [0; 100]).unwrap();
	fs::write(folder.join("two"), [0; 50]).unwrap();
	let mut measured = Measured::default();
	assert_eq!(measured.walk(place.path(), MAX_DEPTH).unwrap().len(), 2);
	assert_eq!(measured.used(), 150);
	assert!(measured.look(&place.path().join("three"), fs::Metadata::len).is_none());
	assert!(measured.walk(&place.path().join("missing"), MAX_DEPTH).unwrap().is_empty());
	#[cfg(unix)]
	{
		fs::hard_link(folder.join("two"), place.path().join("second name")).unwrap();
		let second = place.path().join("second name");
		assert!(measured.look(&second, fs::Metadata::len).is_some());
		assert_eq!(measured.used(), 150);
	}
}

#[test]
fn what_is_needed_is_no_item_and_the_longest_unused_comes_first() {
	let place = tempfile::tempdir().unwrap();
	for (name, seconds) in [("a", 30), ("b", 10), ("c", 20), (".d.unfinished", 1)] {
		let path = place.path().join(name);
		fs::write(&path, name).unwrap();
		let at = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(seconds);
		fs::File::options().append(true).open(&path).unwrap().set_modified(at).unwrap();
	}
	let mut needed = Needed::default();
	needed.names.insert(String::from("c"));
	let mut items = cached(place.path(), &needed, |_| Worth::Shard).unwrap();
	items.sort_by_key(|item| (item.worth, item.order));
	let names = items.iter().map(|item| item.what.clone());
	let expected = ["b", "a"].map(|name| What::File(place.path().join(name)));
	assert!(names.eq(expected));
}

#[test]
fn version_that_was_cut_off_is_not_the_newest_one() {
	let place = tempfile::tempdir().unwrap();
	let store = Store::open(place.path().to_path_buf()).unwrap();
	let names = ["head", "norm"].map(String::from);
	assert_eq!(newest_whole(&store, 0, &names).unwrap(), None);
	for (number, name) in [(3, "head"), (4, "head"), (4, "norm"), (5, "norm")] {
		store.write(0, number, name, &[0; 64]).unwrap();
	}
	assert_eq!(newest_whole(&store, 0, &names).unwrap(), Some(4));
	assert_eq!(newest_whole(&store, 0, &names[..1]).unwrap(), Some(4));
	assert_eq!(newest_whole(&store, 0, &names[1..]).unwrap(), Some(5));
	assert_eq!(newest_whole(&store, 1, &names).unwrap(), None);
}

#[test]
fn disk_is_full_while_less_than_an_eighth_is_free_and_says_what_is_enough() {
	let is_full = |used: u64, max_mib: u64| Usage { used, max: max_mib << 20 }.is_full();
	assert!(!is_full(56 << 20, 64));
	assert!(is_full((56 << 20) + 1, 64));
	for used in [1, 917_504, 917_505, 56 << 20, (56 << 20) + 1, 123_456_789_012] {
		let enough = Usage { used, max: 0 }.enough_mib();
		assert!(!is_full(used, enough), "{used}");
		assert!(is_full(used, enough - 1), "{used}");
	}
}

/// The folders of a worker with something of everything in them, of model 0.
struct Place {
	root: tempfile::TempDir,
	data: PathBuf,
	tiles: PathBuf,
	files: Files,
	store: Store,
	needed: Needed,
	/// The blob that round 2 has merged, behind the last published version.
	delta: PathBuf,
}

fn hash_of(byte: u8) -> H256 {
	H256([byte; 32])
}

/// Writes a file that was last used at a second of the epoch.
fn write_at(path: &Path, bytes: usize, seconds: u64) {
	fs::create_dir_all(path.parent().unwrap()).unwrap();
	fs::write(path, vec![7; bytes]).unwrap();
	let at = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(seconds);
	fs::File::options().append(true).open(path).unwrap().set_modified(at).unwrap();
}

/// The files below a folder, each with what it is and its bytes.
fn list(folder: &Path, found: &mut BTreeMap<PathBuf, (FileId, u64)>) {
	for entry in fs::read_dir(folder).unwrap() {
		let path = entry.unwrap().path();
		let about = fs::symlink_metadata(&path).unwrap();
		if about.is_dir() {
			list(&path, found);
		} else {
			found.insert(path.clone(), (id_of(&path, &about), about.len()));
		}
	}
}

impl Place {
	/// `bytes` says how large the next file is.
	fn make(mut bytes: impl FnMut() -> usize) -> Self {
		let root = tempfile::tempdir().unwrap();
		let (data, tiles) = (root.path().join("data"), root.path().join("tiles"));
		let files = Files::at(data.join("chains/this"));
		let store = Store::open(files.weights()).unwrap();
		let (accepted, blob) = update_of(1, 10);
		let delta = data.join("blobs").join(hex(accepted.update.delta_cids[0].as_bytes()));
		let needed = Needed {
			rounds: HashSet::from([7]),
			versions: HashSet::from([(0, 2)]),
			names: [2, 5].map(|byte| hex(hash_of(byte).as_bytes())).into(),
			merged: HashMap::from([(0, vec![2])]),
			components: HashMap::from([(0, NAMES.map(String::from).to_vec())]),
		};
		let place = Self { root, data, tiles, files, store, needed, delta };
		for round in [3, 7] {
			write_at(&place.round(round), bytes(), 1);
		}
		for (byte, seconds) in [(1, 10), (2, 1)] {
			write_at(&place.blob(byte), bytes(), seconds);
		}
		for (byte, seconds) in [(3, 20), (4, 10), (5, 1)] {
			write_at(&place.shard(byte), bytes(), seconds);
		}
		write_at(&place.delta, blob.len(), 1);
		let merged = state::Merged { recipe: recipe(), updates: vec![accepted] };
		write_note(&state::note_path(&place.files, 0, 2), &merged).unwrap();
		let versions = [1, 2, 3].into_iter().flat_map(|number| NAMES.map(|name| (number, name)));
		// The writing of version 4 was cut off.
		for (number, name) in versions.chain([(4, NAMES[0])]) {
			let weights = vec![1; 64 * (bytes() / 256 + 1)];
			place.store.write(0, number, name, &weights).unwrap();
		}
		for byte in [0x11, 0x12] {
			write_at(&place.published(byte), bytes(), 1);
		}
		// Version 2 is on the disk and published, as one file.
		for (byte, name) in [0x21, 0x22].into_iter().zip(NAMES) {
			let source = place.store.path(0, 2, name).unwrap();
			atomic::share(&source, &place.published(byte)).unwrap();
		}
		for (number, roots) in [(1, [0x11, 0x12]), (2, [0x21, 0x22])] {
			let round = Some(number - 1);
			let version = Version { number, heads_root: H256::zero(), round };
			publish::note(&place.files, 0, &version, &roots.map(hash_of), true).unwrap();
		}
		place
	}

	fn round(&self, round: u32) -> PathBuf {
		self.files.round(round, &hash_of(9)).join("training.trace")
	}

	fn blob(&self, byte: u8) -> PathBuf {
		self.data.join("blobs").join(hex(hash_of(byte).as_bytes()))
	}

	fn shard(&self, byte: u8) -> PathBuf {
		self.data.join("shards").join(hex(hash_of(byte).as_bytes()))
	}

	fn published(&self, byte: u8) -> PathBuf {
		tile_path(&self.tiles, &hash_of(byte))
	}

	fn folders(&self) -> Folders<'_> {
		let Self { data, tiles, files, store, .. } = self;
		Folders { data, tiles: Some(tiles), files, store }
	}

	fn free(&self, limit: u64) -> (Dropped, u64) {
		let folders = self.folders();
		let found = folders.measure(&[0]).unwrap();
		folders.free(&self.needed, found, limit).unwrap()
	}

	/// All files.
	fn list(&self) -> BTreeMap<PathBuf, (FileId, u64)> {
		let mut found = BTreeMap::new();
		list(self.root.path(), &mut found);
		found
	}

	/// Bytes of all files, one with two names counted once.
	fn bytes(&self) -> u64 {
		self.list().into_values().collect::<HashMap<FileId, u64>>().into_values().sum()
	}

	/// Whether all is there that live rounds need, and from which the head can be reached.
	fn has_what_it_needs(&self) -> bool {
		let kept = [
			self.round(7),
			self.blob(2),
			self.shard(5),
			self.published(0x21),
			self.published(0x22),
			state::note_path(&self.files, 0, 2),
		];
		let is_base_whole = NAMES.iter().all(|name| self.store.contains(0, 2, name).unwrap());
		let newest = newest_whole(&self.store, 0, &self.needed.components[&0]).unwrap();
		kept.iter().all(|path| path.is_file()) && is_base_whole && newest == Some(3)
	}
}

#[test]
fn files_go_in_the_order_of_their_worth_and_what_is_needed_stays() {
	let place = Place::make(|| 1_000);
	let weights = |number, name| place.store.path(0, number, name).unwrap();
	let expected = [
		vec![place.round(3)],
		vec![place.blob(1)],
		vec![place.shard(4)],
		vec![place.shard(3)],
		vec![place.published(0x11)],
		vec![place.published(0x12)],
		vec![weights(1, NAMES[0]), weights(1, NAMES[1])],
		vec![weights(4, NAMES[0])],
		vec![place.delta.clone()],
	];
	for gone in expected {
		let before = place.list();
		let limit = place.bytes() - 1;
		let (dropped, used) = place.free(limit);
		assert!(dropped.failures.is_empty(), "{:?}", dropped.failures);
		let after = place.list();
		let missing: Vec<PathBuf> =
			before.into_keys().filter(|path| !after.contains_key(path)).collect();
		assert_eq!((missing, dropped.items.len()), (gone, 1));
		assert_eq!(used, place.bytes());
		assert!(used <= limit && place.has_what_it_needs());
	}
	let left = place.list();
	let (dropped, used) = place.free(0);
	assert!(dropped.items.is_empty() && dropped.failures.is_empty());
	assert_eq!((place.list(), place.bytes()), (left, used));
}

#[test]
fn what_vanished_is_removed_and_what_cannot_be_removed_stays_counted() {
	let place = Place::make(|| 1_000);
	let folders = place.folders();
	let (mut measured, mut items) = folders.measure(&[0]).unwrap();
	items.extend(folders.droppable(&place.needed).unwrap());
	let count = items.len();
	let mut is_done = false;
	let dropped = drop_least(&mut measured, items, 0, |item| {
		if !std::mem::replace(&mut is_done, true) {
			// Somebody else is quicker with one file, and puts a folder in the place of
			// another.
			fs::remove_file(place.blob(1)).unwrap();
			fs::remove_file(place.shard(4)).unwrap();
			fs::create_dir(place.shard(4)).unwrap();
		}
		remove(item)
	});
	assert_eq!((dropped.items.len(), dropped.failures.len()), (count - 1, 1));
	let failure = dropped.failures[0].to_string();
	let path = place.shard(4).display().to_string();
	assert!(failure.contains("cannot remove") && failure.contains(&path), "{failure}");
	assert_eq!(measured.used(), place.bytes() + 1_000);
	assert!(place.has_what_it_needs());
}

#[test]
fn published_file_that_cannot_be_removed_keeps_nothing_else() {
	let place = Place::make(|| 1_000);
	let folders = place.folders();
	let found = folders.measure(&[0]).unwrap();
	let path = place.published(0x11);
	fs::remove_file(&path).unwrap();
	fs::create_dir(&path).unwrap();
	// What is worth less than published versions, and one of their two files.
	let limit = found.0.used() - 5_000;
	let (dropped, used) = folders.free(&place.needed, found, limit).unwrap();
	assert_eq!((dropped.items.len(), used), (5, limit));
	let said: Vec<String> = dropped.failures.iter().map(Error::to_string).collect();
	assert!(said.len() == 1 && said[0].contains(&path.display().to_string()), "{said:?}");
	assert!(!place.published(0x12).exists());
	// Nothing that is worth more went in the place of what was removed.
	assert!(NAMES.iter().all(|name| place.store.contains(0, 1, name).unwrap()));
	assert!(place.delta.exists() && place.has_what_it_needs());
}

#[test]
fn delta_of_a_round_that_made_no_snapshot_is_worth_less_than_versions() {
	let mut place = Place::make(|| 1_000);
	let worth = |place: &Place| {
		let items = place.folders().droppable(&place.needed).unwrap();
		let what = What::File(place.delta.clone());
		items.into_iter().find(|item| item.what == what).unwrap().worth
	};
	assert_eq!(worth(&place), Worth::Delta);
	// It is noted until its round is over.
	place.needed.merged = HashMap::from([(0, Vec::new())]);
	assert_eq!(worth(&place), Worth::OldDelta);
}

#[cfg(unix)]
#[test]
fn what_was_not_fetched_to_the_end_counts_without_its_holes_and_can_be_dropped() {
	const HOLE: u64 = 1 << 30;
	let place = Place::make(|| 1_000);
	let before = place.folders().measure(&[0]).unwrap().0.used();
	// The worker was killed while its node was fetching version 3, of which it has one file.
	let version = Version { number: 3, heads_root: H256::zero(), round: Some(2) };
	publish::note(&place.files, 0, &version, &[0x31, 0x32].map(hash_of), false).unwrap();
	write_at(&place.published(0x31), 1_000, 1);
	let [hashes, part] = publish::part_paths(&place.tiles, &hash_of(0x32));
	fs::write(&hashes, [1; 5_000]).unwrap();
	fs::write(&part, [1; 50_000]).unwrap();
	fs::File::options().append(true).open(&part).unwrap().set_len(HOLE).unwrap();
	// Of the last version that is offered, too, something was fetched anew.
	let [_, again] = publish::part_paths(&place.tiles, &hash_of(0x21));
	fs::write(&again, [1; 50_000]).unwrap();

	let (measured, items) = place.folders().measure(&[0]).unwrap();
	let taken = measured.used() - before;
	// Disks may compress, so only the file that has no holes is known to take its bytes.
	assert!((1_000..HOLE / 2).contains(&taken), "{taken}");
	let is_item = |what: &What| items.iter().filter(|item| item.what == *what).count() == 1;
	for (path, root) in [(&part, 0x32), (&again, 0x21)] {
		assert!(is_item(&What::Part { path: path.clone(), root: hash_of(root) }));
	}
	assert!(is_item(&What::File(hashes.clone())));
	assert!(is_item(&What::File(place.published(0x31))));

	let (dropped, used) = place.free(0);
	assert!(dropped.failures.is_empty(), "{:?}", dropped.failures);
	assert!([hashes, part, again, place.published(0x31)].iter().all(|path| !path.exists()));
	assert!(place.has_what_it_needs());
	assert_eq!(used, place.bytes());
}

#[cfg(unix)]
#[test]
fn files_that_are_gone_of_a_folder_that_cannot_be_removed_count_no_more() {
	let place = tempfile::tempdir().unwrap();
	let file = place.path().join("file");
	let item_of = |path: PathBuf| {
		let files = vec![id_of(&file, &fs::metadata(&file).unwrap())];
		Item { worth: Worth::EndedRound, order: 0, files, what: What::Folder(path) }
	};
	write_at(&file, 100, 1);
	// It is no folder, and cannot be listed either.
	let item = item_of(file.clone());
	let (gone, failure) = remove(&item);
	assert!(gone.is_empty() && failure.is_some() && file.exists());
	// Nobody can remove a folder by this name, though all that is in it.
	let item = item_of(place.path().join("."));
	let (gone, failure) = remove(&item);
	assert_eq!(gone, item.files);
	assert!(failure.is_some() && !file.exists());
}

proptest! {
	#![proptest_config(ProptestConfig::with_cases(16))]

	/// However large files are: those that are left take no more than the limit, or than what
	/// must stay.
	#[test]
	fn bytes_on_disk_end_within_the_limit(
		sizes in proptest::collection::vec(1usize..20_000, 20),
		percent in 0u64..=100,
	) {
		let mut sizes = sizes.into_iter().cycle();
		let place = Place::make(|| sizes.next().unwrap());
		let limit = place.bytes() * percent / 100;
		let (dropped, used) = place.free(limit);
		prop_assert!(dropped.failures.is_empty());
		prop_assert_eq!(used, place.bytes());
		prop_assert!(place.has_what_it_needs());
		let (_, least) = place.free(0);
		prop_assert!(used <= limit.max(least));
		prop_assert!(place.has_what_it_needs());
	}
}

/// A disk with versions and deltas of one model.
#[derive(Clone, Debug, Default)]
struct Disk {
	versions: BTreeSet<u32>,
	deltas: BTreeSet<u32>,
	published: Vec<u32>,
	head: u32,
}

const VERSION_BYTES: u64 = 100;
const DELTA_BYTES: u64 = 13;

impl Disk {
	/// The files of a version have the same identity wherever they are.
	fn measure(&self) -> (Measured, Vec<Item>) {
		let mut measured = Measured::default();
		let mut items = Vec::new();
		let last = self.published.last().copied().unwrap_or_default();
		for version in &self.versions {
			let file = (1, u64::from(*version));
			measured.add(file, VERSION_BYTES);
			if Some(version) != self.versions.last() {
				let what = What::Folder(PathBuf::from(version.to_string()));
				let order = u64::from(*version);
				items.push(Item { worth: Worth::Version, order, files: vec![file], what });
			}
		}
		for version in &self.published {
			let file = (1, u64::from(*version));
			measured.add(file, VERSION_BYTES);
			if *version != last {
				let (worth, order) = (Worth::Published, u64::from(*version));
				let what = What::File(PathBuf::from(version.to_string()));
				items.push(Item { worth, order, files: vec![file], what });
			}
		}
		for delta in &self.deltas {
			let file = (2, u64::from(*delta));
			measured.add(file, DELTA_BYTES);
			let worth = if *delta > last { Worth::Delta } else { Worth::OldDelta };
			let what = What::File(PathBuf::from(delta.to_string()));
			items.push(Item { worth, order: u64::from(*delta), files: vec![file], what });
		}
		(measured, items)
	}

	fn drop_items(&mut self, items: &[Item]) {
		for item in items {
			let (What::Folder(path) | What::File(path) | What::Part { path, .. }) = &item.what;
			let number: u32 = path.to_string_lossy().parse().unwrap();
			match item.worth {
				Worth::Version => self.versions.retain(|version| *version != number),
				Worth::Published => self.published.retain(|version| *version != number),
				_ => self.deltas.retain(|delta| *delta != number),
			}
		}
	}

	/// Whether the head can be reached from this disk and from deltas that the chain still
	/// keeps.
	fn reaches_head(&self, chain_keeps_from: u32) -> bool {
		let has = |delta: u32| self.deltas.contains(&delta) || delta >= chain_keeps_from;
		self.versions.iter().any(|version| (*version + 1..=self.head).all(has))
	}
}

proptest! {
	/// Versions come, are published, and are dropped, in any order: the bound holds whenever
	/// there is room for what must stay, and the head can be reached.
	#[test]
	fn bound_holds_and_the_head_stays_within_reach(
		steps in proptest::collection::vec((0u8..4, 250u64..1_500), 1..200),
	) {
		let mut disk = Disk { versions: BTreeSet::from([0]), ..Disk::default() };
		for (step, limit) in steps {
			match step {
				// A round ends; the deltas are noted and kept.
				0 => {
					disk.head += 1;
					disk.deltas.insert(disk.head);
				}
				// The worker rebuilds the head, and everything on the way to it.
				1 => {
					let newest = disk.versions.last().copied().unwrap_or_default();
					disk.versions.extend(newest..=disk.head);
				}
				2 => {
					let newest = disk.versions.last().copied().unwrap_or_default();
					if disk.published.last() < Some(&newest) {
						disk.published.push(newest);
					}
				}
				_ => {
					let (mut measured, items) = disk.measure();
					let chosen = choose(&mut measured, items, limit);
					disk.drop_items(&chosen);
					// The newest version and the last published one are the least there is.
					prop_assert!(measured.used() <= limit.max(2 * VERSION_BYTES));
					prop_assert_eq!(disk.measure().0.used(), measured.used());
				}
			}
			let newest = disk.versions.last().copied().unwrap_or_default();
			prop_assert!(disk.reaches_head(newest + 1));
		}
	}
}
