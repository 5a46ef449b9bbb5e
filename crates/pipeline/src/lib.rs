//! Joins the parts: ingest, search, models.
