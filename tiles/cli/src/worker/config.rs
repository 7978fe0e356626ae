//! `worker.toml`: what a worker does, as whom, and with which machine.
//!
//! `worker.example.toml` beside this crate's manifest documents every field; a test reads it.

use crate::{
	catch_up::published::MAX_VERSIONS_APART,
	chain::types::{parse_bly, Balance},
};
use blyan_primitives::{
	hash,
	roles::{Role, Roles},
	H256,
};
use serde::{
	de::{self, Deserializer, SeqAccess, Visitor},
	Deserialize,
};
use std::{
	collections::HashSet,
	fmt, fs, io,
	path::{Path, PathBuf},
};

/// Bond for each role where the file names none, in BLY: what the chain asks for at least.
pub const BOND_PER_ROLE_BLY: u64 = 1_000;
/// One BLY in its smallest unit.
pub const BLY: u128 = 1_000_000_000_000_000_000;
/// Disk that a worker may fill with what it can fetch again, in MiB, where the file names none.
pub const DISK_LIMIT_MIB: u64 = 8_192;
/// The least disk limit, in MiB: the shards of a small dataset and the blobs of a round.
pub const MIN_DISK_LIMIT_MIB: u64 = 64;
/// Disk that all files of a worker may take together, in MiB, where the file names none.
pub const MAX_MIB: u64 = 32_768;
/// Versions from one published snapshot to the next, where the file names none.
const SNAPSHOT_AFTER_VERSIONS: u32 = 16;
/// The most addresses of nodes.
const MAX_URLS: usize = 16;
/// The most datasets that are renewed by number.
const MAX_RENEWED: usize = 1_024;
/// Where Linux names the machine.
const MACHINE_ID: &str = "/etc/machine-id";
/// Stands before a machine's name when it is hashed, so that the name itself stays private.
const HARDWARE_TAG: &[u8] = b"blyan/hardware";

/// What is wrong with `worker.toml`, and what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
	/// The file cannot be read.
	#[error("cannot read {}: {source}; copy worker.example.toml there and edit it", .path.display())]
	Read {
		/// The file.
		path: PathBuf,
		/// What the operating system said.
		source: io::Error,
	},
	/// The file is no TOML, or has fields that it should not have.
	#[error("{} is refused: {source}", .path.display())]
	Parse {
		/// The file.
		path: PathBuf,
		/// What is wrong, and where.
		source: Box<toml::de::Error>,
	},
	/// A value makes no sense.
	#[error("{field} {problem}")]
	Value {
		/// The field.
		field: &'static str,
		/// What is wrong with it, and what to write instead.
		problem: String,
	},
	/// The machine has no name of its own.
	#[error(
		"{MACHINE_ID} cannot be read ({0}); set hardware.id to 64 hexadecimal digits of your choice"
	)]
	MachineId(io::Error),
}

/// A role as the file names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RoleName {
	/// Trains in rounds.
	Trainer,
	/// Re-runs what others trained.
	Verifier,
	/// Judges datasets.
	Auditor,
	/// Merges accepted updates.
	Aggregator,
	/// Measures candidates.
	Evaluator,
	/// Publishes snapshots. So does every worker that names the folder of its node's tiles.
	Server,
}

impl RoleName {
	/// The role.
	pub fn role(self) -> Role {
		match self {
			Self::Trainer => Role::Trainer,
			Self::Verifier => Role::Verifier,
			Self::Auditor => Role::Auditor,
			Self::Aggregator => Role::Aggregator,
			Self::Evaluator => Role::Evaluator,
			Self::Server => Role::Server,
		}
	}
}

/// How much disk the worker takes, and which snapshots it publishes.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Storage {
	/// Disk for all files of the worker together, in MiB; the default, or `disk_limit_mib` if that is
	/// more, where the file names none.
	pub max_mib: Option<u64>,
	/// The folder that the first of `urls` has as `--tiles-dir`: snapshots are fetched through it,
	/// and published in it. Relative to the folder of `worker.toml`.
	pub tiles_dir: Option<PathBuf>,
	/// A snapshot is published when so many versions have come since the last one, 1 to 128.
	pub snapshot_after_versions: u32,
	/// A snapshot is published when the deltas since the last one have so many MiB; as many as the
	/// weights themselves if the file does not say it.
	pub snapshot_after_mib: Option<u64>,
}

impl Default for Storage {
	fn default() -> Self {
		Self {
			max_mib: None,
			tiles_dir: None,
			snapshot_after_versions: SNAPSHOT_AFTER_VERSIONS,
			snapshot_after_mib: None,
		}
	}
}

/// For which datasets the worker pays when they end soon, and how much.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Renewal {
	/// Which datasets. Must be told.
	pub datasets: Option<Datasets>,
	/// What is paid on one day at most, in the smallest unit; in the file as BLY, a whole number or
	/// text with decimals. Must be told.
	#[serde(deserialize_with = "amount")]
	pub max_fee_per_day: Option<Balance>,
	/// A shard is renewed when it ends within so many blocks; within a quarter of the time that the
	/// chain keeps it, if the file does not say it.
	pub before_blocks: Option<u32>,
}

impl Renewal {
	/// What is paid on one day at most, in the smallest unit.
	pub fn limit(&self) -> Balance {
		self.max_fee_per_day.unwrap_or_default()
	}

	fn check(&self) -> Result<(), ConfigError> {
		let wrong = |field: &'static str, problem: &str| {
			Err(ConfigError::Value { field, problem: problem.to_owned() })
		};
		match &self.datasets {
			None => {
				return wrong(
					"renewal.datasets",
					"is missing; write \"own\", or a list of numbers of datasets",
				);
			}
			Some(Datasets::These(ids)) if ids.is_empty() || ids.len() > MAX_RENEWED => {
				return wrong("renewal.datasets", "must name 1 to 1024 datasets, or be \"own\"");
			}
			Some(Datasets::These(ids)) if ids.iter().collect::<HashSet<_>>().len() != ids.len() => {
				return wrong("renewal.datasets", "names a dataset twice; name each once");
			}
			Some(_) => {}
		}
		match self.max_fee_per_day {
			None => wrong(
				"renewal.max_fee_per_day",
				"is missing; write how much the worker may pay on one day, in BLY",
			),
			Some(0) => wrong(
				"renewal.max_fee_per_day",
				"must be above zero, in BLY; leave out the table to renew nothing",
			),
			Some(_) if self.before_blocks == Some(0) => wrong(
				"renewal.before_blocks",
				"must be above zero; leave it out for a quarter of the time that data is kept",
			),
			Some(_) => Ok(()),
		}
	}
}

/// Which datasets are renewed: `"own"`, or a list of numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Datasets {
	/// Those that the worker's account has submitted, unless they were rejected or revoked.
	Own,
	/// Those with these numbers.
	These(Vec<u32>),
}

impl<'de> Deserialize<'de> for Datasets {
	fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
		struct Words;

		impl<'de> Visitor<'de> for Words {
			type Value = Datasets;

			fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
				f.write_str("\"own\" or a list of numbers of datasets, such as [0, 3]")
			}

			fn visit_str<E: de::Error>(self, text: &str) -> Result<Datasets, E> {
				match text {
					"own" => Ok(Datasets::Own),
					_ => Err(E::invalid_value(de::Unexpected::Str(text), &self)),
				}
			}

			fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Datasets, A::Error> {
				let mut ids = Vec::new();
				while let Some(id) = list.next_element()? {
					ids.push(id);
				}
				Ok(Datasets::These(ids))
			}
		}

		deserializer.deserialize_any(Words)
	}
}

/// An amount of BLY, in the smallest unit: a whole number, or text with decimals as on the command
/// line. Numbers with decimals are refused, since they would not be exact.
fn amount<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Balance>, D::Error> {
	struct Amount;

	impl Visitor<'_> for Amount {
		type Value = Balance;

		fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
			f.write_str("an amount of BLY with up to 18 decimals, such as 5 or \"2.5\"")
		}

		fn visit_i64<E: de::Error>(self, whole: i64) -> Result<Balance, E> {
			let amount = Balance::try_from(whole).ok().and_then(|whole| whole.checked_mul(BLY));
			amount.ok_or_else(|| E::invalid_value(de::Unexpected::Signed(whole), &self))
		}

		fn visit_str<E: de::Error>(self, text: &str) -> Result<Balance, E> {
			parse_bly(text).ok_or_else(|| E::invalid_value(de::Unexpected::Str(text), &self))
		}
	}

	deserializer.deserialize_any(Amount).map(Some)
}

/// What the machine is.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Hardware {
	/// Where tensors live: `cpu`, `wgpu`, `cuda` or `cuda:1`, as far as the program was built for it.
	pub device: String,
	/// Memory of the device in MiB. The system's for `cpu` if not told.
	pub vram_mib: u32,
	/// Measured rate of a large matrix product, in 10^9 operations a second.
	pub tflops_milli: u32,
	/// Measured bandwidth of the device's memory, in MiB a second.
	pub memory_mib_per_s: u32,
	/// Measured bandwidth between system and device, in MiB a second.
	pub pcie_mib_per_s: u32,
	/// Country as two capital letters, or nothing.
	pub region: String,
	/// Hash that names the machine, 64 hexadecimal digits; made from the machine's own name if not
	/// told.
	pub id: Option<String>,
	/// Tells several workers on one machine apart.
	pub label: String,
}

impl Default for Hardware {
	fn default() -> Self {
		Self {
			device: String::from("cpu"),
			vram_mib: 0,
			tflops_milli: 0,
			memory_mib_per_s: 0,
			pcie_mib_per_s: 0,
			region: String::new(),
			id: None,
			label: String::new(),
		}
	}
}

/// The device as the chain knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeviceKind {
	/// Processor cores.
	Cpu,
	/// NVIDIA.
	Cuda,
	/// Apple.
	Metal,
	/// Any other card.
	Vulkan,
}

impl Hardware {
	/// The device as the chain knows it.
	pub fn kind(&self) -> DeviceKind {
		match self.device.split(':').next() {
			Some("cuda") => DeviceKind::Cuda,
			Some("wgpu") if cfg!(target_os = "macos") => DeviceKind::Metal,
			Some("wgpu") => DeviceKind::Vulkan,
			_ => DeviceKind::Cpu,
		}
	}

	/// Memory of the device in MiB, as far as it is known.
	pub fn memory_mib(&self) -> u32 {
		if self.vram_mib > 0 || self.kind() != DeviceKind::Cpu {
			return self.vram_mib;
		}
		fs::read_to_string("/proc/meminfo").ok().and_then(|text| total_mib(&text)).unwrap_or(0)
	}

	/// The country as the chain stores it: two zero bytes if it is not told.
	pub fn region_bytes(&self) -> [u8; 2] {
		match self.region.as_bytes() {
			[first, second] => [*first, *second],
			_ => [0, 0],
		}
	}

	/// The hash that names the machine.
	pub fn hardware_id(&self) -> Result<H256, ConfigError> {
		if let Some(digits) = &self.id {
			return parse_hash(digits).ok_or_else(|| ConfigError::Value {
				field: "hardware.id",
				problem: String::from("must have 64 hexadecimal digits; leave it out to derive it"),
			});
		}
		let machine = fs::read_to_string(MACHINE_ID).map_err(ConfigError::MachineId)?;
		Ok(derive_id(machine.trim(), &self.label))
	}
}

/// The memory that `/proc/meminfo` names, in MiB.
fn total_mib(meminfo: &str) -> Option<u32> {
	let line = meminfo.lines().find(|line| line.starts_with("MemTotal:"))?;
	let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
	u32::try_from(kib / 1_024).ok()
}

/// The hash that names a machine and one of its workers.
fn derive_id(machine: &str, label: &str) -> H256 {
	let mut hasher = hash::Hasher::new();
	// Neither name has a zero byte, so no two pairs share one preimage.
	hasher.update(HARDWARE_TAG).update(machine.as_bytes()).update(&[0]).update(label.as_bytes());
	hasher.finalize()
}

/// The hash of 64 hexadecimal digits, with or without `0x`.
fn parse_hash(digits: &str) -> Option<H256> {
	let digits = digits.strip_prefix("0x").unwrap_or(digits);
	if digits.len() != 64 || !digits.is_ascii() {
		return None;
	}
	let mut bytes = [0u8; 32];
	for (place, byte) in bytes.iter_mut().enumerate() {
		*byte = u8::from_str_radix(digits.get(2 * place..2 * place + 2)?, 16).ok()?;
	}
	Some(H256(bytes))
}

/// The contents of `worker.toml`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
	/// Where nodes of the chain are reached; the next one takes over when one falls silent.
	pub urls: Vec<String>,
	/// Name of a key in the key store.
	#[serde(default)]
	pub key: Option<String>,
	/// A well-known key instead, such as `//Alice`; for development chains only.
	#[serde(default)]
	pub dev: Option<String>,
	/// What the worker does.
	pub roles: Vec<RoleName>,
	/// Where the worker keeps its files; relative to the folder of `worker.toml`.
	pub data_dir: PathBuf,
	/// The whole bond, in BLY.
	#[serde(default)]
	pub bond: Option<u64>,
	/// Processor threads to compute with; all if not told.
	#[serde(default)]
	pub threads: Option<u16>,
	/// Disk for shards and blobs, which can be fetched again, in MiB. It is a part of
	/// `storage.max_mib`.
	#[serde(default = "default_disk_limit")]
	pub disk_limit_mib: u64,
	/// Models to work for; all if empty.
	#[serde(default)]
	pub models: Vec<u32>,
	/// How much disk it takes, and which snapshots it publishes.
	#[serde(default)]
	pub storage: Storage,
	/// What it pays for when it ends soon; nothing if there is no such table.
	#[serde(default)]
	pub renewal: Option<Renewal>,
	/// What the machine is.
	#[serde(default)]
	pub hardware: Hardware,
}

fn default_disk_limit() -> u64 {
	DISK_LIMIT_MIB
}

impl Config {
	/// Reads and checks a file. A relative `data_dir` is taken from the file's folder.
	pub fn load(path: &Path) -> Result<Self, ConfigError> {
		let text = fs::read_to_string(path)
			.map_err(|source| ConfigError::Read { path: path.to_path_buf(), source })?;
		let mut config = Self::parse(&text, path)?;
		let folder = path.parent().unwrap_or_else(|| Path::new(""));
		// A path that is absolute takes the place of the folder.
		config.data_dir = folder.join(&config.data_dir);
		config.storage.tiles_dir = config.storage.tiles_dir.map(|place| folder.join(place));
		Ok(config)
	}

	/// Reads and checks the text of the file `path`.
	pub fn parse(text: &str, path: &Path) -> Result<Self, ConfigError> {
		let config: Self = toml::from_str(text).map_err(|source| ConfigError::Parse {
			path: path.to_path_buf(),
			source: Box::new(source),
		})?;
		config.check()?;
		Ok(config)
	}

	/// The set of roles.
	pub fn roles(&self) -> Roles {
		self.roles.iter().map(|name| name.role()).collect()
	}

	/// The whole bond, in the smallest unit.
	pub fn bond(&self) -> u128 {
		let bly = self.bond.unwrap_or(BOND_PER_ROLE_BLY.saturating_mul(self.roles.len() as u64));
		u128::from(bly).saturating_mul(BLY)
	}

	/// Disk for what can be fetched again, in bytes.
	pub fn disk_limit(&self) -> u64 {
		self.disk_limit_mib.saturating_mul(1 << 20)
	}

	/// Disk for all files of the worker together, in bytes.
	pub fn max_disk(&self) -> u64 {
		let default = MAX_MIB.max(self.disk_limit_mib);
		self.storage.max_mib.unwrap_or(default).saturating_mul(1 << 20)
	}

	/// Whether the worker works for `model`.
	pub fn serves(&self, model: u32) -> bool {
		self.models.is_empty() || self.models.contains(&model)
	}

	fn check(&self) -> Result<(), ConfigError> {
		let wrong = |field: &'static str, problem: &str| {
			Err(ConfigError::Value { field, problem: problem.to_owned() })
		};
		if self.urls.is_empty() || self.urls.len() > MAX_URLS {
			return wrong("urls", "must name 1 to 16 nodes, such as [\"ws://127.0.0.1:9944\"]");
		}
		let is_url = |url: &String| url.starts_with("ws://") || url.starts_with("wss://");
		if !self.urls.iter().all(is_url) {
			return wrong("urls", "must all begin with ws:// or wss://");
		}
		match (&self.key, &self.dev) {
			(Some(_), Some(_)) => {
				return wrong("key", "and dev are both set; keep the one that is meant");
			}
			(None, None) => {
				return wrong(
					"key",
					"is missing; name a key of the key store (blyan account list)",
				);
			}
			(Some(key), None) if key.starts_with("//") => {
				return wrong(
					"key",
					"names a well-known key; write it as dev, for development only",
				);
			}
			(None, Some(dev)) if !dev.starts_with("//") => {
				let problem =
					"must be a well-known key such as \"//Alice\"; keep others in the key \
				               store";
				return wrong("dev", problem);
			}
			_ => {}
		}
		if self.roles.is_empty() {
			return wrong("roles", "must name at least one role, such as [\"trainer\"]");
		}
		if self.roles().iter().count() != self.roles.len() {
			return wrong("roles", "names a role twice; name each once");
		}
		if self.bond == Some(0) {
			return wrong("bond", "must be above zero, in BLY; leave it out for the least bond");
		}
		if self.threads == Some(0) {
			return wrong("threads", "must be above zero; leave it out to use all");
		}
		if self.disk_limit_mib < MIN_DISK_LIMIT_MIB {
			return wrong("disk_limit_mib", "must be at least 64");
		}
		if self.storage.max_mib.is_some_and(|max_mib| max_mib < self.disk_limit_mib) {
			return wrong(
				"storage.max_mib",
				"must not be less than disk_limit_mib, which is a part of it; lower that as well",
			);
		}
		if !(1..=MAX_VERSIONS_APART).contains(&self.storage.snapshot_after_versions) {
			return wrong(
				"storage.snapshot_after_versions",
				"must be 1 to 128: those who look for snapshots look no further back",
			);
		}
		if self.storage.snapshot_after_mib == Some(0) {
			return wrong("storage.snapshot_after_mib", "must be above zero");
		}
		let serves = self.roles().contains(Role::Server);
		if serves && self.storage.tiles_dir.is_none() {
			return wrong(
				"storage.tiles_dir",
				"is missing: a server publishes snapshots in the folder that its node has as \
				 --tiles-dir; name it, or leave out the role",
			);
		}
		if let Some(renewal) = &self.renewal {
			renewal.check()?;
		}
		if self.data_dir.as_os_str().is_empty() {
			return wrong("data_dir", "must name a folder");
		}
		let region = self.hardware.region.as_bytes();
		let is_region = region.len() == 2 && region.iter().all(u8::is_ascii_uppercase);
		if !region.is_empty() && !is_region {
			return wrong(
				"hardware.region",
				"must be two capital letters such as \"DE\", or empty",
			);
		}
		if self.hardware.id.as_deref().is_some_and(|digits| parse_hash(digits).is_none()) {
			return wrong("hardware.id", "must have 64 hexadecimal digits");
		}
		if self.hardware.label.contains('\0') {
			return wrong("hardware.label", "must not have a zero byte");
		}
		Ok(())
	}
}

#[cfg(test)]
mod tests {
	use super::*;

	const LEAST: &str = r#"
		urls = ["ws://127.0.0.1:9944"]
		dev = "//Alice"
		roles = ["trainer", "verifier"]
		data_dir = "data"
	"#;

	fn parse(text: &str) -> Result<Config, ConfigError> {
		Config::parse(text, Path::new("worker.toml"))
	}

	/// The least file with something added to its top level.
	fn with(line: &str) -> Result<Config, ConfigError> {
		parse(&format!("{line}\n{LEAST}"))
	}

	#[test]
	fn least_file_gets_the_defaults() {
		let config = parse(LEAST).unwrap();
		assert_eq!(config.roles(), Roles::of(&[Role::Trainer, Role::Verifier]));
		assert_eq!(config.bond(), 2_000 * BLY);
		assert_eq!(config.disk_limit(), 8 << 30);
		assert_eq!(config.max_disk(), 32 << 30);
		assert_eq!(config.storage, Storage::default());
		assert_eq!(config.hardware.kind(), DeviceKind::Cpu);
		assert!(config.serves(0) && config.serves(7));
	}

	#[test]
	fn example_file_is_read() {
		let text = include_str!("../../worker.example.toml");
		let config = parse(text).unwrap();
		assert!(config.roles().contains(Role::Trainer));
	}

	#[test]
	fn unknown_fields_and_roles_are_refused() {
		assert!(matches!(with("colour = 1"), Err(ConfigError::Parse { .. })));
		let text = LEAST.replace("\"verifier\"", "\"miner\"");
		assert!(matches!(parse(&text), Err(ConfigError::Parse { .. })));
		let text = format!("{LEAST}\n[hardware]\ncores = 2");
		assert!(matches!(parse(&text), Err(ConfigError::Parse { .. })));
	}

	#[test]
	fn values_that_make_no_sense_are_named() {
		let field = |result: Result<Config, ConfigError>| match result {
			Err(ConfigError::Value { field, .. }) => field,
			other => panic!("not refused for a value: {other:?}"),
		};
		assert_eq!(field(with("key = \"mine\"")), "key");
		assert_eq!(field(with("bond = 0")), "bond");
		assert_eq!(field(with("threads = 0")), "threads");
		assert_eq!(field(with("disk_limit_mib = 1")), "disk_limit_mib");
		let replaced = |from: &str, to: &str| field(parse(&LEAST.replace(from, to)));
		assert_eq!(replaced("dev = \"//Alice\"", ""), "key");
		assert_eq!(replaced("//Alice", "bottom drive obey"), "dev");
		assert_eq!(replaced("ws://127.0.0.1:9944", "http://localhost"), "urls");
		assert_eq!(replaced("\"ws://127.0.0.1:9944\"", ""), "urls");
		assert_eq!(replaced("verifier", "trainer"), "roles");
		assert_eq!(replaced("\"trainer\", \"verifier\"", ""), "roles");
		let hardware = |line: &str| field(parse(&format!("{LEAST}\n[hardware]\n{line}")));
		assert_eq!(hardware("id = \"abc\""), "hardware.id");
		assert_eq!(hardware("region = \"de\""), "hardware.region");
		let storage = |line: &str| field(parse(&format!("{LEAST}\n[storage]\n{line}")));
		assert_eq!(storage("max_mib = 64"), "storage.max_mib");
		assert_eq!(storage("snapshot_after_versions = 0"), "storage.snapshot_after_versions");
		assert_eq!(storage("snapshot_after_versions = 129"), "storage.snapshot_after_versions");
		assert_eq!(storage("snapshot_after_mib = 0"), "storage.snapshot_after_mib");
		assert_eq!(replaced("\"verifier\"", "\"server\""), "storage.tiles_dir");
	}

	/// The least file with this table of renewal.
	fn renewal(lines: &str) -> Result<Config, ConfigError> {
		parse(&format!("{LEAST}\n[renewal]\n{lines}"))
	}

	#[test]
	fn renewal_is_off_without_its_table_and_reads_what_it_says() {
		assert_eq!(parse(LEAST).unwrap().renewal, None);
		let read = |lines: &str| renewal(lines).unwrap().renewal.unwrap();
		let own = read("datasets = \"own\"\nmax_fee_per_day = 5");
		assert_eq!((own.datasets, own.max_fee_per_day), (Some(Datasets::Own), Some(5 * BLY)));
		assert_eq!(own.before_blocks, None);
		let lines = "datasets = [3, 0]\nmax_fee_per_day = \"2.5\"\nbefore_blocks = 600";
		let these = read(lines);
		assert_eq!(these.limit(), 5 * BLY / 2);
		assert_eq!(these.datasets, Some(Datasets::These(vec![3, 0])));
		assert_eq!(these.before_blocks, Some(600));
	}

	#[test]
	fn renewal_of_the_example_file_can_be_switched_on() {
		let mut text = include_str!("../../worker.example.toml").to_owned();
		for line in ["[renewal]", "datasets = ", "max_fee_per_day = ", "before_blocks = "] {
			assert!(text.contains(&format!("# {line}")), "{line}");
			text = text.replace(&format!("# {line}"), line);
		}
		let renewal = parse(&text).unwrap().renewal.unwrap();
		assert_eq!((renewal.limit(), renewal.before_blocks), (5 * BLY / 2, Some(50_400)));
	}

	#[test]
	fn renewal_that_makes_no_sense_is_refused_by_its_field() {
		let field = |lines: &str| match renewal(lines) {
			Err(ConfigError::Value { field, .. }) => field,
			other => panic!("not refused for a value: {other:?}"),
		};
		assert_eq!(field(""), "renewal.datasets");
		assert_eq!(field("max_fee_per_day = 5"), "renewal.datasets");
		assert_eq!(field("datasets = []\nmax_fee_per_day = 5"), "renewal.datasets");
		assert_eq!(field("datasets = [1, 2, 1]\nmax_fee_per_day = 5"), "renewal.datasets");
		let many = format!("datasets = {:?}\nmax_fee_per_day = 5", Vec::from_iter(0..1_025));
		assert_eq!(field(&many), "renewal.datasets");
		assert_eq!(field("datasets = \"own\""), "renewal.max_fee_per_day");
		assert_eq!(field("datasets = [1]\nmax_fee_per_day = 0"), "renewal.max_fee_per_day");
		assert_eq!(field("datasets = [1]\nmax_fee_per_day = \"0.0\""), "renewal.max_fee_per_day");
		let none = "datasets = [1]\nmax_fee_per_day = 5\nbefore_blocks = 0";
		assert_eq!(field(none), "renewal.before_blocks");
	}

	#[test]
	fn renewal_that_cannot_be_read_is_refused_with_what_to_write() {
		let said = |lines: &str| match renewal(lines) {
			Err(error @ ConfigError::Parse { .. }) => error.to_string(),
			other => panic!("not refused as it is read: {other:?}"),
		};
		for datasets in ["\"all\"", "3", "true"] {
			let text = said(&format!("datasets = {datasets}\nmax_fee_per_day = 5"));
			assert!(text.contains("\"own\" or a list of numbers"), "{text}");
		}
		for numbers in ["[-1]", "[\"own\"]", "[4294967296]"] {
			said(&format!("datasets = {numbers}\nmax_fee_per_day = 5"));
		}
		for amount in ["0.5", "-1", "\"many\"", "\"-1\"", "\"1e3\"", "[5]"] {
			let text = said(&format!("datasets = \"own\"\nmax_fee_per_day = {amount}"));
			assert!(text.contains("with up to 18 decimals"), "{text}");
		}
		said("datasets = \"own\"\nmax_fee_per_day = 5\nbefore_blocks = -5");
		said("datasets = \"own\"\nmax_fee_per_day = 5\nbefore_hours = 5");
	}

	#[test]
	fn storage_follows_the_disk_limit_and_the_folder_of_the_file() {
		assert_eq!(with("disk_limit_mib = 65536").unwrap().max_disk(), 64 << 30);
		let text = format!("{LEAST}\n[storage]\nmax_mib = 10000\ntiles_dir = \"tiles\"");
		assert_eq!(parse(&text).unwrap().max_disk(), 10_000 << 20);
		let folder = tempfile::tempdir().unwrap();
		let path = folder.path().join("worker.toml");
		fs::write(&path, text).unwrap();
		let config = Config::load(&path).unwrap();
		assert_eq!(config.storage.tiles_dir, Some(folder.path().join("tiles")));
		assert_eq!(config.data_dir, folder.path().join("data"));
	}

	#[test]
	fn hardware_id_is_taken_or_derived() {
		let digits = "0x".to_owned() + &"ab".repeat(32);
		let told = Hardware { id: Some(digits), ..Hardware::default() };
		assert_eq!(told.hardware_id().unwrap(), H256([0xab; 32]));
		assert_eq!(derive_id("machine", "a"), derive_id("machine", "a"));
		assert_ne!(derive_id("machine", "a"), derive_id("machine", "b"));
		assert_ne!(derive_id("machine", "a"), derive_id("machina", "a"));
		assert_eq!(parse_hash(&"ä".repeat(32)), None);
	}

	#[test]
	fn memory_of_the_system_is_read_in_mib() {
		let text = "MemTotal:       16384000 kB\nMemFree: 1 kB\n";
		assert_eq!(total_mib(text), Some(16_000));
		assert_eq!(total_mib("nothing"), None);
	}
}
