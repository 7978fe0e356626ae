//! Weights from and for other formats.

use crate::{
	args::{FormatName, TileDiffArgs, TileExportArgs, TileImportArgs},
	context::{usage, Context},
	folder::{Description, ModelFolder},
};
use anyhow::{ensure, Context as _};
use blyan_engine::burnpack::write_file as write_burnpack;
use blyan_primitives::{
	model::Architecture,
	tensor::{DType, FRACTION_BITS},
	H256,
};
use blyan_tiles::{
	convert::Overflow,
	interchange::{
		burnpack::{self, Burnpack},
		compare::{compare, Found, Measured, Tolerance},
		components::{self, Component, Components, List, Options, Tensor},
		gguf::{self, Gguf},
		safetensors::{self, Safetensors},
		Export, Source, Stored,
	},
	staging::Staging,
};
use serde::Serialize;
use serde_json::{json, Value};
use std::{path::Path, sync::Arc};

/// Another way in which files of burn-pack end.
const BURNPACK_EXTENSION: &str = "burnpack";
/// Under this the metadata of an exported model has its dimensions.
const ARCHITECTURE_KEY: &str = "architecture";

/// A component as `tile import` lists it.
#[derive(Serialize)]
struct Imported {
	component: String,
	tensors: u64,
	values: u64,
	root: H256,
}

impl From<&Component> for Imported {
	fn from(component: &Component) -> Self {
		let values = component.tensors.iter().map(|tensor| tensor.shape.iter().product::<u64>());
		Self {
			component: component.name.clone(),
			tensors: component.tensors.len() as u64,
			values: values.sum(),
			root: component.root,
		}
	}
}

/// Turns weights in a file into components.
pub fn import(args: TileImportArgs, context: &Context) -> anyhow::Result<()> {
	let source = open_file(&args.file)?;
	let options = Options {
		dtype: args.dtype.into(),
		fraction_bits: args.fraction_bits,
		overflow: overflow(args.saturate),
	};
	let staging = Staging::begin(&args.to)?;
	let progress = context.output.progress("tensors", source.entries().len() as u64);
	let list = components::import(&*source, staging.path(), &options, |component| {
		progress.inc(component.tensors.len() as u64);
	})
	.with_context(|| format!("cannot import {}", args.file.display()))?;
	progress.finish_and_clear();
	describe_model(&*source, &list, &options, staging.path())?;
	staging.finish()?;
	let imported: Vec<Imported> = list.components().iter().map(Imported::from).collect();
	context.output.rows(&imported, "no components")
}

/// Turns components into a file.
pub fn export(args: TileExportArgs, context: &Context) -> anyhow::Result<()> {
	let spinner = context.output.spinner("verifying");
	let source = Arc::new(open_folder(&args.folder)?);
	let dtype = args.dtype.map(DType::from);
	let export = Export::new(&*source, dtype, overflow(args.saturate))?;
	spinner.set_message("writing");
	let written = match args.format {
		FormatName::Safetensors => safetensors::write_file(&args.out, &*source, &export),
		FormatName::Burnpack => write_burnpack(&args.out, &source, &export),
	};
	spinner.finish_and_clear();
	written.with_context(|| format!("cannot export {}", args.folder.display()))?;
	context.output.record(&Exported {
		file: args.out.to_string_lossy().into_owned(),
		tensors: source.entries().len() as u64,
		values: source.entries().iter().map(|entry| entry.count()).sum(),
	})
}

/// What `tile export` prints.
#[derive(Serialize)]
struct Exported {
	file: String,
	tensors: u64,
	values: u64,
}

/// A tensor as `tile diff` lists it.
#[derive(Serialize)]
struct Compared {
	tensor: String,
	values: Option<u64>,
	unequal: Option<u64>,
	largest_absolute: Option<Value>,
	largest_relative: Option<Value>,
	problem: Option<String>,
	/// The numbers, to be compared with a tolerance.
	#[serde(skip)]
	measured: Option<Measured>,
}

impl Compared {
	fn new(tensor: String, found: &Found) -> Self {
		let (measured, problem) = match found {
			Found::Both(measured) => (Some(*measured), None),
			Found::OnlyFirst => (None, Some(String::from("only the first has it"))),
			Found::OnlySecond => (None, Some(String::from("only the second has it"))),
			Found::Shapes { first, second } => {
				(None, Some(format!("the shapes are {first:?} and {second:?}")))
			}
		};
		// JSON has no infinity, and nothing would look like not measured.
		let shown = |number: f64| match number.is_finite() {
			true => json!(number),
			false => json!("infinite"),
		};
		let number = |of: fn(Measured) -> f64| measured.map(|measured| shown(of(measured)));
		Self {
			tensor,
			values: measured.map(|measured| measured.values),
			unequal: measured.map(|measured| measured.unequal),
			largest_absolute: number(|measured| measured.largest_absolute),
			largest_relative: number(|measured| measured.largest_relative),
			problem,
			measured,
		}
	}
}

/// Compares two files or folders of weights, value by value.
pub fn diff(args: TileDiffArgs, context: &Context) -> anyhow::Result<()> {
	let [first, second] = [open(&args.first)?, open(&args.second)?];
	let rounding = args.rounding.map(|name| Tolerance::Rounding(name.into()));
	let tolerance = rounding.or(args.tolerance.map(Tolerance::Absolute));
	let progress = context.output.progress("tensors", first.entries().len() as u64);
	let differences = compare(&*first, &*second, tolerance, |_| progress.inc(1));
	progress.finish_and_clear();
	let compared: Vec<Compared> = differences?
		.into_iter()
		.map(|difference| Compared::new(difference.tensor, &difference.found))
		.collect();
	context.output.rows(&compared, "no tensors")?;
	let sum = |of: fn(&Compared) -> Option<u64>| compared.iter().filter_map(of).sum::<u64>();
	let (unequal, values) = (sum(|row| row.unequal), sum(|row| row.values));
	context.output.note(format!("{unequal} of {values} values differ"));

	let other = compared.iter().filter(|row| row.problem.is_some()).count();
	ensure!(other == 0, "{other} tensors are not in both, or have other shapes");
	if let Some(tolerance) = tolerance {
		let far = |row: &&Compared| row.measured.is_some_and(|found| found.intolerable > 0);
		let far = compared.iter().filter(far).count();
		ensure!(far == 0, "{far} tensors have values that differ by more than {tolerance}");
	}
	Ok(())
}

fn overflow(saturate: bool) -> Overflow {
	if saturate {
		Overflow::Saturate
	} else {
		Overflow::Refuse
	}
}

/// Weights in a file or a folder.
fn open(path: &Path) -> anyhow::Result<Box<dyn Source>> {
	if path.is_dir() {
		Ok(Box::new(open_folder(path)?))
	} else {
		open_file(path)
	}
}

/// Weights in a file of somebody else's format, which its name tells.
fn open_file(path: &Path) -> anyhow::Result<Box<dyn Source>> {
	let extension = path.extension().unwrap_or_default().to_string_lossy().to_lowercase();
	let opened = match extension.as_str() {
		safetensors::EXTENSION => Safetensors::open(path).map(boxed),
		gguf::EXTENSION => Gguf::open(path).map(boxed),
		burnpack::EXTENSION | BURNPACK_EXTENSION => Burnpack::open(path).map(boxed),
		_ => {
			let name = path.display();
			return Err(usage(format!(
				"{name}: name a file that ends in .safetensors, .bpk, .burnpack or .gguf"
			)));
		}
	};
	opened.with_context(|| format!("cannot read {}", path.display()))
}

fn boxed<S: Source + 'static>(source: S) -> Box<dyn Source> {
	Box::new(source)
}

/// Components in a folder, by their list or by the architecture of a model.
fn open_folder(path: &Path) -> anyhow::Result<Components> {
	let Some(folder) = ModelFolder::find(path)? else {
		return Ok(Components::open(path)?);
	};
	let architecture = folder.architecture();
	let dimensions =
		serde_json::to_string(architecture).context("the architecture does not serialise")?;
	if path.join(components::LIST_FILE).exists() {
		return Ok(Components::open(path)?.with_metadata(ARCHITECTURE_KEY, &dimensions));
	}
	let parts = architecture.components().into_iter().zip(&folder.description().roots);
	let parts = parts.map(|(component, root)| Component {
		tensors: component
			.tensors
			.iter()
			.map(|tensor| Tensor {
				name: format!("{}.{}", component.name, tensor.name),
				shape: tensor.shape.map(u64::from).to_vec(),
				offset: tensor.offset_bytes,
				source: Stored::I32,
			})
			.collect(),
		name: component.name,
		root: *root,
		dtype: DType::I32,
		fraction_bits: FRACTION_BITS,
	});
	let opened = Components::with_files(path, List::new(parts.collect()), |component| {
		folder.tile(&component.name, &component.root)
	})?;
	Ok(opened.with_metadata(ARCHITECTURE_KEY, &dimensions))
}

/// Makes the folder of imported components one of a model as well, if the file was exported from
/// one of ours and nothing about it is different.
fn describe_model(
	source: &dyn Source,
	list: &List,
	options: &Options,
	folder: &Path,
) -> anyhow::Result<()> {
	let Some(text) = source.metadata().get(ARCHITECTURE_KEY) else { return Ok(()) };
	let parsed = serde_json::from_str::<Architecture>(text).ok();
	let Some(architecture) = parsed.filter(|parsed| parsed.validate().is_ok()) else {
		return Ok(());
	};
	let is_master = options.dtype == DType::I32 && options.fraction_bits == FRACTION_BITS;
	if is_master && is_of(&architecture, list) {
		let roots = list.components().iter().map(|component| component.root).collect();
		let description = Description::new(architecture, None, None, roots)?;
		ModelFolder::describe(folder, description)?;
	}
	Ok(())
}

/// Whether these are the components of an architecture: names, tensors and shapes.
fn is_of(architecture: &Architecture, list: &List) -> bool {
	let expected = architecture.components();
	let same = |(expected, found): (&blyan_primitives::model::Component, &Component)| {
		let names = expected.tensors.iter().map(|tensor| {
			let name = format!("{}.{}", expected.name, tensor.name);
			(name, tensor.shape.map(u64::from).to_vec(), tensor.offset_bytes)
		});
		let found_names = found
			.tensors
			.iter()
			.map(|tensor| (tensor.name.clone(), tensor.shape.clone(), tensor.offset));
		expected.name == found.name && names.eq(found_names)
	};
	expected.len() == list.components().len() && expected.iter().zip(list.components()).all(same)
}
