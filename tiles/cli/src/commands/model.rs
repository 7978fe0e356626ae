//! Models on disk.

use crate::{
	args::{ModelGenerateArgs, ModelInitArgs, ModelVerifyArgs},
	context::{usage, Context},
	folder::ModelFolder,
};
use anyhow::{ensure, Context as _};
use blyan_data::one_line;
use blyan_engine::{demo, Device, FloatRecipe, Recipe, Weights};
use blyan_primitives::{model::Architecture, H256};
use serde::Serialize;
use std::{fs::File, io::Read, path::Path};

/// What stands for the architecture of the demonstration.
const DEMO: &str = "demo";
/// The most bytes of a file with dimensions.
const MAX_ARCHITECTURE_FILE_BYTES: u64 = 65_536;
/// The most bytes that one command generates.
const MAX_GENERATED_BYTES: u32 = 1 << 20;
/// The highest temperature: ten times as daring as the model.
const MAX_TEMPERATURE_PERMILLE: u32 = 10_000;

/// A component as `model init` lists it.
#[derive(Serialize)]
struct Written {
	component: String,
	bytes: u64,
	root: H256,
}

/// What `model init --json` prints; people see the parts one after the other.
#[derive(Serialize)]
struct Initialised {
	folder: String,
	architecture: Architecture,
	seed: H256,
	weights: u64,
	components: Vec<Written>,
}

/// Writes the first weights of an architecture into a folder.
pub fn init(args: ModelInitArgs, context: &Context) -> anyhow::Result<()> {
	let architecture = match args.architecture.as_str() {
		DEMO => demo::ARCHITECTURE,
		path => read_architecture(Path::new(path))?,
	};
	let seed = match args.seed {
		Some(seed) => seed,
		None => {
			let mut bytes = [0u8; 32];
			getrandom::fill(&mut bytes)
				.map_err(|error| anyhow::anyhow!("the system gives no random numbers: {error}"))?;
			H256(bytes)
		}
	};
	let spinner = context.output.spinner("drawing weights");
	let weights = Weights::initial(&architecture, seed)?;
	let folder = ModelFolder::create(&args.out, &weights, Some(seed))?;
	spinner.finish_and_clear();
	let components = architecture.components().into_iter().zip(&folder.description().roots);
	let components: Vec<Written> = components
		.map(|(component, root)| Written {
			component: component.name,
			bytes: component.bytes,
			root: *root,
		})
		.collect();
	if !context.output.is_json() {
		context.output.rows(&components, "no components")?;
		context.output.note(format!("{} weights, seed {seed:?}", architecture.weights()));
		return Ok(());
	}
	context.output.record(&Initialised {
		folder: args.out.to_string_lossy().into_owned(),
		architecture,
		seed,
		weights: architecture.weights(),
		components,
	})
}

/// The dimensions that a TOML or JSON file has.
pub fn read_architecture(path: &Path) -> anyhow::Result<Architecture> {
	let mut text = String::new();
	File::open(path)
		.and_then(|file| file.take(MAX_ARCHITECTURE_FILE_BYTES).read_to_string(&mut text))
		.with_context(|| format!("cannot read the architecture from {}", path.display()))?;
	let is_json = path.extension().is_some_and(|extension| extension == "json");
	let parsed: anyhow::Result<Architecture> = if is_json {
		serde_json::from_str(&text).map_err(anyhow::Error::new)
	} else {
		toml::from_str(&text).map_err(anyhow::Error::new)
	};
	let architecture = parsed.with_context(|| {
		format!(
			"{} is no architecture; it needs vocab, d_model, layers, heads, context, experts, top_k \
			 and d_ff",
			path.display()
		)
	})?;
	architecture.validate().with_context(|| format!("{} is refused", path.display()))?;
	Ok(architecture)
}

/// Hashes every leaf of a folder and compares with the roots that it states.
pub fn verify(args: ModelVerifyArgs, context: &Context) -> anyhow::Result<()> {
	let folder = ModelFolder::open(&args.folder)?;
	let count = folder.description().roots.len() as u64;
	let progress = context.output.progress("components", count);
	let states = folder.verify(|_| progress.inc(1));
	progress.finish_and_clear();
	context.output.rows(&states, "no components")?;
	let wrong = states.iter().filter(|state| !state.genuine).count();
	ensure!(
		wrong == 0,
		"{wrong} of {count} components are not what {} states; fetch or make them again",
		crate::folder::MODEL_FILE
	);
	Ok(())
}

/// What `model generate --json` prints.
#[derive(Serialize)]
struct Generated {
	prompt: String,
	/// What the model wrote, as text; what is none of it is replaced.
	text: String,
	/// What the model wrote, in hexadecimal digits.
	bytes: String,
	seed: H256,
}

/// Lets a model write.
pub fn generate(args: ModelGenerateArgs, context: &Context) -> anyhow::Result<()> {
	if args.count > MAX_GENERATED_BYTES {
		return Err(usage(format!("--count: give at most {MAX_GENERATED_BYTES}")));
	}
	if args.temperature > MAX_TEMPERATURE_PERMILLE {
		return Err(usage(format!("--temperature: give at most {MAX_TEMPERATURE_PERMILLE}")));
	}
	let seed = args.seed.unwrap_or_default();
	let model = ModelFolder::open(&args.folder)?.mapped()?;
	let recipe = FloatRecipe::new(demo::RECIPE, Device::named(&args.device)?)?;
	let spinner = context.output.spinner("writing");
	let prompt = args.prompt.as_bytes();
	let written = recipe.generate(&model, prompt, args.count as usize, args.temperature, seed)?;
	spinner.finish_and_clear();
	let text = String::from_utf8_lossy(&written).into_owned();
	let bytes = written.iter().map(|byte| format!("{byte:02x}")).collect();
	// A model may write anything, but it shall not steer the terminal.
	let shown: Vec<String> = format!("{}{text}", args.prompt).split('\n').map(one_line).collect();
	context.output.text(&shown.join("\n"), &Generated { prompt: args.prompt, text, bytes, seed })
}
