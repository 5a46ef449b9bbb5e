//! Text and token offsets in, overlapping windows out.
