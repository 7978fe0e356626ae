//! A model's weights in a folder: `<component>.blyt` for each component, and `model.json`, which
//! says what the model is and which roots its components have.
//!
//! `model init` writes such a folder, `model pull` fetches one, and whoever has one can check it
//! without the chain, or compare its roots with those of the chain.
//!
//! # Another version
//!
//! [`ModelFolder::replace`] puts a version into a folder that is empty or has another one:
//!
//! 1. components that differ are written to `.blyan-next/<component>.<root>.blyt`;
//! 2. `model.json` is replaced, and from then on the folder has the new version;
//! 3. the new components take the names of the old ones, and `.blyan-next` is removed.
//!
//! A component is looked for in `.blyan-next` first, under the root that `model.json` states. So
//! the folder has the old version or the new one, wherever this is interrupted, and the next attempt
//! removes what is there of step 1, or goes on with step 3.

use blyan_engine::{Mapped, Weights};
use blyan_primitives::{model::Architecture, H256};
use blyan_tiles::{
	atomic,
	staging::{self, Staging},
	TileFile,
};
use serde::{Deserialize, Serialize};
use std::{
	fs::{self, File, TryLockError},
	io::{self, Read},
	path::{Path, PathBuf},
};

/// The file that says what the model is.
pub const MODEL_FILE: &str = "model.json";
/// The only version of that file.
const VERSION: u8 = 1;
/// The most bytes of that file: 512 components take a tenth of it.
const MAX_MODEL_FILE_BYTES: u64 = 1 << 20;
/// The folder within, in which another version is until it takes the place of the old one.
const NEXT_FOLDER: &str = ".blyan-next";

/// The result of everything in this module.
pub type Result<T> = std::result::Result<T, Error>;

/// Why a model's folder cannot be read, written or trusted, and what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
	/// The folder cannot be made.
	#[error(transparent)]
	Staging(#[from] staging::Error),
	/// A tile file is damaged.
	#[error(transparent)]
	Tile(#[from] blyan_tiles::Error),
	/// The weights do not fit the architecture.
	#[error(transparent)]
	Engine(#[from] blyan_engine::Error),
	/// Another process puts a version into the folder.
	#[error("another process is writing to {}; wait until it has ended, and try again", .0.display())]
	Busy(PathBuf),
	/// Another process has put a version into the folder since it was looked what was there.
	#[error("another process has written to {} meanwhile; nothing was changed, try again", .0.display())]
	Changed(PathBuf),
	/// The operating system refused.
	#[error("cannot {action} {}: {source}; check that this is the folder of a model", .path.display())]
	Io {
		/// What was tried.
		action: &'static str,
		/// On which file.
		path: PathBuf,
		/// What the operating system said.
		source: io::Error,
	},
	/// The file that says what the model is, is damaged or something else.
	#[error("{} is refused: {problem}; fetch or make the model again", .path.display())]
	Description {
		/// The file.
		path: PathBuf,
		/// What is wrong with it.
		problem: String,
	},
}

/// What a folder's model is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Description {
	/// The version of this description.
	pub version: u8,
	/// The dimensions, which all names and lengths follow from.
	pub architecture: Architecture,
	/// What the first weights follow from, if these are they.
	#[serde(default, skip_serializing_if = "Option::is_none")]
	pub seed: Option<H256>,
	/// The snapshot that was fetched, if one was.
	#[serde(default, skip_serializing_if = "Option::is_none")]
	pub snapshot: Option<Snapshot>,
	/// The root of each component, in the order of the architecture.
	pub roots: Vec<H256>,
}

/// A snapshot of a model of the chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Snapshot {
	/// Number of the model.
	pub model: u32,
	/// Number of the snapshot.
	pub number: u32,
}

impl Description {
	/// The description of these components. Fails if there are too many or too few.
	pub fn new(
		architecture: Architecture,
		seed: Option<H256>,
		snapshot: Option<Snapshot>,
		roots: Vec<H256>,
	) -> Result<Self> {
		let description = Self { version: VERSION, architecture, seed, snapshot, roots };
		description.check(Path::new(MODEL_FILE))?;
		Ok(description)
	}

	/// Refuses what does not make sense.
	fn check(&self, path: &Path) -> Result<()> {
		let refuse =
			|problem: String| Err(Error::Description { path: path.to_path_buf(), problem });
		if self.version != VERSION {
			return refuse(format!("version {} is unknown", self.version));
		}
		if let Err(error) = self.architecture.validate() {
			return refuse(error.to_string());
		}
		let expected = self.architecture.component_count() as usize;
		if self.roots.len() != expected {
			let found = self.roots.len();
			return refuse(format!("the model has {expected} components, found {found} roots"));
		}
		Ok(())
	}
}

/// The state of one component in a folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ComponentState {
	/// Its name.
	pub component: String,
	/// Bytes of its payload.
	pub bytes: u64,
	/// Leaves of its payload.
	pub leaves: u64,
	/// The root that it must have.
	pub root: H256,
	/// Whether its file has that root.
	pub genuine: bool,
	/// What is wrong with the file.
	pub problem: Option<String>,
}

/// A folder of a model's weights.
#[derive(Clone, Debug)]
pub struct ModelFolder {
	path: PathBuf,
	description: Description,
}

impl ModelFolder {
	/// Writes a model into the folder `path`, which must not exist yet, or be empty.
	pub fn create(path: &Path, weights: &Weights, seed: Option<H256>) -> Result<Self> {
		let staging = Staging::begin(path)?;
		let mut roots = Vec::with_capacity(weights.components().len());
		let components = weights.architecture().components();
		for (component, weights) in components.iter().zip(weights.components()) {
			roots.push(TileFile::create(file_in(staging.path(), &component.name), weights)?);
		}
		let description = Description::new(*weights.architecture(), seed, None, roots)?;
		write_description(staging.path(), &description)?;
		staging.finish()?;
		Ok(Self { path: path.to_path_buf(), description })
	}

	/// Opens a folder and checks its description, but hashes nothing: see [`ModelFolder::verify`].
	pub fn open(path: &Path) -> Result<Self> {
		let file = path.join(MODEL_FILE);
		let refused = |source| Error::Io { action: "read", path: file.clone(), source };
		let mut text = String::new();
		File::open(&file)
			.and_then(|opened| opened.take(MAX_MODEL_FILE_BYTES).read_to_string(&mut text))
			.map_err(refused)?;
		let description: Description = serde_json::from_str(&text).map_err(|error| {
			Error::Description { path: file.clone(), problem: error.to_string() }
		})?;
		description.check(&file)?;
		Ok(Self { path: path.to_path_buf(), description })
	}

	/// Opens a folder as [`ModelFolder::open`] does, if it has a model.
	pub fn find(path: &Path) -> Result<Option<Self>> {
		match path.join(MODEL_FILE).exists() {
			true => Self::open(path).map(Some),
			false => Ok(None),
		}
	}

	/// Puts a description into a folder whose components are there, or will be.
	pub fn describe(path: &Path, description: Description) -> Result<Self> {
		description.check(&path.join(MODEL_FILE))?;
		fs::create_dir_all(path).map_err(refused("create the folder", path))?;
		write_description(path, &description)?;
		Ok(Self { path: path.to_path_buf(), description })
	}

	/// Puts a snapshot into a folder, in place of the version that is there if there is one, and
	/// returns how many components were written: what is right already stays.
	///
	/// Whatever happens, the folder has the old version or the new one. If writing fails, it is the
	/// old one and nothing is beside it. `roots` are those of `weights`. `before` is what the caller
	/// found in the folder when it decided on this; if there is something else by now, it stays.
	pub fn replace(
		path: &Path,
		before: Option<&Description>,
		weights: &Weights,
		roots: &[H256],
		snapshot: Snapshot,
	) -> Result<usize> {
		let architecture = *weights.architecture();
		let description = Description::new(architecture, None, Some(snapshot), roots.to_vec())?;
		fs::create_dir_all(path).map_err(refused("create the folder", path))?;
		let _lock = lock(path)?;
		if Self::find(path)?.as_ref().map(Self::description) != before {
			return Err(Error::Changed(path.to_path_buf()));
		}
		finish_interrupted(path)?;
		let folder = Self { path: path.to_path_buf(), description };
		let written = folder.prepare(weights).inspect_err(|_| {
			// What went wrong before is what the user has to hear of.
			let _ = remove_next(path);
		})?;
		folder.switch()?;
		folder.settle()?;
		Ok(written)
	}

	/// Writes the components that are not there, and the description, to where they are not looked
	/// for yet. Returns how many components these are.
	fn prepare(&self, weights: &Weights) -> Result<usize> {
		let mut written = 0;
		for ((component, root), payload) in self.parts().zip(weights.components()) {
			if self.verified(&component, root).is_ok_and(|file| file.weights().is_ok()) {
				continue;
			}
			let path = self.next_file(&component, root);
			let found = TileFile::create(&path, payload)?;
			if found != *root {
				return Err(blyan_tiles::Error::Root { path, expected: *root, found }.into());
			}
			written += 1;
		}
		let next = self.path.join(NEXT_FOLDER);
		write_description(&next, &self.description)?;
		// The description must not reach its place on the disk before what it names is found there.
		atomic::sync_name(&next).map_err(refused("write", &next))?;
		Ok(written)
	}

	/// Makes what was prepared the version that the folder has.
	fn switch(&self) -> Result<()> {
		let file = self.path.join(MODEL_FILE);
		fs::rename(self.path.join(NEXT_FOLDER).join(MODEL_FILE), &file)
			.and_then(|()| atomic::sync_name(&file))
			.map_err(refused("replace", &file))
	}

	/// Gives the components of this version, which the folder has, their names, and removes what is
	/// left of the way there.
	fn settle(&self) -> Result<()> {
		for (component, root) in self.parts() {
			self.give_name(&component, root)?;
		}
		// What is removed next must not be missing on the disk before it is found elsewhere.
		atomic::sync_name(&self.path.join(NEXT_FOLDER)).map_err(refused("write", &self.path))?;
		remove_next(&self.path)
	}

	/// Lets a component take the place of the old one, unless it has done so, or did not change.
	fn give_name(&self, component: &str, root: &H256) -> Result<()> {
		let target = self.file(component);
		match fs::rename(self.next_file(component, root), &target) {
			Err(error) if error.kind() != io::ErrorKind::NotFound => {
				Err(refused("replace", &target)(error))
			}
			_ => Ok(()),
		}
	}

	/// Where it is.
	pub fn path(&self) -> &Path {
		&self.path
	}

	/// What the model is.
	pub fn description(&self) -> &Description {
		&self.description
	}

	/// The dimensions of the model.
	pub fn architecture(&self) -> &Architecture {
		&self.description.architecture
	}

	/// The file of a component, by the name that the architecture gives it. It may be an old one if
	/// [`ModelFolder::replace`] was interrupted: to read a component, call [`ModelFolder::tile`].
	pub fn file(&self, component: &str) -> PathBuf {
		file_in(&self.path, component)
	}

	/// Opens the file of a component that has this root by the description, but hashes nothing.
	pub fn tile(&self, component: &str, root: &H256) -> blyan_tiles::Result<TileFile> {
		match TileFile::open(self.next_file(component, root)) {
			// If it has just taken its name, it is found there.
			Err(blyan_tiles::Error::Io { source, .. })
				if source.kind() == io::ErrorKind::NotFound =>
			{
				TileFile::open(self.file(component))
			}
			opened => opened,
		}
	}

	/// Opens the file of a component and checks that it has this root.
	fn verified(&self, component: &str, root: &H256) -> blyan_tiles::Result<TileFile> {
		let file = self.tile(component, root)?;
		file.verify(root)?;
		Ok(file)
	}

	/// Where a component of this root is before it takes the place of the old one.
	fn next_file(&self, component: &str, root: &H256) -> PathBuf {
		file_in(&self.path.join(NEXT_FOLDER), &format!("{component}.{root:x}"))
	}

	/// The name and the root of each component.
	fn parts(&self) -> impl Iterator<Item = (String, &H256)> {
		let names = self.architecture().components().into_iter().map(|component| component.name);
		names.zip(&self.description.roots)
	}

	/// Hashes every leaf of every component and compares with the roots. Calls `done` after each.
	pub fn verify(&self, mut done: impl FnMut(&ComponentState)) -> Vec<ComponentState> {
		let components = self.architecture().components();
		let pairs = components.iter().zip(&self.description.roots);
		pairs
			.map(|(component, root)| {
				let checked = self
					.verified(&component.name, root)
					.and_then(|file| file.weights().map(|weights| weights.len() as u64 * 4));
				let problem = match checked {
					Ok(bytes) if bytes == component.bytes => None,
					Ok(bytes) => Some(format!("it has {bytes} bytes, not {}", component.bytes)),
					Err(error) => Some(error.to_string()),
				};
				let state = ComponentState {
					component: component.name.clone(),
					bytes: component.bytes,
					leaves: blyan_primitives::tensor::leaf_count(component.bytes),
					root: *root,
					genuine: problem.is_none(),
					problem,
				};
				done(&state);
				state
			})
			.collect()
	}

	/// The weights in memory, each component checked against its root.
	pub fn weights(&self) -> Result<Weights> {
		let mut weights = Vec::with_capacity(self.description.roots.len());
		for file in self.files()? {
			weights.push(file.weights()?.to_vec());
		}
		Ok(Weights::new(self.architecture(), weights)?)
	}

	/// The model as it lies in its files, to be run, each component checked against its root.
	pub fn mapped(&self) -> Result<Mapped> {
		let files = self.files()?;
		// A chain's model is of master weights, whatever else could be run.
		for file in &files {
			file.weights()?;
		}
		Ok(Mapped::new(self.architecture(), files)?)
	}

	/// The files of the components in order, each checked against its root.
	fn files(&self) -> Result<Vec<TileFile>> {
		let open = |(component, root): (String, &H256)| self.verified(&component, root);
		Ok(self.parts().map(open).collect::<std::result::Result<_, _>>()?)
	}
}

/// Names of components come from the architecture, so they cannot leave the folder.
fn file_in(folder: &Path, component: &str) -> PathBuf {
	folder.join(format!("{component}.{}", blyan_tiles::store::EXTENSION))
}

/// Keeps other processes from putting a version into a folder, until it is dropped. Where folders
/// cannot be locked, none is kept from it.
fn lock(folder: &Path) -> Result<Option<File>> {
	let Ok(opened) = File::open(folder) else { return Ok(None) };
	match opened.try_lock() {
		Err(TryLockError::WouldBlock) => Err(Error::Busy(folder.to_path_buf())),
		_ => Ok(Some(opened)),
	}
}

/// Finishes what an attempt that was interrupted left to do, or removes what it left.
fn finish_interrupted(folder: &Path) -> Result<()> {
	match ModelFolder::find(folder)? {
		Some(found) => found.settle(),
		None => remove_next(folder),
	}
}

fn remove_next(folder: &Path) -> Result<()> {
	let next = folder.join(NEXT_FOLDER);
	match fs::remove_dir_all(&next) {
		Err(error) if error.kind() != io::ErrorKind::NotFound => {
			Err(refused("remove", &next)(error))
		}
		_ => Ok(()),
	}
}

fn refused(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
	let path = path.to_path_buf();
	move |source| Error::Io { action, path, source }
}

fn write_description(folder: &Path, description: &Description) -> Result<()> {
	let path = folder.join(MODEL_FILE);
	let text = serde_json::to_string_pretty(description)
		.map_err(|error| Error::Description { path: path.clone(), problem: error.to_string() })?;
	atomic::write(&path, |file| {
		io::Write::write_all(file, text.as_bytes())?;
		io::Write::write_all(file, b"\n")
	})?;
	Ok(())
}

#[cfg(test)]
mod tests {
	use super::*;
	use blyan_engine::demo;
	use std::sync::LazyLock;

	fn tiny() -> Architecture {
		Architecture {
			d_model: 16,
			layers: 1,
			heads: 2,
			context: 8,
			experts: 2,
			d_ff: 24,
			..demo::ARCHITECTURE
		}
	}

	#[test]
	fn model_comes_back_from_its_folder() {
		let folder = tempfile::tempdir().unwrap();
		let path = folder.path().join("model");
		let seed = H256([7; 32]);
		let weights = Weights::initial(&tiny(), seed).unwrap();
		ModelFolder::create(&path, &weights, Some(seed)).unwrap();

		let opened = ModelFolder::open(&path).unwrap();
		assert_eq!(opened.weights().unwrap(), weights);
		assert_eq!(opened.mapped().unwrap().architecture(), &tiny());
		assert_eq!(opened.description().roots, weights.roots());
		assert_eq!(opened.description().seed, Some(seed));
		assert!(opened.verify(|_| ()).iter().all(|state| state.genuine));
		assert!(ModelFolder::create(&path, &weights, None).is_err());
	}

	#[test]
	fn damage_is_found_and_named() {
		let folder = tempfile::tempdir().unwrap();
		let path = folder.path().join("model");
		let weights = Weights::initial(&tiny(), H256([7; 32])).unwrap();
		let model = ModelFolder::create(&path, &weights, None).unwrap();

		let head = model.file("head");
		let mut bytes = fs::read(&head).unwrap();
		let last = bytes.len() - 1;
		bytes[last] ^= 1;
		fs::write(&head, &bytes).unwrap();
		fs::remove_file(model.file("embed")).unwrap();
		let states = model.verify(|_| ());
		let wrong: Vec<&str> = states
			.iter()
			.filter(|state| !state.genuine && state.problem.is_some())
			.map(|state| state.component.as_str())
			.collect();
		assert_eq!(wrong, ["embed", "head"]);
		assert!(model.weights().is_err());
		assert!(model.mapped().is_err());
	}

	#[test]
	fn descriptions_that_make_no_sense_are_refused() {
		let folder = tempfile::tempdir().unwrap();
		let roots = vec![H256::zero(); tiny().component_count() as usize];
		let description = Description::new(tiny(), None, None, roots).unwrap();
		ModelFolder::describe(folder.path(), description.clone()).unwrap();
		assert_eq!(ModelFolder::open(folder.path()).unwrap().description(), &description);

		let file = folder.path().join(MODEL_FILE);
		let whole = fs::read_to_string(&file).unwrap();
		for (from, to) in [
			("\"version\": 1", "\"version\": 2"),
			("\"heads\": 2", "\"heads\": 3"),
			("\"layers\": 1", "\"layers\": 2"),
			("\"roots\"", "\"root\""),
			("{", ""),
		] {
			fs::write(&file, whole.replace(from, to)).unwrap();
			let refused = ModelFolder::open(folder.path());
			assert!(matches!(refused, Err(Error::Description { .. })), "{from}");
		}
		assert!(Description::new(tiny(), None, None, Vec::new()).is_err());
	}

	/// Two versions that have one component in common.
	static VERSIONS: LazyLock<[Weights; 2]> = LazyLock::new(|| {
		let [old, mut new] = [7, 8].map(|seed| {
			let weights = Weights::initial(&tiny(), H256([seed; 32])).unwrap();
			weights.components().to_vec()
		});
		new[1] = old[1].clone();
		[old, new].map(|components| Weights::new(&tiny(), components).unwrap())
	});

	fn snapshot(version: usize) -> Snapshot {
		Snapshot { model: 2, number: version as u32 }
	}

	/// Puts a version into a folder, and returns how many components were written.
	fn replace(path: &Path, version: usize) -> Result<usize> {
		let weights = &VERSIONS[version];
		let found = ModelFolder::find(path)?;
		let before = found.as_ref().map(ModelFolder::description);
		ModelFolder::replace(path, before, weights, &weights.roots(), snapshot(version))
	}

	/// How many components of the two versions differ.
	fn differing() -> usize {
		let [old, new] = [0, 1].map(|version| VERSIONS[version].roots());
		old.iter().zip(&new).filter(|(old, new)| old != new).count()
	}

	/// A folder that has the old version, and beside it all that the new one needs.
	fn prepared(path: &Path) -> ModelFolder {
		replace(path, 0).unwrap();
		let new = &VERSIONS[1];
		let description = Description::new(tiny(), None, Some(snapshot(1)), new.roots()).unwrap();
		let folder = ModelFolder { path: path.to_path_buf(), description };
		assert_eq!(folder.prepare(new).unwrap(), differing());
		folder
	}

	/// Asserts that the folder has this version, whoever reads it.
	fn assert_has(path: &Path, version: usize) {
		let folder = ModelFolder::open(path).unwrap();
		assert_eq!(folder.description().snapshot, Some(snapshot(version)));
		assert!(folder.verify(|_| ()).iter().all(|state| state.genuine));
		assert_eq!(folder.weights().unwrap(), VERSIONS[version]);
	}

	/// Asserts that nothing is in the folder but what the documentation names.
	fn assert_settled(path: &Path) {
		let entries = fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path());
		let mut found: Vec<PathBuf> = entries.collect();
		let components = tiny().components().into_iter();
		let mut expected: Vec<PathBuf> =
			components.map(|component| file_in(path, &component.name)).collect();
		expected.push(path.join(MODEL_FILE));
		found.sort_unstable();
		expected.sort_unstable();
		assert_eq!(found, expected);
	}

	/// Asserts what must hold after an interruption: the folder has this version, and the next
	/// attempt, at either one, leaves that one and nothing else.
	fn assert_recovers(path: &Path, version: usize, next: usize) {
		assert_has(path, version);
		replace(path, next).unwrap();
		assert_has(path, next);
		assert_settled(path);
	}

	#[test]
	fn only_what_is_not_right_yet_is_written() {
		let folder = tempfile::tempdir().unwrap();
		let path = folder.path().join("deep").join("model");
		let count = tiny().component_count() as usize;
		for (version, written) in [(0, count), (0, 0), (1, differing()), (0, differing())] {
			assert_eq!(replace(&path, version).unwrap(), written);
			assert_has(&path, version);
			assert_settled(&path);
		}
		fs::write(file_in(&path, "head"), b"damaged").unwrap();
		assert_eq!(replace(&path, 0).unwrap(), 1);
		assert_has(&path, 0);
		assert_settled(&path);
	}

	#[test]
	fn old_version_stays_until_all_of_the_new_one_is_there() {
		let folder = tempfile::tempdir().unwrap();
		// All components that differ, and the description, which is the last.
		for left in 0..=differing() + 1 {
			for next in [0, 1] {
				let path = folder.path().join(format!("{left}-{next}"));
				let new = prepared(&path);
				let described = path.join(NEXT_FOLDER).join(MODEL_FILE);
				let unwritten = new.parts().map(|(name, root)| new.next_file(&name, root));
				let unwritten = unwritten.filter(|file| file.exists());
				let unwritten: Vec<PathBuf> = unwritten.chain([described]).skip(left).collect();
				for file in &unwritten {
					fs::remove_file(file).unwrap();
				}
				assert_recovers(&path, 0, next);
			}
		}
	}

	#[test]
	fn new_version_is_there_before_its_components_have_their_names() {
		let folder = tempfile::tempdir().unwrap();
		for named in 0..=tiny().component_count() as usize {
			for next in [0, 1] {
				let path = folder.path().join(format!("{named}-{next}"));
				let new = prepared(&path);
				new.switch().unwrap();
				for (component, root) in new.parts().take(named) {
					new.give_name(&component, root).unwrap();
				}
				assert_recovers(&path, 1, next);
			}
		}
	}

	#[test]
	fn first_version_that_was_interrupted_is_none() {
		let folder = tempfile::tempdir().unwrap();
		let path = folder.path().join("model");
		prepared(&path);
		// As if there had never been another one.
		for component in tiny().components() {
			fs::remove_file(file_in(&path, &component.name)).unwrap();
		}
		fs::remove_file(path.join(MODEL_FILE)).unwrap();
		assert!(ModelFolder::open(&path).is_err());
		assert_eq!(replace(&path, 1).unwrap(), tiny().component_count() as usize);
		assert_has(&path, 1);
		assert_settled(&path);
	}

	#[test]
	fn what_cannot_be_written_leaves_the_old_version_and_nothing_else() {
		let folder = tempfile::tempdir().unwrap();
		let path = folder.path().join("model");
		replace(&path, 0).unwrap();
		let new = &VERSIONS[1];
		let mut roots = new.roots();
		*roots.last_mut().unwrap() = H256::zero();
		let old = ModelFolder::open(&path).unwrap();
		let before = Some(old.description());
		let refused = ModelFolder::replace(&path, before, new, &roots, snapshot(1));
		assert!(matches!(refused, Err(Error::Tile(blyan_tiles::Error::Root { .. }))));
		assert_has(&path, 0);
		assert_settled(&path);
		let refused = ModelFolder::replace(&path, before, new, &roots[1..], snapshot(1));
		assert!(matches!(refused, Err(Error::Description { .. })));
		assert_has(&path, 0);
	}

	#[test]
	fn version_that_another_process_has_put_there_meanwhile_stays() {
		let folder = tempfile::tempdir().unwrap();
		let path = folder.path().join("model");
		let [old, new] = &*VERSIONS;
		replace(&path, 1).unwrap();
		// Decided on when the folder was empty, and when it had what is replaced before it comes.
		let empty = ModelFolder::replace(&path, None, old, &old.roots(), snapshot(0));
		assert!(matches!(empty, Err(Error::Changed(_))), "{empty:?}");
		let found = ModelFolder::open(&path).unwrap();
		replace(&path, 0).unwrap();
		let before = Some(found.description());
		let other = ModelFolder::replace(&path, before, new, &new.roots(), snapshot(1));
		assert!(matches!(other, Err(Error::Changed(_))), "{other:?}");
		assert_has(&path, 0);
		assert_settled(&path);
	}

	#[test]
	fn name_that_cannot_be_given_is_given_by_the_next_attempt() {
		let folder = tempfile::tempdir().unwrap();
		let path = folder.path().join("model");
		let in_the_way = file_in(&path, "head");
		fs::create_dir_all(&in_the_way).unwrap();
		let refused = replace(&path, 1);
		assert!(matches!(refused, Err(Error::Io { action: "replace", .. })), "{refused:?}");
		assert_has(&path, 1);
		fs::remove_dir(&in_the_way).unwrap();
		assert_eq!(replace(&path, 1).unwrap(), 0);
		assert_has(&path, 1);
		assert_settled(&path);
	}

	#[cfg(unix)]
	#[test]
	fn folder_that_another_process_writes_to_is_left_alone() {
		let folder = tempfile::tempdir().unwrap();
		let path = folder.path().join("model");
		replace(&path, 0).unwrap();
		let other = File::open(&path).unwrap();
		other.try_lock().unwrap();
		assert!(matches!(replace(&path, 1), Err(Error::Busy(_))));
		assert_has(&path, 0);
		other.unlock().unwrap();
		replace(&path, 1).unwrap();
		assert_has(&path, 1);
	}
}
