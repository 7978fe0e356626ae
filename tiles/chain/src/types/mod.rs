//! What the chain stores and answers, as this program reads it.
//!
//! These types are read by the names of their fields and variants, as the chain's metadata has them,
//! so that a field that moved is still found and one that is gone is an error, never a wrong number.
//! Types of `blyan_primitives` are the chain's own; they stand inside [`Static`], which is
//! transparent to `.` and says that they are read byte by byte.
//!
//! | module | what |
//! |---|---|
//! | `datasets` | datasets, Chain D, and what was uploaded |
//! | `audits` | how a dataset is judged: audits and votes |
//! | `models` | models, their specs, components and snapshots |
//! | `rounds` | learning rounds: phases, mixtures, losses |
//! | `proofs` | updates of a round, their verifiers and verdicts |
//! | `workers` | workers and their hardware |
//! | `money` | amounts of BLY, accounts, and who shares an emission |
//! | `storage` | where stored items are, and what they cost |

mod audits;
mod datasets;
mod models;
mod money;
mod proofs;
mod rounds;
mod storage;
mod workers;

pub use audits::{
	AuditPhase, AuditResult, AuditorSeat, DatasetAudit, Report, Scores, Tally, Voter,
};
pub use datasets::{Dataset, DatasetBlock, DatasetHead, Reason, Status, Tier, Upload};
pub use models::{
	BlockOrigin, ComponentBlock, ComponentHead, Definition, Lineage, Model, Snapshot, Spec,
	SpecStatus, Version,
};
pub use money::{bly, parse_bly, AccountBalance, AccountInfo, Balance, Share, BLY};
pub use proofs::{Submission, UpdateAudit, UpdateView, Verdict, VerifierSeat};
pub use rounds::{
	Evaluator, Limits, Losses, MixtureDataset, Phase, Round, RoundSummary, RoundView, Standing,
	LOSS_OF_MISMATCH,
};
pub use storage::{ItemFees, Location};
pub use workers::{Device, Profile, Worker, WorkerState};

pub use subxt::utils::{AccountId32 as AccountId, Static};

/// Height of a block.
pub type BlockNumber = u32;
