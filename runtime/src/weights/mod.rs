//! x
pub mod pallet_reputation { pub type WeightInfo<T> = W<T>; }
