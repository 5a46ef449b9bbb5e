//! The real binary on real folders: what a user does, and what a user does wrong.
//!
//! Needs the runtime and the model that scripts/setup installs.

#[path = "../support/mod.rs"]
mod support;

mod access;
mod bad_input;
mod configuration;
mod curation;
mod damage;
mod domain;
mod fields;
mod guards;
mod heads;
mod importing;
mod indexing;
mod languages;
mod late;
mod life;
mod measuring;
mod migrating;
mod ranking;
mod searching;
mod sources;
mod sparse;
mod texts;
mod tiny;
mod tuning;
mod weights;
