//! Strings to embedding rows: tokenizer, sessions, workers.
