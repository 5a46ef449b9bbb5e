//! Laws of an index as its users see it.

mod access;
mod curation;
mod damage;
mod filters;
mod formats;
mod graph;
mod late;
mod model;
mod records;
mod rows;
mod snapshots;
mod store;
mod support;
