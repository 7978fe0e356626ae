//! What each command does.
//!
//! Commands on plain files are modules of their own; what needs a chain is in [`online`].

pub mod account;
pub mod convert;
pub mod dataset;
pub mod delta;
pub mod expert;
pub mod model;
pub mod online;
pub mod sample;
pub mod sim;
pub mod tile;

use crate::{
	args::{
		AccountCommand, Cli, Command, DatasetCommand, DeltaCommand, ModelCommand, RoundCommand,
		SimCommand, TileCommand,
	},
	context::Context,
	worker,
};
use anyhow::Context as _;
use clap::CommandFactory;
use clap_complete::Shell;
use serde_json::json;

/// Runs a command.
pub async fn dispatch(command: Command, context: &Context) -> anyhow::Result<()> {
	match command {
		Command::Dataset(command) => dispatch_dataset(command, context).await,
		Command::Worker(options) => worker::run(&options, context).await,
		Command::Round(command) => dispatch_round(command, context).await,
		Command::Model(command) => dispatch_model(command, context).await,
		Command::Account(command) => dispatch_account(command, context).await,
		Command::Tile(command) => match command {
			TileCommand::Root(args) => tile::root(args, context),
			TileCommand::Prove(args) => tile::prove(args, context),
			TileCommand::Verify(args) => tile::verify(args, context),
			TileCommand::Inspect(args) => tile::inspect(args, context),
			TileCommand::Compress(args) => tile::compress(args, context),
			TileCommand::Expand(args) => tile::expand(args, context),
			TileCommand::Import(args) => convert::import(args, context),
			TileCommand::Export(args) => convert::export(args, context),
			TileCommand::Diff(args) => convert::diff(args, context),
		},
		Command::Delta(command) => match command {
			DeltaCommand::Encode(args) => delta::encode(args, context),
			DeltaCommand::Apply(args) => delta::apply(args, context),
			DeltaCommand::Merge(args) => delta::merge(args, context),
			DeltaCommand::Inspect(args) => delta::inspect(args, context),
		},
		Command::Sample(args) => sample::sample(args, context),
		Command::Sim(SimCommand::Network(args)) => sim::network(args, context),
		Command::Completions { shell } => completions(shell, context),
	}
}

async fn dispatch_dataset(command: DatasetCommand, context: &Context) -> anyhow::Result<()> {
	match command {
		DatasetCommand::Prepare(args) => dataset::prepare(args, context),
		DatasetCommand::Audit(args) => dataset::audit(args, context),
		DatasetCommand::Root(args) => dataset::root(args, context),
		DatasetCommand::Prove(args) => dataset::prove(args, context),
		DatasetCommand::Work(args) => online::dataset_work(args, context).await,
		DatasetCommand::Submit(args) => online::dataset_submit(args, context).await,
		DatasetCommand::List(args) => online::dataset_list(args, context).await,
		DatasetCommand::Show(args) => online::dataset_show(args, context).await,
		DatasetCommand::Vote(args) => online::dataset_vote(args, context).await,
		DatasetCommand::Appeal(args) => online::dataset_appeal(args, context).await,
		DatasetCommand::Renew(args) => online::dataset_renew(args, context).await,
		DatasetCommand::LeaveVoters(args) => online::dataset_leave_voters(args, context).await,
	}
}

async fn dispatch_round(command: RoundCommand, context: &Context) -> anyhow::Result<()> {
	match command {
		RoundCommand::List(args) => online::round_list(args, context).await,
		RoundCommand::Show(args) => online::round_show(args, context).await,
		RoundCommand::Watch(args) => online::round_watch(args, context).await,
		RoundCommand::Open(args) => online::round_open(args, context).await,
	}
}

async fn dispatch_model(command: ModelCommand, context: &Context) -> anyhow::Result<()> {
	match command {
		ModelCommand::Init(args) => model::init(args, context),
		ModelCommand::Verify(args) => model::verify(args, context),
		ModelCommand::Generate(args) => model::generate(args, context),
		ModelCommand::ExportExpert(args) => expert::export(args, context),
		ModelCommand::RunExpert(args) => expert::run(args, context),
		ModelCommand::List => online::model_list(context).await,
		ModelCommand::Show(args) => online::model_show(args, context).await,
		ModelCommand::Create(args) => online::model_create(args, context).await,
		ModelCommand::Transfer(args) => online::model_transfer(args, context).await,
		ModelCommand::Pull(args) => online::model_pull(args, context).await,
	}
}

async fn dispatch_account(command: AccountCommand, context: &Context) -> anyhow::Result<()> {
	match command {
		AccountCommand::New(args) => account::new(args, context),
		AccountCommand::Show(args) => account::show(args, context),
		AccountCommand::List => account::list(context),
		AccountCommand::Import(args) => account::import(args, context),
		AccountCommand::Balance(args) => online::account_balance(&args.account, context).await,
		AccountCommand::Claim(args) => {
			let paid = args.paid.as_deref();
			online::account_claim(&args.signer.account, paid, context).await
		}
		AccountCommand::Bond(args) => {
			online::account_bond(&args.signer.account, &args.amount, context).await
		}
		AccountCommand::Leave(args) => online::account_leave(&args.account, context).await,
		AccountCommand::Withdraw(args) => online::account_withdraw(&args.account, context).await,
		AccountCommand::Transfer(args) => {
			let from = &args.signer.account;
			online::account_transfer(from, &args.to, &args.amount, context).await
		}
	}
}

/// Prints the completions of a shell.
fn completions(shell: Shell, context: &Context) -> anyhow::Result<()> {
	let mut script = Vec::new();
	let mut command = Cli::command();
	clap_complete::generate(shell, &mut command, "blyan", &mut script);
	let script = String::from_utf8(script).context("the completions are no text")?;
	let value = json!({ "shell": shell.to_string(), "script": script });
	context.output.text(script.trim_end(), &value)
}
