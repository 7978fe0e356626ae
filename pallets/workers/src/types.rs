//! Plain types of the pallet and the arithmetic on them, without storage.

use blyan_primitives::roles::{Role, Roles};
use codec::{Decode, DecodeWithMemTracking, Encode, MaxEncodedLen};
use pallet_reputation::Subject;
use polkadot_sdk::{
	frame_support::{traits::ConstU32, BoundedVec},
	sp_core::H256,
	sp_runtime::{traits::AtLeast32BitUnsigned, Perbill},
};
use scale_info::TypeInfo;

/// Longest peer id, in bytes. A libp2p id has 38 (ed25519) or 46 (RSA) of them.
pub const MAX_PEER_ID_BYTES: u32 = 64;

/// Longest address, in bytes: a multiaddress with a DNS name fits.
pub const MAX_ADDRESS_BYTES: u32 = 128;

/// Most addresses of a worker.
pub const MAX_ADDRESSES: u32 = 4;

/// Bond units that count in a draw: who bonds more than this many minimum bonds is not drawn more
/// often, so that no single account dominates a committee.
pub const MAX_STAKE_UNITS: u64 = 100;

/// Heartbeat intervals of silence after which anybody may take a worker off the role lists.
pub const EVICTION_INTERVALS: u32 = 8;

/// Identity of a worker in the node's network, in bytes.
pub type PeerId = BoundedVec<u8, ConstU32<MAX_PEER_ID_BYTES>>;

/// Where a worker can be reached: multiaddresses, in bytes.
pub type Addresses =
	BoundedVec<BoundedVec<u8, ConstU32<MAX_ADDRESS_BYTES>>, ConstU32<MAX_ADDRESSES>>;

/// The device that a worker computes on.
#[derive(
	Clone,
	Copy,
	PartialEq,
	Eq,
	Debug,
	Encode,
	Decode,
	DecodeWithMemTracking,
	MaxEncodedLen,
	TypeInfo,
)]
pub enum Device {
	/// Processor cores; its memory is the system's.
	#[codec(index = 0)]
	Cpu,
	/// NVIDIA.
	#[codec(index = 1)]
	Cuda,
	/// AMD.
	#[codec(index = 2)]
	Rocm,
	/// Apple; its memory is the system's.
	#[codec(index = 3)]
	Metal,
	/// Any other device with a Vulkan driver.
	#[codec(index = 4)]
	Vulkan,
}

impl Device {
	/// Whether the device computes in the system's memory, so that no bus lies in between.
	pub fn has_unified_memory(self) -> bool {
		match self {
			Self::Cpu | Self::Metal => true,
			Self::Cuda | Self::Rocm | Self::Vulkan => false,
		}
	}
}

/// What a worker says about its hardware, measured by its own program.
///
/// Nobody checks it: it sorts workers into tiers for those who choose among them, and decides
/// neither draws nor pay.
#[derive(
	Clone, PartialEq, Eq, Debug, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo,
)]
pub struct Profile {
	/// The device.
	pub device: Device,
	/// Memory that the device can compute in, in MiB.
	pub vram_mib: u32,
	/// Measured rate of a large matrix product in the precision that the worker trains in, in 10^9
	/// operations a second.
	pub tflops_milli: u32,
	/// Measured bandwidth of that memory, in MiB a second.
	pub memory_mib_per_s: u32,
	/// Measured bandwidth between system and device, in MiB a second. Not regarded for devices with
	/// unified memory.
	pub pcie_mib_per_s: u32,
	/// Country as two letters (ISO 3166-1 alpha-2), or two zero bytes when not told.
	pub region: [u8; 2],
}

/// What a profile needs for a tier.
struct Requirement {
	tflops_milli: u32,
	vram_mib: u32,
	memory_mib_per_s: u32,
	pcie_mib_per_s: u32,
}

const fn requirement(
	tflops_milli: u32,
	vram_gib: u32,
	memory_gib_per_s: u32,
	pcie_gib_per_s: u32,
) -> Requirement {
	// Constants of the table below, the largest of them 2,000 GiB.
	Requirement {
		tflops_milli,
		vram_mib: vram_gib * 1_024,
		memory_mib_per_s: memory_gib_per_s * 1_024,
		pcie_mib_per_s: pcie_gib_per_s * 1_024,
	}
}

/// Requirements of the tiers 2 to 10, in that order; see [`Profile::tier`].
const REQUIREMENTS: [Requirement; 9] = [
	requirement(200, 1, 8, 0),
	requirement(1_000, 3, 20, 1),
	requirement(3_000, 5, 60, 2),
	requirement(8_000, 7, 150, 3),
	requirement(15_000, 11, 250, 6),
	requirement(30_000, 15, 400, 10),
	requirement(60_000, 23, 650, 12),
	requirement(120_000, 39, 1_200, 20),
	requirement(400_000, 78, 2_000, 24),
];

impl Profile {
	/// The tier of this hardware, 1 to 10: the highest whose row, and every row before it, is met in
	/// every column. Bandwidths are in GiB a second; the last column does not apply to devices with
	/// unified memory. Memory is asked for a little below the usual sizes, because drivers keep some
	/// of it.
	///
	/// | tier | TFLOPS | memory, GiB | memory bandwidth | bus bandwidth | for example |
	/// |---|---|---|---|---|---|
	/// | 1 | any | any | any | any | a small virtual machine |
	/// | 2 | 0.2 | 1 | 8 | any | a laptop's processor |
	/// | 3 | 1 | 3 | 20 | 1 | a server's processor |
	/// | 4 | 3 | 5 | 60 | 2 | an entry graphics card, a laptop with unified memory |
	/// | 5 | 8 | 7 | 150 | 3 | a mid-range graphics card |
	/// | 6 | 15 | 11 | 250 | 6 | an upper mid-range graphics card |
	/// | 7 | 30 | 15 | 400 | 10 | a fast graphics card |
	/// | 8 | 60 | 23 | 650 | 12 | the fastest graphics cards |
	/// | 9 | 120 | 39 | 1,200 | 20 | an accelerator of a data centre |
	/// | 10 | 400 | 78 | 2,000 | 24 | the fastest accelerators of a data centre |
	pub fn tier(&self) -> u8 {
		let unified = self.device.has_unified_memory();
		REQUIREMENTS
			.iter()
			.take_while(|needed| {
				self.tflops_milli >= needed.tflops_milli
					&& self.vram_mib >= needed.vram_mib
					&& self.memory_mib_per_s >= needed.memory_mib_per_s
					&& (unified || self.pcie_mib_per_s >= needed.pcie_mib_per_s)
			})
			// At most nine rows, so this never saturates.
			.fold(1u8, |tier, _| tier.saturating_add(1))
	}
}

/// Where a worker stands between registering and taking its bond back.
#[derive(
	Clone,
	Copy,
	PartialEq,
	Eq,
	Debug,
	Encode,
	Decode,
	DecodeWithMemTracking,
	MaxEncodedLen,
	TypeInfo,
)]
pub enum State<BlockNumber> {
	/// On the list of each of its roles.
	#[codec(index = 0)]
	Listed,
	/// On no list: its bond is below the minimum, or it was silent for too long.
	#[codec(index = 1)]
	Suspended,
	/// On no list, and leaving.
	#[codec(index = 2)]
	Unbonding {
		/// First block at which the bond can be withdrawn.
		until: BlockNumber,
	},
}

/// What is stored about a worker.
#[derive(
	Clone, PartialEq, Eq, Debug, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo,
)]
pub struct Worker<BlockNumber> {
	/// The roles it offers.
	pub roles: Roles,
	/// Its hardware.
	pub profile: Profile,
	/// Hash that names its hardware; no two workers have the same.
	pub hardware_id: H256,
	/// Its identity in the network.
	pub peer_id: PeerId,
	/// Where it can be reached.
	pub addresses: Addresses,
	/// What is held of its balance, in the smallest unit.
	pub bond: u128,
	/// Block of its last heartbeat, or of its registration.
	pub heartbeat_at: BlockNumber,
	/// Where it stands.
	pub state: State<BlockNumber>,
}

impl<BlockNumber: AtLeast32BitUnsigned + Copy> Worker<BlockNumber> {
	/// Whether it is leaving.
	pub fn is_unbonding(&self) -> bool {
		matches!(self.state, State::Unbonding { .. })
	}

	/// Whether it can be given work in `role` now, as far as it depends on itself.
	pub fn is_available(&self, role: Role, now: BlockNumber, interval: BlockNumber) -> bool {
		matches!(self.state, State::Listed)
			&& self.roles.contains(role)
			&& silence(now, self.heartbeat_at) <= interval
	}
}

/// Blocks since the last heartbeat.
fn silence<BlockNumber: AtLeast32BitUnsigned>(
	now: BlockNumber,
	heartbeat_at: BlockNumber,
) -> BlockNumber {
	// A heartbeat is never later than now.
	now.saturating_sub(heartbeat_at)
}

/// Whether a heartbeat is due: half of the interval has passed since the last one.
///
/// Half of it, so that one lost heartbeat does not make a worker inactive.
pub fn is_heartbeat_due<BlockNumber: AtLeast32BitUnsigned>(
	now: BlockNumber,
	heartbeat_at: BlockNumber,
	interval: BlockNumber,
) -> bool {
	silence(now, heartbeat_at) >= interval / BlockNumber::from(2u32)
}

/// Whether a worker was silent for so long that anybody may take it off the lists.
pub fn is_evictable<BlockNumber: AtLeast32BitUnsigned>(
	now: BlockNumber,
	heartbeat_at: BlockNumber,
	interval: BlockNumber,
) -> bool {
	silence(now, heartbeat_at) > interval.saturating_mul(BlockNumber::from(EVICTION_INTERVALS))
}

/// The bond that `roles` need: the minimum for each of them. Saturates where balances end, which
/// nobody can bond.
pub fn required_bond(min_bond: u128, roles: Roles) -> u128 {
	roles.iter().fold(0u128, |sum, _| sum.saturating_add(min_bond))
}

/// The weight of a worker in a draw: whole minimum bonds, at most [`MAX_STAKE_UNITS`] of them,
/// times the score. Never zero: who may be drawn can be drawn.
pub fn draw_weight(bond: u128, min_bond: u128, score: u32) -> u64 {
	// Without a minimum bond, bonds do not count.
	let units = bond.checked_div(min_bond).unwrap_or(1).min(u128::from(MAX_STAKE_UNITS));
	let units = u64::try_from(units).unwrap_or(MAX_STAKE_UNITS);
	units.saturating_mul(u64::from(score)).max(1)
}

/// The reputation that counts in a role. Serving is the second half of aggregating: both move
/// tiles.
pub fn subject_of(role: Role) -> Subject {
	match role {
		Role::Trainer => Subject::Training,
		Role::Verifier => Subject::Verification,
		Role::Auditor => Subject::Audit,
		Role::Evaluator => Subject::Evaluation,
		Role::Aggregator | Role::Server => Subject::Aggregation,
	}
}

/// What a slash takes, and what of it the finder gets.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Slash {
	/// Taken from the bond.
	pub total: u128,
	/// Part of `total` for the finder; the rest is burned.
	pub reward: u128,
}

/// Splits `fraction` of `bond` between finder and fire. The total is rounded up, against the
/// culprit; the reward is rounded down, so that nothing is paid twice.
pub fn split_slash(bond: u128, fraction: Perbill, finder_share: Perbill) -> Slash {
	let total = fraction.mul_ceil(bond).min(bond);
	let reward = finder_share.mul_floor(total).min(total);
	Slash { total, reward }
}
