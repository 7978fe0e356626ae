//! Keys on disk, one file each.
//!
//! # The file
//!
//! `<name>.json` in the key store's folder, readable by its owner only, which is checked whenever it
//! is read:
//!
//! ```json
//! {
//!   "version": 1,
//!   "name": "alice",
//!   "scheme": "sr25519",
//!   "address": "5Grwva…",
//!   "secret": { "encryption": "scrypt-xchacha20poly1305", "log_n": 15, "r": 8, "p": 1,
//!               "salt": "…", "nonce": "…", "ciphertext": "…" }
//! }
//! ```
//!
//! The secret is a *secret URI*: a BIP 39 phrase or `0x` and the 64 hexadecimal digits of a seed,
//! with an optional derivation path, as Substrate's tools take it. Encrypted with a password, it is
//! bound to the address: a file whose address was changed does not open. A key without a password
//! has `"secret": { "encryption": "none", "uri": "…" }`.
//!
//! # Where passwords come from
//!
//! The environment's `BLYAN_KEY_PASSWORD`, else a prompt if there is a terminal.
//!
//! Secrets are wiped from memory when they are dropped, as far as this crate holds them.

use blyan_primitives::hash::blake2b_256;
use blyan_tiles::{atomic, staging};
use chacha20poly1305::{
	aead::{Aead, KeyInit, Payload},
	XChaCha20Poly1305, XNonce,
};
use codec::Encode;
use ed25519_dalek::Signer as _;
use serde::{Deserialize, Serialize};
use std::{
	fmt, fs,
	io::{self, IsTerminal, Read, Write},
	path::{Path, PathBuf},
	str::FromStr,
};
use subxt::utils::{AccountId32, MultiSignature};
use subxt_signer::{bip39::Mnemonic, sr25519, ExposeSecret, SecretUri, DEV_PHRASE};
use zeroize::Zeroizing;

/// Where a password is looked for first.
pub const PASSWORD_VARIABLE: &str = "BLYAN_KEY_PASSWORD";

/// The only version of a key's file.
const VERSION: u8 = 1;
/// The most bytes of a key's file.
const MAX_FILE_BYTES: u64 = 16_384;
/// The most bytes of a secret URI.
const MAX_URI_BYTES: u64 = 1_024;
/// The longest name of a key.
const MAX_NAME_BYTES: usize = 64;
/// What a key's file ends in.
const EXTENSION: &str = "json";
/// Bytes of entropy of a new key: a phrase of twelve words.
const ENTROPY_BYTES: usize = 16;
/// Rounds that Substrate derives a seed from a phrase with.
const PHRASE_ROUNDS: u32 = 2_048;
/// What Substrate mixes into each derivation of an ed25519 key.
const ED25519_DERIVATION: &str = "Ed25519HDKD";
/// The cost of a guess at a password: 32 MiB and about a tenth of a second.
const COST: Cost = Cost { log_n: 15, r: 8, p: 1 };
/// The most memory that a file may ask for, as `log_n` with the `r` above: 1 GiB.
const MAX_LOG_N: u8 = 20;

/// The result of everything in this module.
pub type Result<T> = std::result::Result<T, Error>;

/// Why a key is not to be had, and what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
	/// The name could leave the folder, or would be hidden in it.
	#[error("{0:?} is no name of a key; use letters, digits, `-`, `_` and `.`, at most 64 of them, not beginning with `.`")]
	Name(String),
	/// There is such a key.
	#[error("there is a key named {0} already; choose another name")]
	Exists(String),
	/// There is no such key.
	#[error("there is no key named {name} in {}; `blyan account list` shows those that there are", .folder.display())]
	Missing {
		/// The name.
		name: String,
		/// The key store.
		folder: PathBuf,
	},
	/// The operating system refused.
	#[error("cannot {action} {}: {source}; check that you own it and that the disk has room", .path.display())]
	Io {
		/// What was tried.
		action: &'static str,
		/// On which file or folder.
		path: PathBuf,
		/// What the operating system said.
		source: io::Error,
	},
	/// Others can read the secret.
	#[error("{} can be read by others; move its funds to a new key if they may have, then run `chmod 600` on it", .0.display())]
	Permissions(PathBuf),
	/// The file is damaged, or something else.
	#[error("{} is no key: {reason}; restore it from a copy or import the phrase again", .path.display())]
	File {
		/// The file.
		path: PathBuf,
		/// What is wrong with it.
		reason: String,
	},
	/// The password does not open the file.
	#[error("this password does not open the key {0}; try another, or import the phrase again if it is lost")]
	Password(String),
	/// There is no way to ask for a password.
	#[error("the key needs a password and there is no terminal to ask on; set {}, or pass --no-password if whoever reads the file may have the key", PASSWORD_VARIABLE)]
	NoPassword,
	/// The two passwords that were typed differ.
	#[error("the two passwords differ; try again")]
	PasswordsDiffer,
	/// Reading a password or a secret failed.
	#[error("cannot read it from the terminal or standard input: {0}")]
	Input(io::Error),
	/// The secret is no secret URI.
	#[error("this is no secret: {0}; give a phrase of twelve or more words, 0x and 64 hexadecimal digits, or a development key like //Alice")]
	Uri(String),
	/// ed25519 has no soft derivation.
	#[error("ed25519 keys derive with // only; replace each single / of the path")]
	Soft,
	/// The system has no randomness.
	#[error("the system gives no random numbers: {0}; check /dev/urandom")]
	Random(getrandom::Error),
}

/// How a key signs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scheme {
	/// Schnorr signatures on Ristretto; what accounts use.
	Sr25519,
	/// Edwards signatures.
	Ed25519,
}

impl fmt::Display for Scheme {
	fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
		f.write_str(match self {
			Self::Sr25519 => "sr25519",
			Self::Ed25519 => "ed25519",
		})
	}
}

/// What a key is made from. It is never printed.
#[derive(Clone)]
pub struct Secret(Zeroizing<String>);

impl fmt::Debug for Secret {
	fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
		f.write_str("Secret(…)")
	}
}

impl Secret {
	/// A new phrase of twelve words.
	pub fn generate() -> Result<Self> {
		let mut entropy = Zeroizing::new([0u8; ENTROPY_BYTES]);
		getrandom::fill(entropy.as_mut_slice()).map_err(Error::Random)?;
		let phrase = Mnemonic::from_entropy(entropy.as_slice())
			.map_err(|error| Error::Uri(error.to_string()))?;
		Ok(Self(Zeroizing::new(phrase.to_string())))
	}

	/// The secret of a secret URI. A URI without a phrase stands for a development key, whose phrase
	/// everybody knows.
	pub fn from_uri(uri: &str) -> Result<Self> {
		let uri = uri.trim();
		if uri.is_empty() {
			return Err(Error::Uri(String::from("it is empty")));
		}
		let whole =
			if uri.starts_with('/') { format!("{DEV_PHRASE}{uri}") } else { uri.to_owned() };
		let secret = Self(Zeroizing::new(whole));
		// Fails now rather than when it is used.
		Key::new(&secret, Scheme::Sr25519)?;
		Ok(secret)
	}

	/// Reads one line from standard input, hidden if it is a terminal.
	pub fn from_input() -> Result<Self> {
		if io::stdin().is_terminal() {
			let line = rpassword::prompt_password("Phrase, seed or development key: ");
			return Self::from_uri(&Zeroizing::new(line.map_err(Error::Input)?));
		}
		let mut text = Zeroizing::new(String::new());
		// One more than is allowed shows that there was more.
		let limit = MAX_URI_BYTES + 1;
		io::stdin().lock().take(limit).read_to_string(&mut text).map_err(Error::Input)?;
		if text.len() as u64 == limit {
			return Err(Error::Uri(format!("it has more than {MAX_URI_BYTES} bytes")));
		}
		Self::from_uri(text.lines().next().unwrap_or_default())
	}

	/// The secret URI. Show it to nobody but its owner.
	pub fn expose(&self) -> &str {
		&self.0
	}
}

/// A key that can sign.
#[derive(Clone)]
pub enum Key {
	/// Schnorr signatures on Ristretto.
	Sr25519(Box<sr25519::Keypair>),
	/// Edwards signatures.
	Ed25519(Box<ed25519_dalek::SigningKey>),
}

impl fmt::Debug for Key {
	fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
		write!(f, "Key({} {})", self.scheme(), self.account())
	}
}

impl Key {
	/// The key that a secret makes.
	pub fn new(secret: &Secret, scheme: Scheme) -> Result<Self> {
		let uri =
			SecretUri::from_str(secret.expose()).map_err(|error| Error::Uri(error.to_string()))?;
		match scheme {
			Scheme::Sr25519 => {
				let pair = sr25519::Keypair::from_uri(&uri)
					.map_err(|error| Error::Uri(error.to_string()))?;
				Ok(Self::Sr25519(Box::new(pair)))
			}
			Scheme::Ed25519 => {
				let seed = ed25519_seed(&uri)?;
				Ok(Self::Ed25519(Box::new(ed25519_dalek::SigningKey::from_bytes(&seed))))
			}
		}
	}

	/// A development key such as `//Alice`, whose secret everybody knows.
	pub fn development(uri: &str) -> Result<Self> {
		if !uri.starts_with("//") {
			return Err(Error::Uri(format!("{uri:?} does not begin with //")));
		}
		Self::new(&Secret::from_uri(uri)?, Scheme::Sr25519)
	}

	/// How it signs.
	pub fn scheme(&self) -> Scheme {
		match self {
			Self::Sr25519(_) => Scheme::Sr25519,
			Self::Ed25519(_) => Scheme::Ed25519,
		}
	}

	/// The account that it signs for.
	pub fn account(&self) -> AccountId32 {
		AccountId32(match self {
			Self::Sr25519(pair) => pair.public_key().0,
			Self::Ed25519(pair) => pair.verifying_key().to_bytes(),
		})
	}

	/// The signature of some bytes.
	pub fn sign(&self, message: &[u8]) -> MultiSignature {
		match self {
			Self::Sr25519(pair) => MultiSignature::Sr25519(pair.sign(message).0),
			Self::Ed25519(pair) => MultiSignature::Ed25519(pair.sign(message).to_bytes()),
		}
	}
}

impl<T: subxt::Config> subxt::transactions::Signer<T> for Key
where
	T::AccountId: From<AccountId32>,
	T::Signature: From<MultiSignature>,
{
	fn account_id(&self) -> T::AccountId {
		self.account().into()
	}

	fn sign(&self, signer_payload: &[u8]) -> T::Signature {
		Key::sign(self, signer_payload).into()
	}
}

/// The seed that Substrate makes of a secret URI for ed25519.
fn ed25519_seed(uri: &SecretUri) -> Result<Zeroizing<[u8; 32]>> {
	let phrase = uri.phrase.expose_secret();
	let mut seed = Zeroizing::new([0u8; 32]);
	match phrase.strip_prefix("0x") {
		Some(digits) => {
			let bytes = decode_hex(digits).filter(|bytes| bytes.len() == seed.len());
			let bytes = bytes.ok_or_else(|| {
				Error::Uri(String::from("a seed has 64 hexadecimal digits after 0x"))
			})?;
			seed.copy_from_slice(&bytes);
		}
		None => {
			let mnemonic =
				Mnemonic::from_str(phrase).map_err(|error| Error::Uri(error.to_string()))?;
			let (entropy, length) = mnemonic.to_entropy_array();
			let entropy = Zeroizing::new(entropy);
			let password = uri.password.as_ref().map_or("", |password| password.expose_secret());
			let salt = Zeroizing::new(format!("mnemonic{password}"));
			// Substrate keeps the first half of what BIP 39 makes.
			let mut whole = Zeroizing::new([0u8; 64]);
			pbkdf2::pbkdf2_hmac::<sha2::Sha512>(
				entropy.get(..length).unwrap_or_default(),
				salt.as_bytes(),
				PHRASE_ROUNDS,
				whole.as_mut_slice(),
			);
			for (to, from) in seed.iter_mut().zip(whole.iter()) {
				*to = *from;
			}
		}
	}
	for junction in &uri.junctions {
		if junction.is_soft() {
			return Err(Error::Soft);
		}
		let derived = (ED25519_DERIVATION, *seed, *junction.inner()).using_encoded(blake2b_256);
		*seed = derived.0;
	}
	Ok(seed)
}

/// The cost of guessing a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Cost {
	log_n: u8,
	r: u32,
	p: u32,
}

/// A key's file.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyFile {
	version: u8,
	name: String,
	scheme: Scheme,
	address: String,
	secret: Stored,
}

/// A secret as it is stored.
#[derive(Serialize, Deserialize)]
#[serde(tag = "encryption")]
enum Stored {
	/// Whoever reads the file has it.
	#[serde(rename = "none")]
	Plain {
		/// The secret URI.
		uri: String,
	},
	/// Encrypted with a key that scrypt makes of a password.
	#[serde(rename = "scrypt-xchacha20poly1305")]
	Encrypted { log_n: u8, r: u32, p: u32, salt: String, nonce: String, ciphertext: String },
}

impl fmt::Debug for Stored {
	fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
		f.write_str("Stored(…)")
	}
}

impl Stored {
	fn encrypt(secret: &Secret, address: &str, password: &str) -> Result<Self> {
		let (mut salt, mut nonce) = ([0u8; 32], [0u8; 24]);
		getrandom::fill(&mut salt).map_err(Error::Random)?;
		getrandom::fill(&mut nonce).map_err(Error::Random)?;
		let Cost { log_n, r, p } = COST;
		let uri = secret.expose().as_bytes();
		let payload = Payload { msg: uri, aad: address.as_bytes() };
		let ciphertext = cipher(password, &salt, COST)
			.and_then(|cipher| cipher.encrypt(&XNonce::from(nonce), payload).ok())
			.ok_or_else(|| Error::Uri(String::from("it cannot be encrypted")))?;
		let (salt, nonce) = (encode_hex(&salt), encode_hex(&nonce));
		Ok(Self::Encrypted { log_n, r, p, salt, nonce, ciphertext: encode_hex(&ciphertext) })
	}

	/// The secret, or `None` if the password is wrong or the file was changed.
	fn decrypt(&self, address: &str, password: &str) -> Option<Secret> {
		let Self::Encrypted { log_n, r, p, salt, nonce, ciphertext } = self else { return None };
		// What a file asks for must not exhaust the memory.
		if *log_n > MAX_LOG_N || *r > COST.r || *p > COST.p {
			return None;
		}
		let (salt, nonce) = (decode_hex(salt)?, decode_hex(nonce)?);
		let nonce: [u8; 24] = nonce.try_into().ok()?;
		let ciphertext = decode_hex(ciphertext)?;
		let payload = Payload { msg: ciphertext.as_slice(), aad: address.as_bytes() };
		let cost = Cost { log_n: *log_n, r: *r, p: *p };
		let cipher = cipher(password, &salt, cost)?;
		let uri = cipher.decrypt(&XNonce::from(nonce), payload).ok()?;
		String::from_utf8(uri).ok().map(|uri| Secret(Zeroizing::new(uri)))
	}
}

/// The cipher whose key scrypt makes of a password; `None` if the cost makes no sense.
fn cipher(password: &str, salt: &[u8], cost: Cost) -> Option<XChaCha20Poly1305> {
	let mut key = Zeroizing::new([0u8; 32]);
	let parameters = scrypt::Params::new(cost.log_n, cost.r, cost.p, key.len()).ok()?;
	scrypt::scrypt(password.as_bytes(), salt, &parameters, key.as_mut_slice()).ok()?;
	XChaCha20Poly1305::new_from_slice(key.as_slice()).ok()
}

/// A key as it is listed, without its secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Entry {
	/// Its name.
	pub name: String,
	/// How it signs.
	pub scheme: Scheme,
	/// Its address.
	pub address: String,
	/// Whether a password protects it.
	pub encrypted: bool,
}

/// How a new key is protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protection {
	/// With the password of the environment, or one that is asked for.
	Password,
	/// Not at all.
	None,
}

/// A folder of keys.
#[derive(Clone, Debug)]
pub struct Keystore {
	folder: PathBuf,
}

impl Keystore {
	/// The key store in this folder, which need not exist yet.
	pub fn new(folder: impl Into<PathBuf>) -> Self {
		Self { folder: folder.into() }
	}

	/// `blyan/keys` in the user's data folder: `$XDG_DATA_HOME`, else `~/.local/share`. `None`
	/// without a home.
	pub fn default_folder() -> Option<PathBuf> {
		let absolute = |name: &str| {
			std::env::var_os(name).map(PathBuf::from).filter(|folder| folder.is_absolute())
		};
		absolute("XDG_DATA_HOME")
			.or_else(|| absolute("HOME").map(|home| home.join(".local").join("share")))
			.or_else(|| absolute("LOCALAPPDATA"))
			.map(|data| data.join("blyan").join("keys"))
	}

	/// Where the keys are.
	pub fn folder(&self) -> &Path {
		&self.folder
	}

	/// The file of a key. Fails if the name could leave the folder.
	pub fn path(&self, name: &str) -> Result<PathBuf> {
		let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
		let is_name = !name.is_empty()
			&& name.len() <= MAX_NAME_BYTES
			&& !name.starts_with('.')
			&& name.bytes().all(allowed);
		if !is_name {
			return Err(Error::Name(name.chars().take(MAX_NAME_BYTES).collect()));
		}
		Ok(self.folder.join(format!("{name}.{EXTENSION}")))
	}

	/// Keeps a secret under a name that is still free.
	pub fn add(
		&self,
		name: &str,
		secret: &Secret,
		scheme: Scheme,
		protection: Protection,
	) -> Result<Entry> {
		let path = self.path(name)?;
		if path.exists() {
			return Err(Error::Exists(name.to_owned()));
		}
		let address = Key::new(secret, scheme)?.account().to_string();
		let stored = match protection {
			Protection::None => Stored::Plain { uri: secret.expose().to_owned() },
			Protection::Password => Stored::encrypt(secret, &address, &new_password()?)?,
		};
		let encrypted = matches!(stored, Stored::Encrypted { .. });
		let file =
			KeyFile { version: VERSION, name: name.to_owned(), scheme, address, secret: stored };
		self.write(&path, &file)?;
		Ok(Entry { name: file.name, scheme, address: file.address, encrypted })
	}

	/// The key of this name, or the development key if it begins with `//`. Asks for a password if
	/// the key has one.
	pub fn key(&self, name: &str) -> Result<Key> {
		if name.starts_with("//") {
			return Key::development(name);
		}
		let path = self.path(name)?;
		let file = self.read(name, &path)?;
		let secret = match &file.secret {
			Stored::Plain { uri } => Secret(Zeroizing::new(uri.clone())),
			encrypted @ Stored::Encrypted { .. } => encrypted
				.decrypt(&file.address, &known_password(name)?)
				.ok_or_else(|| Error::Password(name.to_owned()))?,
		};
		let key = Key::new(&secret, file.scheme)?;
		if key.account().to_string() != file.address {
			let reason = String::from("its secret belongs to another address");
			return Err(Error::File { path, reason });
		}
		Ok(key)
	}

	/// What is known of a key without its secret.
	pub fn entry(&self, name: &str) -> Result<Entry> {
		if name.starts_with("//") {
			let key = Key::development(name)?;
			let address = key.account().to_string();
			let (name, scheme) = (name.to_owned(), key.scheme());
			return Ok(Entry { name, scheme, address, encrypted: false });
		}
		let path = self.path(name)?;
		let file = self.read(name, &path)?;
		let encrypted = matches!(file.secret, Stored::Encrypted { .. });
		Ok(Entry { name: name.to_owned(), scheme: file.scheme, address: file.address, encrypted })
	}

	/// All keys, by name. Files that are no keys are left out, with a warning.
	pub fn list(&self) -> Result<Vec<Entry>> {
		let entries = match fs::read_dir(&self.folder) {
			Ok(entries) => entries,
			Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
			Err(error) => return Err(io_error("list", &self.folder)(error)),
		};
		let mut names = Vec::new();
		for entry in entries {
			let path = entry.map_err(io_error("list", &self.folder))?.path();
			let is_key = path.extension().is_some_and(|extension| extension == EXTENSION);
			let name = path.file_stem().and_then(|stem| stem.to_str());
			if let Some(name) = name.filter(|name| is_key && self.path(name).is_ok()) {
				names.push(name.to_owned());
			}
		}
		names.sort_unstable();
		let mut keys = Vec::with_capacity(names.len());
		for name in names {
			match self.entry(&name) {
				Ok(entry) => keys.push(entry),
				Err(error) => tracing::warn!("{error}"),
			}
		}
		Ok(keys)
	}

	/// Writes a key's file, which must not exist yet.
	///
	/// It gets its name when it is whole: half of a key would be worse than none, and in the way of
	/// another attempt.
	fn write(&self, path: &Path, file: &KeyFile) -> Result<()> {
		make_private_folder(&self.folder).map_err(io_error("create the folder", &self.folder))?;
		let text = serde_json::to_string_pretty(file)
			.map(Zeroizing::new)
			.map_err(|error| Error::File { path: path.to_path_buf(), reason: error.to_string() })?;
		// What a process left that was killed half-way may hold a secret, and has no other use.
		for leftover in staging::unfinished_names(path) {
			fs::remove_file(&leftover).map_err(io_error("remove", &leftover))?;
		}
		let unfinished =
			staging::unfinished_name(path).ok_or_else(|| Error::Name(file.name.clone()))?;
		// A link, for unlike renaming it never replaces a key that got the name in the meantime.
		let written = write_private(&unfinished, text.as_bytes())
			.and_then(|()| fs::hard_link(&unfinished, path))
			.and_then(|()| atomic::sync_name(path));
		// It has its name or it is of no use; the first error is the one to report.
		let _ = fs::remove_file(&unfinished);
		written.map_err(|error| match error.kind() {
			io::ErrorKind::AlreadyExists => Error::Exists(file.name.clone()),
			_ => io_error("write", path)(error),
		})
	}

	/// Reads a key's file, which must not be readable by others.
	fn read(&self, name: &str, path: &Path) -> Result<KeyFile> {
		let mut file = fs::File::open(path).map_err(|error| match error.kind() {
			io::ErrorKind::NotFound => {
				Error::Missing { name: name.to_owned(), folder: self.folder.clone() }
			}
			_ => io_error("open", path)(error),
		})?;
		check_permissions(&file, path)?;
		let refuse = |reason: String| Error::File { path: path.to_path_buf(), reason };
		let mut text = Zeroizing::new(String::new());
		let read = Read::by_ref(&mut file).take(MAX_FILE_BYTES).read_to_string(&mut text);
		read.map_err(io_error("read", path))?;
		let file: KeyFile =
			serde_json::from_str(&text).map_err(|error| refuse(error.to_string()))?;
		if file.version != VERSION {
			return Err(refuse(format!("version {} is unknown", file.version)));
		}
		if AccountId32::from_str(&file.address).is_err() {
			return Err(refuse(String::from("its address is none")));
		}
		Ok(file)
	}
}

fn io_error(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
	let path = path.to_path_buf();
	move |source| Error::Io { action, path, source }
}

/// Writes a file that only its owner can read, and a line feed after `text`.
fn write_private(path: &Path, text: &[u8]) -> io::Result<()> {
	let mut options = fs::OpenOptions::new();
	options.write(true).create_new(true);
	#[cfg(unix)]
	std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
	let mut file = options.open(path)?;
	file.write_all(text)?;
	file.write_all(b"\n")?;
	file.sync_all()
}

#[cfg(unix)]
fn make_private_folder(folder: &Path) -> io::Result<()> {
	use std::os::unix::fs::DirBuilderExt;
	fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

#[cfg(not(unix))]
fn make_private_folder(folder: &Path) -> io::Result<()> {
	fs::create_dir_all(folder)
}

#[cfg(unix)]
fn check_permissions(file: &fs::File, path: &Path) -> Result<()> {
	use std::os::unix::fs::PermissionsExt;
	let mode = file.metadata().map_err(io_error("examine", path))?.permissions().mode();
	if mode & 0o077 != 0 {
		return Err(Error::Permissions(path.to_path_buf()));
	}
	Ok(())
}

/// Other systems protect the user's folders as a whole.
#[cfg(not(unix))]
fn check_permissions(_file: &fs::File, _path: &Path) -> Result<()> {
	Ok(())
}

/// The password of the environment, if there is one.
fn password_of_environment() -> Option<Zeroizing<String>> {
	std::env::var(PASSWORD_VARIABLE)
		.ok()
		.filter(|password| !password.is_empty())
		.map(Zeroizing::new)
}

/// The password of a key that has one.
fn known_password(name: &str) -> Result<Zeroizing<String>> {
	if let Some(password) = password_of_environment() {
		return Ok(password);
	}
	if !io::stderr().is_terminal() {
		return Err(Error::NoPassword);
	}
	rpassword::prompt_password(format!("Password of {name}: "))
		.map(Zeroizing::new)
		.map_err(Error::Input)
}

/// The password of a new key.
fn new_password() -> Result<Zeroizing<String>> {
	if let Some(password) = password_of_environment() {
		return Ok(password);
	}
	if !io::stderr().is_terminal() {
		return Err(Error::NoPassword);
	}
	let ask =
		|prompt: &str| rpassword::prompt_password(prompt).map(Zeroizing::new).map_err(Error::Input);
	let password = ask("New password: ")?;
	if password.is_empty() {
		return Err(Error::NoPassword);
	}
	if *ask("Once more: ")? != *password {
		return Err(Error::PasswordsDiffer);
	}
	Ok(password)
}

fn encode_hex(bytes: &[u8]) -> String {
	bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn decode_hex(digits: &str) -> Option<Vec<u8>> {
	if !digits.len().is_multiple_of(2) || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
		return None;
	}
	let pairs = (0..digits.len()).step_by(2);
	pairs.map(|at| u8::from_str_radix(digits.get(at..at + 2)?, 16).ok()).collect()
}

#[cfg(test)]
mod tests {
	use super::*;

	/// Addresses that Substrate's own tools show.
	const ALICE_SR25519: &str = "5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY";
	const ALICE_ED25519: &str = "5FA9nQDVg267DEd8m1ZypXLBnvN7SFxYwV7ndqSYGiN9TTpu";

	fn address(uri: &str, scheme: Scheme) -> String {
		Key::new(&Secret::from_uri(uri).unwrap(), scheme).unwrap().account().to_string()
	}

	#[test]
	fn development_keys_have_the_addresses_that_everybody_knows() {
		assert_eq!(address("//Alice", Scheme::Sr25519), ALICE_SR25519);
		assert_eq!(address("//Alice", Scheme::Ed25519), ALICE_ED25519);
		assert_eq!(Key::development("//Alice").unwrap().account().to_string(), ALICE_SR25519);
		assert!(Key::development("Alice").is_err());
	}

	#[test]
	fn seed_and_phrase_make_keys_and_others_do_not() {
		let seed = format!("0x{}", "17".repeat(32));
		assert_ne!(address(&seed, Scheme::Sr25519), address(&seed, Scheme::Ed25519));
		assert_eq!(address(&format!(" {DEV_PHRASE}//Alice\n"), Scheme::Sr25519), ALICE_SR25519);
		for wrong in ["", "  ", "0x12", "not a phrase", "bottom drive obey"] {
			assert!(matches!(Secret::from_uri(wrong), Err(Error::Uri(_))), "{wrong}");
		}
		let soft = Key::new(&Secret::from_uri("//Alice/soft").unwrap(), Scheme::Ed25519);
		assert!(matches!(soft, Err(Error::Soft)));
	}

	#[test]
	fn new_secrets_have_twelve_words_and_differ() {
		let (a, b) = (Secret::generate().unwrap(), Secret::generate().unwrap());
		assert_eq!(a.expose().split(' ').count(), 12);
		assert_ne!(a.expose(), b.expose());
		assert!(!format!("{a:?}").contains(a.expose()));
	}

	#[test]
	fn signatures_verify() {
		let secret = Secret::from_uri("//Alice").unwrap();
		let message = b"a manifest";
		let MultiSignature::Sr25519(bytes) =
			Key::new(&secret, Scheme::Sr25519).unwrap().sign(message)
		else {
			panic!("not sr25519");
		};
		let public = sr25519::dev::alice().public_key();
		assert!(sr25519::verify(&sr25519::Signature(bytes), message, &public));

		let key = Key::new(&secret, Scheme::Ed25519).unwrap();
		let MultiSignature::Ed25519(bytes) = key.sign(message) else { panic!("not ed25519") };
		let Key::Ed25519(pair) = &key else { panic!("not ed25519") };
		let signature = ed25519_dalek::Signature::from_bytes(&bytes);
		assert!(pair.verifying_key().verify_strict(message, &signature).is_ok());
	}

	#[test]
	fn encrypted_secret_opens_with_its_password_and_address_only() {
		let secret = Secret::from_uri("//Alice").unwrap();
		let stored = Stored::encrypt(&secret, ALICE_SR25519, "open sesame").unwrap();
		let opened = stored.decrypt(ALICE_SR25519, "open sesame").unwrap();
		assert_eq!(opened.expose(), secret.expose());
		assert!(stored.decrypt(ALICE_SR25519, "open").is_none());
		assert!(stored.decrypt(ALICE_ED25519, "open sesame").is_none());
		let text = serde_json::to_string(&stored).unwrap();
		assert!(!text.contains("bottom"), "{text}");

		let Stored::Encrypted { r, p, salt, nonce, ciphertext, .. } = stored else {
			panic!("not encrypted");
		};
		let hungry = Stored::Encrypted { log_n: 60, r, p, salt, nonce, ciphertext };
		assert!(hungry.decrypt(ALICE_SR25519, "open sesame").is_none());
	}

	#[test]
	fn key_comes_back_from_its_file() {
		let folder = tempfile::tempdir().unwrap();
		let keystore = Keystore::new(folder.path().join("keys"));
		assert!(keystore.list().unwrap().is_empty());
		let secret = Secret::from_uri("//Alice").unwrap();
		let entry = keystore.add("alice", &secret, Scheme::Ed25519, Protection::None).unwrap();
		assert_eq!(entry.address, ALICE_ED25519);
		assert_eq!(keystore.key("alice").unwrap().account().to_string(), ALICE_ED25519);
		assert_eq!(keystore.list().unwrap(), [entry]);

		let again = keystore.add("alice", &secret, Scheme::Sr25519, Protection::None);
		assert!(matches!(again, Err(Error::Exists(_))));
		// Nor is a key replaced that got the name while the new one was being made.
		let path = keystore.path("alice").unwrap();
		let file = keystore.read("alice", &path).unwrap();
		assert!(matches!(keystore.write(&path, &file), Err(Error::Exists(_))));
		assert_eq!(fs::read_dir(keystore.folder()).unwrap().count(), 1);
		assert!(matches!(keystore.key("bob"), Err(Error::Missing { .. })));
		for name in ["", ".", "..", "../alice", "a/b", "ä", &"a".repeat(65)] {
			assert!(matches!(keystore.path(name), Err(Error::Name(_))), "{name}");
		}
	}

	#[cfg(unix)]
	#[test]
	fn files_are_private_and_must_stay_so() {
		use std::os::unix::fs::PermissionsExt;
		let folder = tempfile::tempdir().unwrap();
		let keystore = Keystore::new(folder.path().join("keys"));
		let secret = Secret::from_uri("//Bob").unwrap();
		keystore.add("bob", &secret, Scheme::Sr25519, Protection::None).unwrap();
		let path = keystore.path("bob").unwrap();
		let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
		assert_eq!(mode(&path), 0o600);
		assert_eq!(mode(keystore.folder()), 0o700);

		fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
		assert!(matches!(keystore.key("bob"), Err(Error::Permissions(_))));
	}

	#[test]
	fn half_of_a_key_is_in_nobodys_way() {
		let folder = tempfile::tempdir().unwrap();
		let keystore = Keystore::new(folder.path());
		let leftover = folder.path().join(".bob.json.4711.unfinished");
		fs::write(&leftover, "{").unwrap();
		assert!(keystore.list().unwrap().is_empty());
		let secret = Secret::from_uri("//Bob").unwrap();
		keystore.add("bob", &secret, Scheme::Sr25519, Protection::None).unwrap();
		assert!(keystore.key("bob").is_ok());
		assert!(!leftover.exists());
	}

	#[test]
	fn damaged_files_are_refused() {
		let folder = tempfile::tempdir().unwrap();
		let keystore = Keystore::new(folder.path());
		let secret = Secret::from_uri("//Bob").unwrap();
		keystore.add("bob", &secret, Scheme::Sr25519, Protection::None).unwrap();
		let path = keystore.path("bob").unwrap();
		let whole = fs::read_to_string(&path).unwrap();
		let bob = keystore.entry("bob").unwrap().address;
		for (from, to) in [
			("\"version\": 1", "\"version\": 2"),
			("sr25519", "sr1"),
			(bob.as_str(), ALICE_SR25519),
			(bob.as_str(), "5Grwva"),
			("{", ""),
		] {
			fs::write(&path, whole.replace(from, to)).unwrap();
			assert!(matches!(keystore.key("bob"), Err(Error::File { .. })), "{from}");
		}
	}

	#[test]
	fn hexadecimal_digits_come_in_pairs() {
		assert_eq!(decode_hex("00ff"), Some(vec![0, 255]));
		assert_eq!(encode_hex(&[0, 255]), "00ff");
		for wrong in ["0", "zz", "ä", "+1"] {
			assert_eq!(decode_hex(wrong), None, "{wrong}");
		}
	}
}
